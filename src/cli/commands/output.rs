//! `rhumb output`.

use rhumb_api::{Attr, ResourceAddr, ResourceKind, outputs};
use serde_json::{Value, json};

use crate::cli::state::{StateArgs, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::plan::Pattern;
use crate::report::Cell;
use crate::state::{State, StateResource};

/// Name and version of the output: `src/cli/commands/output/schema.json`.
const SCHEMA: &str = "rhumb.output/1";

/// Show where clients reach what is deployed, and the clouds' ids of everything
///
/// It is what was recorded by the last apply or look; no cloud is asked. With --urls, one address a line and nothing else, for scripts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which deployment.
    #[command(flatten)]
    pub state: StateArgs,
    /// Of this alone: an address or the beginning of one (`services.chat`), `*` for any text of a segment
    #[arg(long, value_name = "ADDRESS", value_parser = Pattern::parse)]
    pub of: Vec<Pattern>,
    /// Print where clients reach it, one a line
    #[arg(long)]
    pub urls: bool,
}

/// Where clients reach a service in a place.
struct Endpoint<'a> {
    addr: &'a ResourceAddr,
    thing: &'a StateResource,
    /// `None` if it was not recorded.
    url: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Nothing of what is asked for is recorded; with `urls`, also that an address is not.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let (place, state) = args.state.read(settings)?;
    let meant = |addr: &ResourceAddr| args.of.is_empty() || args.of.iter().any(|of| of.matches(addr));
    if let Some(of) = args.of.iter().find(|of| !state.resources.keys().any(|addr| of.matches(addr))) {
        let help = "`rhumb state list` lists all";
        return Err(Failure::error(format!("{}: nothing of {of} is recorded; {help}", place.name)));
    }
    let things: Vec<(&ResourceAddr, &StateResource)> = state
        .resources
        .iter()
        .filter(|(addr, _)| meant(addr))
        .map(|(addr, thing)| (addr, &**thing))
        .collect();
    let endpoints: Vec<Endpoint<'_>> =
        things.iter().filter_map(|(addr, thing)| endpoint(addr, thing)).collect();
    if args.urls {
        let mut text = String::new();
        for endpoint in &endpoints {
            let Some(url) = &endpoint.url else {
                let help = "`rhumb refresh` asks its cloud for it";
                return Err(Failure::error(format!(
                    "{}: its address is not recorded; {help}",
                    endpoint.addr
                )));
            };
            text.push_str(&format!("{}\n", clean(url)));
        }
        if endpoints.is_empty() {
            return Err(Failure::error(format!("{}: nothing there has an address", place.name)));
        }
        terminal::print(&text)?;
    } else if settings.json {
        terminal::print(&format!("{}\n", as_json(&state, &endpoints, &things)))?;
    } else {
        terminal::print(&as_text(&state, &endpoints, &things, settings))?;
    }
    Ok(Exit::Done)
}

fn endpoint<'a>(addr: &'a ResourceAddr, thing: &'a StateResource) -> Option<Endpoint<'a>> {
    let attributes = &thing.resource.attributes;
    if !matches!(thing.resource.kind, ResourceKind::LoadBalancer | ResourceKind::EdgeUnit) {
        return None;
    }
    let text = |name: &str| match attributes.get(name) {
        Some(Attr::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    // Clients of a site come to its machines; elsewhere to what is in front of them.
    let port = match (attributes.get("port"), attributes.get("target_ports")) {
        (Some(Attr::Int(port)), _) => Some(*port),
        (_, Some(Attr::List(ports))) => {
            ports.iter().find_map(|p| if let Attr::Int(p) = p { Some(*p) } else { None })
        }
        _ => None,
    };
    let protocol = text("protocol").unwrap_or("http");
    let usual = matches!((protocol, port), ("http", Some(80) | None) | ("https", Some(443) | None));
    let port = port.filter(|_| !usual).map(|port| format!(":{port}")).unwrap_or_default();
    let host = thing.outputs.get(outputs::ADDRESS);
    // An IPv6 address is put in brackets (RFC 3986, 3.2.2).
    let host = host.map(|host| if host.contains(':') { format!("[{host}]") } else { host.clone() });
    Some(Endpoint { addr, thing, url: host.map(|host| format!("{protocol}://{host}{port}")) })
}

fn exposure(thing: &StateResource) -> &str {
    match thing.resource.attributes.get("exposure") {
        Some(Attr::Text(text)) => text,
        _ => "site",
    }
}

fn as_json(state: &State, endpoints: &[Endpoint<'_>], things: &[(&ResourceAddr, &StateResource)]) -> Value {
    let endpoints = endpoints.iter().map(|endpoint| {
        let resource = &endpoint.thing.resource;
        json!({
            "address": endpoint.addr, "workload": endpoint.addr.workload(), "cloud": resource.cloud,
            "region": resource.region, "exposure": exposure(endpoint.thing), "url": endpoint.url,
            "origins_ppm": resource.attributes.get("origins_ppm"),
        })
    });
    let resources = things.iter().map(|(addr, thing)| {
        json!({
            "address": addr, "kind": thing.resource.kind, "cloud": thing.resource.cloud,
            "region": thing.resource.region, "id": thing.id, "outputs": thing.outputs,
        })
    });
    json!({
        "schema": SCHEMA, "lineage": state.lineage, "serial": state.serial, "simulated": state.simulated,
        "endpoints": endpoints.collect::<Vec<_>>(), "resources": resources.collect::<Vec<_>>(),
    })
}

fn as_text(
    state: &State,
    endpoints: &[Endpoint<'_>],
    things: &[(&ResourceAddr, &StateResource)],
    settings: &Settings,
) -> String {
    if things.is_empty() {
        return "Nothing exists.\n".to_owned();
    }
    let mut text = String::new();
    if !endpoints.is_empty() {
        let columns = [("ENDPOINT", false), ("EXPOSURE", false), ("URL", false)];
        let row = |endpoint: &Endpoint<'_>| {
            let url = endpoint.url.as_deref().unwrap_or("not recorded");
            let place = format!("{}/{}", endpoint.thing.resource.cloud, endpoint.thing.resource.region);
            let of = format!("{} in {place}", endpoint.addr.workload());
            [clean(&of), clean(exposure(endpoint.thing)), clean(url)].map(Cell::plain).to_vec()
        };
        let rows: Vec<Vec<Cell>> = endpoints.iter().map(row).collect();
        text.push_str(&terminal::grid(&columns, &rows, &settings.for_lists()));
        if endpoints.iter().any(|endpoint| endpoint.url.is_none()) {
            text.push_str("What is not recorded, `rhumb refresh` asks its cloud for.\n");
        }
        text.push('\n');
    }
    let row = |(addr, thing): &(&ResourceAddr, &StateResource)| {
        let id = thing.id.as_deref().unwrap_or("not known");
        [addr.as_str(), thing.resource.kind.as_str(), &clean(id)].map(Cell::plain).to_vec()
    };
    let rows: Vec<Vec<Cell>> = things.iter().map(row).collect();
    text.push_str(&terminal::grid(
        &[("RESOURCE", false), ("KIND", false), ("ID", false)],
        &rows,
        &settings.for_lists(),
    ));
    if state.simulated {
        text.push_str("SIMULATED: nothing of this exists.\n");
    }
    text
}
