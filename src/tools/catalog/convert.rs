//! `catalog_convert CATALOG_DIR PERF_DIR [--exclude SOURCE]...`: turns the collected CSV files into
//! the sorted tables under `src/catalog/data` and writes `NOTICE`. Run it in the repository's root.
//!
//! Unknown stays empty; nothing is computed here but orders and names. `aliases.tsv` and
//! `offered.tsv` are kept by hand and only sorted.
#![allow(clippy::disallowed_methods)]

#[path = "convert/mod.rs"]
mod convert;
#[allow(dead_code)]
#[path = "../../catalog/schema.rs"]
mod schema;

fn main() {
    let mut folders = Vec::new();
    let mut excluded = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--exclude" {
            excluded.extend(args.next());
        } else {
            folders.push(std::path::PathBuf::from(arg));
        }
    }
    let [catalog, perf] = folders.as_slice() else {
        eprintln!("usage: catalog_convert CATALOG_DIR PERF_DIR [--exclude SOURCE]...");
        std::process::exit(1);
    };
    if let Err(error) = convert::run(catalog, perf, &excluded) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
