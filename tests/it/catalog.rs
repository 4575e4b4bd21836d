//! The catalogue that the build carries.

use rhumb::catalog::{Catalog, Evidence, Offered, TransferTo};
use rhumb::spec::{Place, RegionRef};
use rhumb_api::{Cloud, Money, Purchase};

fn price(catalog: &Catalog, cloud: Cloud, name: &str, region: &str, purchase: Purchase) -> Option<Money> {
    let instance_type = catalog.instance_type(cloud, name)?;
    catalog.offering(instance_type, catalog.region(cloud, region)?, purchase).map(|o| o.price)
}

fn region(cloud: Cloud, id: &str) -> RegionRef {
    RegionRef { cloud, region: id.to_owned() }
}

/// Whether no source was left out of this build (`RHUMB_CATALOG_EXCLUDE`).
fn is_complete(catalog: &Catalog) -> bool {
    catalog.excluded_sources.is_empty()
}

#[test]
fn facts_from_the_collected_files() {
    let catalog = Catalog::embedded();
    let usd = |text: &str| Some(Money::parse_usd(text).unwrap());
    let on_demand = Purchase::OnDemand;
    assert_eq!(price(&catalog, Cloud::Aws, "p5.48xlarge", "us-east-1", on_demand), usd("55.04"));
    assert_eq!(price(&catalog, Cloud::Aws, "g4dn.12xlarge", "af-south-1", on_demand), usd("5.19"));
    assert_eq!(
        price(&catalog, Cloud::Aws, "g4dn.12xlarge", "af-south-1", Purchase::Reserved1y),
        usd("3.542")
    );
    assert_eq!(price(&catalog, Cloud::Gcp, "a3-ultragpu-8g", "us-east4", on_demand), None);
    let h100 = &catalog.accelerators[catalog.accelerator("h100-sxm-80gb").unwrap()];
    assert_eq!(h100.memory_bandwidth, Some(3350e9));
    assert_eq!(h100.perf_id.as_deref(), Some("h100_sxm"));
    assert_eq!(h100.memory_reported_bytes, None);
    let p5 = &catalog.instance_types[catalog.instance_type(Cloud::Aws, "p5.48xlarge").unwrap()];
    assert_eq!((p5.accelerator_count, p5.vcpus), (8.0, 192.0));
}

#[test]
fn every_table_is_sorted_and_without_repetition() {
    let catalog = Catalog::embedded();
    assert!(catalog.accelerators.is_sorted_by(|a, b| a.id < b.id));
    assert!(catalog.instance_types.is_sorted_by(|a, b| (a.cloud, &a.name) < (b.cloud, &b.name)));
    assert!(catalog.regions.is_sorted_by(|a, b| (a.cloud, &a.id) < (b.cloud, &b.id)));
    assert!(catalog.offerings.is_sorted_by(|a, b| {
        (a.instance_type, a.region, a.purchase) < (b.instance_type, b.region, b.purchase)
    }));
    assert!(catalog.models.is_sorted_by(|a, b| a.id < b.id));
    assert!(catalog.sources.is_sorted_by(|a, b| a.id < b.id));
    let least = if is_complete(&catalog) { 9000 } else { 6000 };
    assert!(catalog.offerings.len() > least && catalog.models.len() > 80);
}

#[test]
fn azure_prices_are_no_promise() {
    let catalog = Catalog::embedded();
    let offered = |region: &str| {
        let t = catalog.instance_type(Cloud::Azure, "Standard_NC144ds_xl_RTXPRO6000BSE_v6").unwrap();
        let r = catalog.region(Cloud::Azure, region).unwrap();
        catalog.offering(t, r, Purchase::OnDemand).map(|o| o.offered)
    };
    assert_eq!(offered("westus2"), Some(Offered::Yes));
    assert_eq!(offered("eastus2"), Some(Offered::Unknown));
    let aws = catalog.offerings.iter().filter(|o| catalog.regions[o.region].cloud == Cloud::Aws);
    assert!(aws.clone().count() > 1000);
    assert!(aws.clone().all(|o| o.offered == Offered::Yes));
}

#[test]
fn round_trips_are_measured_where_they_can_be() {
    let catalog = Catalog::embedded();
    let to = catalog.region(Cloud::Aws, "us-east-1").unwrap();
    let from = |place: Place| catalog.round_trip(&place, to);
    let measured = from(Place::Region(region(Cloud::Aws, "eu-west-1"))).unwrap();
    assert_eq!(measured.evidence, Evidence::Measured);
    assert!((60.0..90.0).contains(&measured.ms), "{measured:?}");
    let fitted = from(Place::Coordinates { latitude: 48.2, longitude: 16.4 }).unwrap();
    assert_eq!(fitted.evidence, Evidence::Modelled);
    assert!(fitted.ms_p90 > fitted.ms && (90.0..140.0).contains(&fitted.ms), "{fitted:?}");
    let germany = from(Place::Country("DE".into())).unwrap();
    assert_eq!(germany.evidence, Evidence::Modelled);
    assert!((80.0..130.0).contains(&germany.ms), "{germany:?}");
    assert_eq!(from(Place::Country("AQ".into())), None);
    assert_eq!(from(Place::Region(region(Cloud::Aws, "us-east-1"))).unwrap().evidence, Evidence::Assumed);
}

#[test]
fn transfer_is_priced_by_the_most_specific_row() {
    let catalog = Catalog::embedded();
    let usd = |from: RegionRef, to: TransferTo<'_>| {
        catalog
            .transfer_price(catalog.region(from.cloud, &from.region).unwrap(), to)
            .map(|t| t.usd_per_gib.usd())
    };
    assert_eq!(usd(region(Cloud::Aws, "af-south-1"), TransferTo::Internet), Some(0.154));
    let hong_kong = region(Cloud::Aws, "ap-east-1");
    assert_eq!(usd(region(Cloud::Aws, "af-south-1"), TransferTo::Region(&hong_kong)), Some(0.147));
    let azure_eu = region(Cloud::Azure, "westeurope");
    assert_eq!(usd(region(Cloud::Azure, "northeurope"), TransferTo::Region(&azure_eu)), Some(0.02));
    assert_eq!(usd(region(Cloud::Azure, "eastus"), TransferTo::Region(&azure_eu)), Some(0.05));
    let iowa = region(Cloud::Gcp, "us-central1");
    assert_eq!(
        usd(region(Cloud::Gcp, "us-east4"), TransferTo::Region(&iowa)),
        None,
        "its one source is left out"
    );
    assert_eq!(usd(region(Cloud::Gcp, "australia-southeast1"), TransferTo::Region(&iowa)), Some(0.15));
    assert_eq!(usd(iowa.clone(), TransferTo::Region(&iowa)), Some(0.0));
}

#[test]
fn machines_count_against_their_quotas() {
    let catalog = Catalog::embedded();
    let codes = |cloud, name: &str, purchase| -> Vec<(String, f64)> {
        let t = catalog.instance_type(cloud, name).unwrap();
        catalog.quotas_for(t, purchase).into_iter().map(|(q, n)| (q.code.clone(), n)).collect()
    };
    let one = |code: &str, n: f64| (code.to_owned(), n);
    assert_eq!(codes(Cloud::Aws, "p5.48xlarge", Purchase::Spot), [one("L-C4BD4855", 192.0)]);
    assert_eq!(codes(Cloud::Aws, "p5.48xlarge", Purchase::Reserved1y), [one("L-417A185B", 192.0)]);
    assert_eq!(
        codes(Cloud::Azure, "Standard_ND96isr_H100_v5", Purchase::OnDemand),
        [one("standardNDSH100v5Family", 96.0), one("cores", 96.0)]
    );
    assert_eq!(
        codes(Cloud::Azure, "Standard_ND96isr_H100_v5", Purchase::Spot),
        [one("lowPriorityCores", 96.0)]
    );
    if is_complete(&catalog) {
        assert_eq!(
            codes(Cloud::Gcp, "n1-standard-16+nvidia-tesla-t4:2", Purchase::OnDemand),
            [
                one("compute.googleapis.com/gpus_all_regions", 2.0),
                one("compute.googleapis.com/nvidia_t4_gpus", 2.0)
            ]
        );
    }
    assert_eq!(codes(Cloud::Gcp, "tpu-v6e-4", Purchase::OnDemand).len(), 1);
}

#[test]
fn parameters_follow_from_the_architecture() {
    let catalog = Catalog::embedded();
    let table = include_str!("../../src/catalog/data/models.tsv");
    let column = |name: &str| table.lines().next().unwrap().split('\t').position(|c| c == name).unwrap();
    let (check, stated) = (column("params_check_b"), column("params_stated_b"));
    let mut compared = 0;
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let arch = catalog.model(cells[0]).unwrap();
        let expected = if arch.linear_layers > 0 { cells[stated] } else { cells[check] };
        let expected: f64 = expected.parse().unwrap();
        assert!((arch.params / 1e9 / expected - 1.0).abs() < 0.04, "{}: {} {expected}", arch.id, arch.params);
        compared += 1;
    }
    assert!(compared > 80);
}

/// Names of the fixture that resolve to nothing.
fn unresolved(catalog: &Catalog, fixture: &str) -> Vec<String> {
    let resolves = |kind: &str, name: &str| match kind {
        "model" => catalog.names.model(name).is_some(),
        "accelerator" => catalog.names.accelerator(name).is_some(),
        "precision" => catalog.names.precision(name).is_some(),
        _ => false,
    };
    fixture
        .lines()
        .skip(1)
        .filter(|line| {
            let mut cells = line.split('\t');
            let (kind, name) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            !resolves(kind, name)
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_name_of_every_data_file_resolves() {
    let catalog = Catalog::embedded();
    let fixture = include_str!("fixtures/names.tsv");
    assert!(fixture.lines().count() > 300);
    assert_eq!(unresolved(&catalog, fixture), Vec::<String>::new());
    let planted = format!(
        "{fixture}model\tQwen/Qwen9-1B\tplanted\naccelerator\th900\tplanted\nprecision\tfp3\tplanted\n"
    );
    let found = unresolved(&catalog, &planted);
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn spellings_lead_to_one_id() {
    let catalog = Catalog::embedded();
    for (written, id) in [
        ("meta-llama/Llama-3.1-70B-Instruct", Some("meta-llama/Meta-Llama-3.1-70B")),
        ("LLAMA-3.1-8B-instruct", Some("meta-llama/Meta-Llama-3.1-8B")),
        ("qwen3-32b", Some("Qwen/Qwen3-32B")),
        ("Qwen/Qwen3-32B-FP8", Some("Qwen/Qwen3-32B")),
        ("bge-m3", Some("BAAI/bge-m3")),
        ("no-such-model", None),
        ("Hunyuan-7B-Instruct", None),
    ] {
        assert_eq!(catalog.resolve_model(written), id, "{written}");
    }
    let quantization = |name: &str| catalog.resolve_checkpoint(name).map(|(_, q)| q);
    use rhumb::spec::Quantization;
    assert_eq!(quantization("Qwen/Qwen3-32B-AWQ"), Some(Quantization::Int4));
    assert_eq!(quantization("deepseek-ai/DeepSeek-R1"), Some(Quantization::Fp8Block));
    assert_eq!(quantization("qwen3-32b"), Some(Quantization::Bf16));
    for (written, id) in [
        ("L4", Some("l4-24gb")),
        ("t4", Some("t4-16gb")),
        ("h100_sxm", Some("h100-sxm-80gb")),
        ("nvidia-tesla-v100", Some("v100-sxm2-16gb")),
        ("a100", None),
        ("h20", None),
    ] {
        assert_eq!(catalog.resolve_accelerator(written), id, "{written}");
    }
    let vocabulary = catalog.vocabulary();
    assert_eq!(vocabulary.accelerator_families["a100"], ["a100-pcie-80gb", "a100-sxm-40gb", "a100-sxm-80gb"]);
    assert!(!vocabulary.accelerators.contains_key("a100"));
    for ids in vocabulary.accelerator_families.values() {
        assert!(ids.iter().all(|id| catalog.accelerator(id).is_some()), "{ids:?}");
    }
    assert!(vocabulary.jurisdictions.contains("gdpr") && vocabulary.countries.contains("DE"));
}

#[test]
fn the_notice_names_every_source_with_its_licence() {
    let notice = include_str!("../../NOTICE");
    let mut carried = 0;
    for line in include_str!("../../src/catalog/data/sources.tsv").lines().skip(1) {
        let [id, _, description, copy, licence, _, is_carried] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        assert!(!licence.is_empty() && !copy.is_empty(), "{id}");
        let entry = format!("\n{id}\n  {description}\n  copy: {copy}\n  licence: {licence}\n");
        assert_eq!(notice.contains(&entry), is_carried == "yes", "{id}");
        carried += usize::from(is_carried == "yes");
    }
    assert!(carried > 30);
    assert!(!notice.contains("mongodb"));
}

#[test]
fn every_row_has_a_source_and_a_date() {
    let catalog = Catalog::embedded();
    let known: std::collections::BTreeSet<&str> = catalog.sources.iter().map(|s| s.id.as_str()).collect();
    let mut rows: Vec<&rhumb::catalog::Provenance> = Vec::new();
    rows.extend(catalog.accelerators.iter().map(|x| &x.provenance));
    rows.extend(catalog.instance_types.iter().map(|x| &x.provenance));
    rows.extend(catalog.regions.iter().map(|x| &x.provenance));
    rows.extend(catalog.offerings.iter().map(|x| &x.provenance));
    rows.extend(catalog.quotas.iter().map(|x| &x.provenance));
    rows.extend(catalog.models.iter().map(|x| &x.provenance));
    rows.extend(catalog.quality.iter().map(|x| &x.provenance));
    rows.extend(catalog.transfer.iter().map(|x| &x.provenance));
    assert!(rows.len() > if is_complete(&catalog) { 10_000 } else { 7_000 });
    for row in rows {
        assert!(known.contains(&*row.source) && row.as_of.len() == 10, "{row:?}");
        assert_ne!(&*row.source, "mongodb-docs");
    }
}

#[test]
fn spot_knows_its_interruptions_and_its_zone() {
    let catalog = Catalog::embedded();
    let spot = catalog.offerings.iter().filter(|o| o.purchase == Purchase::Spot);
    let (mut with_band, mut with_zone) = (0, 0);
    for offering in spot {
        with_band += usize::from(offering.interruption.is_some());
        with_zone += usize::from(offering.zone.is_some());
        assert!(offering.interruption.is_none_or(|p| (0.05..=1.0).contains(&p)));
        assert!(offering.zone.as_deref().is_none_or(|z| !z.contains("-lax-")), "{:?}", offering.zone);
    }
    let (bands, zones) = if is_complete(&catalog) { (20, 30) } else { (5, 10) };
    assert!(with_band > bands && with_zone > zones, "{with_band} {with_zone}");
    assert!(catalog.offerings.iter().all(|o| o.purchase == Purchase::Spot || o.interruption.is_none()));
}

/// Runs `rhumb catalog ...`; standard output, standard error, exit code.
fn command(args: &[&str]) -> (String, String, i32) {
    let output = assert_cmd::Command::cargo_bin("rhumb")
        .unwrap()
        .arg("catalog")
        .args(args)
        .env_remove("COLUMNS")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn json(args: &[&str]) -> serde_json::Value {
    let (out, err, code) = command(&[args, &["--json"]].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn every_list_prints_as_table_and_as_json() {
    for subject in
        ["accelerators", "instances", "regions", "prices", "quotas", "egress", "rtt", "sources", "models"]
    {
        let (out, err, code) = command(&[subject, "--limit", "5"]);
        assert_eq!((code, err.as_str()), (0, ""), "{subject}");
        assert!(out.lines().count() == 7 && out.contains("5 of "), "{subject}: {out}");
        assert!(!out.contains('\u{1b}'));
        let value = json(&[subject, "--limit", "5"]);
        assert_eq!(value["schema"], "rhumb.catalog/1");
        assert_eq!(value["subject"], subject);
        assert_eq!(value["rows"].as_array().unwrap().len(), 5);
    }
    let value = json(&["info", "--at", "2026-11-25"]);
    assert_eq!(value["digest"], Catalog::embedded().digest());
    assert_eq!(value["tables"][10]["oldest_days"], 1684);
    assert!(value["unknown"].as_array().unwrap().len() > 5);
    let (out, _, _) = command(&["info"]);
    assert!(out.contains("Known holes") && out.contains("prices by cloud"));
}

#[test]
fn lists_are_filtered_and_sorted() {
    let value = json(&[
        "prices",
        "--accelerator",
        "h100",
        "--cloud",
        "aws",
        "--region",
        "aws/us-east-1",
        "--purchase",
        "on_demand",
        "--sort",
        "-usd-per-hour",
    ]);
    let rows = value["rows"].as_array().unwrap();
    assert_eq!(rows[0]["instance_type"], "p5.48xlarge");
    assert_eq!(rows[0]["usd_per_hour"], 55.04);
    assert!(rows.iter().all(|r| r["accelerator"] == "h100-sxm-80gb" && r["cloud"] == "aws"));
    assert!(rows.is_sorted_by(|a, b| a["usd_per_hour"].as_f64() >= b["usd_per_hour"].as_f64()));
    let quotas = json(&["quotas", "--instance-type", "p5.48xlarge"]);
    assert_eq!(quotas["rows"][0]["per_machine"], 192.0);
    let trips = json(&["rtt", "--from", "AQ", "--limit", "1"].map(|a| if a == "AQ" { "de" } else { a }));
    assert_eq!(trips["rows"][0]["evidence"], "modelled");
}

#[test]
fn what_cannot_be_listed_is_an_error_with_a_hint() {
    for (args, hint) in [
        (&["prices", "--cloud", "awz"][..], "did you mean `aws`"),
        (&["prices", "--sort", "usd_per_hor"], "did you mean `usd_per_hour`"),
        (&["sources", "--cloud", "aws"], "does not apply"),
        (&["prices", "--from", "DE"], "does not apply"),
        (&["rtt", "--from", "aws/us-esat-1"], "did you mean `aws/us-east-1`"),
        (&["rtt", "--from", "AQ"], "give coordinates"),
        (&["rtt", "--from", "91,0"], "degrees"),
        (&["quotas", "--instance-type", "p5.48xlrge"], "did you mean `p5.48xlarge`"),
        (&["info", "--catalog", "no-such-file.yaml"], "no-such-file.yaml"),
    ] {
        let (out, err, code) = command(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains(hint), "{args:?}: {err}");
    }
}

#[test]
fn a_pipe_keeps_every_column_however_narrow() {
    let run = |columns: &str| {
        let mut command = assert_cmd::Command::cargo_bin("rhumb").unwrap();
        let output = command.args(["catalog", "prices", "--limit", "3"]).env("COLUMNS", columns).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let wide = run("400");
    let header: Vec<&str> = wide.lines().next().unwrap().split("  ").map(str::trim).collect();
    let names: Vec<&str> = header.into_iter().filter(|name| !name.is_empty()).collect();
    assert!(names.len() > 5, "{wide}");
    for width in [40, 60, 80] {
        let out = run(&width.to_string());
        assert!(!out.contains("not shown"), "{out}");
        for name in &names {
            let label = format!("{name}:");
            let shown = out.lines().filter(|l| l.trim().starts_with(&label)).count();
            assert!(shown == 3 || out.lines().next().unwrap().contains(name), "{name} at {width}:\n{out}");
        }
        assert!(out.lines().all(|l| l.chars().count() <= width), "{out}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (_, err, code) = command(&["prices", "--catalog", folder]);
    assert_eq!(code, 1);
    assert!(err.contains("it is a folder"), "{err}");
    #[cfg(unix)]
    {
        let (_, err, code) = command(&["prices", "--catalog", "/dev/zero"]);
        assert_eq!(code, 1);
        assert!(err.contains("it is not a file"), "{err}");
        let args = ["predict", "--gpu", "h100", "--model-config", "/dev/zero"];
        let (_, err, code) = super::cli::run(super::cli::rhumb().args(args));
        assert_eq!(code, 1);
        assert!(err.contains("it is not a file"), "{err}");
    }
}

#[test]
fn an_own_file_shows_in_the_lists() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/own-catalog.yaml");
    let value = json(&[
        "prices",
        "--catalog",
        file,
        "--instance-type",
        "p5.48xlarge",
        "--region",
        "eu-west-1",
        "--purchase",
        "reserved_1y",
    ]);
    assert_eq!(value["rows"][0]["usd_per_hour"], 41.2);
    assert_eq!(value["rows"].as_array().unwrap().len(), 1);
    assert_ne!(json(&["info", "--catalog", file])["digest"], json(&["info"])["digest"]);
    let mut broken = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut broken, b"pricess: []\n").unwrap();
    let (out, err, code) = command(&["info", "--catalog", broken.path().to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("unknown key `pricess`") && err.contains("prices"), "{err}");
}

/// The source in the table of sources behind the words of a performance table's `source` cell.
const PERFORMANCE_SOURCES: [(&str, &str); 11] = [
    ("aiconfigurator", "aiconfigurator"),
    ("fit-of-aiconfigurator", "perf-fit"),
    ("fit-of-microsoft-vidur", "perf-fit"),
    ("vendor-datasheet", "vendor-datasheet"),
    ("llm-d-planner", "llm-d-planner"),
    ("mosaicml/llm-foundry", "llm-foundry"),
    ("llm-foundry+nemo-automodel", "llm-foundry"),
    ("NVIDIA-NeMo/Automodel-docs", "nemo-automodel"),
    ("measured rows of ", "aiconfigurator"),
    ("https://", "engine-documentation"),
    ("assumed", "rhumb"),
];

#[test]
fn the_notice_names_the_sources_of_the_performance_tables() {
    let notice = include_str!("../../NOTICE");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/perf/data");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut lines = text.lines().filter(|l| !l.starts_with('#'));
        let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let Some(column) = header.iter().position(|c| *c == "source") else { continue };
        for line in lines {
            let source = line.split('\t').nth(column).unwrap_or_default();
            let id = PERFORMANCE_SOURCES.iter().find(|(start, _)| source.starts_with(start));
            let (_, id) = id.unwrap_or_else(|| panic!("no source is known for `{source}`"));
            assert!(notice.contains(&format!("\n{id}\n")), "{id}");
            seen += 1;
        }
    }
    assert!(seen > 300);
}

/// By hand from the two sources: eu-north-1 has Google's figure of the same grid (europe-north2), Frankfurt's is that of
/// europe-west3; a region that only a source without clear terms knows is unknown, and never zero.
#[test]
fn regions_have_the_intensity_of_their_grid() {
    let catalog = Catalog::embedded();
    let region = |cloud, id: &str| &catalog.regions[catalog.region(cloud, id).unwrap()];
    let grid = |cloud, id: &str| region(cloud, id).grid.clone();
    for (cloud, id) in
        [(Cloud::Aws, "eu-central-1"), (Cloud::Gcp, "europe-west3"), (Cloud::Azure, "germanywestcentral")]
    {
        let grid = grid(cloud, id).unwrap();
        assert_eq!((grid.g_per_kwh, grid.year), (275.82, Some(2024)));
        assert_eq!(&*grid.provenance.source, "gcp-region-carbon-info");
    }
    assert_eq!(grid(Cloud::Aws, "eu-north-1").map(|g| g.g_per_kwh), Some(2.73));
    assert_eq!(grid(Cloud::Azure, "norwayeast").map(|g| (g.g_per_kwh, g.year)), Some((7.62, None)));
    assert_eq!(grid(Cloud::Gcp, "asia-southeast3"), None);
    // Two clouds on one grid compare equally; what is known lies between a hydro grid and a coal one.
    for r in catalog.regions.iter().filter_map(|r| r.grid.as_ref()) {
        assert!((1.0..1000.0).contains(&r.g_per_kwh), "{r:?}");
        assert_ne!(&*r.provenance.source, "gsf-real-time-cloud");
    }
    let own = region(Cloud::Gcp, "us-west1").pue.clone().unwrap();
    assert_eq!((own.ratio, own.of_region), (1.095, true));
    let mean = region(Cloud::Aws, "us-west-2").pue.clone().unwrap();
    assert_eq!((mean.ratio, mean.of_region), (1.135, false));
    assert!(catalog.regions.iter().all(|r| r.pue.as_ref().is_some_and(|p| p.ratio >= 1.0)));
    assert!(catalog.regions.iter().filter(|r| r.grid.is_none()).count() < 20);
}
