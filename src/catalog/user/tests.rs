use rhumb_api::{Cloud, Purchase};

use crate::catalog::{Catalog, Offered};

const EXAMPLE: &str = include_str!("../../../tests/it/fixtures/own-catalog.yaml");

fn price(c: &Catalog, cloud: Cloud, name: &str, region: &str, p: Purchase) -> Option<(f64, f64, String)> {
    let o = c.offering(c.instance_type(cloud, name)?, c.region(cloud, region)?, p)?;
    Some((o.price.usd(), o.list_price.usd(), o.provenance.source.to_string()))
}

#[test]
fn the_example_adds_and_overrides() {
    let mut c = Catalog::embedded();
    let before = c.clone();
    c.apply_user_file("own.yaml", EXAMPLE).unwrap();
    let own = "user:own.yaml".to_owned();
    let on_demand = Purchase::OnDemand;
    let p5 = price(&c, Cloud::Aws, "p5.48xlarge", "us-east-1", on_demand).unwrap();
    assert_eq!((p5.0, p5.1), (48.16, 55.04), "12.5 percent of the family, not 7 of the cloud");
    assert!(p5.2.ends_with(", user:own.yaml"), "{}", p5.2);
    let g5 = price(&c, Cloud::Aws, "g5.xlarge", "us-east-1", on_demand).unwrap();
    assert!((g5.0 / g5.1 - 0.93).abs() < 1e-4);
    assert_eq!(
        price(&c, Cloud::Aws, "p5.48xlarge", "eu-west-1", Purchase::Reserved1y),
        Some((41.2, 41.2, own.clone()))
    );
    assert_eq!(
        price(&c, Cloud::Azure, "Standard_Own_H100", "germany-own", on_demand),
        Some((70.0, 70.0, own.clone()))
    );
    let region = &c.regions[c.region(Cloud::Azure, "germany-own").unwrap()];
    assert_eq!((region.continent.as_str(), region.zones), ("europe", Some(2)));
    assert!(region.jurisdictions.contains(&"gdpr".to_owned()));
    let quota = c.quotas.iter().find(|q| q.code == "L-417A185B").unwrap();
    assert_eq!((quota.default_new_account, &*quota.provenance.source), (Some(192.0), "user:own.yaml"));
    // Rows that the file does not touch keep their meaning although indexes moved.
    for o in &before.offerings {
        let (t, r) = (&before.instance_types[o.instance_type], &before.regions[o.region]);
        let now = c.offering(
            c.instance_type(t.cloud, &t.name).unwrap(),
            c.region(r.cloud, &r.id).unwrap(),
            o.purchase,
        );
        assert_eq!(now.map(|n| n.list_price), Some(o.list_price), "{} {}", t.name, r.id);
    }
    assert_eq!(c.user_files, ["own.yaml"]);
    assert_ne!(c.digest(), before.digest());
    let trip = c.round_trip(
        &crate::spec::Place::Country("DE".into()),
        c.region(Cloud::Azure, "germany-own").unwrap(),
    );
    assert!(trip.is_some_and(|t| t.ms < 15.0));
}

fn problems(text: &str) -> Vec<String> {
    let mut c = Catalog::embedded();
    let before = c.digest();
    let error = c.apply_user_file("own.yaml", text).unwrap_err();
    assert_eq!(c.digest(), before, "a file with problems changes nothing");
    error
        .list
        .iter()
        .map(|d| {
            let at = d.span.as_ref().and_then(|s| error.map.locate(s)).unwrap();
            format!("{}:{} {} {}", at.line, at.column, d.message, d.help.clone().unwrap_or_default())
        })
        .collect()
}

#[test]
fn all_problems_are_told_with_their_places() {
    let found = problems(
        "prices:\n  - cloud: aws\n    instance_type: p5.48xlrge\n    region: us-east-1\n    usd_per_huor: 3\n  \
         - cloud: awz\n    instance_type: x\ndiscounts:\n  - cloud: aws\n    family: zz9\n    percent: 120\nregoins: []\n",
    );
    for wanted in [
        "3:20 instance type `p5.48xlrge` is not known did you mean `p5.48xlarge`?",
        "5:5 unknown key `usd_per_huor` did you mean `usd_per_hour`?",
        "6:12 cloud `awz` is not known did you mean `aws`?",
        "10:13 no instance type of aws begins with `zz9`",
        "11:14 `percent` is a number from 0 to 100, not 120",
        "12:1 unknown key `regoins` did you mean `regions`?",
    ] {
        assert!(found.iter().any(|f| f.starts_with(wanted)), "{wanted}: {found:#?}");
    }
}

#[test]
fn bad_values_are_refused() {
    let row = |extra: &str| {
        format!("prices:\n  - {{cloud: aws, instance_type: p5.48xlarge, region: us-east-1, {extra}}}\n")
    };
    for (text, wanted) in [
        (row("usd_per_hour: -1"), "from 0 to"),
        (row("usd_per_hour: .nan"), "is a number from 0"),
        (row("usd_per_hour: 1, interruption: 0.1"), "spot only"),
        (row("purchase: spot"), "`usd_per_hour` is missing"),
        (row("usd_per_hour: 1, purchase: sport"), "did you mean `spot`"),
        ("as_of: yesterday\n".to_owned(), "is a date"),
        ("prices: 3\n".to_owned(), "is a list"),
        ("- 1\n".to_owned(), "map of sections"),
        ("prices: [1]\n".to_owned(), "is a map"),
        ("regions:\n  - {cloud: gcp, id: x, country: Germany}\n".to_owned(), "two letters"),
        ("regions:\n  - {cloud: gcp, id: x, country: DE, zones: 1.5}\n".to_owned(), "whole number"),
        (
            "instance_types:\n  - {cloud: gcp, name: x, accelerator: h100x}\n".to_owned(),
            "accelerator `h100x`",
        ),
        ("quotas:\n  - {cloud: gcp, code: x}\n".to_owned(), "`families` is missing"),
        ("as_of: 2026-01-01\nas_of: 2026-01-02\n".to_owned(), "declared twice"),
    ] {
        let found = problems(&text);
        assert!(found.iter().any(|f| f.contains(wanted)), "{text}: {found:#?}");
    }
}

#[test]
fn own_prices_are_not_discounted_again() {
    let mut c = Catalog::embedded();
    c.apply_user_file("own.yaml", EXAMPLE).unwrap();
    c.apply_discount(Cloud::Aws, 0.5);
    let at = |region, p| price(&c, Cloud::Aws, "p5.48xlarge", region, p).unwrap().0;
    assert_eq!(at("eu-west-1", Purchase::Reserved1y), 41.2);
    assert_eq!(at("us-east-1", Purchase::OnDemand), 24.08);
    assert!(c.offerings.iter().all(|o| o.offered == Offered::Yes || o.price <= o.list_price));
}

/// A grid of the user's own stands for the catalogue's; a new region has the mean PUE of its cloud until it says its own.
#[test]
fn own_regions_have_their_own_grid() {
    let mut c = Catalog::embedded();
    let text = "regions:\n  - { cloud: gcp, id: asia-southeast3, grid_gco2_per_kwh: 480, grid_year: 2025, pue: 1.2 }\n  \
                - { cloud: aws, id: own-1, country: DE }\n";
    c.apply_user_file("own.yaml", text).unwrap();
    let bangkok = &c.regions[c.region(Cloud::Gcp, "asia-southeast3").unwrap()];
    let grid = bangkok.grid.as_ref().unwrap();
    assert_eq!((grid.g_per_kwh, grid.year, &*grid.provenance.source), (480.0, Some(2025), "user:own.yaml"));
    assert_eq!(bangkok.pue.as_ref().map(|p| (p.ratio, p.of_region)), Some((1.2, true)));
    let own = &c.regions[c.region(Cloud::Aws, "own-1").unwrap()];
    assert_eq!(
        (own.grid.as_ref(), own.pue.as_ref().map(|p| (p.ratio, p.of_region))),
        (None, Some((1.135, false)))
    );
    let wrong = "regions:\n  - { cloud: aws, id: eu-west-1, grid_year: 2024 }\n  - { cloud: aws, id: eu-west-1, pue: 0.5 }\n";
    let found = problems(wrong);
    assert!(found.iter().any(|f| f.contains("`grid_gco2_per_kwh` is missing")), "{found:?}");
    assert!(found.iter().any(|f| f.contains("`pue` is a number from 1 to 5, not 0.5")), "{found:?}");
}

const PRICES: &str = "\u{feff}date,cloud,instance_type,region,price,currency,purchase\r
2026-10-01,aws,g6.xlarge,us-east-1,0.72,USD,\r
2026-09-01,aws,P5.48xlarge,eu-west-1,\"41.20\",USD,reserved_1y\r
";

#[test]
fn a_price_list_adds_and_overrides() {
    let mut c = Catalog::embedded();
    let before = c.offerings.clone();
    c.apply_user_file("own.csv", PRICES).unwrap();
    let own = "user:own.csv".to_owned();
    assert_eq!(
        price(&c, Cloud::Aws, "g6.xlarge", "us-east-1", Purchase::OnDemand),
        Some((0.72, 0.72, own.clone()))
    );
    assert_eq!(
        price(&c, Cloud::Aws, "p5.48xlarge", "eu-west-1", Purchase::Reserved1y),
        Some((41.2, 41.2, own))
    );
    // Each row has its own date, and the others are as they were.
    let rows: Vec<&str> = c.offerings.iter().filter(|o| o.is_own()).map(|o| &*o.provenance.as_of).collect();
    let mut dates = rows.clone();
    dates.sort_unstable();
    assert_eq!(dates, ["2026-09-01", "2026-10-01"]);
    let others = c.offerings.iter().filter(|o| !o.is_own());
    assert!(others.clone().count() + 2 >= before.len() && others.clone().all(|o| before.contains(o)));
    assert!(c.offerings.is_sorted_by_key(|o| (o.instance_type, o.region, o.purchase)));
    assert_ne!(c.digest(), Catalog::embedded().digest());
    // What the list says is paid as it is: no discount is taken off it.
    c.apply_discount(Cloud::Aws, 0.5);
    assert_eq!(price(&c, Cloud::Aws, "g6.xlarge", "us-east-1", Purchase::OnDemand).unwrap().0, 0.72);
}

#[test]
fn what_is_wrong_with_a_price_list_is_told_with_its_place() {
    // (line, column, code) of each problem.
    let found = |text: &str| {
        let mut c = Catalog { offerings: Vec::new(), ..Catalog::embedded() };
        let Err(problems) = c.apply_user_file("own.csv", text) else { return Vec::new() };
        assert!(c.offerings.is_empty() && c.user_files.is_empty(), "a list with a problem changes nothing");
        let place = |d: &crate::diagnostic::Diagnostic| {
            let at = problems.map.locate(d.span.as_ref().unwrap()).unwrap();
            assert!(d.help.is_some(), "{d:?}");
            (at.line, at.column, d.code)
        };
        problems.list.iter().map(place).collect::<Vec<_>>()
    };
    let list = |row: &str| format!("cloud,instance_type,region,purchase,price,currency,date\n{row}\n");
    assert_eq!(found(&list("aws,g6.xlarge,us-east-1,,0.72,USD,2026-10-01")), []);
    for (row, column, code) in [
        ("azzure,g6.xlarge,us-east-1,,0.72,USD,2026-10-01", 1, "unknown-cloud"),
        ("aws,g6.xlrge,us-east-1,,0.72,USD,2026-10-01", 5, "unknown-instance-type"),
        ("aws,g6.xlarge,us-east-11,,0.72,USD,2026-10-01", 15, "unknown-region"),
        ("aws,g6.xlarge,us-east-1,od,0.72,USD,2026-10-01", 25, "unknown-value"),
        ("aws,g6.xlarge,us-east-1,held,0.72,USD,2026-10-01", 25, "unknown-value"),
        ("aws,g6.xlarge,us-east-1,,0.7.2,USD,2026-10-01", 26, "wrong-type"),
        ("aws,g6.xlarge,us-east-1,,,USD,2026-10-01", 26, "wrong-type"),
        ("aws,g6.xlarge,us-east-1,,-1,USD,2026-10-01", 26, "out-of-range"),
        ("aws,g6.xlarge,us-east-1,,0,USD,2026-10-01", 26, "out-of-range"),
        ("aws,g6.xlarge,us-east-1,,9999999999,USD,2026-10-01", 26, "out-of-range"),
        ("aws,g6.xlarge,us-east-1,,0.72,EUR,2026-10-01", 31, "not-supported-yet"),
        ("aws,g6.xlarge,us-east-1,,0.72,USD,01.10.2026", 35, "bad-date"),
        ("aws,g6.xlarge,us-east-1,,0.72,USD", 1, "wrong-row"),
    ] {
        assert_eq!(found(&list(row)), [(2, column, code)], "{row}");
    }
    let twice = "aws,g6.xlarge,us-east-1,,0.72,USD,2026-10-01";
    assert_eq!(found(&list(&format!("{twice}\n{twice}"))), [(3, 1, "duplicate-key")]);
    let columns = PRICES.replace("price,", "cost,");
    assert_eq!(found(&columns), [(1, 2, "missing-column"), (1, 34, "unknown-column")]);
    assert_eq!(found(""), [(1, 1, "empty-value")]);
}
