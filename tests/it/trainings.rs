//! Trainings from the spec to the machine.

use std::process::Command;

use rhumb::graph;
use rhumb::placement::{Placement, TrainingRun};
use rhumb::render::{self, Artifact};
use rhumb::spec::{Sharding, Spec};
use rhumb_api::{Attr, Money, Purchase, Resource};

use super::line;

/// A tuning of eight billion parameters by a deadline, and a batch that waits for it.
fn spec(catalog: &rhumb::catalog::Catalog, deadline: &str, more: &str) -> Spec {
    let text = format!(
        "rhumb: 1
name: tuning
models: {{ base: {{ source: meta-llama/Llama-3.1-8B-Instruct, revision: abc }} }}
trainings:
  tune:
    model: base
    method: full
    dataset_tokens: 50M
    epochs: 2
    sequence_tokens: 4096
    batch_size: 64
    deadline: {deadline}
    command: [train.py, --note, \"it's new\"]
    {more}
batches:
  after: {{ model: base, items: 1k, input_tokens: 100, output_tokens: 10, deadline: 6h, after: [trainings.tune] }}
"
    );
    line::spec(&text, catalog)
}

const P4D: (&str, &str, Purchase, i64) = ("p4d.24xlarge", "eu-west-1", Purchase::OnDemand, 20_000_000);
const P5: (&str, &str, Purchase, i64) = ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 60_000_000);

fn placed(
    offers: &[(&str, &str, Purchase, i64)],
    deadline: &str,
    more: &str,
) -> Result<(Spec, Placement), rhumb::placement::Infeasible> {
    let catalog = line::on_sale(offers);
    let spec = spec(&catalog, deadline, more);
    let world = line::world(&spec, &catalog);
    line::place(&spec, &world).map(|placement| (spec, placement))
}

fn run(placement: &Placement) -> (&rhumb::placement::BatchRun, &TrainingRun) {
    let run = placement.workloads["trainings.tune"].run.as_ref().unwrap();
    (run, run.training.as_ref().unwrap())
}

/// 100 million tokens in steps of 64 x 4096 are 381.47 steps: 382. Eight accelerators have eight sequences of a step each.
#[test]
fn a_step_is_split_as_it_was_asked_for() {
    let (_, placement) = placed(&[P4D], "2d", "").unwrap();
    let (run, t) = run(&placement);
    assert_eq!(t.steps, 382.0);
    assert_eq!((t.accelerators, t.accumulation * t.micro_batch), (8, 8));
    // Whole state of 16 bytes a parameter needs 120 GiB on each: only what is spread fits in 40 GB.
    assert_eq!(t.sharding, Sharding::Full);
    // Weights of 16 bytes and two moments of 32 bits each.
    assert!((t.checkpoint_gib - 12.0 * 8.03e9 / 1_073_741_824.0).abs() < 1.0, "{}", t.checkpoint_gib);
    assert_eq!(run.cost_per_run, Money::from_micros(P4D.3).scale(run.hours));
    assert!(t.late_hours <= 48.0 && run.hours <= t.late_hours);
    let alone = run.items_per_s * (run.hours * 3600.0 - t.start_up_s);
    assert!(alone > t.steps * 64.0 * 4096.0, "training takes at least its tokens at the planned speed");
}

#[test]
fn a_shorter_deadline_needs_more_or_faster_machines() {
    let (_, slow) = placed(&[P4D, P5], "2d", "").unwrap();
    let hours = run(&slow).1.late_hours;
    let (_, fast) = placed(&[P4D, P5], &format!("{}min", (hours * 60.0 * 0.6).round()), "").unwrap();
    assert!(run(&fast).1.late_hours <= hours * 0.6 + 0.01);
    assert!(run(&fast).0.items_per_s > run(&slow).0.items_per_s);
    assert!(run(&fast).0.cost_per_run >= run(&slow).0.cost_per_run, "the cheapest is chosen first");
    let why = placed(&[P4D, P5], "6min", "").unwrap_err();
    assert!(why.proven, "{why}");
    let constraints: Vec<&str> = why.workloads[0].conflict.iter().map(|r| r.constraint).collect();
    assert!(constraints.contains(&"deadline"), "{constraints:?}");
}

/// The same machine at a third of the price, of which one in twenty is lost in a month: a run of less than two days is hardly
/// interrupted. At the same price it is never worth it.
#[test]
fn spot_is_bought_where_it_pays_with_all_that_is_lost() {
    let spot = |micros| ("p4d.24xlarge", "eu-west-1", Purchase::Spot, micros);
    let all = "purchase: { spot_max_share: 100% }";
    let of = |micros| {
        let (_, placement) = placed(&[P4D, spot(micros)], "2d", all).unwrap();
        let pool = &placement.workloads["trainings.tune"].pools[0];
        (pool.machines[0].purchase, run(&placement).1.interruptions, run(&placement).1.checkpoint_every_s)
    };
    let (cheap, dear) = (of(7_000_000), of(20_000_000));
    assert_eq!((cheap.0, dear.0), (Purchase::Spot, Purchase::OnDemand));
    assert!(cheap.1 > dear.1, "a spot machine is lost more often than others fail");
    assert_eq!(cheap.2, dear.2, "so seldom that the one checkpoint of so short a run is its last");
    // Where nobody lists what it costs on demand, the ceiling cannot count that, and the plan says so.
    let (_, placement) = placed(&[spot(7_000_000), P5], "2d", all).unwrap();
    let chosen = &placement.workloads["trainings.tune"];
    assert_eq!(chosen.pools[0].machines[0].purchase, Purchase::Spot);
    assert_eq!(chosen.cost.ceiling_per_month, chosen.cost.expected_per_month);
    let told = &chosen.caveats;
    assert!(told.iter().any(|c| c.contains("no on-demand price in aws/eu-west-1")), "{told:?}");
}

/// Where checkpoints are nearer to each other because machines are lost more often, as many interruptions cost less: with all
/// machines on spot, each lost with 5 % a month, a run of 64 x 8 accelerators for a day and a half is sooner ended with the one
/// interruption that is planned for than with none on spot.
#[test]
fn a_deadline_that_only_spot_machines_keep_is_kept_by_them() {
    let spot = ("p5.48xlarge", "eu-west-1", Purchase::Spot, 30_000_000);
    let catalog = line::on_sale(&[P5, spot]);
    let mut spec = spec(&catalog, "45h", "");
    let tune = spec.trainings.get_mut("tune").unwrap();
    (tune.batch_size, tune.epochs) = (512, 1.0);
    let world = line::world(&spec, &catalog);
    let place = |deadline_s: f64, share: f64, tokens: f64| {
        let mut spec = spec.clone();
        let tune = spec.trainings.get_mut("tune").unwrap();
        (tune.deadline_s, tune.purchase.spot_max_share, tune.dataset_tokens) = (deadline_s, share, tokens);
        line::place(&spec, &world)
    };
    // As many tokens as 64 machines train on in 30 hours, and 32 not in 45.
    let small = place(45.0 * 3600.0, 0.0, 1e9).unwrap();
    let eight = run(&small).0.items_per_s;
    let tokens = eight * 50.0 * 30.0 * 3600.0;
    let without = place(45.0 * 3600.0, 0.0, tokens).unwrap();
    assert_eq!((run(&without).1.accelerators, run(&without).1.most_interruptions), (512, 1));
    let sooner = run(&without).1.late_hours * 3600.0 - 60.0;
    assert!(place(sooner, 0.0, tokens).is_err());
    let with = place(sooner, 1.0, tokens).unwrap();
    let machines = &with.workloads["trainings.tune"].pools[0].machines;
    assert_eq!((machines[0].purchase, machines[0].count), (Purchase::Spot, 64));
    assert_eq!(run(&with).1.most_interruptions, 1);
}

#[test]
fn what_is_stated_is_kept() {
    let stated = "micro_batch: 2\n    activation_checkpointing: full\n    checkpoint_every: 7min";
    let (_, placement) = placed(&[P4D], "3d", stated).unwrap();
    let t = run(&placement).1;
    assert_eq!((t.micro_batch, t.accumulation, t.checkpoint_every_s), (2, 4, 420.0));
    let why = placed(&[P4D], "3d", "strategy: ddp").unwrap_err();
    assert_eq!(why.workloads[0].conflict[0].constraint, "memory", "{:?}", why.workloads[0].conflict);
}

fn files(spec: &Spec, placement: &Placement) -> (graph::Graph<Resource>, Vec<Artifact>) {
    let desired = graph::compile(spec).unwrap().bind(spec, placement);
    let artifacts = render::artifacts(&desired).unwrap();
    (desired, artifacts)
}

/// A folder with the files of the training, and a stand-in for what they start, which prints its arguments and environment.
fn written(artifacts: &[Artifact], stand_in: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for a in artifacts.iter().filter(|a| a.addr.as_str().starts_with("trainings.tune/")) {
        std::fs::write(folder.path().join(&a.name), &a.content).unwrap();
    }
    let stand_in = folder.path().join(stand_in);
    std::fs::write(&stand_in, "#!/bin/bash\nprintf '%s\\n' \"$@\"\nenv | grep -E '^(RHUMB|TF)_'\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&stand_in, mode).unwrap();
    folder
}

fn start(folder: &std::path::Path, variables: &[(&str, &str)]) -> std::process::Output {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg(folder.join(render::START_SCRIPT))
        .env("PATH", &path)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// TensorFlow has one process for each machine, and every one knows all machines of the run.
#[test]
fn machines_of_tensorflow_know_each_other() {
    let framework = "framework: tensorflow\n    activation_checkpointing: full";
    let of = |deadline: &str| {
        let catalog = line::on_sale(&[P5]);
        let mut spec = spec(&catalog, deadline, framework);
        spec.trainings.get_mut("tune").unwrap().method = rhumb::spec::Method::Lora { rank: 16 };
        let world = line::world(&spec, &catalog);
        line::place(&spec, &world).map(|placement| (spec, placement))
    };
    let (_, one) = of("3d").unwrap();
    assert_eq!(run(&one).1.sharding, Sharding::None);
    assert!(one.workloads["trainings.tune"].pools[0].notes.iter().any(|n| n.contains("TensorFlow")));
    let (spec, placement) = of(&format!("{}min", (run(&one).1.late_hours * 60.0 * 0.7).round())).unwrap();
    let machines = placement.workloads["trainings.tune"].pools[0].machines_per_replica;
    assert_eq!(machines, 2);
    let folder = written(&files(&spec, &placement).1, "python3");
    let with = |hosts: &'static str| {
        let all =
            [("RHUMB_NODE_RANK", "1"), ("RHUMB_HOSTS", hosts), ("RHUMB_CHECKPOINTS", "s3://bucket/tune")];
        start(folder.path(), &all)
    };
    let output = with("10.64.0.5,10.64.0.6");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "train.py\n--note\nit's new\n",
        "RHUMB_ACCELERATORS=8\n",
        "RHUMB_STRATEGY=multi-worker\n",
        "RHUMB_FRAMEWORK=tensorflow\n",
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    let config = text.lines().find_map(|l| l.strip_prefix("TF_CONFIG=")).unwrap();
    let config: serde_json::Value = serde_json::from_str(config).unwrap();
    let known = serde_json::json!({
        "cluster": { "worker": ["10.64.0.5:29400", "10.64.0.6:29400"] }, "task": { "type": "worker", "index": 1 },
    });
    assert_eq!(config, known);
    // With one of two machines nothing is trained.
    let output = with("10.64.0.5");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("the run has 2"));
}

/// The start script runs a stand-in for `torchrun` that prints its arguments and what it finds in its environment.
#[test]
fn machines_start_the_command_with_what_was_chosen() {
    // The stated batch has 32 accelerators at most, and only two machines of eight end in time.
    let (_, one) = placed(&[P5], "2d", "").unwrap();
    let deadline = format!("{}min", (run(&one).1.late_hours * 60.0 * 0.75).round());
    let (spec, placement) = placed(&[P5], &deadline, "dataset: { at: aws/us-east-1, size: 100GB }").unwrap();
    let (desired, artifacts) = files(&spec, &placement);
    let machines = placement.workloads["trainings.tune"].pools[0].machines_per_replica;
    assert!(machines > 1);
    let folder = written(&artifacts, "torchrun");
    let start = |variables: &[(&str, &str)]| start(folder.path(), variables);
    let all = [
        ("RHUMB_NODE_RANK", "1"),
        ("RHUMB_LEADER_ADDRESS", "10.64.0.5"),
        ("RHUMB_CHECKPOINTS", "s3://bucket/tune"),
        ("RHUMB_DATASET_FOLDER", "/data"),
    ];
    let output = start(&all);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let t = run(&placement).1;
    for expected in [
        format!("--nnodes\n{machines}\n--node-rank\n1\n"),
        "--rdzv-endpoint\n10.64.0.5:29400\n".to_owned(),
        "--nproc-per-node\n8\n".to_owned(),
        "train.py\n--note\nit's new\n".to_owned(),
        "RHUMB_MODEL=meta-llama/Llama-3.1-8B-Instruct\n".to_owned(),
        "RHUMB_MODEL_REVISION=abc\n".to_owned(),
        "RHUMB_DATASET=/data\n".to_owned(),
        "RHUMB_DATASET_AT=aws/us-east-1\n".to_owned(),
        "RHUMB_STEPS=382\n".to_owned(),
        format!("RHUMB_STRATEGY={}\n", t.sharding.strategy()),
        format!("RHUMB_MICRO_BATCH={}\n", t.micro_batch),
        format!("RHUMB_GRADIENT_ACCUMULATION={}\n", t.accumulation),
    ] {
        assert!(text.contains(&expected), "no {expected} in\n{text}");
    }
    for missing in 0..all.len() {
        let some: Vec<(&str, &str)> =
            all.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, v)| *v).collect();
        assert!(!start(&some).status.success(), "started without {}", all[missing].0);
    }
    let runs: Vec<&str> = desired.keys().filter(|k| k.ends_with("/on_demand")).collect();
    let (batch, training) = (runs[0], runs[1]);
    assert!(batch.starts_with("batches.after/") && training.starts_with("trainings.tune/"), "{runs:?}");
    assert!(desired.dependencies(batch).contains(&training), "the batch waits for the training");
    assert_eq!(desired.get(training).unwrap().attributes["tokens"], Attr::Int(382 * 64 * 4096));
    let lines = &placement.workloads["trainings.tune"].cost.lines;
    let dataset = lines.iter().find(|l| l.addr.contains("/transfer/dataset/")).unwrap();
    assert!(dataset.what.contains("93.1 GiB"), "{}", dataset.what);
}

#[test]
fn runs_that_wait_for_each_other_are_told() {
    let catalog = line::on_sale(&[P4D]);
    let mut spec = spec(&catalog, "2d", "");
    let at = spec.trainings["tune"].at.join("after").join(0);
    spec.trainings.get_mut("tune").unwrap().after = vec![("batches.after".into(), at.clone())];
    let graph::GraphError::Cycle { path, at: place } = graph::compile(&spec).unwrap_err() else {
        panic!("no circle")
    };
    assert_eq!(path, ["batches.after", "trainings.tune", "batches.after"]);
    assert_eq!(place, spec.batches["after"].after[0].1);
}

/// A run has one pool in one region, so that a rule on several says nothing, wherever it was written.
#[test]
fn a_spread_that_a_run_cannot_have_is_told() {
    let text = "rhumb: 1
name: x
models: { m: { source: acme/one-7b } }
defaults: { placement: { spread: { regions: 2 } } }
trainings:
  t: { model: m, method: full, dataset_tokens: 1M, batch_size: 8, deadline: 6h, command: [train.py] }
batches:
  b: { model: m, items: 1k, input_tokens: 10, deadline: 6h, placement: { spread: { regions: 1 } } }
";
    let loaded = crate::diagnostics::load("a.yaml", text).unwrap();
    let told: Vec<(&str, &str)> = loaded.warnings.list.iter().map(|d| (d.code, &*d.message)).collect();
    let words = "`trainings.t.placement.spread.regions` changes nothing: a run is in one region";
    assert_eq!(told, [("useless-key", words)]);
}
