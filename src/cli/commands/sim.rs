//! `rhumb sim`.

use std::net::SocketAddr;
use std::path::PathBuf;

use rhumb_sim::server::{Clock, serve};
use rhumb_sim::{Price, World};

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
}

/// Serve a simulated cloud on this machine, until Ctrl-C
///
/// It implements every resource of a plan, for all clouds: strict, seeded, with stock, quotas, latencies and faults as its world says. Prices
/// are those of the embedded catalogue, so that `GET /v1/bill` is what a plan costs there. Nothing that it makes exists.
#[derive(Debug, clap::Args)]
struct Serve {
    /// Loopback address to listen on; port 0 takes a free one, which is told
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The world, JSON; what is left out is plenty, and never fails
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Simulated time goes so many times as fast as real time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    speed: u32,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let Command::Serve(args) = &args.command;
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
