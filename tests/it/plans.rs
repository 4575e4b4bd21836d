//! The goldens under `plans/`: what a change of code does to real deployments.
//!
//! `RHUMB_BLESS=1 cargo test --test it plans` rewrites them. The facts beside each name were derived
//! by hand, from catalogue rows and the spec, and blessing cannot change them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::extent::one_in;
use crate::planned::{Planned, planned};

/// A build without some sources has other prices: it must plan every example, not the same plan.
pub const REDUCED: bool = option_env!("RHUMB_CATALOG_EXCLUDE").is_some();

struct Golden {
    name: &'static str,
    exit: i32,
    /// Texts that the plan must hold, each derived by hand.
    facts: &'static [&'static str],
}

const GOLDENS: &[Golden] = &[
    Golden {
        name: "autonomous-fleet",
        exit: 0,
        // 1 / 14 ms are 71 requests a second: 26 need one machine, and one more as one may fail. Two of 0.48 USD/h for 730 hours are 700.80, of 0.55
        // 803.00. Two machines of 102.9 W (see factory-edge) at a PUE of 1.4 and 332 g emit 69.8 kg. 8.4 TB in 32,800 shards are 256.1 MB, at 6 MB/s 42.7 s; three
        // machines of 28 vCPUs that were measured have 83 besides the driver: 395.2 waves. 1.3 TB in 20,000 shards are 65 MB, at 18 KB/s 3611 s.
        facts: &[
            "services.predict-us-metros-us-*",
            "(each of 18)",
            "700.80",
            "803.00",
            "69.8 kg",
            "32800 shards of 42.7 s in 396 waves",
            "20000 shards of 3611 s",
            "40.0 t",
        ],
    },
    Golden {
        name: "code-completion",
        exit: 0,
        // Three machines of 3.36312 USD/h for 730 hours.
        facts: &["3 x g7e.2xlarge", "7,365.23", "40.0 of "],
    },
    Golden {
        name: "degraded-chat",
        exit: 0,
        // Two replicas of four accelerators are on one machine: its loss leaves none, so that all of the 6 requests/s are the stand-in's. 58.8928 USD/h
        // for 730 hours are 42,991.74, which a spare would cost as well; three of 1.974 are 4,323.06.
        facts: &[
            "2 replicas, bf16",
            "100 % of its requests",
            "42,991.74",
            "4,323.06",
            "small keeps 92 % of the score (stated)",
            "in a failure",
        ],
    },
    Golden {
        name: "document-rag",
        exit: 0,
        // A bound of the spec; both services must be in Switzerland or the EU.
        facts: &["services.answer", "services.search", "90,000.00 USD a month on the ceiling cost"],
    },
    Golden {
        name: "event-features",
        exit: 0,
        // 114 MB/s in 48 shards are 2.375 MB/s, of which 5 MB/s does a second's in 0.475 s. Of 8 GiB 7.2 are two vCPUs of 3 GiB. In two waves 0.4 + 0.95 T keep up
        // from 8 s on: one wave takes 49 vCPUs with the driver's, 25 machines. 24 have 47, two waves for 80 % of the events: (5 - 0.4) / (1 + 0.76) is 2.6136 s, of
        // which 0.4 + 0.475 x 2.613 are work, and 24 machines do (5 - 2.613 - 0.4) / (0.95 x 2.613) of the events. 25 x 0.07036 USD/h for 730 hours.
        // 2,400 x 4 ms keep 9.6 busy: ten servers on five machines, and one that may fail.
        facts: &[
            "25 x e2-standard-2",
            "RHUMB_TRIGGER_MS=2613",
            "takes 1.64 s at",
            "4.25 s old",
            "76000/s    76043/s",
            "1,284.11",
            "6 x e2-standard-2",
            "checkpoints",
        ],
    },
    Golden {
        name: "factory-edge",
        exit: 0,
        // 1 / 3.3 ms are 303 frames a second: 640 need three, and one more as one may fail; the assistant is on a fifth. A machine takes
        // 72 W + 16 x 3.5 W + 64 x 0.392 W = 153.1 W, 154 in whole watts: 770. Five of 0.42 USD/h at three plants for 730 hours: 4,599.00. At work it takes
        // 72 W x 0.61 + 16 x 2.12 W + 64 x 0.392 W = 102.9 W; times 1.3, 332 g and 730 h: 32.4 kg, of four 0.13 t.
        facts: &[
            "services.inspect-plants-* (each of 3)",
            "4 on_demand",
            "1 wan",
            "4,599.00",
            "5.00 machines  6 stand there",
            "770 watts  a cap of 4200",
            "stated",
            "32.4 kg",
            "0.13 t",
        ],
    },
    Golden {
        name: "fine-tuning",
        exit: 0,
        // 120 million tokens in steps of 64 x 4096: 458; 400 million in steps of 256 x 2048: 763. 80e9 bytes are 74.5 GiB, from the
        // same region for nothing.
        facts: &[
            "run of 458 steps",
            "run of 763 steps",
            "74.5 GiB of dataset",
            "trainings.domain",
            "2,500.00 USD a month",
        ],
    },
    Golden {
        name: "fraud-scoring",
        exit: 0,
        // A region alone has all 9,500 payments. On m7i.large, two servers each, 1.8 ms keep 17.1 busy: 18, nine machines; 6 ms keep 57
        // busy: 58, 29 machines, 76 vCPUs in all. On n4-standard-8 6.4 ms keep 60.8 busy: eight machines; on e2-standard-2, which only
        // has the time of all x86_64, 2.6 ms keep 24.7: thirteen.
        facts: &[
            "9 x m7i.large",
            "29 x m7i.large",
            "8 x n4-standard-8",
            // Nine machines there, thirteen here.
            "services.trees: 2 waves, each once the machines of the one before are healthy (within 600 s):",
            "aws/eu-north-1; then gcp/europe-west1.",
            "13 x e2-standard-2",
            "76.0 vcpus",
            "measured, stated for aws/m7i: 1.8 ms for a",
            "assumed, stated for x86_64 and",
            "scores 97.3 %",
            "42,000.00 USD a month",
        ],
    },
    Golden {
        name: "held-capacity",
        exit: 0,
        // From 2026-11-25 to 2026-12-15 are 480 h: of 55.04 USD/h the other 250 of 730 are 18.849316, for 730 h 13,760.00; the 480 h are 26,419.20.
        // The third H200 machine runs from 08:56:15 to 17:00, 29,025 of 86,400 s at 63.296: 21.26. Two of 31.5 are 45,990.00 in 730 h, used or not; on demand they are 63.296 each, 92,412.16.
        facts: &[
            "1 on_demand + 2 held",
            "0 to 1 x p5en.48xlarge          21.26   15,522.36",
            "1 x p5.48xlarge held            18.85   13,760.00",
            "h100-block ends 480 h into the planned month",
            "would cost 26,419.20 USD more than planned",
            "31.50  45,990.00",
            "unknown    unknown",
            "on demand what is used costs 92,412.16 USD a month",
            "p5en.48xlarge held in aws/us-east-2   2.00  2.00",
        ],
    },
    Golden {
        name: "holiday-shop",
        exit: 0,
        // From four days before 1 December to Christmas Eve are 28 days, in July and August 58, and 279 of 365 are left: 279 x 10,677.72 + 28 x
        // 26,859.15 + 58 x 7,322.50 are 4,155,845, of which a day is 24 / 730. Twelve months of 45,000 are 540,000. Ten machines of eight vCPUs.
        facts: &[
            "4 x g7e.2xlarge",
            "2026-11-25  2026-11-26  usual",
            "2026-11-27  2026-12-24  christmas 3x        10  at least 26,859.15",
            "2026-12-25  2027-07-04  usual                4  at least 10,677.72",
            "2027-07-05  2027-08-31  summer 0.5x",
            "2027-09-01  2027-11-24  usual",
            "at least 136,630.51 USD",
            "540,000.00 USD; the expected cost leaves",
            "(`lead`): christmas 4",
            "80 vcpus needed, not verified",
        ],
    },
    Golden {
        name: "hospital-federation",
        exit: 0,
        // 124 MB are 992 Mbit. A fourteenth of 0.8 of 1.5625 Gbit/s is 89.3 Mbit/s, less than the 200 of a hospital: 11.1 s. 1500 + 2 x 11.1 + 14 x 2
        // are 1550.2 s; 40 of them and a start of 244 s (10 GB at 156 MB/s between 120 and 60) are 17.3 h. 14 x 0.55 USD and 0.2142 for these, and 0.09
        // for each of 14 x 40 x 124 MB, 64.7 GiB: 142.68. One of two machines is the service's: 0.55 x 730.
        facts: &[
            "a run of 40 rounds of 1550 s takes 17.3 h of 30.1 h allowed, costs 142.68",
            "1500 s of training, 11.1 s",
            "14 sites take part, 10 must answer: 4 may be lost",
            "64.7 GiB of updates",
            "401.50",
            "2.00 machines  2 stand there",
            "(each of 14)",
        ],
    },
    Golden {
        name: "impossible-latency",
        exit: 6,
        facts: &[
            "): ttft p95 at most",
            "placement.residency",
            "deploy.yaml:20:20",
            "Infeasible: no placement",
        ],
    },
    Golden {
        name: "long-and-short-prompts",
        exit: 0,
        // ln(1500 / 300) / 1.645 is a deviation of 0.978: 2,048 tokens are 1.963 of them above the median, where 2.48 % are left. Five machines of 1.961
        // USD/h do for all, 7,157.65 a month, and 278.77 for responses either way: 7,436.42. Divided, two of 3.54384, 5,174.01, do for the short ones and
        // one of 1.961, 1,431.53, for the long: 552.11 are saved.
        facts: &[
            "services.chat-to-2048",
            "services.chat-above-2048",
            "2.48 %",
            "2 x g7e.2xlarge",
            "5,174.01",
            "1 x g6e.xlarge",
            "1,431.53",
            "7,436.42",
            "552.11",
            "6,884.31",
        ],
    },
    Golden {
        name: "low-carbon",
        exit: 0,
        // 4,625.856 W x 1.135 x 79.23 g/kWh are 415,985 mg an hour: 303.7 kg in 730 hours. Nine g6e.xlarge of 350 W x 0.61 + 4 x 2.12 W +
        // 32 x 0.392 W for 5.42 hours, 30.4 times: 31.3 kg. In the east both cost as much and emit 1.37 t.
        facts: &[
            "aws/us-west-2      0.30 t  79.2 g/kWh of 2024  1.135, assumed",
            "aws/us-west-2     31.3 kg  79.2 g/kWh of 2024  1.135, assumed",
            "Cap: 1.00 t a month; 0.67 t are left.",
            "cost 0.00 USD/month over the separate optima",
        ],
    },
    Golden {
        name: "moe-reasoning",
        exit: 0,
        // 671 GB of weights need eight accelerators; 63.296 USD/h for 730 hours.
        facts: &["1 x p5en.48xlarge", "46,206.08"],
    },
    Golden {
        name: "nightly-embedding",
        exit: 0,
        // 365.25 / 12 nights a month; the cheapest zone's spot price is 2.5084 USD/h: two for 3.37 hours, 16.90 USD. If spot is refused: 9
        // g6e.xlarge of 1.861 USD/h, 5.70 hours a night, 2,391.72 USD more.
        facts: &["2 x p4d.24xlarge spot", "30.4 runs a", "costs 16.90 USD", "9 on_demand", "+2,391.72"],
    },
    Golden {
        name: "nightly-features",
        exit: 0,
        // Of 32 GiB 28.8 are seven vCPUs of 4 GiB; five machines have 34 beside the driver: 31 waves of 250 MB at 5 MB/s, a tenth more for
        // spot, and two starts of 190 s, 0.579 h. Eight have 3 GiB; two machines have 15: 214 waves of 125 MB at 5 MB/s, 1.74 h. The ceiling
        // is what they cost on demand.
        facts: &[
            "1040 shards of 50.0 s in 31 waves takes 0.58 h",
            "3200 shards of 25.0 s in 214 waves takes 1.74 h",
            "730 runs a month",
            "242.1 GiB of dataset",
            "no rate was measured",
            "3,000.00 USD a month",
        ],
    },
    Golden {
        name: "own-profile",
        exit: 0,
        // 4 long a second keep five g6e.xlarge busy (0.8 each), 24 short four g6.xlarge (6 each). When a g6e.xlarge of seven is lost, 3.6 long take 4.5 of six;
        // 6 medium the other 1.5, the other 4.8 take 3.2 g6.xlarge and 21.6 short 3.6: 6.8 of seven. 7 x 0.8048 and 7 x 1.861 USD/h for 730 hours. Alone
        // g6e.xlarge has 2.4 + 3 + 5 = 10.4: eleven, 20.471 USD/h against 18.6606.
        facts: &[
            "7 x g6.xlarge on_demand          5.63    4,112.53",
            "7 x g6e.xlarge on_demand        13.03    9,509.71",
            "dearer: by itself: 9.7 % dearer",
            "./profile.csv",
            "g6e.xlarge: measured, lines 4, 5, 6 of ./profile.csv",
            "377.76 USD are left",
        ],
    },
    Golden {
        name: "radiology-reports",
        exit: 0,
        // A lost zone leaves one of two machines of 2.327 USD/h; fewer than two never do, whatever the hour: 2 x 2.327 x 730.
        // An L4 segments a study in 7.5 s, so that the one that a lost zone leaves does 0.133/s: 2 of 0.833028 USD/h.
        facts: &["2 x g6e.xlarge", "3,397.42", "all day", "stated: 7500 ms for a study", "1,216.22"],
    },
    Golden {
        name: "recorded-traffic",
        exit: 0,
        // 3,627 gaps in 1,199.1 s; 4 machines of 6.88 USD/h for 730 hours.
        facts: &["4 x p5.4xlarge", "20,089.60", "3.02 of ", "the replay decided"],
    },
    Golden {
        name: "retail-assistant",
        exit: 0,
        // Machines of each hour times 3,600 s, of which the last 225 s have those of the next hour where they are more: 552,375
        // machine-seconds of the day's 86,400, at 8.73134 USD/h, for 730 hours.
        facts: &["3 to 10 x g7e.12xlarge", "40,749.66", "Machines over the day", "17:56:15 to 21:00"],
    },
    Golden {
        name: "shared-machines",
        exit: 0,
        // Apart, one machine each for two services and two for the one that must outlive a machine; together two. Two of 58.8928
        // USD/h for 730 hours are saved: 85,983.49. Of 2 x 8 accelerators 1 + 2 + 2 are taken.
        facts: &[
            "2 on_demand p5.48xlarge",
            "85,983.49 more",
            "5 of 16 h100-sxm-80gb are taken",
            "proven cheapest",
        ],
    },
    Golden {
        name: "shared-quota",
        exit: 0,
        // A p5.48xlarge has 192 vCPUs: two of the three that the separate optima take fit into 400.
        facts: &[
            "Shared limits",
            "384  400",
            "proven cheapest within",
            "2 x p5.48xlarge",
            "1 x p5en.48xlarge",
        ],
    },
    Golden {
        name: "support-chat",
        exit: 0,
        // 8 machines of 3.54384 USD/h for 730 hours carry all 12 requests/s. If they are refused, 8 of the next size, each
        // 4.213 USD/h: 8 x 0.66916 x 730 more.
        facts: &["8 x g7e.2xlarge", "20,696.03", "12.0 of ", "cache bounds the batch", "+3,907.89"],
    },
    Golden {
        name: "two-stage-recommender",
        exit: 0,
        // 72 ms less 5 are 33.8 + 33.2; two services may each break it for half of a percent. 3 of 0.65479 USD/h and 4 of 0.833028 for 730
        // hours.
        facts: &[
            "33.8 ms",
            "33.2 ms",
            "e2e p99.5",
            "1,433.99",
            "2,432.44",
            "1. services.embed",
            "2. services.rank",
            // A term of three years is 0.374862 USD/h.
            "1,337.84       45 %",
        ],
    },
    Golden {
        name: "two-models",
        exit: 0,
        // 3 of 16.57216 USD/h, and 2 of 3.36312 USD/h, for 730 hours; a quarter of 8 requests/s.
        // Of the teams' budgets 50,000 - 36,293.03 and 9,000 - 4,910.16 are left.
        facts: &[
            "36,293.03",
            "4,910.16",
            "2.00 of ",
            "8.00 of ",
            "Budget of team=legal: 50,000.00 USD a month on the ceiling cost; 13,706.97 USD are left.",
            "Budget of team=support: 9,000.00 USD a month on the ceiling cost; 4,089.84 USD are left.",
        ],
    },
    Golden {
        name: "visual-inspection",
        exit: 0,
        // An L4 does 303.03 frames a second in int8: 640 need three. A zone of three has two of four, and two of five: five at
        // 0.742921 USD/h for 730 hours. Two L40S of 1.9609 USD/h, of which one may go, are 151.42 dearer.
        facts: &[
            "5 replicas,  640 of",
            "2,711.64",
            "+151.42",
            "launches of 4",
            "stated: 3.3 ms for a frame",
            "confidence widens nothing",
        ],
    },
    Golden {
        name: "night-desk",
        exit: 0,
        // By convention the office hours are 10 % of the peak from 22 to 8. By day a machine of 58.8928 USD/h, 42,991.74 a month, runs on five days for 14 h
        // and 332 s: 253,660 of a week's 604,800 s, 18,031.23. By night and at weekends one of 23.71569 USD/h runs for the rest and five starts
        // (four nights, a weekend): 604,800 - 5 x 50,400 + 5 x 332 = 354,460 s, 10,146.45. Undivided is the first all week, as in the ceiling.
        facts: &[
            "services.desk-to-10pct",
            "services.desk-above-10pct",
            "0 to 1 x p5.48xlarge",
            "18,031.23",
            "0 to 1 x p4d.24xlarge",
            "10,146.45",
            "28,177.68 USD/month, 14,814.07 less than undivided",
            "undivided 42,991.74",
            "Ceiling: at least 42,991.74 USD a month",
            "7,008.26 USD are left",
            "Mon-Fri 08:00-22:00",
        ],
    },
    Golden {
        name: "weekday-assistant",
        exit: 0,
        // On each working day 10 machines for 8 h and 258 s before 8 and before 13 (29,316 s), 7 from 12 to then (3,342 s), 4 for 2 h and 3 h
        // (18,000 s); on both days of the weekend 3 for 4 h and 258 s (14,658 s): 5 x 388,554 and 2 x 43,974 machine-seconds are 2,030,718 of a
        // week's 604,800 at 1.961 USD/h, for 730 hours 4,806.60. Sunday's rest ends on Monday, 258 s before six. A month that is all peak
        // is 14,710.95, and the one machine besides 1.961 USD/h for 730 hours more: 1,431.53.
        facts: &[
            "0 to 10 x g6e.xlarge             6.58    4,806.60",
            "Machines over the week",
            "Mon 05:55:42",
            "Sat-Sun 08:55:42 to       3 on_demand",
            "Mon-Fri 12:00 to          7 on_demand",
            "nothing runs in the hours without load",
            "A month that is all peak: at least 14,710.95 USD.",
            "Ceiling: at least 16,142.48 USD a month (every spot machine bought on demand, with machines",
        ],
    },
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn rhumb(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb"))
        .current_dir(root())
        .args(args)
        .args(["--at", "2026-11-25"])
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .env_remove("CI")
        .output()
        .expect("the binary starts");
    let text = String::from_utf8(output.stdout).expect("the plan is UTF-8");
    (output.status.code().unwrap_or(-1), text)
}

fn compare(path: PathBuf, found: &str) {
    if std::env::var_os("RHUMB_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; bless with RHUMB_BLESS=1", path.display()));
    if expected != found {
        let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
        let line = line.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
        panic!(
            "{} differs from line {}:\n- {}\n+ {}\nif this is intended, bless with RHUMB_BLESS=1 and explain the difference",
            path.display(),
            line + 1,
            expected.lines().nth(line).unwrap_or("(end)"),
            found.lines().nth(line).unwrap_or("(end)"),
        );
    }
}

#[test]
fn every_example_has_its_golden_plan() {
    let examples: Vec<&str> = planned().iter().map(|p| p.name.as_str()).collect();
    let mut named: Vec<&str> = GOLDENS.iter().map(|g| g.name).collect();
    named.sort_unstable();
    assert_eq!(examples, named, "every example needs a row of facts here");

    // In a reduced catalogue these have no machines to buy.
    let there = |g: &&Golden| {
        let gone = ["shared-machines", "fraud-scoring", "hospital-federation", "night-desk"];
        !REDUCED || !gone.contains(&g.name)
    };
    for golden in GOLDENS.iter().filter(there) {
        let example = format!("examples/{}", golden.name);
        let Planned { exit, text, json: (json_exit, json), .. } = crate::planned::of(golden.name);
        assert_eq!(*exit, golden.exit, "{example}:\n{text}");
        assert_eq!(*json_exit, golden.exit, "{example} --json");
        let value: serde_json::Value = serde_json::from_str(json).expect("one JSON document");
        if REDUCED {
            continue;
        }
        // As many as a person reads of so many workloads; equal ones are told once.
        let told = value["workloads"].as_object().map_or(0, |all| all.len().min(7));
        assert!(text.lines().count() < 200.max(50 * told), "{example}: too long for a person to approve");
        for fact in golden.facts {
            assert!(text.contains(fact), "{example}: the plan lacks `{fact}`:\n{text}");
        }
        let folder = root().join("plans").join(golden.name);
        compare(folder.join("plan.txt"), text);
        compare(folder.join("plan.json"), &format!("{value:#}\n"));
    }
}

#[test]
fn a_saved_plan_is_the_same_on_every_machine_and_passes_the_checker() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("plan.json");
    let saved = saved.to_str().unwrap();
    let (exit, _) = rhumb(&["plan", "examples/support-chat", "--out", saved]);
    assert_eq!(exit, 0);
    let (exit, text) = rhumb(&["check", "--plan", saved, "examples/support-chat"]);
    assert_eq!(exit, 0, "{text}");
    let (exit, _) = rhumb(&["check", "--plan", saved, "examples/two-models"]);
    assert_eq!(exit, 4, "the plan of another spec is stale");
    if !REDUCED {
        compare(root().join("plans/support-chat/saved.json"), &std::fs::read_to_string(saved).unwrap());
    }
    let planted = std::fs::read_to_string(saved).unwrap().replacen(
        "\"created\": \"2026-11-25",
        "\"created\": \"2026-11-24",
        1,
    );
    std::fs::write(saved, planted).unwrap();
    let (exit, _) = rhumb(&["check", "--plan", saved, "examples/support-chat"]);
    assert_eq!(exit, 1, "an edited plan is refused");
}

#[test]
fn threads_change_nothing() {
    let run = |threads: &str| {
        Command::new(env!("CARGO_BIN_EXE_rhumb"))
            .current_dir(root())
            .args(["plan", "examples/two-models", "--json", "--at", "2026-11-25"])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap()
            .stdout
    };
    let one = run("1");
    assert!(!one.is_empty());
    assert!(run("2") == one && run("4") == one);
}

#[test]
fn every_plan_passes_the_independent_checker() {
    // Prices of these examples, of machines or of transfers, are of the source that the reduced catalogue leaves out.
    let gone = [
        "shared-quota",
        "shared-machines",
        "low-carbon",
        "fraud-scoring",
        "hospital-federation",
        "degraded-chat",
        "long-and-short-prompts",
        "night-desk",
    ];
    let there = |g: &&Golden| !REDUCED || !gone.contains(&g.name);
    let all = GOLDENS.iter().filter(|g| g.exit == 0).filter(there);
    for golden in one_in(6, 1).cases(all, |_| [()]) {
        let example = format!("examples/{}", golden.name);
        let (exit, text) = rhumb(&["check", &example]);
        assert_eq!(exit, 0, "{example}:\n{text}");
    }
}

#[test]
fn the_readme_shows_the_plan_and_the_exit_codes_as_they_are() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for (_, code, name, meaning) in rhumb::cli::Exit::TABLE {
        let row = format!("| {code} | {name} | {meaning} |");
        assert!(readme.contains(&row), "README.md lacks `{row}`");
    }
    if REDUCED {
        return;
    }
    let plan = std::fs::read_to_string(root().join("plans/support-chat/plan.txt")).unwrap();
    let shown = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    for line in shown.lines().filter(|l| !l.trim().is_empty() && l.trim() != "...") {
        assert!(plan.lines().any(|p| p == line), "README.md shows a line that is not in the plan: `{line}`");
    }
}
