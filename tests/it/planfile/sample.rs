//! A plan by hand in which every field of every part has a value, and no two are easily confused.

use rhumb::catalog::{Evidence, Provenance};
use rhumb::diagnostic::Pointer;
use rhumb::perf::training::TrainingMemory;
use rhumb::perf::{EngineSettings, Latency, Layout, MemoryFit, Percentiles, Wait};
use rhumb::placement::*;
use rhumb::plan::{Action, Asked, BudgetLine, Change, FieldChange, Left, LeftWhy, Leftover, Pattern, Plan};
use rhumb::plan::{Prior, Standby, Step};
use rhumb::render::Artifact;
use rhumb::spec::{
    Checkpointing, EngineName, HeldKind, KvCacheDtype, Quantization, Sharding, TrainingPrecision,
};
use rhumb_api::{Attr, Attributes, Cloud, Money, Purchase, Resource, ResourceAddr, ResourceKind};

mod divided;
mod fleets;
mod kept;
mod pipeline;
mod year;

use fleets::{fleet_fallback, on_shared, shared_fleet};

fn addr(text: &str) -> ResourceAddr {
    ResourceAddr::parse(text).unwrap()
}

fn usd(micros: i64) -> Money {
    Money::from_micros(micros)
}

fn source(text: &str) -> Provenance {
    Provenance { source: text.into(), as_of: "2026-10-01".into() }
}

fn at(text: &str) -> Option<Pointer> {
    Some(Pointer(text.into()))
}

fn percentiles(from: f64) -> Percentiles {
    Percentiles { mean: from, shift: from / 3.0, mu: -from / 7.0, sigma: 0.1 + from / 1e9, wait: None }
}

fn layout(tp: u32) -> Layout {
    Layout { tp, pp: 2, dp: 3, ep: 4 }
}

fn candidate(cloud: Cloud, quantization: &str) -> CandidateId {
    CandidateId {
        cloud,
        region: "europe-west4".into(),
        instance_type: "a3-highgpu-8g".into(),
        purchase: Purchase::Reserved1y,
        variant: quantization.into(),
        layout: layout(8),
    }
}

fn pool() -> Pool {
    Pool {
        addr: addr("services.chat/aws/eu-west-1/p5.48xlarge"),
        cloud: Cloud::Aws,
        region: "eu-west-1".into(),
        instance_type: "p5.48xlarge".into(),
        accelerator: Some("h100-sxm-80gb".into()),
        accelerators_per_machine: 8.0,
        vcpus_per_replica: None,
        variant: "fp8".into(),
        quantization: Quantization::Fp8Block,
        kv_cache: KvCacheDtype::Fp8,
        layout: layout(4),
        engine: EngineSettings {
            name: EngineName::Sglang,
            version: (0, 19),
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            max_model_len: 32_768,
            gpu_memory_utilization: 0.92,
        },
        replicas_per_machine: 2,
        machines_per_replica: 1,
        replicas: 6,
        zones: 3,
        machines: vec![
            PoolMachines {
                purchase: Purchase::OnDemand,
                count: 2,
                price: usd(55_040_000),
                list_price: usd(60_000_001),
                provenance: source("aws-prices"),
                interruption: None,
                commitment: None,
            },
            PoolMachines {
                purchase: Purchase::Spot,
                count: 1,
                price: usd(20_000_003),
                list_price: usd(20_000_004),
                provenance: source("user:own.yaml"),
                interruption: Some(0.15),
                commitment: Some("block".into()),
            },
        ],
        shared: None,
        stands_in: None,
        following: None,
        peak_rate: 1.0 / 3.0,
        capacity: 12.345_678_901_234_567,
        latency: Some(Latency {
            ttft: percentiles(210.5),
            tpot: percentiles(17.25),
            e2e: Percentiles {
                wait: Some(Wait { share: 0.4, whole_ms: 3.0, longer: 0.1, longer_ms: 1.0 / 3.0 }),
                ..percentiles(9_000.125)
            },
            utilization: 0.7,
            batch: 31.0,
        }),
        ttft_factor: 1.21,
        tpot_factor: 1.09,
        memory: MemoryFit {
            device: 85_520_809_984.0,
            usable: 7.8e10,
            weights: 1.6e10,
            overhead: 2.5e9,
            kv_cache: 5.95e10,
            kv_per_token: 81_920.0,
            kv_tokens: 726_318.359_375,
            max_sequences: 128,
        },
        evidence: Evidence::Calibrated,
        notes: vec!["a note".into()],
    }
}

/// The service that has nothing but a pool on the shared machines.
fn rank() -> WorkloadPlacement {
    let pool = on_shared("services.rank/aws/eu-west-1/p5.48xlarge", 2, 3, 2);
    WorkloadPlacement {
        address: "services.rank".into(),
        fallbacks: vec![Fallbacks { pool: pool.addr.clone(), list: Vec::new() }],
        pools: vec![pool],
        quotas: Vec::new(),
        ..workload()
    }
}

fn training() -> TrainingRun {
    TrainingRun {
        framework: rhumb::spec::Framework::TensorFlow,
        rank: Some(16),
        precision: TrainingPrecision::Fp8,
        accelerators: 16,
        sharding: Sharding::Gradients,
        checkpointing: Checkpointing::Full,
        sequence_tokens: 4096,
        micro_batch: 2,
        accumulation: 4,
        steps: 12_000.0,
        predicted_tokens_per_s: 81_234.5,
        memory: TrainingMemory {
            device: 80e9,
            weights: 33e9,
            gradients: 1e9,
            optimizer: 2e9,
            gathered: 3e9,
            activations: 4e9,
            logits: 5e9,
            runtime: 6e9,
        },
        start_up_s: 255.5,
        checkpoint_gib: 1.5,
        checkpoint_s: 0.75,
        checkpoint_every_s: 600.25,
        interruptions: 0.125,
        most_interruptions: 1,
        late_hours: 3.5,
    }
}

fn fallback() -> Fallback {
    let mut pool = pool();
    pool.region = "eu-west-3".into();
    pool.addr = addr("services.chat/aws/eu-west-3/p5.48xlarge");
    Fallback {
        pool,
        more_per_month: usd(-1_000_001),
        ceiling_per_month: usd(120_537_603_000),
        run: Some(BatchRun {
            hours: 4.5,
            deadline_hours: 6.0,
            items_per_s: 600.25,
            runs_per_month: 30.4,
            cost_per_run: usd(77_000_002),
            training: None,
            pipeline: Some(pipeline::run()),
            federation: None,
        }),
        caveats: vec!["offered: unknown there".into()],
    }
}

fn workload() -> WorkloadPlacement {
    WorkloadPlacement {
        address: "services.chat".into(),
        pools: vec![pool(), on_shared("services.chat/aws/eu-west-1/p5.48xlarge/2", 4, 2, 1)],
        fallbacks: vec![Fallbacks { pool: pool().addr, list: vec![fallback()] }],
        routes: vec![Route {
            origin: "eu".into(),
            to: vec![(0, 1.0)],
            network_ms: vec![33.7],
            evidence: Evidence::Measured,
        }],
        objectives: vec![
            objective(Metric::Ttft, Some(0.95)),
            objective(Metric::Tpot, None),
            objective(Metric::E2e, Some(0.5)),
        ],
        failures: vec![FailureCheck {
            scope: "zone",
            count: 1,
            at: "services.chat/aws/eu-west-1/p5.48xlarge".into(),
            replicas_left: 4,
            required_rate: 5.5,
            capacity: 6.6,
        }],
        cost: Cost {
            lines: vec![
                CostLine {
                    addr: "services.chat/aws/eu-west-1/p5.48xlarge/on_demand".into(),
                    what: "2 x p5.48xlarge on_demand".into(),
                    per_hour: Some(usd(110_080_000)),
                    evidence: Evidence::Listed,
                    provenance: Some(source("aws-prices")),
                },
                CostLine {
                    addr: "services.chat/aws/eu-west-1/load_balancer".into(),
                    what: "load balancer".into(),
                    per_hour: None,
                    evidence: Evidence::Assumed,
                    provenance: None,
                },
            ],
            expected_per_hour: usd(130_080_003),
            expected_per_month: usd(94_958_402_190),
            peak_per_month: usd(94_958_402_190),
            ceiling_per_month: usd(120_537_602_000),
            incomplete: true,
        },
        mix: Some(SizeMix {
            file: "./profile.csv".into(),
            sha256: "ab".repeat(32),
            kinds: vec![MixKind { cloud: Cloud::Aws, instance_type: "p5.48xlarge".into(), machines: 3 }],
            classes: vec![SizeClass {
                name: "short".into(),
                demand: 5_500_000,
                to: vec![MixPart { kind: 0, billionths: 1_000_000_000 }],
            }],
            losses: vec![MixLoss {
                lost: vec![1],
                routes: vec![MixRoute { to: vec![MixPart { kind: 0, billionths: 1_000_000_000 }] }],
            }],
            proofs: vec![MixProof {
                prices: vec![vec![40_204_800_000]],
                tree: vec![
                    MixBranch { kind: Some(0), at: 2 },
                    MixBranch { kind: None, at: 0 },
                    MixBranch { kind: None, at: 0 },
                ],
            }],
        }),
        run: Some(BatchRun {
            hours: 3.25,
            deadline_hours: 6.0,
            items_per_s: 812.5,
            runs_per_month: 30.4,
            cost_per_run: usd(77_000_001),
            training: Some(training()),
            pipeline: None,
            federation: Some(FederationRun {
                framework: rhumb::spec::FederationFramework::Flower,
                rounds: 40,
                round_s: 1550.25,
                round_limit_s: 2700.0,
                start_up_s: 244.5,
                aggregate_s: 2.0,
                min_sites: 1,
                clients: vec![FederationClient {
                    site: "plant-7".into(),
                    transfer_s: 11.125,
                    local_s: 1500.0,
                    round_s: 1550.25,
                }],
                left_out: vec![LeftOut {
                    site: "plant-8".into(),
                    reason: "its bandwidth is not known".into(),
                }],
                sent_gib: 64.75,
            }),
        }),
        certificate: Certificate {
            family: "one pool".into(),
            candidates: 1000,
            rejected: [("memory".to_owned(), 400), ("ttft".to_owned(), 100)].into(),
            bounded: 300,
            evaluated: 200,
            optimum: usd(130_080_003),
            lower_bound: usd(130_080_002),
            together: false,
        },
        losers: vec![Loser {
            candidate: candidate(Cloud::Gcp, "bf16"),
            machines: Some(4),
            per_hour: usd(140_000_000),
            rejection: Rejection {
                constraint: "residency",
                reason: "not in the EU".into(),
                at: at("/services/chat/residency"),
                distance: Some(0.25),
            },
        }],
        relaxations: vec![Relaxation {
            constraint: "ttft",
            at: at("/services/chat/slo/ttft"),
            change: "ttft p95 700ms instead of 500ms".into(),
            cost_per_month: usd(80_000_000_000),
            saves_per_month: Some(usd(14_958_402_190)),
            choice: Some(candidate(Cloud::Azure, "int4")),
        }],
        quotas: vec![
            QuotaNeed {
                cloud: Cloud::Aws,
                region: "eu-west-1".into(),
                code: "L-417A185B".into(),
                name: "Running On-Demand P instances".into(),
                unit: "vcpus",
                amount: 384.0,
                declared: Some(400.0),
                default_new_account: Some(0.0),
            },
            QuotaNeed {
                cloud: Cloud::Aws,
                region: "global".into(),
                code: "held:compute".into(),
                name: "covered by a savings plan".into(),
                unit: "usd_per_hour",
                amount: 2.350_016,
                declared: Some(40.000_001),
                default_new_account: None,
            },
        ],
        caveats: vec!["offered: unknown".into()],
    }
}

fn objective(metric: Metric, quantile: Option<f64>) -> ObjectiveCheck {
    ObjectiveCheck {
        origin: "eu".into(),
        metric,
        quantile,
        limit_ms: 500.0,
        network_ms: 33.7,
        predicted_ms: 300.3,
        at_confidence_ms: 399.9,
        evidence: Evidence::Modelled,
    }
}

fn fleet(count: i64) -> Resource {
    let labels = Attr::Map([("team".to_owned(), "ml \"é\"\n".into())].into());
    let ports = Attr::List(vec![8000.into(), 8001.into()]);
    let attributes: Attributes =
        [("count", count.into()), ("drain", true.into()), ("labels", labels), ("target_ports", ports)]
            .map(|(k, v)| (k.to_owned(), v))
            .into();
    Resource { kind: ResourceKind::Fleet, cloud: Cloud::Aws, region: "eu-west-1".into(), attributes }
}

/// The plan.
pub fn plan() -> Plan {
    let network = addr("services.chat/aws/eu-west-1/network");
    let machines = addr("services.chat/aws/eu-west-1/p5.48xlarge/on_demand");
    let gone = addr("services.old/aws/eu-west-1/network");
    let net = Resource { kind: ResourceKind::Network, attributes: Attributes::default(), ..fleet(0) };
    let other = Resource { region: "eu-west-2".into(), ..net.clone() };
    let change = |addr: &ResourceAddr, action, before: Option<&Resource>, after: Option<&Resource>| Change {
        addr: addr.clone(),
        action,
        reasons: vec!["count 1 -> 2".into()],
        before: before.cloned(),
        after: after.cloned(),
        fields: Vec::new(),
        depends_on: vec![network.clone()],
    };
    let mut grown = change(&machines, Action::Update, Some(&fleet(1)), Some(&fleet(2)));
    grown.fields = vec![FieldChange {
        name: "count".into(),
        before: Some(1.into()),
        after: Some(2.into()),
        forces_replacement: false,
    }];
    let kept = addr("services.zz/aws/eu-west-1/network");
    Plan {
        name: "demo".into(),
        created: "2026-11-25T08:00:00Z".into(),
        tool_version: "0.1.0".into(),
        spec_digest: "a".repeat(64),
        catalog_digest: "b".repeat(64),
        valid_until: Some("2026-11-27T08:00:00Z".into()),
        destroy: false,
        dips: super::changes::dips(),
        surge: super::changes::surge(),
        rollback: super::changes::rollback(),
        rollouts: super::changes::rollouts(),
        asked: Asked { targets: vec![Pattern::parse("services.*").unwrap()], ..Asked::default() },
        left: vec![Left { change: change(&gone, Action::Remove, Some(&net), None), why: LeftWhy::Ended }],
        prior: Some(Prior { lineage: "3f1c".into(), serial: 7, digest: "c".repeat(64), simulated: true }),
        confidence: 0.8,
        user_files: vec!["own.yaml".into()],
        steps: vec![
            Step { addr: network.clone(), action: Action::Replace },
            Step { addr: machines.clone(), action: Action::Update },
            Step { addr: gone.clone(), action: Action::Remove },
        ],
        leftovers: vec![Leftover { addr: gone.clone(), id: "i-1".into(), why: "failed".into() }],
        changes: vec![
            change(&network, Action::Replace, Some(&other), Some(&net)),
            grown,
            change(&gone, Action::Remove, Some(&net), None),
            change(&kept, Action::Keep, Some(&net), Some(&net)),
        ],
        placement: Placement {
            workloads: [workload(), rank()].map(|w| (w.address.clone(), w)).into(),
            fleets: vec![SharedFleet { fallbacks: vec![fleet_fallback()], ..shared_fleet() }],
            joint_violations: vec![JointViolation {
                constraint: "budget",
                reason: "too much".into(),
                at: at("/budget"),
            }],
            emissions: Emissions {
                machines: [
                    (
                        "services.chat/aws/eu-west-1/p5.48xlarge".to_owned(),
                        Emission {
                            mg_per_month: Some(2_190_000_001),
                            mg_per_hour: Some(1_000_000),
                            watts: Some(4625.5),
                            pue: Some(1.135),
                            pue_of_region: false,
                            g_per_kwh: Some(275.82),
                            year: Some(2024),
                            provenance: Some(source("aws-prices")),
                            unknown: None,
                        },
                    ),
                    (
                        "services.rank/gcp/x/y".to_owned(),
                        Emission { unknown: Some("not known".into()), ..Emission::default() },
                    ),
                ]
                .into(),
                cap_mg: Some(12_000_000_000),
            },
            chains: vec![rhumb::placement::ChainSplit {
                name: "all".into(),
                quantile: 0.99,
                limit_ms: 900.0,
                between_ms: 5.0,
                part_quantile: 0.995,
                steps: vec![vec![rhumb::placement::ChainPart {
                    address: "services.a".into(),
                    limit_ms: 400.5,
                }]],
            }],
            kept: Some(kept::services()),
            commitments: vec![rhumb::placement::Commitment {
                addr: "services.chat/aws/eu-west-1/p5.48xlarge/on_demand".into(),
                purchase: Purchase::Reserved3y,
                machines: 2,
                price: Money::from_micros(25_000_001),
                instead_of: Money::from_micros(55_040_000),
                saves_per_month: Money::from_micros(43_858_398_540),
                provenance: Provenance { source: "own".into(), as_of: "2026-11-25".into() },
            }],
            held: vec![HeldUse {
                name: "block".into(),
                kind: HeldKind::CapacityBlock,
                cloud: Cloud::Aws,
                region: "us-east-2".into(),
                instance_type: "p5en.48xlarge".into(),
                count: 3,
                used: 2,
                until: "2027-06-30".into(),
                hours: 730,
                usable: true,
                cost: None,
                id: Some("cr-0a1".into()),
                rises_per_month: Some(Money::from_micros(5)),
            }],
            savings: vec![SavingsUse {
                name: "compute".into(),
                cloud: Cloud::Aws,
                spend: usd(40_000_001),
                covered: vec![Covered {
                    region: "us-east-2".into(),
                    instance_type: "g6.xlarge".into(),
                    machines: 4,
                    rate: usd(587_504),
                }],
                mean: usd(1_175_008),
                until: "2027-06-30".into(),
                hours: 480,
                id: None,
                rises_per_month: usd(7),
            }],
            coupling: Some(coupling()),
            divided: Some(divided::services()),
        },
        artifacts: vec![Artifact {
            addr: addr("services.chat/aws/eu-west-1/p5.48xlarge/launch_template"),
            name: "start.sh".into(),
            content: "#!/bin/sh\nexec vllm serve \"$MODEL\"\n".into(),
            sha256: "d".repeat(64),
        }],
        year: Some(year::year()),
        standbys: vec![Standby {
            pool: pool().addr,
            by: fallback().pool.addr,
            spot: fallback().spot(),
            more_per_month: fallback().more_per_month,
            changes: vec![change(&kept, Action::Keep, Some(&net), Some(&net))],
            without: vec![machines.clone()],
            artifacts: Vec::new(),
        }],
        budgets: vec![
            BudgetLine {
                workload: None,
                label: None,
                limit: usd(90_000_000_000),
                binds: "ceiling".into(),
                figure: usd(120_537_602_000),
            },
            BudgetLine {
                workload: None,
                label: Some(("team".into(), "search".into())),
                limit: usd(70_000_000_000),
                binds: "ceiling".into(),
                figure: usd(60_537_602_000),
            },
        ],
        warnings: vec!["a warning".into()],
    }
}

fn coupling() -> Coupling {
    Coupling {
        limits: vec![
            SharedLimit {
                constraint: "quota",
                workload: None,
                label: None,
                cloud: Some(Cloud::Aws),
                region: Some("eu-west-1".into()),
                code: Some("L-417A185B".into()),
                limit: 384.0,
                taken: 192.0,
                multiplier: 1_234_567,
                worth: usd(73_585_000),
                at: at("/providers/aws/quotas"),
            },
            SharedLimit {
                constraint: "budget",
                workload: None,
                label: Some(("team".into(), "search".into())),
                cloud: None,
                region: None,
                code: None,
                limit: 70_000.0,
                taken: 60_537.602,
                multiplier: 0,
                worth: usd(0),
                at: at("/budget/by_label/team/search"),
            },
        ],
        carbon_price: 1_509_949,
        optimum: usd(50_000_000_000),
        lower_bound: usd(49_999_000_000),
        apart: usd(48_000_000_000),
        least: [("services.chat".to_owned(), usd(50_000_000_000))].into(),
        plans: 12,
        nodes: 3,
        stopped: Some(Stop::TimeLimit),
    }
}
