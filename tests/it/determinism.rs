//! Equal inputs give equal bytes: over many runs, and over any number of threads.

use rhumb::catalog::Catalog;

use crate::line;
use crate::oracle::worlds;

/// Several workloads, so that there is something to do at once.
const TWO: &str = r#"
rhumb: 1
name: two
models: { m: { source: Qwen/Qwen3-8B }, n: { source: Qwen/Qwen3-14B } }
services:
  a: { model: m, traffic: { peak: 3 req/s, input_tokens: { mean: 500 }, output_tokens: { mean: 100 } }, slo: { ttft: { p95: 2s } } }
  b: { model: n, traffic: { peak: 5 req/s, input_tokens: { mean: 500 }, output_tokens: { mean: 100 } }, slo: { ttft: { p95: 2s } } }
batches:
  c: { model: m, items: 100k, input_tokens: 300, output_tokens: 10, deadline: 6h }
"#;

/// Runs of the library.
const RUNS: usize = 1_000;

#[test]
fn a_thousand_runs_of_a_small_world_are_one() {
    let base = Catalog::embedded();
    let solved = |seed: u64| {
        let (spec, world) = worlds::case(seed, &base);
        line::place(&spec, &world).is_ok().then_some((spec, world))
    };
    let (spec, world) = (0..50).find_map(solved).expect("a feasible world");
    let first = format!("{:?}", line::place(&spec, &world));
    for run in 1..RUNS {
        assert_eq!(format!("{:?}", line::place(&spec, &world)), first, "run {run}");
    }
}

#[test]
fn refusals_are_equal_too() {
    let base = Catalog::embedded();
    let refused = |seed: u64| {
        let (spec, world) = worlds::case(seed, &base);
        line::place(&spec, &world).is_err().then_some((spec, world))
    };
    let (spec, world) = (0..50).find_map(refused).expect("an infeasible world");
    let first = format!("{:?}", line::place(&spec, &world));
    for run in 1..20 {
        assert_eq!(format!("{:?}", line::place(&spec, &world)), first, "run {run}");
    }
}

#[test]
fn any_number_of_threads_places_the_same() {
    let catalog = Catalog::embedded();
    for text in [include_str!("../../examples/support-chat/deploy.yaml"), TWO] {
        let spec = line::spec(text, &catalog);
        let world = line::world(&spec, &catalog);
        let placed = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let placement = pool.install(|| line::place(&spec, &world)).expect("a placement");
            format!("{placement:?}")
        };
        let one = placed(1);
        assert!(one.len() > 1_000, "a placement is more than this");
        for threads in [2, 4] {
            assert!(placed(threads) == one, "{threads} threads place otherwise");
        }
    }
}
