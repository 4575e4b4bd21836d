//! `rhumb sim`.

use std::net::SocketAddr;
use std::path::PathBuf;

use rhumb_sim::server::{Clock, serve};
use rhumb_sim::{Price, World, help};

use crate::catalog::{Catalog, Offering};
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings, files};

/// A simulated cloud to apply to
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(Serve),
    World(Describe),
}

/// Serve a simulated cloud on this machine, until Ctrl-C
///
/// It implements every resource of a plan, for all clouds: strict, seeded, with stock, quotas, latencies and faults as its world says. Prices
/// are those of the embedded catalogue, so that `GET /v1/bill` is what a plan costs there. Nothing that it makes exists.
#[derive(Debug, clap::Args)]
#[command(after_long_help = help::of_routes())]
struct Serve {
    /// Loopback address to listen on; port 0 takes a free one, which is told
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The world, JSON (`rhumb sim world --help` lists its keys); what is left out is plenty, and never fails
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Simulated time goes so many times as fast as real time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    speed: u32,
}

/// Print the world that `sim serve` has by default, as the file that its `--world` reads
#[derive(Debug, clap::Args)]
#[command(after_long_help = help::of_worlds())]
struct Describe {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    match &args.command {
        Command::Serve(args) => start(args, settings),
        Command::World(Describe {}) => {
            print(&help::default_world())?;
            Ok(Exit::Done)
        }
    }
}

/// Only this machine reaches it: it asks nobody for credentials.
fn on_loopback(listen: SocketAddr) -> Result<(), Failure> {
    if listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::usage(format!("--listen {listen}: the simulated cloud is for loopback only")))
}

fn start(args: &Serve, settings: &Settings) -> Result<Exit, Failure> {
    // Before it says where it is.
    on_loopback(args.listen)?;
    let mut world = match &args.world {
        None => World::default(),
        Some(path) => {
            let text = files::read_text(&settings.dir.join(path))?;
            let world = World::from_json(text.as_bytes());
            world.map_err(|e| Failure::error(format!("--world {}: {e}", path.display())))?
        }
    };
    if world.prices.is_empty() {
        world.prices = prices(&Catalog::embedded());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::error(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        let failed = |e: std::io::Error| Failure::error(format!("--listen {}: {e}", args.listen));
        let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let text = if settings.json {
            format!(
                "{}\n",
                serde_json::json!({ "schema": "rhumb.sim/1", "url": format!("http://{address}") })
            )
        } else {
            format!(
                "SIMULATED cloud at http://{address}\nApply to it: rhumb apply --simulate http://{address}\n"
            )
        };
        print(&text)?;
        serve(listener, world, Clock::Real { speed: args.speed }).await.map_err(failed)?;
        Ok(Exit::Done)
    })
}

/// What machines cost an hour by the catalogue; what has no price there has none here.
fn prices(catalog: &Catalog) -> Vec<Price> {
    let of = |offering: &Offering| {
        let instance_type = catalog.instance_types.get(offering.instance_type)?;
        let region = catalog.regions.get(offering.region)?;
        Some(Price {
            cloud: instance_type.cloud,
            region: region.id.clone(),
            instance_type: instance_type.name.clone(),
            purchase: offering.purchase,
            per_hour: offering.list_price,
        })
    };
    catalog.offerings.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use rhumb_sim::server::ROUTES;

    use super::*;
    use crate::cli::command;

    fn long_help(of: &str) -> String {
        let mut command = command().term_width(0);
        command.build();
        let sim = command.find_subcommand_mut("sim").expect("there is one");
        sim.find_subcommand_mut(of).expect("there is one").render_long_help().to_string()
    }

    #[test]
    fn the_help_lists_what_a_server_is_asked_and_what_a_world_says() {
        let serve = long_help("serve");
        for route in ROUTES {
            let line = format!("{:4} /v1{}  ", route.method, route.path);
            assert!(serve.contains(&line), "{line} in {serve}");
        }
        let world = long_help("world");
        let keys: serde_json::Value = serde_json::from_str(&help::default_world()).expect("JSON");
        for key in keys.as_object().expect("an object").keys() {
            assert!(world.contains(&format!("  {key}")), "{key} in {world}");
        }
        assert!(!long_help("world").contains("/v1/bill"));
    }

    #[test]
    fn an_address_that_others_reach_is_refused() {
        for (address, taken) in
            [("127.0.0.1:0", true), ("[::1]:80", true), ("0.0.0.0:0", false), ("[::]:0", false)]
        {
            let listen: SocketAddr = address.parse().expect("an address");
            assert_eq!(on_loopback(listen).is_ok(), taken, "{address}");
        }
    }
}
