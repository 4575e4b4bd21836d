//! `rhumb catalog info`: what the catalogue holds, how old it is, what is unknown.

use std::fmt::Write as _;

use rhumb_api::{Cloud, Purchase};
use serde_json::json;

use crate::catalog::{Catalog, KNOWN_HOLES, Offered, Provenance};
use crate::cli::Settings;
use crate::cli::view::terminal;

/// A table's size and the dates of its rows.
struct Held {
    name: &'static str,
    rows: usize,
    oldest: String,
    newest: String,
}

fn held<'a>(name: &'static str, provenances: impl Iterator<Item = &'a Provenance>) -> Held {
    let mut dates: Vec<&str> = Vec::new();
    let mut rows = 0;
    for provenance in provenances {
        rows += 1;
        if !provenance.as_of.is_empty() {
            dates.push(&provenance.as_of);
        }
    }
    let oldest = dates.iter().min().map(|d| (*d).to_owned()).unwrap_or_default();
    let newest = dates.iter().max().map(|d| (*d).to_owned()).unwrap_or_default();
    Held { name, rows, oldest, newest }
}

fn tables(c: &Catalog) -> Vec<Held> {
    vec![
        held("accelerators", c.accelerators.iter().map(|x| &x.provenance)),
        held("instance types", c.instance_types.iter().map(|x| &x.provenance)),
        held("regions", c.regions.iter().map(|x| &x.provenance)),
        held("grid intensities", c.regions.iter().filter_map(|x| Some(&x.grid.as_ref()?.provenance))),
        held("PUE of regions", {
            let own = |x: &'_ crate::catalog::Region| x.pue.as_ref().is_some_and(|p| p.of_region);
            c.regions.iter().filter(move |x| own(x)).filter_map(|x| Some(&x.pue.as_ref()?.provenance))
        }),
        held("prices", c.offerings.iter().map(|x| &x.provenance)),
        held("quotas", c.quotas.iter().map(|x| &x.provenance)),
        held("transfer prices", c.transfer.iter().map(|x| &x.provenance)),
        held("models", c.models.iter().map(|x| &x.provenance)),
        held("quality figures", c.quality.iter().map(|x| &x.provenance)),
        held("round trips", {
            let one = c.network.provenance();
            c.network.measured_pairs().into_iter().filter_map(move |_| one).collect::<Vec<_>>().into_iter()
        }),
    ]
}

/// What is unknown, and how often: a sentence, how many, of how many.
fn unknown(c: &Catalog) -> Vec<(String, usize, usize)> {
    let mut list: Vec<(String, usize, usize)> = Vec::new();
    let accelerated = || c.instance_types.iter().filter(|t| t.accelerator.is_some());
    let types = accelerated().count();
    let mut add = |what: &str, missing: usize, of: usize| {
        if missing > 0 {
            list.push((what.to_owned(), missing, of));
        }
    };
    add(
        "accelerators without memory bandwidth",
        c.accelerators.iter().filter(|a| a.memory_bandwidth.is_none()).count(),
        c.accelerators.len(),
    );
    add(
        "accelerators without performance tables",
        c.accelerators.iter().filter(|a| a.perf_id.is_none()).count(),
        c.accelerators.len(),
    );
    add(
        "instance types with accelerators: main memory",
        accelerated().filter(|t| t.memory_gib.is_none()).count(),
        types,
    );
    add(
        "instance types with accelerators: local disk",
        accelerated().filter(|t| t.local_nvme_gib.is_none()).count(),
        types,
    );
    add(
        "instance types with accelerators: network",
        accelerated().filter(|t| t.network_gbps.is_none()).count(),
        types,
    );
    let priced = |i: usize| !c.offerings_of(i).is_empty();
    let unpriced = (0..c.instance_types.len()).filter(|i| !priced(*i)).count();
    add("instance types without any price", unpriced, c.instance_types.len());
    let offered = c.offerings.iter().filter(|o| o.offered == Offered::Unknown).count();
    add("prices that may not be offered", offered, c.offerings.len());
    let spot = || c.offerings.iter().filter(|o| o.purchase == Purchase::Spot);
    add(
        "spot prices without interruption band",
        spot().filter(|o| o.interruption.is_none()).count(),
        spot().count(),
    );
    add(
        "regions without a number of zones",
        c.regions.iter().filter(|r| r.zones.is_none()).count(),
        c.regions.len(),
    );
    add(
        "regions without the intensity of their grid",
        c.regions.iter().filter(|r| r.grid.is_none()).count(),
        c.regions.len(),
    );
    add(
        "regions without a PUE of their own",
        c.regions.iter().filter(|r| r.pue.as_ref().is_none_or(|p| !p.of_region)).count(),
        c.regions.len(),
    );
    let egress = (0..c.regions.len())
        .filter(|i| c.transfer_price(*i, crate::catalog::TransferTo::Internet).is_none())
        .count();
    add("regions without a price to the internet", egress, c.regions.len());
    add(
        "quotas without a new account's figure",
        c.quotas.iter().filter(|q| q.default_new_account.is_none()).count(),
        c.quotas.len(),
    );
    add("models without a licence", c.models.iter().filter(|m| m.licence.is_none()).count(), c.models.len());
    list
}

fn days_old(date: &str, settings: &Settings) -> Option<i64> {
    let then: jiff::civil::Date = date.parse().ok()?;
    let now: jiff::civil::Date = settings.now.to_string().get(..10)?.parse().ok()?;
    Some(i64::from((now - then).get_days()))
}

/// The text to print.
pub fn render(catalog: &Catalog, settings: &Settings) -> String {
    let tables = tables(catalog);
    let unknown = unknown(catalog);
    let by_cloud: Vec<(Cloud, usize)> = Cloud::ALL
        .into_iter()
        .map(|cloud| {
            let of_cloud = |o: &&crate::catalog::Offering| {
                catalog.regions.get(o.region).is_some_and(|r| r.cloud == cloud)
            };
            (cloud, catalog.offerings.iter().filter(of_cloud).count())
        })
        .collect();
    if settings.json {
        let value = json!({
            "schema": "rhumb.catalog/1",
            "subject": "info",
            "digest": catalog.digest(),
            "tables": tables.iter().map(|t| json!({
                "name": t.name, "rows": t.rows, "oldest": t.oldest, "newest": t.newest,
                "oldest_days": days_old(&t.oldest, settings), "newest_days": days_old(&t.newest, settings),
            })).collect::<Vec<_>>(),
            "prices": by_cloud.iter().map(|(c, n)| (c.as_str(), *n)).collect::<std::collections::BTreeMap<_, _>>(),
            "unknown": unknown.iter().map(|(what, n, of)| json!({"what": what, "count": n, "of": of})).collect::<Vec<_>>(),
            "excluded_sources": catalog.excluded_sources,
            "user_files": catalog.user_files,
            "holes": KNOWN_HOLES,
        });
        return format!("{value:#}\n");
    }
    let mut text = String::new();
    let digest = catalog.digest();
    let _ = writeln!(text, "Catalogue {}", digest.get(..12).unwrap_or(&digest));
    let _ = writeln!(text, "\nHolds");
    for t in &tables {
        let age = days_old(&t.oldest, settings).map(|d| format!(", oldest {d} days ago")).unwrap_or_default();
        let dates =
            if t.oldest == t.newest { t.oldest.clone() } else { format!("{} to {}", t.oldest, t.newest) };
        let _ = writeln!(text, "  {:>6} {:<16} {dates}{age}", t.rows, t.name);
    }
    let clouds: Vec<String> = by_cloud.iter().map(|(cloud, n)| format!("{cloud} {n}")).collect();
    let _ = writeln!(text, "  prices by cloud: {}", clouds.join(", "));
    let _ = writeln!(text, "\nUnknown");
    for (what, count, of) in &unknown {
        let _ = writeln!(text, "  {count:>6} of {of:<6} {what}");
    }
    if !catalog.excluded_sources.is_empty() {
        let _ = writeln!(text, "\nLeft out when built\n  {}", catalog.excluded_sources.join(", "));
    }
    if !catalog.user_files.is_empty() {
        let _ = writeln!(text, "\nYour own files\n  {}", catalog.user_files.join(", "));
    }
    let _ = writeln!(text, "\nKnown holes");
    for hole in KNOWN_HOLES {
        let _ = writeln!(text, "  - {hole}");
    }
    terminal::fold(&text, settings.width.min(110))
}
