//! Services with a profile: by hand, laws, planted faults in the division and in the proof, and what is wrong with a CSV.

mod elsewhere;

use rhumb::catalog::{Catalog, Evidence};
use rhumb::check;
use rhumb::diagnostic::{Diagnostic, SourceFile};
use rhumb::placement::{MixBranch, MixPart, Placement, SizeMix};
use rhumb::spec::{self, Loaded, Sources};
use rhumb_api::{Cloud, Money, Purchase};

use crate::faults::{self, Case, Fault};
use crate::line;

/// Short requests are cheap on the small type, long ones on the large: 20 short a second keep two of the small busy, 20 long two of the
/// large.
const CSV: &str = "size_class,cloud,instance_type,requests_per_s
short,aws,g6.xlarge,10
short,aws,g6e.xlarge,12
long,aws,g6.xlarge,1
long,aws,g6e.xlarge,10
";

fn text(more: &str) -> String {
    format!(
        "rhumb: 1
name: own
services:
  s:
    profile: ./p.csv
    image: r/s:1
    traffic: {{ peak: 40 req/s, size_classes: {{ short: 50%, long: 50% }} }}
{more}"
    )
}

fn load(text: &str, csv: &str, catalog: &Catalog) -> Result<Loaded, Vec<Diagnostic>> {
    let vocabulary = catalog.vocabulary();
    let sources = Sources {
        files: vec![SourceFile { name: "test.yaml".into(), text: text.into() }],
        variables: Vec::new(),
        vocabulary: &vocabulary,
        read: &|path| match path {
            "./p.csv" => Ok(csv.as_bytes().to_vec()),
            _ => Err("no such file".to_owned()),
        },
    };
    spec::load(&sources).map_err(|diagnostics| diagnostics.list)
}

fn on_sale(small: i64, large: i64) -> Catalog {
    line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, small),
        ("g6e.xlarge", "us-east-1", Purchase::OnDemand, large),
    ])
}

/// A placement that the checker passes and finds optimal.
fn proven(text: &str, csv: &str, catalog: &Catalog) -> Case {
    let spec = load(text, csv, catalog).unwrap_or_else(|list| panic!("{list:#?}")).spec;
    let world = line::world(&spec, catalog);
    let placement = line::place(&spec, &world).unwrap_or_else(|why| panic!("{why:?}\n{text}"));
    let findings = check::placement(&spec, &world, &placement);
    assert!(findings.is_empty(), "\n{}\n{text}", faults::told(&findings));
    let proof = check::prove(&spec, &world, &placement);
    assert!(proof.report.findings.is_empty(), "\n{}\n{text}", faults::told(&proof.report.findings));
    assert_eq!(proof.all.gap(), Some(0.0), "{proof:?}\n{text}");
    (spec, world, placement)
}

fn textbook() -> Case {
    proven(&text(""), CSV, &on_sale(800_000, 1_900_000))
}

fn mix(p: &mut Placement) -> &mut SizeMix {
    p.workloads.get_mut("services.s").and_then(|w| w.mix.as_mut()).unwrap()
}

fn machines(p: &Placement, address: &str) -> Vec<(String, u32)> {
    let of = |p: &rhumb::placement::Pool| (p.instance_type.clone(), p.replicas);
    p.workloads[address].pools.iter().map(of).collect()
}

fn hour(p: &Placement, address: &str) -> Money {
    p.workloads[address].cost.expected_per_hour
}

#[test]
fn every_key_arrives_in_the_typed_spec() {
    let loaded = crate::diagnostics::load("deploy.yaml", crate::spec::FULL).unwrap();
    let spec = &loaded.spec;
    let sized = &spec.profiled["sized"];
    assert_eq!(sized.profile.file.path, "./sizes.csv");
    assert_eq!(sized.rate("short", Cloud::Aws, "p5.48xlarge"), Some(40_500_000));
    assert_eq!(sized.rate("short", Cloud::Azure, "Standard_ND96isr_H100_v5"), Some(38_000_000));
    assert_eq!(sized.rate("long", Cloud::Azure, "Standard_ND96isr_H100_v5"), None);
    assert_eq!((sized.image.as_str(), sized.command.len()), ("registry.example.com/own:3", 2));
    assert_eq!(
        (sized.peak, sized.demand("short"), sized.demand("long")),
        (30_000_000, 22_500_000, 7_500_000)
    );
    assert_eq!((sized.survive, sized.capacity), (1, 0.8));
    assert_eq!((sized.least_machines, sized.most_machines), (2, Some(40)));
    assert_eq!(sized.purchase.options, [Purchase::OnDemand, Purchase::Reserved1y]);
    assert_eq!((sized.purchase.held, sized.labels["tier"].as_str()), (false, "gold"));
    assert_eq!(loaded.named.keys().collect::<Vec<_>>(), ["./sizes.csv"]);
}

#[test]
fn a_mix_of_two_types_beats_each() {
    let (_, _, placement) = textbook();
    // 2 x 0.80 + 2 x 1.90. By themselves 22 of the small take 17.60, and of the large 20/12 + 20/10 = 3.67, so four, 7.60.
    assert_eq!(machines(&placement, "services.s"), [("g6.xlarge".into(), 2), ("g6e.xlarge".into(), 2)]);
    assert_eq!(hour(&placement, "services.s"), Money::from_micros(5_400_000));
    let placed = &placement.workloads["services.s"];
    assert!(placed.pools.iter().all(|p| p.evidence == Evidence::Measured));
    let losers: Vec<(String, Option<u32>, Money)> =
        placed.losers.iter().map(|l| (l.candidate.instance_type.clone(), l.machines, l.per_hour)).collect();
    let dearer = |kind: &str, n, micros| (kind.to_owned(), Some(n), Money::from_micros(micros));
    assert_eq!(losers, [dearer("g6e.xlarge", 4, 7_600_000), dearer("g6.xlarge", 22, 17_600_000)]);
}

/// A type that is cheaper elsewhere costs nobody what it does here, and is proven by prices that know nothing of it: 25 requests a second take
/// 4.17 machines, and of whole dollars five is the least that is no less.
#[test]
fn a_type_is_on_sale_in_several_regions() {
    let csv = "size_class,cloud,instance_type,requests_per_s\nall,aws,g6.xlarge,6\n";
    let text =
        text("").replace("peak: 40 req/s", "peak: 25 req/s").replace("short: 50%, long: 50%", "all: 100%");
    let catalog = line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, 1_000_000),
        ("g6.xlarge", "us-east-2", Purchase::OnDemand, 1_300_000),
    ]);
    let (_, _, placement) = proven(&text, csv, &catalog);
    assert_eq!(hour(&placement, "services.s"), Money::from_micros(5_000_000));
}

/// A load may be over by a millionth (decision 20), and no more.
#[test]
fn a_load_may_be_over_by_a_millionth() {
    let csv = "size_class,cloud,instance_type,requests_per_s\nall,aws,g6.xlarge,6\n";
    let all = text("").replace("short: 50%, long: 50%", "all: 100%");
    for (peak, machines) in [("30", 5), ("30.00001", 5), ("30.00002", 5), ("30.00004", 6), ("30.1", 6)] {
        let text = all.replace("peak: 40 req/s", &format!("peak: {peak} req/s"));
        let (_, _, placement) = proven(&text, csv, &on_sale(800_000, 1_900_000));
        assert_eq!(self::machines(&placement, "services.s"), [("g6.xlarge".into(), machines)], "{peak}");
    }
}

#[test]
fn a_loss_is_carried_by_what_is_left() {
    let more = "    survive: { machine: 1 }\n    during_failure: { capacity: 50% }\n";
    let (_, _, placement) = proven(&text(more), CSV, &on_sale(800_000, 1_900_000));
    // Half of all on two of the small and one of the large: 10 long keep it busy, 10 short one of the small. On one of the small and two of
    // the large as well.
    assert_eq!(hour(&placement, "services.s"), Money::from_micros(5_400_000));
    let placed = &placement.workloads["services.s"];
    assert_eq!(placed.mix.as_ref().unwrap().losses.len(), 2);
    assert_eq!((placed.failures[0].replicas_left, placed.failures[0].required_rate), (3, 20.0));
    // All of it needs more machines, and a proof that says so.
    let (_, _, all) = proven(&text("    survive: { machine: 1 }\n"), CSV, &on_sale(800_000, 1_900_000));
    assert!(hour(&all, "services.s") > Money::from_micros(5_400_000));
}

/// 20 requests a second are two of the small or one of the large, which is dearer. Together they may have three machines of 4 vCPUs.
#[test]
fn two_services_share_a_quota() {
    let csv = "size_class,cloud,instance_type,requests_per_s\nall,aws,g6.xlarge,10\nall,aws,g6e.xlarge,25\n";
    let service = |name: &str| {
        format!(
            "  {name}:\n    profile: ./p.csv\n    image: r/s:1\n    traffic: {{ peak: 20 req/s, size_classes: {{ all: 100% }} }}\n"
        )
    };
    let text = format!(
        "rhumb: 1\nname: own\nservices:\n{}{}providers: {{ aws: {{ quotas: {{ us-east-1: {{ L-DB2E81BA: 12 }} }} }} }}\n",
        service("a"),
        service("b")
    );
    let (_, _, placement) = proven(&text, csv, &on_sale(800_000, 1_900_000));
    let all = hour(&placement, "services.a") + hour(&placement, "services.b");
    assert_eq!(all, Money::from_micros(1_600_000 + 1_900_000));
    assert!(placement.coupling.is_some());
}

#[test]
fn laws() {
    let (_, _, base) = textbook();
    // A type that is dearer and slower in everything.
    let csv = format!("{CSV}short,aws,g6e.2xlarge,9\nlong,aws,g6e.2xlarge,0.9\n");
    let catalog = line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, 800_000),
        ("g6e.xlarge", "us-east-1", Purchase::OnDemand, 1_900_000),
        ("g6e.2xlarge", "us-east-1", Purchase::OnDemand, 2_000_000),
    ]);
    let (_, _, dominated) = proven(&text(""), &csv, &catalog);
    assert_eq!(machines(&dominated, "services.s"), machines(&base, "services.s"));
    // Two classes with equal rows are one.
    let csv = CSV
        .replace("short,", "brief,")
        .lines()
        .skip(1)
        .filter(|l| l.starts_with("brief"))
        .fold(CSV.to_owned(), |all, line| format!("{all}{line}\n"));
    let three = text("").replace("short: 50%", "short: 20%, brief: 30%");
    let (_, _, split) = proven(&three, &csv, &on_sale(800_000, 1_900_000));
    assert_eq!(machines(&split, "services.s"), machines(&base, "services.s"));
    // Everything three times as dear.
    let (_, _, dear) = proven(&text(""), CSV, &on_sale(2_400_000, 5_700_000));
    assert_eq!(machines(&dear, "services.s"), machines(&base, "services.s"));
    assert_eq!(hour(&dear, "services.s"), hour(&base, "services.s").times(3));
}

/// Of no two types that were drawn any number of machines is cheaper: all numbers up to those of the plan are looked at, and what they carry is
/// found by the order in which classes are better on the one than on the other.
#[test]
fn two_types_by_enumeration() {
    let mut seed = 7_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let names = ["a", "b", "c"];
    let mut mixes = 0;
    for case in 0..40 {
        let rates: Vec<(f64, f64)> =
            names.iter().map(|_| ((1 + draw(12)) as f64, (1 + draw(24)) as f64)).collect();
        let prices = (500_000 + draw(20) as i64 * 50_000, 1_000_000 + draw(30) as i64 * 50_000);
        let mut csv = "size_class,cloud,instance_type,requests_per_s\n".to_owned();
        for (name, (small, large)) in names.iter().zip(&rates) {
            csv += &format!("{name},aws,g6.xlarge,{small}\n{name},aws,g6e.xlarge,{large}\n");
        }
        let peak = 5 + draw(40);
        let text = text("")
            .replace("short: 50%, long: 50%", "a: 50%, b: 30%, c: 20%")
            .replace("40 req/s", &format!("{peak} req/s"));
        let (_, _, placement) = proven(&text, &csv, &on_sale(prices.0, prices.1));
        let demands: Vec<f64> = [0.5, 0.3, 0.2].iter().map(|part| part * peak as f64).collect();
        // What is best on the small type first, by how much longer the large one takes.
        let mut order: Vec<usize> = (0..3).collect();
        order.sort_by(|a, b| (rates[*b].0 / rates[*b].1).total_cmp(&(rates[*a].0 / rates[*a].1)));
        let carries = |small: u32, large: u32| {
            let (mut room, mut load) = (f64::from(small), 0.0);
            for class in &order {
                let here = (demands[*class] / rates[*class].0).min(room);
                room -= here;
                load += (demands[*class] - here * rates[*class].0).max(0.0) / rates[*class].1;
            }
            load <= f64::from(large) + 1e-9
        };
        let most = |rate: fn(&(f64, f64)) -> f64| {
            demands.iter().zip(&rates).map(|(d, r)| d / rate(r)).sum::<f64>().ceil() as u32
        };
        let all = (0..=most(|r| r.0)).flat_map(|s| (0..=most(|r| r.1)).map(move |l| (s, l)));
        let costs = all
            .filter(|(s, l)| carries(*s, *l))
            .map(|(s, l)| i64::from(s) * prices.0 + i64::from(l) * prices.1);
        assert_eq!(costs.min(), Some(hour(&placement, "services.s").micros()), "case {case}\n{csv}\n{text}");
        mixes += u32::from(placement.workloads["services.s"].pools.len() > 1);
    }
    assert!(mixes > 5, "{mixes}");
}

pub const FAULTS: &[Fault] = &[
    ("no division", "profile", "without its size classes", |_, _, p| {
        p.workloads.get_mut("services.s").unwrap().mix = None;
    }),
    ("another file", "profile", "the hash of the file", |_, _, p| mix(p).sha256 = "0".repeat(64)),
    ("a machine more", "profile", "the machines of aws/g6.xlarge", |_, _, p| mix(p).kinds[0].machines += 1),
    ("a machine fewer", "capacity", "more to do than it was measured", |_, _, p| {
        mix(p).kinds[0].machines -= 1;
        let pools = &mut p.workloads.get_mut("services.s").unwrap().pools;
        pools[0].machines[0].count -= 1;
        pools[0].replicas -= 1;
    }),
    ("a class that is not whole", "capacity", "is not divided as a whole", |_, _, p| {
        mix(p).classes[0].to[0].billionths -= 1;
    }),
    ("a class twice to a kind", "capacity", "to a kind twice", |_, _, p| {
        mix(p).classes[0].to.push(MixPart { kind: 1, billionths: 0 });
    }),
    ("load over one", "capacity", "more to do than it was measured", |_, _, p| {
        mix(p).classes[0].to = vec![MixPart { kind: 0, billionths: 1_000_000_000 }];
    }),
    ("fewer requests", "profile", "the requests of `long`", |_, _, p| mix(p).classes[0].demand -= 1),
    ("a slower machine", "capacity", "more to do than it was measured", |s, _, _| {
        let rates = &mut s.profiled.get_mut("s").unwrap().profile.rates;
        let key = (Cloud::Aws, "g6e.xlarge".to_owned());
        rates.get_mut(&key).unwrap().get_mut("long").unwrap().micro -= 100;
    }),
    ("nobody measured it", "measured-time", "nobody measured this", |s, _, _| {
        s.profiled.get_mut("s").unwrap().profile.rates.remove(&(Cloud::Aws, "g6.xlarge".to_owned()));
    }),
    ("a class elsewhere", "capacity", "was not measured with it", |_, _, p| {
        mix(p).classes[0].to[0].kind = 9;
    }),
    ("a loss that nobody looked at", "failure-missing", "not every loss of machines", |s, _, _| {
        s.profiled.get_mut("s").unwrap().survive = 1;
    }),
    ("too many machines", "replicas", "out of bounds", |s, _, _| {
        s.profiled.get_mut("s").unwrap().most_machines = Some(3);
    }),
    ("predicted", "figure", "the class of the rates", |_, _, p| {
        p.workloads.get_mut("services.s").unwrap().pools[0].evidence = Evidence::Modelled;
    }),
];

#[test]
fn planted_faults_are_found() {
    faults::all_are_found_on_sound(&textbook(), FAULTS);
    let more = "    survive: { machine: 1 }\n    during_failure: { capacity: 50% }\n";
    let survives = proven(&text(more), CSV, &on_sale(800_000, 1_900_000));
    let losses: &[Fault] = &[
        ("a loss left out", "failure-missing", "not every loss of machines", |_, _, p| {
            mix(p).losses.pop();
        }),
        ("a class that is not whole in a loss", "failure", "is not divided as a whole", |_, _, p| {
            mix(p).losses[0].routes[0].to[0].billionths -= 1;
        }),
        ("load over one in a loss", "failure", "more to do than it was measured", |_, _, p| {
            for route in &mut mix(p).losses[0].routes {
                route.to = vec![MixPart { kind: 0, billionths: 1_000_000_000 }];
            }
        }),
        ("another loss told", "failure", "how many fail", |_, _, p| {
            p.workloads.get_mut("services.s").unwrap().failures[0].count = 2;
        }),
    ];
    faults::all_are_found_on_sound(&survives, losses);
}

/// The proof is taken for what it proves: one that is cut, or has other prices, proves less.
#[test]
fn a_proof_that_proves_less_is_found() {
    // Three and a half of the small, and the large is too dear for the rest: prices alone do not close it.
    let csv = "size_class,cloud,instance_type,requests_per_s\nshort,aws,g6.xlarge,10\nshort,aws,g6e.xlarge,14\nlong,aws,g6.xlarge,3\nlong,aws,g6e.xlarge,8\n";
    let uneven = text("").replace("40 req/s", "37 req/s");
    let (spec, world, placement) = proven(&uneven, csv, &on_sale(810_000, 1_730_000));
    type Harm = fn(&mut SizeMix);
    let harms: &[(&str, Harm)] = &[
        ("no proof", |m| m.proofs.clear()),
        ("no tree", |m| m.proofs[0].tree.clear()),
        ("a leaf removed", |m| {
            m.proofs[0].tree.retain({
                let mut seen = 0;
                move |b| {
                    seen += u32::from(b.kind.is_none());
                    b.kind.is_some() || seen != 1
                }
            })
        }),
        ("a leaf alone", |m| {
            let leaf = MixBranch { kind: None, at: 0 };
            m.proofs[0].tree = vec![leaf];
            m.proofs[0].prices[0].fill(0);
        }),
        ("prices raised", |m| m.proofs[0].prices.iter_mut().flatten().for_each(|p| *p *= 2)),
        ("prices lowered", |m| m.proofs[0].prices.iter_mut().flatten().for_each(|p| *p /= 2)),
        ("a price too few", |m| m.proofs[0].prices[0].truncate(1)),
        ("no such kind", |m| m.proofs[0].tree.insert(0, MixBranch { kind: Some(7), at: 0 })),
    ];
    for (name, harm) in harms {
        let mut harmed = placement.clone();
        harm(mix(&mut harmed));
        let findings = check::prove(&spec, &world, &harmed).report.findings;
        assert!(findings.iter().any(|f| f.code == "optimum"), "{name}: {}", faults::told(&findings));
    }
    // And a plan that is dearer than it must be.
    faults::dearer_is_told(&(spec, world, placement), |o| o.price != Money::from_micros(810_000));
}

/// A search that ended before all was proven tells the gap: that is no fault of the plan, and no more may be claimed.
#[test]
fn a_gap_that_is_told_is_accepted() {
    let (spec, world, placement) = textbook();
    let told = |lower: i64| {
        let mut told = placement.clone();
        let mix = mix(&mut told);
        mix.proofs[0].tree = vec![MixBranch { kind: None, at: 0 }];
        // At these prices two of each are worth no more than half of what they cost.
        mix.proofs[0].prices = vec![vec![800_000 * 730 * 512, 1_900_000 * 730 * 512]];
        told.workloads.get_mut("services.s").unwrap().certificate.lower_bound = Money::from_micros(lower);
        (check::placement(&spec, &world, &told), check::prove(&spec, &world, &told))
    };
    let (findings, proof) = told(1_000_000);
    assert!(findings.is_empty() && proof.report.findings.is_empty(), "{findings:?} {proof:?}");
    let bound = proof.all.bound.unwrap();
    assert!(
        bound > Money::from_micros(1_000_000 * 730) && bound < Money::from_micros(5_400_000 * 730),
        "{proof:?}"
    );
    assert!(proof.all.verdict().starts_with("within "), "{proof:?}");
    let (_, proof) = told(5_300_000);
    assert!(faults::told(&proof.report.findings).contains("is claimed too high"), "{proof:?}");
    let (_, proof) = told(5_400_000);
    assert!(faults::told(&proof.report.findings).contains("something cheaper"), "{proof:?}");
}

#[test]
fn a_csv_says_what_is_wrong_with_it() {
    let catalog = on_sale(800_000, 1_900_000);
    let codes = |csv: &str| -> Vec<(&'static str, bool)> {
        let list = load(&text(""), csv, &catalog).err().unwrap_or_default();
        list.iter().map(|d| (d.code, d.help.is_some())).collect()
    };
    let with = |line: &str| format!("{CSV}{line}\n");
    assert_eq!(codes(CSV), []);
    assert_eq!(codes(&format!("\u{feff}{}", CSV.replace('\n', "\r\n"))), []);
    assert_eq!(codes(&with("short,aws,g6.xlrge,1")), [("unknown-instance-type", true)]);
    assert_eq!(codes(&with("shrt,aws,g6.xlarge,1")), [("unknown-reference", true)]);
    assert_eq!(codes(&with("short,aws,g6.xlarge,1")), [("duplicate-key", true)]);
    assert_eq!(codes(&with("short,aws,g6e.2xlarge,-1")), [("out-of-range", true)]);
    assert_eq!(codes(&with("short,aws,g6e.2xlarge,0")), [("out-of-range", true)]);
    assert_eq!(codes(&with("short,aws,g6e.2xlarge,fast")), [("wrong-type", true)]);
    assert_eq!(codes(&with("short,aws,g6e.2xlarge")), [("wrong-row", true)]);
    assert_eq!(
        codes(&CSV.replace("requests_per_s", "rps")),
        [("missing-column", true), ("unknown-column", true)]
    );
    assert_eq!(
        codes(
            &CSV.replace("long,", "short,")
                .replace("g6.xlarge,1\n", "g6.2xlarge,1\n")
                .replace("g6e.xlarge,10\n", "g6e.2xlarge,10\n")
        ),
        [("unknown-reference", true)]
    );
    let missing = text("").replace("./p.csv", "./q.csv");
    let list = load(&missing, CSV, &catalog).err().unwrap_or_default();
    assert_eq!(list.iter().map(|d| d.code).collect::<Vec<_>>(), ["cannot-read"]);
}
