//! `rhumb catalog`.

mod info;
mod subjects;
mod view;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::catalog::Catalog;
use crate::cli::load::read_text_named;
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};

/// Look into the catalogue
///
/// Every row names its source and its date. An empty cell is unknown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to list
    #[arg(value_enum)]
    subject: Subject,
    /// Only this cloud
    #[arg(long, value_name = "CLOUD")]
    cloud: Option<String>,
    /// Only this region (`eu-west-1` or `aws/eu-west-1`)
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Only this accelerator or family, in any known spelling
    #[arg(long, value_name = "NAME")]
    accelerator: Option<String>,
    /// Only this instance type; with `quotas`, what one machine counts against
    #[arg(long, value_name = "NAME")]
    instance_type: Option<String>,
    /// Only this way to pay: on_demand, spot, reserved_1y, reserved_3y
    #[arg(long, value_name = "PURCHASE")]
    purchase: Option<String>,
    /// Only this model, in any known spelling
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only rows of this source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// With `rtt`: from here (`aws/eu-west-1`, a country such as `DE`, or `48.2,16.4`)
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only rows with this text in any cell
    #[arg(long = "match", value_name = "TEXT")]
    text: Option<String>,
    /// Sort by this column; a leading `-` reverses
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most this many rows
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Your own catalogue file, on top of what this program carries; may be repeated
    #[arg(long = "catalog", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Accelerator models
    Accelerators,
    /// Instance types
    Instances,
    /// Regions
    Regions,
    /// Prices of instance types in regions
    Prices,
    /// Quotas
    Quotas,
    /// Prices of moving data
    Egress,
    /// Network time between regions, or from a place to every region
    Rtt,
    /// Sources and their licences
    Sources,
    /// Models
    Models,
    /// What the catalogue holds, how old it is, what is unknown
    Info,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Accelerators => "accelerators",
            Subject::Instances => "instances",
            Subject::Regions => "regions",
            Subject::Prices => "prices",
            Subject::Quotas => "quotas",
            Subject::Egress => "egress",
            Subject::Rtt => "rtt",
            Subject::Sources => "sources",
            Subject::Models => "models",
            Subject::Info => "info",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let catalog = open(&args.files, settings)?;
    let text = if args.subject == Subject::Info {
        info::render(&catalog, settings)
    } else {
        let mut view = subjects::view(&catalog, args)?;
        let filters = [
            ("cloud", &args.cloud),
            ("region", &args.region),
            ("accelerator", &args.accelerator),
            ("instance_type", &args.instance_type),
            ("purchase", &args.purchase),
            ("model", &args.model),
            ("source", &args.source),
        ];
        for (column, wanted) in filters {
            if let Some(wanted) = wanted {
                let accepted = subjects::accepted(&catalog, column, wanted);
                view.keep(column, wanted, &accepted)?;
            }
        }
        if let Some(text) = &args.text {
            view.matching(text);
        }
        if let Some(key) = &args.sort {
            view.sort(key)?;
        }
        view.render(args.subject.name(), args.limit, settings)
    };
    print(&text)?;
    Ok(Exit::Done)
}

/// The catalogue of this build with the user's own files on top.
///
/// # Errors
/// A file cannot be read, or has problems.
pub fn open(files: &[PathBuf], settings: &Settings) -> Result<Catalog, Failure> {
    let mut catalog = Catalog::embedded();
    for file in files {
        let name = file.display().to_string();
        let text = read_text_named(&settings.dir, &name)
            .map_err(|error| Failure::error(format!("--catalog {name}: {error}")))?;
        catalog.apply_user_file(&name, &text)?;
    }
    Ok(catalog)
}
