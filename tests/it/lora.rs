//! Models with LoRA adapters: what every replica holds of them, what that costs, and what the engine is told.

use rhumb::check;
use rhumb::perf::adapters::{self, Adapters};
use rhumb::placement::{Placement, World};
use rhumb::spec::{LoraAdapters, Spec};
use rhumb_api::Purchase;

use crate::line;

fn text(adapters: &str, model: &str, engine: &str) -> String {
    format!(
        "rhumb: 1
name: lora
models:
  assistant: {{ source: {model}{adapters} }}
services:
  a:
    model: assistant
    traffic: {{ peak: 6 req/s, input_tokens: 600, output_tokens: 250 }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
    engine: {{ name: {engine}, args: {{ max_num_seqs: 128 }} }}
"
    )
}

fn placed(text: &str) -> (Spec, World, Result<Placement, rhumb::placement::Infeasible>) {
    let catalog = line::on_sale(&[("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000)]);
    let spec = line::spec(text, &catalog);
    let world = line::world(&spec, &catalog);
    let found = line::place(&spec, &world);
    (spec, world, found)
}

const HELD: &str =
    ", adapters: { max_rank: 20, sources: { legal: acme/legal-lora, claims: acme/claims-lora } }";
const QWEN: &str = "Qwen/Qwen3-8B";

/// Of Qwen3-8B: 36 layers, hidden 4096, 32 heads and 8 of keys of 128, 12288 inside, 151,936 words. A slot of rank 1 holds of a layer
/// 3 x 4096 + 4096 + 2 x 1024 (queries, keys, values), 4096 + 4096 (output), 2 x (4096 + 12288) + 12288 + 4096: 75,776; with the ends, 2 x
/// (151,936 + 4096), that makes 3,040,000. Of rank 32, which vLLM allocates for 20, two slots in 16 bits are 389,120,000 bytes.
const BYTES: f64 = 389_120_000.0;

#[test]
fn every_replica_holds_all_adapters() {
    let (spec, world, alone) = placed(&text("", QWEN, "vllm"));
    let alone = alone.unwrap();
    assert_eq!(check::placement(&spec, &world, &alone), vec![]);
    let (spec, world, with) = placed(&text(HELD, QWEN, "vllm"));
    let with = with.unwrap();
    assert_eq!(check::placement(&spec, &world, &with), vec![]);
    let held = LoraAdapters {
        max_rank: 20,
        sources: [("claims", "acme/claims-lora"), ("legal", "acme/legal-lora")]
            .map(|(name, from)| (name.to_owned(), from.to_owned()))
            .into(),
    };
    assert_eq!(spec.models["assistant"].adapters, Some(held));
    let pools = [&alone, &with].map(|p| &p.workloads["services.a"].pools[0]);
    if let [a, b] = pools
        && a.layout == b.layout
    {
        assert!((b.memory.overhead - a.memory.overhead - BYTES).abs() < 1.0, "{:?} {:?}", a.memory, b.memory);
        assert!(b.memory.kv_cache < a.memory.kv_cache);
        assert!(b.capacity / f64::from(b.replicas) < a.capacity / f64::from(a.replicas));
    } else {
        panic!("{pools:?}");
    }
    assert!(pools[1].notes.iter().any(|note| note.contains("adapters: their memory is counted")));
    let configuration = world.configuration("assistant", pools[1]).unwrap();
    assert_eq!(adapters::bytes(&configuration, Adapters { count: 2, max_rank: 20 }).unwrap(), BYTES);
}

#[test]
fn faults_of_adapters_are_found() {
    let (spec, world, with) = placed(&text(HELD, QWEN, "vllm"));
    let with = with.unwrap();
    let codes = |spec: &Spec, placement: &Placement| -> Vec<&str> {
        check::placement(spec, &world, placement).iter().map(|f| f.code).collect()
    };
    // A plan that forgot them, and one of which more are asked.
    let mut none = spec.clone();
    none.models.get_mut("assistant").unwrap().adapters = None;
    assert!(codes(&none, &with).contains(&"memory"));
    let mut more = spec.clone();
    let held = more.models.get_mut("assistant").unwrap().adapters.as_mut().unwrap();
    held.sources.insert("tax".into(), "acme/tax-lora".into());
    assert!(codes(&more, &with).contains(&"memory"));
    let mut small = with.clone();
    small.workloads.get_mut("services.a").unwrap().pools[0].memory.overhead -= BYTES;
    assert!(codes(&spec, &small).contains(&"memory"));
}

#[test]
fn what_is_not_modelled_is_rejected_with_the_reason() {
    let (_, _, found) = placed(&text(HELD, "Qwen/Qwen3-30B-A3B", "vllm"));
    let why = format!("{:?}", found.unwrap_err().workloads);
    assert!(why.contains("modelled for dense decoders"), "{why}");
}
