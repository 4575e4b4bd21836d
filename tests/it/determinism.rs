//! Equal inputs give equal bytes: over many runs, and over any number of threads.

use std::process::Command;

use rhumb::catalog::Catalog;

use crate::line;
use crate::oracle::worlds;

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
fn any_number_of_threads_plans_the_same_bytes() {
    let plan = |threads: &str, example: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_rhumb"))
            .args(["plan", example, "--json", "--at", "2026-11-25"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() > 1_000, "{example}: a plan is more than this");
        output.stdout
    };
    for example in ["examples/support-chat", "examples/two-models"] {
        let one = plan("1", example);
        for threads in ["2", "4"] {
            assert!(plan(threads, example) == one, "{example}: {threads} threads plan otherwise");
        }
    }
}
