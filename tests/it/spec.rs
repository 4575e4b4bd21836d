//! The front ends, the typed spec, formatting, conversion and the schema.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb::diagnostic::{Pointer, SourceFile};
use rhumb::spec::{
    self, AllowDeny, Arrivals, Cloud, Language, Load, MeasuredAt, ModelSource, Money, Place, Purchase,
    Quantization, RegionRef, schema,
};
use serde_json::{Value, json};

use crate::diagnostics::{load, load_all};

/// Every key that is planned.
pub const FULL: &str = include_str!("spec_texts/full.yaml");

fn yaml(text: &str) -> spec::Loaded {
    load("deploy.yaml", text)
        .unwrap_or_else(|d| panic!("{}", rhumb::cli::view::diagnostics::text(&d, false, 100)))
}

#[test]
fn every_key_arrives_in_the_typed_spec() {
    let loaded = yaml(FULL);
    let spec = &loaded.spec;
    assert_eq!(spec.name, "everything");
    assert_eq!(spec.labels["cost-centre"], "42");
    assert_eq!(spec.confidence, 0.9);
    assert_eq!(spec.catalog_files[0].path, "prices.yaml");
    assert_eq!(spec.state.path, "state/x.json");
    assert_eq!(spec.budget.limits[&spec::BudgetScope::All].limit, Money::from_micros(45_000_250_000));
    assert_eq!(
        spec.budget.limits[&spec::BudgetScope::Workload("services.chat".into())].limit,
        Money::from_micros(30_000_000_000)
    );
    assert_eq!(spec.budget.binds, spec::BudgetBinds::Expected);
    assert_eq!(spec.budget.carbon.as_ref().map(|cap| cap.mg), Some(12_500_000_000));
    assert_eq!(spec.objective, spec::Goal::Priced { per_tonne: Money::from_micros(90_000_000) });
    let aws = &spec.providers[&Cloud::Aws];
    assert_eq!((aws.account.as_deref(), aws.discount), (Some("prod"), 0.12));
    assert_eq!(aws.quotas["eu-west-1"]["L-417A185B"], 192.0);

    let model = &spec.models["chat"];
    assert_eq!(
        model.source,
        ModelSource::Known { written: "One-7B".to_owned(), id: "acme/one-7b".to_owned() }
    );
    assert_eq!(model.revision.as_deref(), Some("abc123"));
    assert_eq!(model.artifacts_at, Some(RegionRef { cloud: Cloud::Aws, region: "eu-west-1".to_owned() }));
    assert_eq!(model.variants["bf16"].quantization, Quantization::Bf16);
    assert_eq!(model.variants["small"].quantization, Quantization::Int4);
    assert_eq!(model.variants["small"].source.as_deref(), Some("acme/one-7b-awq"));
    let quality = model.quality.as_ref().unwrap();
    assert_eq!((quality.keep, quality.benchmark.as_str()), (0.99, "mmlu"));
    assert_eq!(quality.measured["small"], 0.994);
    assert!(
        matches!(&spec.models["embed"].source, ModelSource::Config(f) if f.path == "./embed/config.json")
    );
    assert_eq!(spec.models["embed"].variants["native"].quantization, Quantization::Native);

    let defect = spec.models["defect"].measured().unwrap();
    assert_eq!((defect.unit.as_str(), defect.image.as_str()), ("frame", "registry.example.com/defect:7"));
    assert_eq!(defect.command, ["serve", "--quiet"]);
    assert_eq!(defect.variants["plain"].memory_bytes, 1.5 * 1024.0 * 1024.0 * 1024.0);
    assert_eq!(defect.variants["plain"].times["nvidia-t4"], spec::Launch { batch: 1, takes_s: 0.02 });
    assert_eq!(defect.variants["small"].times["nvidia-h100-sxm"], spec::Launch { batch: 8, takes_s: 0.01 });
    let series = spec::Processors::Series(Cloud::Aws, "m7i".into());
    let on = |vcpus, takes_s| spec::OnProcessors { vcpus, launch: spec::Launch { batch: 1, takes_s } };
    assert_eq!(defect.variants["small"].processors[&series], on(2, 0.009));
    let any = spec::Processors::Architecture("x86_64".into());
    assert_eq!(defect.variants["small"].processors[&any], on(1, 0.004));
    let features = &spec.pipelines["features"];
    assert_eq!((features.engine, features.shards), (spec::PipelineEngine::Ray, 3200));
    assert!((features.throughput[&series] * 1_073_741_824.0 - 6e6).abs() < 1e-3);
    assert_eq!((features.throughput[&any], features.memory_bytes), (0.5, 4.0 * 1_073_741_824.0));
    assert_eq!(features.dataset.as_ref().unwrap().gib, features.input_gib);
    let floor = spec.models["defect"].quality.as_ref().unwrap();
    assert_eq!((floor.keep, floor.benchmark.as_str(), floor.measured["small"]), (0.93, "map50", 0.937));
    // The default of `engine` is for those that have one.
    let inspect = &spec.services["inspect"];
    assert_eq!((inspect.engine.name, inspect.engine.max_num_seqs), (spec::EngineName::Own, None));
    assert_eq!((inspect.traffic.input.mean, inspect.traffic.output.mean), (1.0, 0.0));

    assert_eq!((&*inspect.placement.sites, inspect.survive.wan), (&["plant-7".to_owned()][..], 1));
    // Who names sites takes no clouds from the defaults.
    assert_eq!(inspect.placement.clouds, AllowDeny::Only(Vec::new()));
    assert_eq!(inspect.placement.instance_types, AllowDeny::Only(vec!["t4-node".to_owned()]));
    let home = RegionRef { cloud: Cloud::Site, region: "plant-7".to_owned() };
    assert_eq!(inspect.traffic.origins[0].place, Place::Region(home));
    let site = &spec.sites["plant-7"];
    assert_eq!((site.latitude, site.longitude, site.country.as_str()), (48.14, 11.58, "DE"));
    assert_eq!(
        (site.power_watts, site.grid, site.pue, site.lan_ms),
        (Some(4200.0), Some(380.0), Some(1.3), Some(0.5))
    );
    assert_eq!((site.wan.mbps, site.wan.round_trip_ms), (Some(1000.0), Some(24.0)));
    let node = &site.machines["t4-node"];
    assert_eq!((node.accelerator.as_str(), node.accelerators, node.count), ("nvidia-t4", 2, 6));
    assert_eq!((node.vcpus, node.memory_gib, node.power_watts), (16.0, 64.0, Some(300.0)));
    assert_eq!((node.cost.micros(), site.machines["big"].cost.micros()), (900_000, 0));
    let limits = [("big", 1.0), ("power", 4200.0), ("t4-node", 6.0)].map(|(code, n)| (code.to_owned(), n));
    assert_eq!(spec.providers[&Cloud::Site].quotas["plant-7"], BTreeMap::from(limits));

    let chat = &spec.services["chat"];
    assert_eq!(
        chat.labels,
        BTreeMap::from([
            ("team".to_owned(), "support".to_owned()),
            ("cost-centre".to_owned(), "42".to_owned()),
            ("tier".to_owned(), "silver".to_owned()),
        ])
    );
    assert_eq!(chat.traffic.load, Load::Rate(12.0));
    assert_eq!(chat.traffic.prefix_cached, 0.3);
    assert_eq!(chat.traffic.arrivals, Arrivals::Bursty { cv2: 4.0 });
    // sigma = ln(2800/600) / 1.6448536, mean = 600 exp(sigma^2 / 2), worked out by hand.
    let input = chat.traffic.input;
    assert!((input.mean - 930.25).abs() < 0.5, "{input:?}");
    assert!((input.cv2 - 1.404).abs() < 0.005, "{input:?}");
    assert!((input.p95 - 2800.0).abs() < 1e-6 && input.max > 10_000.0, "{input:?}");
    assert_eq!(
        (chat.traffic.output.mean, chat.traffic.output.cv2, chat.traffic.output.max),
        (200.0, 1.5, 4000.0)
    );
    let origins = &chat.traffic.origins;
    assert_eq!(origins[0].place, Place::Country("DE".to_owned()));
    assert_eq!(origins[0].residency, ["eu"]);
    assert!(matches!(&origins[1].place, Place::Region(r) if r.region == "us-east-1"));
    assert_eq!(origins[2].place, Place::Coordinates { latitude: 48.14, longitude: 11.58 });
    assert_eq!(chat.slo.ttft.len(), 2);
    assert_eq!((chat.slo.ttft[0].quantile, chat.slo.ttft[0].limit_ms), (None, 200.0));
    assert_eq!((chat.slo.ttft[1].quantile, chat.slo.ttft[1].limit_ms), (Some(0.95), 500.0));
    assert_eq!(chat.slo.e2e[0].quantile, Some(0.999));
    assert_eq!((chat.slo.measured_at, chat.slo.last_mile_ms), (MeasuredAt::Gateway, 25.0));
    assert_eq!(chat.slo.connections, spec::Connections::New);
    assert_eq!((chat.survive.replica, chat.survive.machine, chat.survive.zone), (1, 0, 1));
    assert_eq!((chat.during_failure.capacity, chat.during_failure.slo_factor), (0.8, 1.5));
    // Sections merge key by key; a key of the workload's own replaces the whole value.
    assert_eq!(chat.placement.clouds, AllowDeny::Not(vec![Cloud::Azure]));
    assert_eq!(chat.placement.residency, ["eu"]);
    assert_eq!(
        chat.placement.accelerators,
        AllowDeny::Only(vec![
            "nvidia-a100-40gb".to_owned(),
            "nvidia-a100-80gb".to_owned(),
            "nvidia-h100-sxm".to_owned(),
        ])
    );
    assert_eq!(chat.placement.instance_types, AllowDeny::Only(vec!["Standard_ND96isr_H100_v5".to_owned()]));
    assert_eq!(chat.placement.spread_regions, 2);
    assert_eq!(chat.purchase.options, [Purchase::OnDemand, Purchase::Reserved1y]);
    assert_eq!((chat.purchase.spot_max_share, chat.purchase.on_demand_base), (0.5, 2));
    assert_eq!((chat.scaling.min_replicas, chat.scaling.max_replicas), (2, Some(8)));
    assert_eq!((chat.engine.max_model_len, chat.engine.max_num_seqs), (None, Some(64)));
    assert_eq!(
        (chat.engine.version.as_deref(), chat.engine.gpu_memory_utilization),
        (Some("0.17"), Some(0.85))
    );
    assert_eq!(chat.endpoint.exposure, spec::Exposure::Public);
    assert_eq!(chat.endpoint.api_keys.as_deref(), Some("env:KEYS"));

    let batch = &spec.batches["embed"];
    assert_eq!((batch.items, batch.deadline_s), (24e6, 21_600.0));
    assert_eq!(batch.placement.clouds, AllowDeny::Only(vec![Cloud::Aws, Cloud::Gcp]));
    assert_eq!(batch.engine.max_model_len, Some(9000));
    assert!((batch.schedule.as_ref().unwrap().runs_per_month - 730.0 / 24.0).abs() < 1e-9);
    assert_eq!(batch.labels["tier"], "gold");
}

#[test]
fn variables_come_from_outside_and_keep_their_type() {
    let loaded = load_all(&[("a.yaml", FULL)], &[("peak", "20"), ("where", "[\"us\", \"de\"]")]).unwrap();
    let chat = &loaded.spec.services["chat"];
    assert_eq!(chat.traffic.load, Load::Rate(20.0));
    assert_eq!(chat.placement.residency, ["us", "de"]);
    assert_eq!(loaded.spec.batches["embed"].items, 40e6);
    for (name, value, code) in
        [("peak", "many", "wrong-type"), ("where", "eu", "wrong-type"), ("paek", "3", "unknown-variable")]
    {
        let found = load_all(&[("a.yaml", FULL)], &[(name, value)]).unwrap_err();
        assert_eq!(found.list[0].code, code, "{name}={value}");
    }
}

#[test]
fn what_is_declared_in_two_files_shows_both_places() {
    let a = "rhumb: 1\nname: x\nmodels: { m: { source: acme/one-7b } }\n";
    let b = "rhumb = 1\nservice \"s\" {\n  model = \"m\"\n  traffic {\n    peak = \"1 req/s\"\n    input_tokens = 9\n  }\n  slo { e2e = { p95 = \"1s\" } }\n}\n";
    let loaded = load_all(&[("a.yaml", a), ("b.hcl", b)], &[]).unwrap();
    assert_eq!(loaded.spec.services["s"].model, "m");
    let c = "models: { m: { source: acme/embed } }\nname: y\n";
    let found = load_all(&[("a.yaml", a), ("b.hcl", b), ("c.yaml", c)], &[]).unwrap_err();
    let places: Vec<_> = found
        .list
        .iter()
        .map(|d| {
            let at = |s| found.map.locate(s).map(|l| (l.file, l.line, l.column)).unwrap();
            (d.code, at(d.span.as_ref().unwrap()), at(&d.related[0].0))
        })
        .collect();
    assert_eq!(
        places,
        [
            ("declared-twice", ("c.yaml".to_owned(), 1, 11), ("a.yaml".to_owned(), 3, 11)),
            ("declared-twice", ("c.yaml".to_owned(), 2, 1), ("a.yaml".to_owned(), 2, 1)),
        ]
    );
}

#[test]
fn both_languages_give_the_same_spec() {
    let file = SourceFile { name: "deploy.yaml".to_owned(), text: FULL.to_owned() };
    let hcl = spec::convert_to(&file, Language::Hcl).unwrap();
    let from_hcl = load("deploy.hcl", &hcl).unwrap();
    let from_yaml = yaml(FULL);
    assert_eq!(from_hcl.tree, from_yaml.tree);
    assert_eq!(from_hcl.spec, from_yaml.spec);
}

/// Defaults are for those that they have a meaning for: a service of items takes none of them for its own.
#[test]
fn defaults_of_language_models_do_not_reach_items() {
    let text = |slo: &str| {
        format!(
            "rhumb: 1
name: mixed
defaults: {{ engine: {{ name: sglang }}, slo: {{ ttft: {{ p95: 1s }} }} }}
models:
  chat: {{ source: One-7B }}
  defect: {{ measured: {{ image: x, variants: {{ v: {{ memory: 1GiB, time: {{ t4: 2ms }} }} }} }} }}
services:
  chat: {{ model: chat, traffic: {{ peak: 1 req/s, input_tokens: 9, output_tokens: 9 }} }}
  inspect: {{ model: defect, traffic: {{ peak: 1 req/s }}{slo} }}
"
        )
    };
    let spec = yaml(&text(", slo: { e2e: { p99: 1s } }")).spec;
    let inspect = &spec.services["inspect"];
    assert_eq!((inspect.slo.ttft.len(), inspect.slo.e2e.len()), (0, 1));
    assert_eq!(inspect.engine.name, spec::EngineName::Own);
    assert_eq!(
        (spec.services["chat"].slo.ttft.len(), spec.services["chat"].engine.name),
        (1, spec::EngineName::Sglang)
    );
    let none = load("a.yaml", &text("")).unwrap_err();
    assert!(
        none.list.iter().any(|d| d.message.contains("`services.inspect` has no objective")),
        "{:?}",
        none.list
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(yaml(&text).spec, yaml(FULL).spec);
    let broken = text.replace("peak: ${var.peak} req/s", "peak: 3");
    let found = load("a.yaml", &broken).unwrap_err();
    let place = found.map.locate(found.list[0].span.as_ref().unwrap()).unwrap();
    assert_eq!((found.list.len(), place.line, place.column), (1, 71, 13));
}

#[test]
fn templates_fill_what_is_not_stated() {
    let text = |extra: &str| {
        format!(
            "rhumb: 1\nname: x\nmodels: {{ m: {{ source: acme/one-7b }} }}\nservices:\n  s:\n    model: m\n    use_case: translation\n    traffic: {{ peak: 1 req/s }}\n{extra}"
        )
    };
    let chat = yaml(&text("    priority: latency\n")).spec.services["s"].clone();
    assert_eq!((chat.traffic.input.mean, chat.traffic.output.mean), (512.0, 256.0));
    assert_eq!(chat.slo.ttft[0].limit_ms, 200.0);
    assert_eq!(chat.slo.ttft[0].at, Pointer("/services/s/use_case".to_owned()));
    let own = yaml(&text("    slo: { tpot: { p99: 70ms } }\n")).spec.services["s"].clone();
    assert_eq!((own.slo.tpot[0].quantile, own.slo.tpot[0].limit_ms), (Some(0.99), 70.0));
    assert_eq!((own.slo.ttft[0].limit_ms, own.slo.e2e[0].limit_ms), (500.0, 12_660.0));
}

#[test]
fn a_trace_gives_rate_and_lengths() {
    let vocabulary = crate::diagnostics::vocabulary();
    let csv = (0..7200).map(|i| format!("{},{},10\n", i, 100 + i % 3)).collect::<String>();
    let csv = format!("time,input_tokens,output_tokens\n{csv}");
    let read = |name: &str| match name {
        "./t.csv" => Ok(csv.clone().into_bytes()),
        other => Err(format!("no {other}")),
    };
    let text = "rhumb: 1\nname: x\nmodels: { m: { source: acme/one-7b } }\nservices:\n  s: { model: m, traffic: { trace: ./t.csv }, slo: { e2e: { p95: 1s } } }\n";
    let files = vec![SourceFile { name: "a.yaml".to_owned(), text: text.to_owned() }];
    let sources = spec::Sources { files, variables: Vec::new(), vocabulary: &vocabulary, read: &read };
    let traffic = spec::load(&sources).unwrap().spec.services["s"].traffic.clone();
    assert_eq!(traffic.load, Load::Rate(1.0));
    assert_eq!((traffic.input.mean, traffic.output.mean), (101.0, 10.0));
    assert_eq!(traffic.trace.unwrap().path, "./t.csv");
}

fn validator() -> jsonschema::Validator {
    let schema = schema::json_schema();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).expect("schema")
}

#[test]
fn the_json_schema_accepts_what_is_right_and_refuses_planted_faults() {
    let validator = validator();
    let good: Value = serde_yaml::from_str(FULL).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&good).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let faults: &[(&str, Value)] = &[
        ("/services/chat/trafic", json!({})),
        ("/rhumb", json!(2)),
        ("/name", json!("Not A Name")),
        ("/confidence", json!(0.8)),
        ("/services/chat/traffic/peak", json!("12 rps")),
        ("/services/chat/slo/ttft", json!("500ms")),
        ("/services/chat/slo/ttft/p95", json!("-5ms")),
        ("/services/chat/survive/zone", json!(1.5)),
        ("/services/chat/scaling/mode", json!("sideways")),
        ("/services/chat/endpoint/api_keys", json!("sk-live-1")),
        ("/services/chat/engine/version", json!(0.1)),
        ("/services/chat/placement/clouds", json!(["ibm"])),
        ("/services/chat/traffic/input_tokens", json!({ "p50": 5 })),
        ("/pipelines/features/engine", json!("flink")),
        ("/pipelines/features/throughput_per_core/x86_64", json!("6MB")),
        ("/trainings/tune/batch_size", json!(0)),
        ("/trainings/tune/strategy", json!("zero9")),
        ("/trainings/tune/dataset/size", json!("400 parsec")),
        ("/budget/monthly", json!(5)),
        ("/budget/carbon", json!("12 USD")),
        ("/objective", json!("cheapest")),
        ("/objective", json!({ "carbon_price": "90 USD" })),
        ("/providers/oracle", json!({})),
        ("/batches/embed/items", json!(-3)),
    ];
    for (pointer, fault) in faults {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().insert(key.to_owned(), fault.clone());
        assert!(!validator.is_valid(&bad), "{pointer} = {fault} was accepted");
        let text = serde_yaml::to_string(&bad).unwrap();
        assert!(load("a.yaml", &text).is_err(), "{pointer} = {fault} was loaded");
    }
    for required in ["/rhumb", "/name", "/services/chat/model", "/batches/embed/deadline"] {
        let mut bad = good.clone();
        let (parent, key) = required.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(key);
        assert!(!validator.is_valid(&bad), "{required} is not required");
    }
}

#[test]
fn examples_and_first_specs_pass_the_json_schema() {
    let validator = validator();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let folder = entry.unwrap().path();
        for file in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = file.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let file = SourceFile { name: name.clone(), text: text.clone() };
            let value: Value = if name.ends_with("deploy.yaml") {
                serde_yaml::from_str(&text).unwrap()
            } else if name.ends_with("deploy.hcl") {
                serde_yaml::from_str(&spec::convert_to(&file, Language::Yaml).unwrap()).unwrap()
            } else {
                continue;
            };
            let errors: Vec<String> =
                validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{name}: {errors:#?}");
            assert_eq!(spec::format(&file).unwrap(), text, "{name} is not formatted");
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn the_reference_page_is_as_generated() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec/reference.md");
    if std::env::var_os("RHUMB_BLESS").is_some() {
        std::fs::create_dir_all(page.parent().unwrap()).unwrap();
        std::fs::write(&page, schema::reference()).unwrap();
    }
    assert!(std::fs::read_to_string(page).unwrap() == schema::reference(), "run with RHUMB_BLESS=1");
}

#[test]
fn one_key_is_explained() {
    let text = schema::explain("services.chat.slo.ttft", 100).unwrap();
    assert!(text.contains("Time to first token") && text.contains("{ p95: 500ms }"), "{text}");
    assert_eq!(
        schema::explain("services.slo.last_mile", 100).unwrap().replace("services.slo", ""),
        schema::explain("services.x.slo.last_mile", 100).unwrap().replace("services.x.slo", "")
    );
    let missing = schema::explain("services.chat.slo.tfft", 100).unwrap_err();
    assert!(missing.contains("did you mean `ttft`"), "{missing}");
    for (path, key) in schema::all_keys() {
        assert!(schema::explain(&path, 80).is_ok(), "{path}");
        assert!(key.doc.ends_with('.') && key.doc.len() > 8, "{path}: {}", key.doc);
    }
}

#[test]
fn formatting_keeps_comments_and_is_stable() {
    let hcl = "# top\nname=\"x\"   # a name\nrhumb   =   1\n\n\n\nmodel \"m\" {\n source=\"acme/one-7b\"\n      /* inner */\n}\nservice \"s\" {\nmodel=\"m\" // which\n  traffic {\n input_tokens={p50=1,p95=2}\npeak=\"${1 + (2)} req/s\"\n}\nlabels = {\na = \"x # no comment {\"\n}\n}\n";
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    let once = spec::format(&file("a.hcl", hcl)).unwrap();
    assert_eq!(
        once,
        "# top\nname  = \"x\"   # a name\nrhumb = 1\n\nmodel \"m\" {\n  source = \"acme/one-7b\"\n  /* inner */\n}\nservice \"s\" {\n  model = \"m\" // which\n  traffic {\n    input_tokens = {p50=1,p95=2}\n    peak         = \"${1 + (2)} req/s\"\n  }\n  labels = {\n    a = \"x # no comment {\"\n  }\n}\n"
    );
    assert_eq!(spec::format(&file("a.hcl", &once)).unwrap(), once);
    let yaml = "# top\nrhumb:   1\nname: x # a name\nmodels:\n      m:   {source: acme/one-7b}   # which\n";
    let once = spec::format(&file("a.yaml", yaml)).unwrap();
    for comment in ["# top", "# a name", "# which"] {
        assert!(once.contains(comment), "{once}");
    }
    assert_ne!(once, yaml);
    assert_eq!(spec::format(&file("a.yaml", &once)).unwrap(), once);
    assert_eq!(spec::format(&file("a.yaml", "a: [\n")).unwrap_err().list[0].code, "syntax");
}

/// Plain values as a spec may hold them, texts that look like other things among them.
fn tree() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z]{1,8}",
        "[ -~]{0,12}",
        "\\PC{0,8}",
        Just("yes".to_owned()),
        Just("012".to_owned()),
        Just("1e3".to_owned()),
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("a\nb\n".to_owned()),
        Just("500ms".to_owned()),
        Just(" - x: y # z".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9f64..1e9).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let node = leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z][a-z0-9_-]{0,8}", inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-z][a-z0-9_-]{0,8}", node, 1..5)
        .prop_map(|m| Value::Object(m.into_iter().collect()))
}

/// Texts with expressions, between other text.
fn with_expressions() -> impl Strategy<Value = String> {
    let expression = prop::sample::select(vec![
        "${var.a}",
        "${ local.b + 1 }",
        "${var.a > 3 ? \"x\" : \"y\"}",
        "${[for x in var.list : x * 2]}",
        "${min(1, var.a)}",
        "$${plain}",
        "${~ var.a ~}",
        "${\"quoted ${var.a}\"}",
    ]);
    ("[a-z \"\\\\]{0,4}", expression, "[a-z \"\\\\]{0,4}").prop_map(|(a, e, b)| format!("{a}{e}{b}"))
}

proptest! { #![proptest_config(crate::extent::laws())]
    #[test]
    fn our_yaml_reader_agrees_with_serde_yaml(mut value in tree()) {
        // YAML 1.1, which the other reader speaks, breaks lines there and folds them; YAML 1.2 does not.
        const BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
        fn without_breaks(value: &mut Value) {
            match value {
                Value::String(s) => *s = s.replace(BREAKS, ""),
                Value::Array(items) => items.iter_mut().for_each(without_breaks),
                Value::Object(map) => map.values_mut().for_each(without_breaks),
                _ => {}
            }
        }
        without_breaks(&mut value);
        let text = serde_yaml::to_string(&value).unwrap();
        let reference: Value = serde_yaml::from_str(&text).unwrap();
        let ours = spec::tree_of(&SourceFile { name: "a.yaml".to_owned(), text: text.clone() });
        prop_assert_eq!(ours.unwrap(), reference, "{}", text);
    }

    #[test]
    fn conversion_there_and_back_keeps_the_tree(value in tree(), texts in prop::collection::vec(with_expressions(), 0..4)) {
        let mut value = value;
        // What is between `${` and `}` by chance is not an expression.
        fn plain(value: &mut Value) {
            match value {
                Value::String(s) => *s = s.replace(['$', '%'], ""),
                Value::Array(items) => items.iter_mut().for_each(plain),
                Value::Object(map) => map.values_mut().for_each(plain),
                _ => {}
            }
        }
        plain(&mut value);
        value["texts"] = texts.into();
        let file = |name: &str, text: String| SourceFile { name: name.to_owned(), text };
        let yaml = file("a.yaml", serde_yaml::to_string(&value).unwrap());
        let hcl = spec::convert_to(&yaml, Language::Hcl);
        prop_assert!(hcl.is_ok(), "{}", yaml.text);
        let hcl = file("a.hcl", hcl.unwrap());
        let back = file("b.yaml", spec::convert_to(&hcl, Language::Yaml).unwrap());
        let canonical = |f: &SourceFile| spec::canonical(&spec::tree_of(f).unwrap());
        prop_assert_eq!(canonical(&yaml), canonical(&hcl), "{}\n{}", yaml.text, hcl.text);
        prop_assert_eq!(canonical(&yaml), canonical(&back));
        // Formatting changes neither.
        for f in [&yaml, &hcl] {
            if let Ok(text) = spec::format(f) {
                prop_assert_eq!(canonical(&file(&f.name, text)), canonical(f));
            }
        }
    }

    #[test]
    fn spans_point_at_the_text(value in tree(), title in "\\PC{0,6}") {
        for name in ["a.yaml", "a.hcl"] {
            let yaml = SourceFile {
                name: "a.yaml".to_owned(),
                text: serde_yaml::to_string(&value).unwrap(),
            };
            // A comment with wide characters before everything shifts bytes against characters.
            let body = match name {
                "a.yaml" => yaml.text.clone(),
                _ => match spec::convert_to(&yaml, Language::Hcl) { Ok(text) => text, Err(_) => continue },
            };
            let text = format!("# {}\n{body}", title.replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], ""));
            let file = SourceFile { name: name.to_owned(), text };
            let Ok(map) = spec::places(&file) else { continue };
            for (pointer, node) in &map.nodes {
                if let Some(key) = &node.key {
                    let written = &file.text[key.start..key.end];
                    let last = pointer.0.rsplit('/').next().unwrap().replace("~1", "/").replace("~0", "~");
                    prop_assert_eq!(written.trim_matches('"').trim_matches('\''), last);
                }
                prop_assert!(node.value.start <= node.value.end && node.value.end <= file.text.len());
                prop_assert!(file.text.is_char_boundary(node.value.start) && file.text.is_char_boundary(node.value.end));
                let tree = spec::tree_of(&file).unwrap();
                if let Some(Value::Number(n)) = tree.pointer(&pointer.0) {
                    let written: f64 = file.text[node.value.start..node.value.end].parse().unwrap();
                    prop_assert_eq!(Some(written), n.as_f64());
                }
            }
        }
    }

    #[test]
    fn the_order_of_keys_changes_nothing(seed in any::<u64>()) {
        fn shuffle(value: &mut Value, seed: &mut u64) {
            if let Value::Object(map) = value {
                let mut entries: Vec<(String, Value)> = std::mem::take(map).into_iter().collect();
                for i in (1..entries.len()).rev() {
                    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    entries.swap(i, (*seed >> 33) as usize % (i + 1));
                }
                for (_, inner) in &mut entries {
                    shuffle(inner, seed);
                }
                map.extend(entries);
            }
        }
        let mut value: Value = serde_yaml::from_str(FULL).unwrap();
        let mut seed = seed;
        shuffle(&mut value, &mut seed);
        let shuffled = yaml(&serde_yaml::to_string(&value).unwrap());
        let straight = yaml(FULL);
        prop_assert_eq!(serde_json::to_string(&shuffled.tree).unwrap(), serde_json::to_string(&straight.tree).unwrap());
        let sorted = |mut s: spec::Spec| {
            let services = s.services.values_mut();
            services.for_each(|service| service.traffic.origins.sort_by(|a, b| a.name.cmp(&b.name)));
            s
        };
        prop_assert_eq!(sorted(shuffled.spec), sorted(straight.spec));
    }

    #[test]
    fn names_are_only_names(name in "[a-z][a-z0-9]{2,12}") {
        let renamed = FULL
            .replace("  chat:\n    model: chat", &format!("  {name}:\n    model: chat"))
            .replace("services.chat", &format!("services.{name}"));
        let straight = yaml(FULL).spec.services["chat"].clone();
        let renamed = yaml(&renamed).spec.services[&name].clone();
        let other = spec::Service { name: straight.name.clone(), ..renamed };
        // Places hold the name; everything else is equal.
        let text = format!("{other:?}").replace(&format!("/services/{name}"), "/services/chat");
        prop_assert_eq!(text, format!("{straight:?}"));
    }
}
