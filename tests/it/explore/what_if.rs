//! `rhumb what-if`.

use std::path::Path;

use rhumb::diagnostic::SourceFile;
use rhumb::explore::{self, Aspect, choice, compare, cost};
use rhumb::placement::Placement;
use rhumb::spec::{self, Quantization, Sources};
use rhumb_api::Money;
use serde_json::{Value, json};

use super::{changed, placed, small};
use crate::cli::{rhumb, run};
use crate::line;

fn machines(placement: &Placement) -> Money {
    let pools = placement.workloads.values().flat_map(|w| &w.pools);
    pools.flat_map(|p| &p.machines).map(|m| m.price.times(i64::from(m.count))).sum()
}

#[test]
fn a_factor_of_one_changes_nothing_and_of_two_doubles_what_machines_cost() {
    let (spec, world) = small("");
    let now = line::place(&spec, &world).unwrap();
    for same in ["price:all=x1", "traffic=x1", "price:aws=+0%,traffic:a=x1.0"] {
        assert_eq!(placed(&spec, &world, same).as_ref(), Ok(&now), "{same}");
    }
    let double = placed(&spec, &world, "price:all=x2").unwrap();
    assert_eq!(machines(&double), machines(&now).times(2));
    for (address, w) in &now.workloads {
        assert!(compare(&choice(w), &choice(&double.workloads[address])).is_empty(), "{address}");
    }
    // Dearer than what loses by now: 58.9 x 1.2 > 66.1 at the same number of machines.
    let dearer =
        placed(&spec, &world, "price:aws/p5/eu-north-1=x1.2,price:p5.48xlarge/eu-west-1=x1.2").unwrap();
    let a = |p: &Placement| choice(&p.workloads["services.a"]);
    assert_eq!(a(&now)[0].instance_type, "p5.48xlarge");
    assert_eq!(a(&dearer)[0].instance_type, "p5en.48xlarge");
    assert!(compare(&a(&now), &a(&dearer)).contains(&Aspect::Type));
}

#[test]
fn what_is_gone_never_makes_it_cheaper_and_in_the_end_impossible() {
    let (spec, world) = small("");
    let mut last = cost(&line::place(&spec, &world).unwrap());
    let mut gone = Vec::new();
    // The chosen region, then the chosen type, then all but one offer.
    for what in ["without:aws/p5/eu-north-1", "without:p5.48xlarge", "without:eu-south-2"] {
        gone.push(what);
        let found = placed(&spec, &world, &gone.join(",")).unwrap();
        assert!(cost(&found) >= last, "{gone:?}: {} after {last}", cost(&found));
        last = cost(&found);
    }
    gone.push("without:eu-north-1");
    let why = placed(&spec, &world, &gone.join(",")).unwrap_err();
    assert_eq!(why.workloads.len(), 2, "refused with reasons: {why:?}");
    assert!(why.workloads.iter().all(|w| !w.conflict.is_empty()));
}

#[test]
fn traffic_never_makes_it_cheaper_and_that_of_one_workload_leaves_the_other() {
    let (spec, world) = small("");
    let mut last = Money::ZERO;
    for factor in ["x0.25", "-50%", "x1", "+50%", "x2", "x4", "x16"] {
        let found = placed(&spec, &world, &format!("traffic={factor}")).unwrap();
        assert!(cost(&found) >= last, "{factor}");
        last = cost(&found);
    }
    let now = line::place(&spec, &world).unwrap();
    let more = placed(&spec, &world, "traffic:a=x16").unwrap();
    assert_eq!(more.workloads["services.b"], now.workloads["services.b"]);
    assert!(
        more.workloads["services.a"].cost.expected_per_month
            > now.workloads["services.a"].cost.expected_per_month
    );
    let batch = "batches:
  night:
    model: large
    items: 1000
    input_tokens: 100
    output_tokens: 10
    deadline: 8h
";
    let (spec, world) = small(batch);
    let (spec, _) = changed(&spec, &world, "traffic:night=x3").unwrap();
    assert_eq!(spec.batches["night"].items, 3000.0);
}

#[test]
fn a_quota_is_changed_in_its_own_unit() {
    // p5.48xlarge has 192 vCPUs: 400 are two machines, 176 more make three.
    let quota = "providers:
  aws: { quotas: { eu-north-1: { L-417A185B: 400 } } }
";
    let (spec, world) = small(quota);
    let more = |text: &str| {
        let (spec, _) = changed(&spec, &world, text).unwrap();
        spec.providers[&rhumb_api::Cloud::Aws].quotas["eu-north-1"]["L-417A185B"]
    };
    assert_eq!(more("quota:aws/eu-north-1/P=+176"), 576.0);
    assert_eq!(more("quota:aws/eu-north-1/L-417A185B=-8"), 392.0);
    assert_eq!(more("quota:aws/eu-north-1/p5/on_demand=x2"), 800.0);
    assert_eq!(more("quota:aws/eu-north-1/P=0"), 0.0);
    let (now, then) =
        (line::place(&spec, &world).unwrap(), placed(&spec, &world, "quota:aws/eu-north-1/P=+176").unwrap());
    assert!(now.coupling.is_some(), "the two want three machines of it");
    assert!(cost(&then) <= cost(&now));
    // Declared for another purchase option: another code.
    let (other, _) = changed(&spec, &world, "quota:aws/eu-north-1/p5/spot=192").unwrap();
    assert_eq!(other.providers[&rhumb_api::Cloud::Aws].quotas["eu-north-1"]["L-C4BD4855"], 192.0);
    let refused = |text: &str| changed(&spec, &world, text).unwrap_err();
    assert!(refused("quota:aws/eu-west-1/P=+8").contains("not declared"), "unknown is not zero");
    assert!(refused("quota:aws/eu-north-1/P=-500").contains("would be -100"));
}

#[test]
fn a_precision_is_that_of_one_workload_alone() {
    let (spec, world) = small("");
    let (other, archs) = changed(&spec, &world, "a.precision=fp8").unwrap();
    let of = |spec: &spec::Spec, name: &str| -> Vec<Quantization> {
        spec.models[&spec.services[name].model].variants.values().map(|v| v.quantization).collect()
    };
    assert_eq!(of(&other, "a"), [Quantization::Fp8]);
    assert_eq!(of(&other, "b"), [Quantization::Bf16], "b shares the model and not the change");
    let found = line::place(&other, &archs).unwrap();
    assert_eq!(found.workloads["services.a"].pools[0].quantization, Quantization::Fp8);
    // Both: the second no longer shares the model with anybody.
    let (both, _) = changed(&spec, &world, "a.precision=fp8,services.b.precision=awq").unwrap();
    assert_eq!((of(&both, "a"), of(&both, "b")), (vec![Quantization::Fp8], vec![Quantization::Int4]));
}

#[test]
fn what_is_unknown_is_told_with_what_is_near() {
    let (spec, world) = small("");
    let cases = [
        ("prize:aws=x2", "did you mean `price:`?"),
        ("price:awz=x2", "did you mean `aws`?"),
        ("price:aws/gcp=x2", "two clouds"),
        ("price:aws/p5.48xlarge=2", "write a factor"),
        ("price:aws=x0", "a factor from 0.001 to 1000"),
        ("price:aws=xnan", "write a factor"),
        ("price:aws", "write price:NAMES=x0.8"),
        ("without:aws/p5.48xlarge/eu-south-2", "sold in aws/eu-north-1, aws/eu-west-1"),
        ("without:spot", "nothing on sale"),
        ("without:", "is no change"),
        ("without:aws=x2", "is no change"),
        ("traffic:chat=x2", "there are services.a, services.b"),
        ("traffic=2", "write a factor"),
        ("quota:aws=8", "write quota:CLOUD/REGION/CODE"),
        ("quota:aws/eu-nort-1/P=8", "did you mean `eu-north-1`?"),
        ("quota:aws/eu-north-1/L-417A185C=8", "did you mean `L-417A185B`?"),
        ("quota:aws/eu-north-1/P/spott=8", "no purchase option"),
        ("quota:aws/eu-north-1/P=many", "write an amount"),
        ("a.precision=int5", "did you mean `int4`?"),
        ("c.precision=int4", "there is no workload `c`"),
        ("servces.a.slo.ttft_p95=1s", "did you mean `services`?"),
        ("name=other", "cannot be changed"),
        ("a..b=1", "is no change"),
        ("a.slo.ttft_p95=[1", "no YAML"),
        ("", "is no change"),
    ];
    for (text, says) in cases {
        let error = explore::changes(text, &spec, &world.catalog).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    // Commas inside brackets part nothing.
    let two = explore::changes("a.placement.residency=[eu, us],traffic=x2", &spec, &world.catalog).unwrap();
    assert_eq!(two.len(), 2);
}

#[test]
fn keys_are_set_where_they_are_and_taken_away() {
    let (spec, world) = small("");
    let edited = |text: &str| {
        let mut tree = json!({
            "services": { "a": { "slo": { "ttft": { "p95": "2s", "p99.9": "4s" } } } },
            "budget": { "per": { "services.a": "9 USD" } },
        });
        let changes = explore::changes(text, &spec, &world.catalog)?;
        changes.iter().try_for_each(|c| c.edit(&mut tree))?;
        Ok::<Value, String>(tree)
    };
    let ttft = |text: &str| edited(text).map(|t| t["services"]["a"]["slo"]["ttft"].clone());
    assert_eq!(ttft("a.slo.ttft_p95=700ms"), Ok(json!({ "p95": "700ms", "p99.9": "4s" })));
    assert_eq!(ttft("services.a.slo.ttft.p99.9=3s"), Ok(json!({ "p95": "2s", "p99.9": "3s" })));
    assert_eq!(ttft("a.slo.ttft.p95=null"), Ok(json!({ "p99.9": "4s" })));
    assert_eq!(
        edited("a.slo.tpot_p99.5=9ms").unwrap()["services"]["a"]["slo"]["tpot"],
        json!({ "p99.5": "9ms" })
    );
    assert_eq!(
        edited("budget.per.services.a=8 USD").unwrap()["budget"]["per"],
        json!({ "services.a": "8 USD" })
    );
    assert!(ttft("a.slo.e2e_p95=null").unwrap_err().contains("not there to be taken away"));
    assert!(ttft("a.slo.ttft.p95.x=1").unwrap_err().contains("`services.a.slo.ttft.p95` has no keys"));
}

/// What is written down of a spec reads back as the same spec: what a changed key rests on.
#[test]
fn the_tree_of_every_example_reads_back() {
    let catalog = rhumb::catalog::Catalog::embedded();
    let vocabulary = catalog.vocabulary();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for folder in std::fs::read_dir(examples).unwrap() {
        let folder = folder.unwrap().path();
        let is_spec = |p: &Path| p.file_stem().is_some_and(|s| s == "deploy");
        let path =
            std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).find(|p| is_spec(p)).unwrap();
        let read = |name: &str| std::fs::read(folder.join(name)).map_err(|e| e.to_string());
        let load = |name: String, text: String| {
            let files = vec![SourceFile { name, text }];
            spec::load(&Sources { files, variables: Vec::new(), vocabulary: &vocabulary, read: &read })
                .unwrap_or_else(|e| panic!("{}: {:#?}", path.display(), e.list))
        };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let first = load(name, std::fs::read_to_string(&path).unwrap());
        let again = load("what-if.yaml".into(), first.tree.to_string().replace("${", "$${"));
        assert_eq!(again.spec, first.spec, "{}", path.display());
        assert_eq!(again.tree, first.tree, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 9);
}

const CHAT: &str = "examples/support-chat";

fn json(args: &[&str]) -> (Value, i32) {
    let (out, err, code) = run(rhumb().args(["--json", "what-if", CHAT]).args(args));
    (serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")), code)
}

#[test]
fn worlds_are_told_beside_the_present_one() {
    let schema = serde_json::from_str(include_str!("../../../src/cli/commands/what_if/schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let (value, code) =
        json(&["price:all=x1", "price:all=x2", "chat.slo.ttft_p95=1ms", "chat.slo.ttft_p95=3s,budget=null"]);
    let faults: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!((faults, code), (vec![], 0), "a refusal is a result");
    let worlds = value["worlds"].as_array().unwrap();
    let feasible: Vec<bool> = worlds.iter().map(|w| w["feasible"].as_bool().unwrap()).collect();
    assert_eq!(feasible, [true, true, false, true]);
    assert_eq!(worlds[0]["against_present"], json!({ "usd_per_month": "0.000000", "differs": [] }));
    assert_eq!(worlds[0]["workloads"], value["present"]["workloads"]);
    let usd = |v: &Value| v["expected_usd_per_month"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(usd(&worlds[1]) > 1.9 * usd(&value["present"]));
    assert!(usd(&worlds[3]) <= usd(&value["present"]), "a loosened objective is never dearer");
    let conflict = &worlds[2]["infeasible"]["workloads"]["services.chat"]["conflict"];
    assert!(conflict.as_array().unwrap().iter().any(|r| r["constraint"] == "ttft"), "{conflict}");
    // A fault is seen by the schema.
    let mut wrong = value.clone();
    wrong["worlds"][0]["against_present"]["differs"] =
        json!([{ "workload": "services.chat", "aspects": ["colour"] }]);
    assert!(!validator.is_valid(&wrong));
    wrong = value.clone();
    wrong["worlds"][1].as_object_mut().unwrap().remove("workloads");
    assert!(!validator.is_valid(&wrong));

    let (out, err, code) = run(rhumb().args(["what-if", CHAT, "price:all=x1", "chat.slo.ttft_p95=1ms"]));
    assert_eq!((err.as_str(), code), ("", 0));
    let line =
        |start: &str| out.lines().find(|l| l.trim_start().starts_with(start)).unwrap_or_default().to_owned();
    assert!(line("price:all=x1").contains("+0.00 (+0.0 %)  nothing"), "{out}");
    assert!(line("chat.slo.ttft_p95=1ms").contains("refused"), "{out}");
    assert!(
        line("ttft (services.chat.slo.ttft.p95, examples/support-chat/deploy.yaml:").contains("27:15"),
        "{out}"
    );
}

#[test]
fn a_wrong_change_is_an_error_before_anything_is_planned() {
    for (change, says) in [
        ("chat.slo.ttft_p95=700", "write `700ms`"),
        ("chat.slo.tft.p95=700ms", "unknown key `tft`"),
        ("chat.traffic.origins.eu.share=50%", "origins"),
        ("chatt.slo.ttft_p95=1s", "did you mean `chat`?"),
        ("catalog=[nowhere.yaml]", "nowhere.yaml"),
    ] {
        let (out, err, code) = run(rhumb().args(["what-if", CHAT, change]));
        assert_eq!((out.as_str(), code), ("", 1), "{change}: {err}");
        assert!(err.contains(says), "{change}: {err}");
        let (value, code) = json(&[change]);
        assert_eq!((value["schema"].as_str(), code), (Some("rhumb.error/1"), 1), "{change}");
    }
}

/// What the README shows is what the command prints.
#[test]
fn the_readme_shows_worlds_as_they_are() {
    if !rhumb::catalog::Catalog::embedded().excluded_sources.is_empty() {
        return;
    }
    let readme = include_str!("../../../README.md");
    let command = readme.lines().find_map(|l| l.strip_prefix("rhumb what-if ")).unwrap();
    let (out, err, _) = run(rhumb().arg("what-if").args(command.split(' ')));
    let start = out.find("Worlds\n").unwrap_or_else(|| panic!("{err}"));
    let end = out.find("  Amounts are").unwrap();
    assert!(readme.contains(&out[start..end]), "{}", &out[start..end]);
    let relaxed = out.lines().find(|l| l.trim_start().starts_with("ttft ") && l.contains("instead"));
    assert!(relaxed.is_some_and(|l| l.contains("ttft p95 455 ms instead")), "{relaxed:?}");
}
