//! The graph of a spec and of a placement, the rendered files, and `rhumb graph`.

use std::path::Path;
use std::process::{Command, Output};

use rhumb::catalog::Catalog;
use rhumb::graph::{self, Graph, GraphError};
use rhumb::perf::Layout;
use rhumb::placement::Placement;
use rhumb::render::{self, Artifact, RenderError};
use rhumb::spec::{EngineName, KvCacheDtype, LoraAdapters, ModelSource, Quantization, Spec};
use rhumb_api::{Attr, Resource, ResourceAddr, ResourceKind};

use super::check::base;

fn bound(spec: &Spec, placement: &Placement) -> Graph<Resource> {
    graph::compile(spec).unwrap().bind(spec, placement)
}

/// The base case after a change, as a graph of resources.
fn base_after(change: impl FnOnce(&mut Spec, &mut Placement)) -> Graph<Resource> {
    let (mut spec, mut placement) = (base().0.clone(), base().2.clone());
    change(&mut spec, &mut placement);
    bound(&spec, &placement)
}

const CHAT: &str = "services.chat/aws/eu-west-1";
const TEMPLATE: &str = "services.chat/aws/eu-west-1/p4d.24xlarge/launch_template";

#[test]
fn a_spec_becomes_a_graph_of_its_parts() {
    let graph = graph::compile(&base().0).unwrap();
    let keys: Vec<&str> = graph.keys().collect();
    assert_eq!(
        keys,
        [
            "batches.night",
            "budget",
            "models.chat",
            "services.chat",
            "services.chat.traffic.origins.eu",
            "services.chat.traffic.origins.us"
        ]
    );
    assert_eq!(graph.dependencies("budget"), ["batches.night", "services.chat"]);
    assert_eq!(
        graph.dependencies("services.chat"),
        ["models.chat", "services.chat.traffic.origins.eu", "services.chat.traffic.origins.us"]
    );
    assert_eq!(graph.order().first(), Some(&"models.chat"));
    assert_eq!(graph.order().last(), Some(&"budget"));
}

#[test]
fn a_circle_is_told_with_its_way_and_place() {
    let mut spec = base().0.clone();
    let night = spec.batches["night"].clone();
    for (name, after) in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")] {
        let mut batch = night.clone();
        batch.name = name.into();
        batch.at = rhumb::diagnostic::Pointer(format!("/batches/{name}"));
        batch.after = vec![(format!("batches.{after}"), batch.at.join("after").join(0))];
        spec.batches.insert(name.into(), batch);
    }
    let error = graph::compile(&spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "runs wait for each other: batches.a -> batches.b -> batches.c -> batches.a"
    );
    assert_eq!(error.at().0, "/batches/a/after/0");
    spec.batches.get_mut("c").unwrap().after.clear();
    graph::compile(&spec).unwrap();
}

#[test]
fn a_name_that_is_not_there_is_told_with_the_nearest() {
    let mut spec = base().0.clone();
    let at = rhumb::diagnostic::Pointer("/batches/night/after/0".into());
    spec.batches.get_mut("night").unwrap().after = vec![("batches.nigth".into(), at.clone())];
    let error = graph::compile(&spec).unwrap_err();
    let nearest = Some("batches.night".to_owned());
    assert_eq!(
        error,
        GraphError::UnknownName { from: "batches.night".into(), name: "batches.nigth".into(), at, nearest }
    );
}

#[test]
fn a_placement_becomes_resources_that_need_each_other() {
    let graph = bound(&base().0, &base().2);
    let keys: Vec<String> = graph.keys().map(|k| k.replace("/aws/eu-west-1", "")).collect();
    assert_eq!(
        keys,
        [
            "batches.night/firewall",
            "batches.night/network",
            "batches.night/p4d.24xlarge/launch_template",
            "batches.night/p4d.24xlarge/spot",
            "services.chat/firewall",
            "services.chat/load_balancer",
            "services.chat/network",
            "services.chat/p4d.24xlarge/launch_template",
            "services.chat/p4d.24xlarge/on_demand",
            "services.chat/p4d.24xlarge/spot",
        ]
    );
    for (key, node) in graph.nodes() {
        ResourceAddr::parse(key).unwrap();
        assert_eq!(node.attributes["deployment"], Attr::from(base().0.name.as_str()), "{key}");
        // What an attribute names is there, and is needed.
        for name in ["network", "firewall", "launch_template", "load_balancer"] {
            if let Some(Attr::Text(other)) = node.attributes.get(name) {
                assert!(graph.dependencies(key).contains(&other.as_str()), "{key} {name}");
            }
        }
    }
    assert_eq!(graph.order().len(), graph.len());
    let spot = graph.get(&format!("{CHAT}/p4d.24xlarge/spot")).unwrap();
    assert_eq!((spot.kind, &spot.attributes["count"]), (ResourceKind::Fleet, &Attr::Int(2)));
    let run = graph.get("batches.night/aws/eu-west-1/p4d.24xlarge/spot").unwrap();
    assert_eq!((run.kind, &run.attributes["deadline_s"]), (ResourceKind::JobRun, &Attr::Int(21_600)));
    assert_eq!(run.attributes["items"], Attr::Int(400_000));
    assert_eq!(run.attributes["schedule"], Attr::from("0 1 * * *"));
}

#[test]
fn only_counts_change_when_counts_change() {
    let before = bound(&base().0, &base().2);
    let after = base_after(|_, p| {
        let pool = &mut p.workloads.get_mut("services.chat").unwrap().pools[0];
        pool.machines[0].count += 1;
        pool.replicas += pool.replicas_per_machine;
    });
    let differing: Vec<&str> = before.keys().filter(|k| before.get(k) != after.get(k)).collect();
    assert_eq!(differing, [format!("{CHAT}/p4d.24xlarge/on_demand")]);
}

#[test]
fn pools_of_one_type_in_one_region_stay_apart() {
    let graph = base_after(|_, p| {
        let chat = p.workloads.get_mut("services.chat").unwrap();
        let mut second = chat.pools[0].clone();
        second.addr = ResourceAddr::parse(format!("{CHAT}/p4d.24xlarge/fp8-tp2")).unwrap();
        second.layout.tp = 2;
        chat.pools.push(second);
    });
    let templates = graph.nodes().filter(|(_, n)| n.kind == ResourceKind::LaunchTemplate).count();
    let balancers = graph.nodes().filter(|(_, n)| n.kind == ResourceKind::LoadBalancer).count();
    assert_eq!((templates, balancers), (3, 1));
    assert!(graph.get(&format!("{CHAT}/p4d.24xlarge/fp8-tp2/spot")).is_some());
}

#[test]
fn a_run_needs_the_runs_that_it_comes_after() {
    let graph = base_after(|s, p| {
        let mut morning = s.batches["night"].clone();
        morning.name = "morning".into();
        morning.after = vec![("batches.night".into(), morning.at.join("after").join(0))];
        s.batches.insert("morning".into(), morning);
        let mut run = p.workloads["batches.night"].clone();
        run.address = "batches.morning".into();
        run.pools[0].addr = ResourceAddr::parse("batches.morning/aws/eu-west-1/p4d.24xlarge").unwrap();
        p.workloads.insert("batches.morning".into(), run);
    });
    let needed = graph.dependencies("batches.morning/aws/eu-west-1/p4d.24xlarge/spot");
    assert!(needed.contains(&"batches.night/aws/eu-west-1/p4d.24xlarge/spot"), "{needed:?}");
}

fn script<'a>(artifacts: &'a [Artifact], addr: &str) -> &'a Artifact {
    artifacts.iter().find(|a| a.addr.as_str() == addr && a.name == render::START_SCRIPT).unwrap()
}

/// Runs both files of the chat service with a stand-in for the engine, which prints its arguments one a
/// line; those of every process, in the order of their ports.
fn run(artifacts: &[Artifact], variables: &[(&str, &str)]) -> (Vec<Vec<String>>, Output) {
    let folder = tempfile::tempdir().unwrap();
    for artifact in artifacts.iter().filter(|a| a.addr.as_str() == TEMPLATE) {
        // The stand-in has no place under /run.
        let content = artifact.content.replace("/run/rhumb", &folder.path().to_string_lossy());
        std::fs::write(folder.path().join(&artifact.name), content).unwrap();
    }
    std::fs::write(folder.path().join("api_key"), "k e'y\n").unwrap();
    let stand_in = format!(
        "#!/bin/bash\nout=\"{}/out.${{CUDA_VISIBLE_DEVICES:-all}}\"\nprintf '%s\\0' \"$0\" \"$@\" > \"$out.tmp\"\nmv \"$out.tmp\" \"$out\"\nsleep 0.5\n",
        folder.path().display()
    );
    for engine in ["vllm", "python3", "trtllm-serve"] {
        executable(&folder.path().join(engine), &stand_in);
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .arg(folder.path().join(render::START_SCRIPT))
        .env("PATH", path)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let mut outputs: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("out.")))
        .collect();
    outputs.sort();
    let words = |path: &Path| {
        let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        text.split_terminator('\0').skip(1).map(str::to_owned).collect()
    };
    (outputs.iter().map(|p| words(p)).collect(), output)
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn after<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    words.iter().position(|w| w == flag).and_then(|i| words.get(i + 1)).map(String::as_str)
}

/// The base case's chat pool with one replica a machine.
fn whole_machine(p: &mut Placement, tp: u32) -> &mut rhumb::placement::Pool {
    let pool = &mut p.workloads.get_mut("services.chat").unwrap().pools[0];
    pool.replicas_per_machine = 1;
    pool.layout = Layout { tp, pp: 1, dp: 1, ep: 1 };
    pool
}

#[test]
fn rendered_scripts_are_valid_and_hashed() {
    let graph = bound(&base().0, &base().2);
    let artifacts = render::artifacts(&graph).unwrap();
    assert_eq!(artifacts.len(), 4);
    for artifact in &artifacts {
        let mut bash = Command::new("bash").args(["-n", "-c", &artifact.content]).spawn().unwrap();
        assert!(bash.wait().unwrap().success(), "{}", artifact.content);
        assert!(
            artifact.content.ends_with('\n') && !artifact.content.contains("\n\n\n"),
            "{}",
            artifact.content
        );
    }
    let hashed = render::with_hashes(graph.clone(), &artifacts);
    let sha = &hashed.get(TEMPLATE).unwrap().attributes["start_script_sha256"];
    assert_eq!(sha, &Attr::from(script(&artifacts, TEMPLATE).sha256.as_str()));
    assert!(hashed.get(TEMPLATE).unwrap().attributes.contains_key("environment_sha256"));
    // Hashing again changes nothing: the hash is not part of what is hashed.
    assert_eq!(render::artifacts(&hashed).unwrap(), artifacts);
    let other = render::artifacts(&base_after(|_, p| {
        p.workloads.get_mut("services.chat").unwrap().pools[0].engine.max_num_seqs += 1;
    }));
    assert_ne!(script(&other.unwrap(), TEMPLATE).sha256, script(&artifacts, TEMPLATE).sha256);
}

#[test]
fn fleets_and_runs_carry_the_hash_of_what_starts_their_machines() {
    let hashes = |change: fn(&mut Spec, &mut Placement)| -> Vec<Attr> {
        let graph = base_after(change);
        let artifacts = render::artifacts(&graph).unwrap();
        let hashed = render::with_hashes(graph, &artifacts);
        let machines = |kind| matches!(kind, ResourceKind::Fleet | ResourceKind::JobRun);
        let all = hashed.keys().filter_map(|k| hashed.get(k)).filter(|r| machines(r.kind));
        all.map(|r| r.attributes["launch_template_sha256"].clone()).collect()
    };
    let same = hashes(|_, _| ());
    assert_eq!(same.len(), 3, "a fleet on demand, a fleet on spot, a run");
    let more = hashes(|_, p| p.workloads.get_mut("services.chat").unwrap().pools[0].machines[0].count += 1);
    assert_eq!(more, same, "more machines are not other machines");
    let labelled = hashes(|s, _| {
        s.services.get_mut("chat").unwrap().labels.insert("team".into(), "x".into());
    });
    assert_eq!(labelled, same, "a label changes on a machine that runs");
    let other =
        hashes(|_, p| p.workloads.get_mut("services.chat").unwrap().pools[0].engine.max_num_seqs += 1);
    assert_eq!(other.iter().zip(&same).filter(|(a, b)| a != b).count(), 2, "both fleets, not the run");
}

#[test]
fn every_replica_of_a_machine_has_its_own_accelerators_and_port() {
    let artifacts = render::artifacts(&bound(&base().0, &base().2)).unwrap();
    let (processes, _) = run(&artifacts, &[]);
    let ports: Vec<&str> = processes.iter().filter_map(|w| after(w, "--port")).collect();
    let expected: Vec<String> = (8000..8008).map(|p| p.to_string()).collect();
    assert_eq!(ports, expected);
    assert!(processes.iter().all(|w| w[0] == "serve" && after(w, "--tensor-parallel-size") == Some("1")));
}

#[test]
fn hostile_names_stay_one_word() {
    let hostile = "a'; touch /tmp/x; $(id) `id` \"b\" \\ \n--trust-remote-code é";
    let artifacts = render::artifacts(&base_after(|s, p| {
        let model = s.models.get_mut("chat").unwrap();
        model.source = ModelSource::Known { written: format!("o/{hostile}"), id: "x/y".into() };
        model.revision = Some(format!("-r {hostile}"));
        s.services.get_mut("chat").unwrap().labels.insert("l".into(), hostile.into());
        s.services.get_mut("chat").unwrap().endpoint.api_keys = Some(format!("aws-sm:{hostile}"));
        whole_machine(p, 8);
    }))
    .unwrap();
    let (processes, output) = run(&artifacts, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = &processes[0];
    assert_eq!(words[..2], ["serve".to_owned(), format!("o/{hostile}")]);
    assert_eq!(after(words, "--revision"), Some(format!("-r {hostile}").as_str()));
    assert!(!words.iter().any(|w| w == "--trust-remote-code"));
    assert_eq!(after(words, "--tensor-parallel-size"), Some("8"));
    assert_eq!(after(words, "--gpu-memory-utilization"), Some("0.900"));
}

#[test]
fn engines_get_their_own_flags() {
    let with = |engine: EngineName, layout: Layout| {
        render::artifacts(&base_after(|s, p| {
            s.models.get_mut("chat").unwrap().revision = Some("abc".into());
            let pool = whole_machine(p, 1);
            pool.engine.name = engine;
            pool.layout = layout;
            pool.kv_cache = KvCacheDtype::Fp8;
            pool.quantization = Quantization::Native;
        }))
    };
    let wide = Layout { tp: 2, pp: 2, dp: 2, ep: 4 };
    let (vllm, _) = run(&with(EngineName::Vllm, wide).unwrap(), &[]);
    assert_eq!(after(&vllm[0], "--data-parallel-size"), Some("2"));
    assert_eq!(after(&vllm[0], "--pipeline-parallel-size"), Some("2"));
    assert_eq!(after(&vllm[0], "--kv-cache-dtype"), Some("fp8"));
    assert!(vllm[0].iter().any(|w| w == "--enable-expert-parallel"));
    let (sglang, _) = run(&with(EngineName::Sglang, wide).unwrap(), &[]);
    assert_eq!(sglang[0][..2], ["-m", "sglang.launch_server"]);
    assert_eq!(after(&sglang[0], "--tensor-parallel-size"), Some("4"));
    assert_eq!(after(&sglang[0], "--expert-parallel-size"), Some("4"));
    assert_eq!(after(&sglang[0], "--kv-cache-dtype"), Some("fp8_e4m3"));
    let held = |engine: EngineName| {
        render::artifacts(&base_after(|s, p| {
            s.models.get_mut("chat").unwrap().adapters = Some(LoraAdapters {
                max_rank: 20,
                sources: [("legal", "acme/legal-lora"), ("tax's", "acme/tax")]
                    .map(|(name, from)| (name.to_owned(), from.to_owned()))
                    .into(),
            });
            whole_machine(p, 1).engine.name = engine;
        }))
        .unwrap()
    };
    for (engine, rank, words) in [
        (EngineName::Vllm, "32", ["--max-loras", "--lora-modules"]),
        (EngineName::Sglang, "20", ["--max-loras-per-batch", "--lora-paths"]),
    ] {
        let (found, output) = run(&held(engine), &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = &found[0];
        assert!(found.iter().any(|w| w == "--enable-lora"), "{found:?}");
        assert_eq!(after(found, "--max-lora-rank"), Some(rank));
        assert_eq!(after(found, words[0]), Some("2"));
        let at = found.iter().position(|w| w == words[1]).unwrap();
        assert_eq!(found[at + 1..at + 3], ["legal=acme/legal-lora", "tax's=acme/tax"]);
        assert!(found.get(at + 3).is_none_or(|w| w.starts_with("--")), "{found:?}");
    }
    let (trtllm, output) = run(&with(EngineName::Trtllm, Layout { tp: 4, dp: 1, ..wide }).unwrap(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(after(&trtllm[0], "--tp_size"), Some("4"));
    assert_eq!(after(&trtllm[0], "--revision"), Some("abc"));
    let error = with(EngineName::Trtllm, wide).unwrap_err();
    assert!(matches!(error, RenderError::Unsupported { .. }), "{error}");
}

#[test]
fn what_the_machine_lacks_is_said_and_nothing_is_guessed() {
    let spanning = render::artifacts(&base_after(|_, p| {
        let pool = whole_machine(p, 8);
        pool.layout.pp = 2;
        pool.replicas_per_machine = 0;
        pool.machines_per_replica = 2;
    }))
    .unwrap();
    let (none, output) = run(&spanning, &[]);
    assert!(none.is_empty() && !output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("RHUMB_NODE_RANK"));
    let (words, _) = run(&spanning, &[("RHUMB_NODE_RANK", "1"), ("RHUMB_LEADER_ADDRESS", "10.0.0.1")]);
    assert_eq!(after(&words[0], "--master-addr"), Some("10.0.0.1"));
    assert_eq!(words[0].last().map(String::as_str), Some("--headless"));

    // Weights in 4 bits are made before, and where they are is not known.
    let unknown =
        render::artifacts(&base_after(|_, p| whole_machine(p, 8).quantization = Quantization::Int4));
    let (none, output) = run(&unknown.unwrap(), &[]);
    assert!(none.is_empty() && String::from_utf8_lossy(&output.stderr).contains("RHUMB_MODEL"));
    let named = render::artifacts(&base_after(|s, p| {
        whole_machine(p, 8).quantization = Quantization::Int4;
        let variants = &mut s.models.get_mut("chat").unwrap().variants;
        variants.get_mut("bf16").unwrap().source = Some("o/awq".into());
    }));
    assert_eq!(run(&named.unwrap(), &[]).0[0][1], "o/awq");
}

const SPEC: &str = "rhumb: 1
name: demo
models: { m: { source: Qwen/Qwen3-8B } }
services:
  web:
    model: m
    traffic: { peak: 1 req/s, input_tokens: 100, output_tokens: 10, origins: { de: { at: DE, share: 100% } } }
    slo: { ttft: { p95: 2s } }
batches:
  two: { model: m, items: 10, input_tokens: 10, output_tokens: 1, deadline: 1h, after: [batches.one] }
  one: { model: m, items: 10, input_tokens: 10, output_tokens: 1, deadline: 1h }
";

fn command(spec: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rhumb.yaml"), spec).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .arg("graph")
        .args(arguments)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn the_command_prints_three_languages() {
    let (dot, errors, code) = command(SPEC, &[]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(dot.starts_with("digraph \"demo\" {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains("\"batches.two\" -> \"batches.one\" [label=\"after\"];"), "{dot}");
    let (mermaid, _, _) = command(SPEC, &["--format", "mermaid"]);
    assert!(mermaid.starts_with("flowchart LR\n  n0[\"batches.one\"]:::batch\n"), "{mermaid}");
    let (json, _, _) = command(SPEC, &["--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["schema"], "rhumb.graph/1");
    assert_eq!(value["order"][0], "models.m");
    assert_eq!(command(SPEC, &["--json"]).0, json);
}

#[test]
fn with_resources_it_prints_what_is_to_exist() {
    let only_web = SPEC.split("batches:").next().unwrap();
    let (json, errors, code) = command(only_web, &["--resources", "--format", "json"]);
    assert_eq!(code, Some(0), "{errors}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let nodes = value["nodes"].as_array().unwrap();
    let kinds: Vec<&str> = nodes.iter().map(|n| n["kind"].as_str().unwrap()).collect();
    for kind in ["network", "firewall", "load_balancer", "launch_template", "fleet"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let template = nodes.iter().find(|n| n["kind"] == "launch_template").unwrap();
    assert_eq!(template["attributes"]["start_script_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(template["attributes"]["model"]["repository"], "Qwen/Qwen3-8B");
    assert_eq!(value["order"].as_array().unwrap().len(), nodes.len());
}

#[test]
fn the_same_spec_in_another_order_is_the_same_text() {
    let lines: Vec<&str> = SPEC.lines().collect();
    let (head, services, batches) = (&lines[..3], &lines[3..8], &lines[8..]);
    let swapped = [batches[0], batches[2], batches[1]];
    let permuted = [head, &swapped, services].concat().join("\n");
    assert_ne!(permuted, SPEC);
    for format in ["dot", "mermaid", "json"] {
        assert_eq!(command(&permuted, &["--format", format]), command(SPEC, &["--format", format]));
    }
}

#[test]
fn a_circle_is_shown_in_the_text() {
    let circle = SPEC.replace("  one: { ", "  one: { after: [batches.two], ");
    let (out, errors, code) = command(&circle, &[]);
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(errors.contains("batches.one -> batches.two -> batches.one"), "{errors}");
    assert!(errors.contains("rhumb.yaml:11:"), "{errors}");
}

#[test]
fn the_base_spec_has_a_graph_through_the_catalogue_too() {
    let catalog = Catalog::embedded();
    let spec = super::line::spec(SPEC, &catalog);
    assert_eq!(graph::compile(&spec).unwrap().edges().len(), 5);
}
