//! Runs that held fewer requests in flight than they were asked for.

use rhumb::perf::Load;
use serde_json::{Value, json};

use super::{AIPERF, GENAI, GUIDELLM, VLLM, read, result, with};

/// The same requests with the same latencies, answered over `times` as long.
fn stretched(mut value: Value, times: f64) -> String {
    for (key, by) in
        [("duration", times), ("request_throughput", 1.0 / times), ("output_throughput", 1.0 / times)]
    {
        value[key] = json!(value[key].as_f64().unwrap() * by);
    }
    value.to_string()
}

#[test]
fn a_run_that_did_not_hold_its_requests_in_flight_is_left_out() {
    let load = |text: &str| read(text).map(|mut r| r.measurements.remove(0).load);
    let closed = |concurrency: f64| Ok(Load::Closed { concurrency });
    let guide = |path: &[&str], value: Value| with(GUIDELLM, &[&["benchmarks", "0"], path].concat(), value);
    let streams = |n: u32| guide(&["config", "strategy"], json!({ "type_": "concurrent", "streams": n }));
    // 32 clients, 320 requests of 60 + 255 * 9 ms: 2.355 s.
    let run = || result(32, 60.0, 9.0, &[]);
    for (what, text, reason, fix) in [
        (
            "vllm: fewer requests than clients",
            with(&run().to_string(), &["max_concurrency"], json!(1000)),
            "1000 requests in flight were asked for, and only 320 were sent in all",
            "send at least 10000 requests, 10 for each client",
        ),
        (
            "vllm: a tenth",
            stretched(run(), 10.0),
            "32 requests in flight were asked for, and 3.2 were held on average (1.36 requests/s of 2.35 s each)",
            "or ask for the 3 that were held",
        ),
        ("vllm: just too few", stretched(run(), 1.0 / 0.74), "and 23.7 were held", "find out what held"),
        (
            "vllm: the whole latency is in the file",
            with(&run().to_string(), &["mean_itl_ms"], Value::Null).replacen(
                '{',
                "{\"mean_e2el_ms\": 1177.5, ",
                1,
            ),
            "and 16.0 were held on average (13.59 requests/s of 1.18 s each)",
            "find out",
        ),
        (
            // 8 requests at 2 of 4 in flight: the 8 that start and end cost need three times as many beside them.
            "vllm: few rounds",
            with(VLLM, &["max_concurrency"], json!(4)),
            "4 requests in flight were asked for, and 2.0 were held",
            "send at least 40 requests, 10 for each client",
        ),
        (
            "aiperf: fewer requests than clients",
            with(AIPERF, &["input_config", "phases", "1", "concurrency"], json!(1000)),
            "only 96 were sent in all",
            "at least 10000 requests",
        ),
        (
            "aiperf: too few rounds",
            with(AIPERF, &["input_config", "phases", "1", "concurrency"], json!(32)),
            "and 14.1 were held on average (5.23 requests/s of 2.70 s each)",
            // 96 * (32 / 14.1 - 1) / (4 / 3 - 1)
            "at least 366 requests, 12 for each client",
        ),
        (
            // 5.232 requests/s of 119.13 + 197.8 * 13.05 ms.
            "aiperf: no latency of whole requests",
            with(
                &with(AIPERF, &["request_latency"], Value::Null),
                &["input_config", "phases", "1", "concurrency"],
                json!(20),
            ),
            "and 14.1 were held on average (5.23 requests/s of 2.70 s each)",
            "requests",
        ),
        (
            "genai-perf",
            with(GENAI, &["input_config", "perf_analyzer", "stimulus", "concurrency"], json!(4)),
            "4 requests in flight were asked for, and 1.0 were held",
            "at least 40 requests",
        ),
        (
            "guidellm: fewer requests than streams",
            streams(64),
            "64 requests in flight were asked for, and only 19 were sent in all",
            "at least 640 requests",
        ),
        (
            "guidellm: by its own count",
            streams(2),
            "and 1.0 were held on average (by the file's own count)",
            "at least 58 requests",
        ),
    ] {
        let refusal = load(&text).expect_err(what);
        assert!(refusal.reason.contains(reason), "{what}: {refusal}");
        assert!(refusal.fix.contains(fix), "{what}: {refusal}");
    }
    // What a finite run starts and ends with, pauses of one client, and what is cut off at the end are no fault.
    assert_eq!(load(&stretched(run(), 1.0 / 0.76)), closed(32.0));
    assert_eq!(load(&stretched(result(1, 60.0, 9.0, &[]), 5.0)), closed(1.0));
    let concurrency = |status: &str| guide(&["metrics", "request_concurrency", status, "mean"], json!(1.9));
    let cut = with(
        &streams(2),
        &["benchmarks", "0", "metrics", "request_concurrency", "total"],
        json!({ "mean": 1.9 }),
    );
    assert_eq!(load(&cut), closed(2.0));
    assert_eq!(load(&concurrency("successful")), closed(1.0));
    // A rate holds what it holds.
    let open = with(&stretched(run(), 10.0), &["request_rate"], json!(1.5));
    match load(&open) {
        Ok(Load::Open { rate, in_flight, .. }) => {
            assert!(rate == 1.5 && (in_flight - 3.2).abs() < 1e-9, "{in_flight}");
        }
        other => panic!("{other:?}"),
    }
    // Others of the file stay, and what is left out is told with what to do.
    let two = format!("{}\n{}", run(), stretched(run(), 10.0));
    let results = read(&two).unwrap();
    assert_eq!(results.measurements.len(), 1);
    assert!(
        results.left_out[0].starts_with("run 2: 32 requests in flight were asked for")
            && results.left_out[0].ends_with("that were held"),
        "{:?}",
        results.left_out
    );
}
