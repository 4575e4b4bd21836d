//! Machines that services share.

use super::*;

/// The pool on shared machines: `replicas` of tensor parallel size `tp`, at most `most` on one machine.
pub fn on_shared(address: &str, tp: u32, replicas: u32, most: u32) -> Pool {
    Pool {
        addr: addr(address),
        layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
        replicas_per_machine: most,
        replicas,
        zones: 2,
        machines: Vec::new(),
        shared: Some(OnShared {
            fleet: addr("machines.shared/aws/eu-west-1/p5.48xlarge/on_demand"),
            accelerators: tp,
            most_per_machine: most,
            most_per_zone: (most > 1).then_some(2),
        }),
        ..pool()
    }
}

/// Two machines of eight: four and two twos on the first, four and a two on the second.
pub fn shared_fleet() -> SharedFleet {
    let on = |workload: &str, address: &str, replicas, micros| SharedPool {
        workload: workload.into(),
        addr: addr(address),
        replicas,
        per_hour: usd(micros),
    };
    SharedFleet {
        addr: addr("machines.shared/aws/eu-west-1/p5.48xlarge/on_demand"),
        cloud: Cloud::Aws,
        region: "eu-west-1".into(),
        instance_type: "p5.48xlarge".into(),
        accelerator: Some("h100-sxm-80gb".into()),
        accelerators_per_machine: 8,
        purchase: Purchase::OnDemand,
        count: 2,
        zones: 2,
        price: usd(55_040_000),
        list_price: usd(60_000_001),
        provenance: source("aws-prices"),
        // 8 and 6 of the 14 that are taken; the micro-dollar that is left goes to the first.
        pools: vec![
            on("services.chat", "services.chat/aws/eu-west-1/p5.48xlarge/2", 2, 62_902_858),
            on("services.rank", "services.rank/aws/eu-west-1/p5.48xlarge", 3, 47_177_142),
        ],
        mixes: vec![
            Mix { machines: vec![0], replicas: vec![1, 2] },
            Mix { machines: vec![1], replicas: vec![1, 1] },
        ],
        quotas: vec![QuotaNeed { amount: 385.0, declared: None, ..workload().quotas.remove(0) }],
        caveats: vec!["offered: assumed".into()],
        fallbacks: Vec::new(),
    }
}

/// The same on machines of another type.
pub fn fleet_fallback() -> FleetFallback {
    let mut fleet = SharedFleet {
        addr: addr("machines.shared/aws/eu-west-1/p5en.48xlarge/on_demand"),
        instance_type: "p5en.48xlarge".into(),
        ..shared_fleet()
    };
    let other = |address: &str| addr(&address.replace("p5.48xlarge", "p5en.48xlarge"));
    let moved = fleet.pools.iter().map(|p| {
        let (tp, most) = if p.replicas == 2 { (4, 2) } else { (2, 2) };
        let mut pool = on_shared(other(p.addr.as_str()).as_str(), tp, p.replicas, most);
        pool.instance_type.clone_from(&fleet.instance_type);
        pool.shared.as_mut().unwrap().fleet = fleet.addr.clone();
        MovedPool { workload: p.workload.clone(), from: p.addr.clone(), pool }
    });
    let moved: Vec<MovedPool> = moved.collect();
    fleet.pools.iter_mut().for_each(|p| p.addr = other(p.addr.as_str()));
    FleetFallback { fleet, moved, more_per_month: usd(-3_000_001), caveats: vec!["assumed".into()] }
}
