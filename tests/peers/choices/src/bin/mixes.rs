//! `mixes SEED`: services with profiles that are drawn from the seed, of growing size, as JSON for another solver, and what ours says of each.
//!
//! The problem that is written is the one that was drawn, not what the optimizer makes of it; ours starts from the text of a spec and a profile.

use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use rhumb::catalog::{Catalog, Offered, Offering};
use rhumb::diagnostic::SourceFile;
use rhumb::placement::World;
use rhumb::spec::{self, Sources};
use rhumb_api::{Cloud, Money, Purchase};
use serde_json::{Value, json};

/// Types, classes, machines that may fail, and how many are drawn of each.
const SIZES: [(usize, usize, u32, usize); 6] =
    [(2, 3, 0, 8), (3, 5, 1, 8), (5, 8, 0, 8), (6, 12, 1, 4), (8, 20, 0, 4), (10, 40, 0, 2)];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// `12.345678`, exactly.
fn decimal(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

fn main() -> Result<()> {
    let seed: u64 = std::env::args().nth(1).context("mixes SEED")?.parse()?;
    let base = Catalog::embedded();
    let mut random = Random(seed);
    let mut all = Vec::new();
    for (types, classes, survive, times) in SIZES {
        for _ in 0..times {
            all.push(one(&base, &mut random, types, classes, survive)?);
        }
    }
    println!("{}", Value::Array(all));
    Ok(())
}

fn one(base: &Catalog, random: &mut Random, types: usize, classes: usize, survive: u32) -> Result<Value> {
    let kinds: Vec<usize> = (0..base.instance_types.len())
        .filter(|i| {
            base.instance_types[*i].cloud == Cloud::Aws && base.instance_types[*i].status == "current"
        })
        .take(types)
        .collect();
    let region = base.region(Cloud::Aws, "us-east-1").context("no us-east-1")?;
    // Dearer types are faster, but not at everything.
    let speeds: Vec<u64> = kinds.iter().map(|_| 1 + random.below(12)).collect();
    let prices: Vec<i64> =
        speeds.iter().map(|speed| (*speed * (400_000 + random.below(500_000))) as i64).collect();
    let rates: Vec<Vec<u64>> = speeds
        .iter()
        .map(|speed| {
            let rate = |random: &mut Random| match random.below(6) {
                0 => 0,
                _ => *speed * (300_001 + random.below(1_700_000)),
            };
            let mut rates: Vec<u64> = (0..classes).map(|_| rate(random)).collect();
            let served = random.below(classes as u64) as usize;
            rates[served] = rates[served].max(*speed * 600_001);
            rates
        })
        .collect();
    // A class that nothing was measured with cannot be asked for.
    let served: Vec<usize> = (0..classes).filter(|c| rates.iter().any(|of| of[*c] > 0)).collect();
    let peak = 1_000_000 * (10 + random.below(60));
    let mut left = 10_000_u64;
    let mut parts = Vec::new();
    for i in 0..served.len() {
        let rest = (served.len() - i) as u64;
        let part = if rest == 1 { left } else { 1 + random.below(2 * left / rest - 1) };
        parts.push(part);
        left -= part;
    }
    let capacity = if survive > 0 { 5_000 + random.below(5_001) } else { 10_000 };

    let mut csv = "size_class,cloud,instance_type,requests_per_s\n".to_owned();
    for (kind, of) in kinds.iter().zip(&rates) {
        for class in served.iter().filter(|c| of[**c] > 0) {
            csv += &format!("c{class:02},aws,{},{}\n", base.instance_types[*kind].name, decimal(of[*class]));
        }
    }
    let percent = |part: u64| format!("{}.{:02}%", part / 100, part % 100);
    let sizes: Vec<String> =
        served.iter().zip(&parts).map(|(class, part)| format!("c{class:02}: {}", percent(*part))).collect();
    let failing = if survive > 0 {
        format!(
            "    survive: {{ machine: {survive} }}\n    during_failure: {{ capacity: {} }}\n",
            percent(capacity)
        )
    } else {
        String::new()
    };
    let text = format!(
        "rhumb: 1\nname: drawn\nservices:\n  s:\n    profile: ./drawn.csv\n    image: r/drawn:1\n{failing}    \
         traffic: {{ peak: {} req/s, size_classes: {{ {} }} }}\n",
        decimal(peak),
        sizes.join(", ")
    );

    let mut catalog = base.clone();
    let provenance = base.offerings.first().context("an empty catalogue")?.provenance.clone();
    let offer = |(kind, micros): (&usize, &i64)| Offering {
        instance_type: *kind,
        region,
        zone: None,
        purchase: Purchase::OnDemand,
        price: Money::from_micros(*micros),
        list_price: Money::from_micros(*micros),
        offered: Offered::Yes,
        interruption: None,
        provenance: provenance.clone(),
        held: None,
    };
    catalog.offerings = kinds.iter().zip(&prices).map(offer).collect();
    let vocabulary = catalog.vocabulary();
    let sources = Sources {
        files: vec![SourceFile { name: "drawn.yaml".into(), text: text.clone() }],
        variables: Vec::new(),
        vocabulary: &vocabulary,
        read: &|_| Ok(csv.clone().into_bytes()),
    };
    let spec = spec::load(&sources).map_err(|d| anyhow!("{:#?}\n{text}\n{csv}", d.list))?.spec;
    let world = World {
        archs: Default::default(),
        catalog,
        calibration: Default::default(),
        today: "2026-11-25".into(),
        replay: 0,
        running: Default::default(),
    };
    let start = Instant::now();
    let placement = rhumb::optimize::place(&spec, &world)
        .map_err(|why| anyhow!("no placement: {why:?}\n{text}\n{csv}"))?;
    let wall_s = start.elapsed().as_secs_f64();
    let placed = placement.workloads.get("services.s").context("not placed")?;
    let proof = rhumb::check::prove(&spec, &world, &placement);
    let found = rhumb::check::placement(&spec, &world, &placement);
    Ok(json!({
        "prices": prices,
        "rates": rates.iter().map(|of| served.iter().map(|c| of[*c]).collect::<Vec<_>>()).collect::<Vec<_>>(),
        "demands": parts.iter().map(|part| peak as f64 * *part as f64 / 1e4).collect::<Vec<_>>(),
        "survive": survive,
        "capacity": capacity as f64 / 1e4,
        "ours": {
            "cost": placed.cost.expected_per_hour.micros(),
            "bound": placed.certificate.lower_bound.micros(),
            "checked": proof.all.verdict(),
            "findings": found.iter().chain(&proof.report.findings).map(|f| f.message.clone()).collect::<Vec<_>>(),
            "wall_s": wall_s,
        },
    }))
}
