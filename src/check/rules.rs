//! The spec's yes-or-no rules, read from the spec itself: where, on what, how paid, how compressed.

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::{Offered, Offering, Provenance};
use crate::placement::{Pool, PoolMachines, WorkloadPlacement, World};
use crate::spec::{AllowDeny, Spec, Variant};

use super::Ledger;
use super::ledger::dollars;
use super::subject::{self, Checked, Kind, Served, Work};

pub(super) fn check(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    for c in pools {
        let member = work.of_pool(c.pool);
        let own = member.as_ref().unwrap_or(work);
        place(log, own, c);
        if let Some(served) = own.served {
            variant(log, own, c.pool);
            quality(log, world, own, c.pool);
            engine(log, own, served, c.pool);
        }
        layout(log, c);
        zones(log, c);
        purchase(log, world, work, c);
        for machines in &c.pool.machines {
            price(log, spec, world, work, placed, c, machines);
        }
    }
    let mut regions: Vec<_> = pools.iter().map(|c| (c.pool.cloud, c.pool.region.as_str())).collect();
    regions.sort_unstable();
    regions.dedup();
    let least = match work.kind {
        Kind::Service(_) => work.rules.spread_regions.max(1),
        Kind::Profiled(_) | Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_) => 1,
    };
    log.hold(regions.len() >= least as usize, "spread", &work.address, || {
        ("too few regions".into(), format!("at least {least}"), regions.len().to_string())
    });
    let bounds = match work.kind {
        Kind::Service(service) => Some((service.scaling.min_replicas, service.scaling.max_replicas)),
        Kind::Profiled(profiled) => Some((profiled.least_machines, profiled.most_machines)),
        Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_) => None,
    };
    if let Some((min, max)) = bounds {
        // What stands in is none of the service's own model.
        let own = pools.iter().filter(|c| c.pool.stands_in.is_none());
        let total: u32 = own.map(|c| c.pool.replicas).sum();
        log.hold(total >= min && max.is_none_or(|max| total <= max), "replicas", &work.address, || {
            let bounds = max.map_or(format!("at least {min}"), |max| format!("{min} to {max}"));
            ("the number of replicas is out of bounds".into(), bounds, total.to_string())
        });
    }
}

fn place(log: &mut Ledger, work: &Work<'_>, c: &Checked<'_>) {
    let (pool, rules) = (c.pool, work.rules);
    let address = pool.addr.as_str();
    let mut rule = |holds: bool, code: &'static str, what: &str, found: &str| {
        log.hold(holds, code, address, || {
            (format!("this {what} is not allowed"), "one that the spec allows".into(), found.to_owned())
        });
    };
    if pool.cloud == Cloud::Site {
        rule(rules.sites.contains(&pool.region), "sites", "site", &pool.region);
    } else {
        rule(rules.clouds.allows(&pool.cloud), "clouds", "cloud", pool.cloud.as_str());
        rule(
            subject::region_allowed(&rules.regions, pool.cloud, &pool.region),
            "regions",
            "region",
            &pool.region,
        );
    }
    rule(
        rules.instance_types.allows(&pool.instance_type),
        "instance-types",
        "instance type",
        &pool.instance_type,
    );
    let accelerator = pool.accelerator.clone().unwrap_or_default();
    // Whoever lists accelerators has one of them.
    let has_none = work.bare();
    let has_one = !accelerator.is_empty() || !matches!(rules.accelerators, AllowDeny::Only(_));
    let allowed = has_none || has_one && rules.accelerators.allows(&accelerator);
    rule(allowed, "accelerators", "accelerator", &accelerator);
    log.hold(subject::resides(&rules.residency, c.region), "residency", address, || {
        let is = format!("{} ({}; {})", pool.region, c.region.country, c.region.jurisdictions.join(", "));
        ("data may not be there".into(), rules.residency.join(" or "), is)
    });
}

fn variant(log: &mut Ledger, work: &Work<'_>, pool: &Pool) {
    let address = pool.addr.as_str();
    let Some(variant) = work.model.variants.get(&pool.variant) else {
        log.finding("variant", address, "the model has no such variant", "a declared variant", &pool.variant);
        return;
    };
    let agrees = variant.quantization == pool.quantization
        || subject::is_native(variant.quantization, work.arch)
            && subject::is_native(pool.quantization, work.arch);
    log.hold(agrees, "variant", address, || {
        ("weights are not stored as declared".into(), dbg(&variant.quantization), dbg(&pool.quantization))
    });
    log.hold(subject::kv_cache_agrees(variant.kv_cache, pool.kv_cache), "variant", address, || {
        ("the KV cache is not stored as declared".into(), dbg(&variant.kv_cache), dbg(&pool.kv_cache))
    });
}

fn dbg(x: &impl std::fmt::Debug) -> String {
    format!("{x:?}")
}

/// The share of the score that a variant keeps: the team's own figure, else the lowest row.
pub(super) fn kept(world: &World, work: &Work<'_>, variant: &Variant, benchmark: &str) -> Option<f64> {
    let own = work.model.quality.as_ref().and_then(|q| q.measured.get(&variant.name));
    let rows = world.catalog.quality.iter().filter(|row| {
        row.model == work.arch.id && row.quantization == variant.quantization && row.benchmark == benchmark
    });
    own.copied().or_else(|| rows.map(|row| row.recovery).min_by(f64::total_cmp))
}

/// The quality floor, for the variants that were placed.
fn quality(log: &mut Ledger, world: &World, work: &Work<'_>, pool: &Pool) {
    let (Some(floor), Some(variant)) = (&work.model.quality, work.model.variants.get(&pool.variant)) else {
        return;
    };
    if work.model.measured().is_none() && subject::is_native(variant.quantization, work.arch) {
        return;
    }
    let kept = kept(world, work, variant, &floor.benchmark);
    log.hold(kept.is_some_and(|k| k >= floor.keep), "quality", pool.addr.as_str(), || {
        let found = kept.map_or("unknown".to_owned(), |k| k.to_string());
        (format!("`{}` keeps too little of {}", variant.name, floor.benchmark), floor.keep.to_string(), found)
    });
}

fn engine(log: &mut Ledger, work: &Work<'_>, served: Served<'_>, pool: &Pool) {
    let (asked, said, address) = (served.engine, &pool.engine, pool.addr.as_str());
    log.same("engine", address, "the engine", asked.name.as_str(), said.name.as_str());
    if let Some(version) = &asked.version {
        let numbers = format!("{}.{}", said.version.0, said.version.1);
        let agrees = *version == numbers || version.starts_with(&format!("{numbers}."));
        log.hold(agrees, "engine", address, || {
            ("the engine's version is wrong".into(), version.clone(), numbers.clone())
        });
    }
    let settings = [
        ("max_num_seqs", asked.max_num_seqs, said.max_num_seqs),
        ("max_num_batched_tokens", asked.max_num_batched_tokens, said.max_num_batched_tokens),
        ("max_model_len", asked.max_model_len, said.max_model_len),
        ("tensor_parallel_size", asked.tensor_parallel_size, pool.layout.tp),
        ("pipeline_parallel_size", asked.pipeline_parallel_size, pool.layout.pp),
        ("data_parallel_size", asked.data_parallel_size, pool.layout.dp),
    ];
    for (name, asked, said) in settings {
        if let Some(asked) = asked {
            log.same("engine", address, name, &asked, &said);
        }
    }
    if let (Some(asked), Some(_)) = (asked.enable_expert_parallel, work.arch.moe) {
        log.same("engine", address, "enable_expert_parallel", &asked, &(pool.layout.ep > 1));
    }
    let share = asked.gpu_memory_utilization.unwrap_or(0.90);
    log.near("engine", address, "gpu_memory_utilization", share, said.gpu_memory_utilization, 1e-12);
    let longest = served.shape.input.max + served.shape.output.max;
    log.hold(f64::from(said.max_model_len) + 1.0 >= longest, "engine", address, || {
        ("the longest request does not fit".into(), longest.to_string(), said.max_model_len.to_string())
    });
}

fn layout(log: &mut Ledger, c: &Checked<'_>) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    let of_replica = pool.layout.accelerators();
    let of_machine = (c.instance_type.accelerator_count.floor() as u32).max(1);
    let span = pool.machines_per_replica;
    let bare = c.instance_type.accelerator_count == 0.0;
    let fits = match span {
        0 => false,
        // What fits by vCPUs and memory is checked with the server.
        1 if bare => pool.replicas_per_machine >= 1,
        1 => {
            pool.replicas_per_machine >= 1
                && pool.replicas_per_machine.checked_mul(of_replica).is_some_and(|a| a <= of_machine)
        }
        _ => pool.replicas_per_machine == 0 && Some(of_replica) == of_machine.checked_mul(span),
    };
    log.hold(of_replica >= 1 && fits, "layout", address, || {
        let found = format!(
            "{} replicas of {of_replica} on a machine, {span} machines a replica",
            pool.replicas_per_machine
        );
        ("the replicas do not fit the machine".into(), format!("{of_machine} accelerators"), found)
    });
    if pool.shared.is_some() {
        log.hold(pool.replicas > 0, "replicas", address, || {
            ("a pool of no replicas".into(), "at least one".into(), "0".into())
        });
        return;
    }
    for hours in &c.hours {
        let replicas = if span > 1 {
            hours.machines.is_multiple_of(span).then_some(hours.machines / span)
        } else {
            hours.machines.checked_mul(pool.replicas_per_machine)
        };
        // Whether there may be none in hours without load is a rule of pools that follow it.
        let some = hours.replicas > 0 || hours.class.share == 0;
        log.hold(replicas == Some(hours.replicas) && some, "replicas", address, || {
            let derived = replicas.map_or("a whole number".to_owned(), |n| n.to_string());
            let what =
                format!("{} machines make up another number of replicas{}", hours.machines, c.when(hours));
            (what, derived, hours.replicas.to_string())
        });
    }
}

fn zones(log: &mut Ledger, c: &Checked<'_>) {
    let address = c.pool.addr.as_str();
    match subject::zones(c, c.pool.replicas) {
        Some(derived) => log.same("zones", address, "the number of zones", &derived, &c.pool.zones),
        None => log.hold(c.pool.zones <= 1, "zones", address, || {
            ("the region's zones are unknown".into(), "at most 1".into(), c.pool.zones.to_string())
        }),
    }
}

fn purchase(log: &mut Ledger, world: &World, work: &Work<'_>, c: &Checked<'_>) {
    let (asked, pool, address) = (work.purchase, c.pool, c.pool.addr.as_str());
    let options: Vec<Purchase> = pool.machines.iter().map(|m| m.purchase).collect();
    log.hold(options.windows(2).all(|w| w[0] < w[1]), "purchase", address, || {
        (
            "purchase options are not in order or named twice".into(),
            "each once, in order".into(),
            dbg(&options),
        )
    });
    let some = |entry: usize| c.hours.iter().any(|h| h.of.get(entry).is_some_and(|n| *n > 0));
    log.hold((0..pool.machines.len()).all(some), "purchase", address, || {
        ("a fleet of no machines".into(), "at least one machine".into(), "0".into())
    });
    let has = |one: Purchase| options.contains(&one);
    log.hold(!has(Purchase::Held) || !has(Purchase::Spot), "purchase", address, || {
        ("held machines beside spot".into(), "one of them".into(), dbg(&options))
    });
    let others: Vec<Purchase> =
        options.into_iter().filter(|p| *p != Purchase::Spot && *p != Purchase::Held).collect();
    log.hold(others.iter().all(|p| asked.options.contains(p)), "purchase", address, || {
        ("a purchase option that is not allowed".into(), dbg(&asked.options), dbg(&others))
    });
    let cheapest = subject::cheapest(&world.catalog, c.type_index, c.region_index, &asked.options);
    log.hold(
        others.is_empty() || others.len() == 1 && cheapest.map(|(_, p)| p) == others.first().copied(),
        "purchase",
        address,
        || {
            let derived = cheapest.map_or("none".to_owned(), |(_, p)| p.to_string());
            ("not the cheapest allowed option".into(), derived, dbg(&others))
        },
    );
    for hours in &c.hours {
        let most = subject::part_down(asked.spot_max_share, hours.machines);
        log.hold(hours.spot <= most, "spot-share", address, || {
            let found = format!("{} of {}", hours.spot, hours.machines);
            (format!("too many spot machines{}", c.when(hours)), format!("at most {most}"), found)
        });
        let base = hours.machines - hours.spot;
        log.hold(hours.spot == 0 || base >= asked.on_demand_base, "on-demand-base", address, || {
            let least = format!("at least {}", asked.on_demand_base);
            (format!("too few machines that are not spot{}", c.when(hours)), least, base.to_string())
        });
    }
}

/// What machines cost by an offering, as the catalogue lists it: the price, the list price and where it comes from.
pub(super) fn listed(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    address: &str,
    (cloud, row): (Cloud, &Offering),
    (price, list_price, provenance): (Money, Money, &Provenance),
) {
    log.same("price", address, "the price", &dollars(row.price), &dollars(price));
    log.same("price", address, "the list price", &dollars(row.list_price), &dollars(list_price));
    log.same_debug("price", address, "the source of the price", &row.provenance, provenance);
    // The user's own catalogue files may discount further; without any, the discount is the spec's.
    if world.catalog.user_files.is_empty() {
        let discount = match (row.purchase, spec.providers.get(&cloud)) {
            (Purchase::Spot | Purchase::Held, _) | (_, None) => 0.0,
            (_, Some(settings)) => settings.discount,
        };
        let derived = row.list_price.scale(1.0 - discount);
        log.amount("price", address, "the price after discount", derived, price, 1);
    }
}

fn price(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    c: &Checked<'_>,
    machines: &PoolMachines,
) {
    let address = format!("{}/{}", c.pool.addr, machines.purchase);
    let own = |o: &&Offering| {
        (o.instance_type, o.region, o.purchase) == (c.type_index, c.region_index, machines.purchase)
            && o.held.as_ref().map(|of| &*of.name) == machines.commitment.as_deref()
    };
    let Some(row) = world.catalog.offerings.iter().find(own) else {
        log.finding("purchase", &address, "not offered there", "an offering", "none");
        return;
    };
    let said = (machines.price, machines.list_price, &machines.provenance);
    listed(log, spec, world, &address, (c.pool.cloud, row), said);
    if machines.purchase == Purchase::Spot {
        log.same_debug("price", &address, "the interruption band", &row.interruption, &machines.interruption);
    }
    if row.offered == Offered::Unknown {
        let named = placed.caveats.iter().any(|caveat| caveat.contains(&c.pool.instance_type));
        log.hold(named, "caveat", &work.address, || {
            let what = format!("a caveat that names {}", c.pool.instance_type);
            (
                "nobody knows whether the type can be had there, and the plan does not say so".into(),
                what,
                "none".into(),
            )
        });
    }
}
