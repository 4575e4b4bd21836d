//! The lists.

use super::view::{Cell, Column, View, detail, number, text};
use super::{Args, Subject};
use crate::catalog::{Catalog, Evidence, Offered, Provenance, Region, Resolved};
use crate::cli::Failure;
use crate::spec::{Place, RegionRef};

/// The list of a subject, with the filters applied that are more than a comparison of cells.
pub fn view(catalog: &Catalog, args: &Args) -> Result<View, Failure> {
    let (columns, rows) = match args.subject {
        Subject::Accelerators => accelerators(catalog),
        Subject::Instances => instances(catalog),
        Subject::Regions => regions(catalog),
        Subject::Prices => prices(catalog),
        Subject::Quotas => quotas(catalog, args)?,
        Subject::Egress => egress(catalog),
        Subject::Rtt => match &args.from {
            Some(from) => rtt_from(catalog, from)?,
            None => rtt_measured(catalog),
        },
        Subject::Sources => sources(catalog),
        Subject::Models => models(catalog),
        Subject::Info => (Vec::new(), Vec::new()),
    };
    if args.from.is_some() && args.subject != Subject::Rtt {
        return Err(Failure::usage("--from does not apply to this list"));
    }
    Ok(View { columns, rows })
}

/// The cells that a filter's value stands for.
pub fn accepted(catalog: &Catalog, column: &str, written: &str) -> Vec<String> {
    let resolved = match column {
        "accelerator" => catalog.names.accelerator(written),
        "model" => catalog.names.model(written),
        _ => None,
    };
    match resolved {
        Some(Resolved::Known { id, .. }) => vec![id.clone()],
        Some(Resolved::Family(ids)) => ids.clone(),
        _ if column == "region" => {
            vec![written.rsplit_once('/').map_or(written, |(_, region)| region).to_owned()]
        }
        _ => vec![written.to_owned()],
    }
}

type Rows = (Vec<Column>, Vec<Vec<Cell>>);

fn origin(provenance: &Provenance) -> [Cell; 2] {
    [Cell::text(&*provenance.source), Cell::text(&*provenance.as_of)]
}

fn with_origin(mut row: Vec<Cell>, provenance: &Provenance) -> Vec<Cell> {
    row.extend(origin(provenance));
    row
}

fn accelerators(catalog: &Catalog) -> Rows {
    let tera = |x: Option<f64>| Cell::number(x.map(|x| x / 1e12), 1);
    let columns = vec![
        text("accelerator"),
        text("vendor"),
        detail("model"),
        number("memory_gib"),
        number("memory_gb_per_s"),
        number("bf16_tflops"),
        number("fp16_tflops"),
        number("fp8_tflops"),
        number("int8_tops"),
        number("fp4_tflops"),
        text("interconnect"),
        number("tdp_watts"),
        detail("compute_capability"),
        detail("perf_id"),
        detail("notes"),
        detail("source"),
        text("as_of"),
    ];
    let rows = catalog.accelerators.iter().map(|a| {
        let row = vec![
            Cell::text(&a.id),
            Cell::text(&a.vendor),
            Cell::text(&a.model),
            Cell::Number(a.memory_gib, 1),
            Cell::number(a.memory_bandwidth.map(|x| x / 1e9), 1),
            tera(a.bf16),
            tera(a.fp16),
            tera(a.fp8),
            tera(a.int8),
            tera(a.fp4),
            Cell::text(a.interconnect.clone().unwrap_or_default()),
            Cell::number(a.tdp_watts, 0),
            Cell::text(a.compute_capability.clone().unwrap_or_default()),
            Cell::text(a.perf_id.clone().unwrap_or_default()),
            Cell::text(&a.notes),
        ];
        with_origin(row, &a.provenance)
    });
    (columns, rows.collect())
}

fn accelerator_name(catalog: &Catalog, index: Option<usize>) -> Cell {
    Cell::text(index.and_then(|i| catalog.accelerators.get(i)).map(|a| a.id.as_str()).unwrap_or_default())
}

fn instances(catalog: &Catalog) -> Rows {
    let columns = vec![
        text("cloud"),
        text("instance_type"),
        text("accelerator"),
        number("accelerators"),
        number("vcpus"),
        number("memory_gib"),
        number("local_nvme_gib"),
        number("network_gbps"),
        text("rdma"),
        number("rdma_gbps"),
        detail("arch"),
        text("status"),
        number("priced_regions"),
        detail("notes"),
        detail("source"),
        text("as_of"),
    ];
    let rows = catalog.instance_types.iter().enumerate().map(|(index, t)| {
        let mut regions: Vec<usize> = catalog.offerings_of(index).iter().map(|o| o.region).collect();
        regions.dedup();
        let row = vec![
            Cell::text(t.cloud.as_str()),
            Cell::text(&t.name),
            accelerator_name(catalog, t.accelerator),
            Cell::Number(t.accelerator_count, 3),
            Cell::Number(t.vcpus, 1),
            Cell::number(t.memory_gib, 1),
            Cell::number(t.local_nvme_gib, 0),
            Cell::number(t.network_gbps, 3),
            Cell::text(t.rdma.clone().unwrap_or_default()),
            Cell::number(t.rdma_gbps, 0),
            Cell::text(&t.arch),
            Cell::text(&t.status),
            Cell::Number(regions.len() as f64, 0),
            Cell::text(&t.notes),
        ];
        with_origin(row, &t.provenance)
    });
    (columns, rows.collect())
}

fn regions(catalog: &Catalog) -> Rows {
    let columns = vec![
        text("cloud"),
        text("region"),
        text("location"),
        text("country"),
        text("continent"),
        text("jurisdictions"),
        number("latitude"),
        number("longitude"),
        number("zones"),
        number("gco2_per_kwh"),
        detail("grid_year"),
        detail("grid_source"),
        number("pue"),
        detail("pue_source"),
        detail("notes"),
        detail("source"),
        text("as_of"),
    ];
    let from = |p: &Provenance| Cell::text(format!("{} {}", p.source, p.as_of));
    let rows = catalog.regions.iter().map(|r| {
        let row = vec![
            Cell::text(r.cloud.as_str()),
            Cell::text(&r.id),
            Cell::text(&r.location),
            Cell::text(&r.country),
            Cell::text(&r.continent),
            Cell::text(r.jurisdictions.join(" ")),
            Cell::number(r.latitude, 2),
            Cell::number(r.longitude, 2),
            Cell::number(r.zones.map(f64::from), 0),
            Cell::number(r.grid.as_ref().map(|g| g.g_per_kwh), 2),
            Cell::number(r.grid.as_ref().and_then(|g| g.year).map(f64::from), 0),
            r.grid.as_ref().map_or(Cell::Unknown, |g| from(&g.provenance)),
            Cell::number(r.pue.as_ref().map(|p| p.ratio), 3),
            r.pue.as_ref().map_or(Cell::Unknown, |p| from(&p.provenance)),
            Cell::text(&r.notes),
        ];
        with_origin(row, &r.provenance)
    });
    (columns, rows.collect())
}

fn prices(catalog: &Catalog) -> Rows {
    let columns = vec![
        text("cloud"),
        text("instance_type"),
        text("accelerator"),
        number("accelerators"),
        text("region"),
        text("zone"),
        text("purchase"),
        number("usd_per_hour"),
        number("usd_per_accelerator_hour"),
        detail("list_usd_per_hour"),
        text("offered"),
        number("interruption"),
        detail("source"),
        text("as_of"),
    ];
    let rows = catalog.offerings.iter().filter_map(|o| {
        let t = catalog.instance_types.get(o.instance_type)?;
        let r = catalog.regions.get(o.region)?;
        let each = (t.accelerator_count > 0.0).then(|| o.price.scale(1.0 / t.accelerator_count));
        let offered = match o.offered {
            Offered::Yes => "yes",
            Offered::Unknown => "unknown",
        };
        let row = vec![
            Cell::text(t.cloud.as_str()),
            Cell::text(&t.name),
            accelerator_name(catalog, t.accelerator),
            Cell::Number(t.accelerator_count, 3),
            Cell::text(&r.id),
            Cell::text(o.zone.clone().unwrap_or_default()),
            Cell::text(o.purchase.as_str()),
            Cell::Money(o.price),
            each.map_or(Cell::Unknown, Cell::Money),
            Cell::Money(o.list_price),
            Cell::text(offered),
            Cell::number(o.interruption, 2),
        ];
        Some(with_origin(row, &o.provenance))
    });
    (columns, rows.collect())
}

fn quotas(catalog: &Catalog, args: &Args) -> Result<Rows, Failure> {
    let mut columns = vec![
        text("cloud"),
        text("code"),
        text("name"),
        detail("families"),
        text("purchase"),
        text("unit"),
        text("scope"),
        number("default_new_account"),
        detail("notes"),
        detail("source"),
        text("as_of"),
    ];
    let row = |q: &crate::catalog::Quota| {
        let unit = q.unit.as_str();
        let row = vec![
            Cell::text(q.cloud.as_str()),
            Cell::text(&q.code),
            Cell::text(&q.name),
            Cell::text(&q.families),
            Cell::text(q.purchase.as_str()),
            Cell::text(unit),
            Cell::text(&q.scope),
            Cell::number(q.default_new_account, 0),
            Cell::text(&q.notes),
        ];
        with_origin(row, &q.provenance)
    };
    let Some(name) = &args.instance_type else {
        return Ok((columns, catalog.quotas.iter().map(row).collect()));
    };
    let Some(index) = catalog.instance_types.iter().position(|t| t.name.eq_ignore_ascii_case(name)) else {
        let known = catalog.instance_types.iter().map(|t| t.name.as_str());
        let guess = crate::diagnostic::did_you_mean(name, known);
        let guess = guess.map(|g| format!("; did you mean `{g}`?")).unwrap_or_default();
        return Err(Failure::usage(format!("--instance-type {name}: not in the catalogue{guess}")));
    };
    let machine = &catalog.instance_types[index];
    columns.extend([text("instance_type"), number("per_machine")]);
    let mut rows = Vec::new();
    for purchase in [rhumb_api::Purchase::OnDemand, rhumb_api::Purchase::Spot] {
        for (quota, amount) in catalog.quotas_for(index, purchase) {
            let mut cells = row(quota);
            cells.extend([Cell::text(&machine.name), Cell::Number(amount, 3)]);
            rows.push(cells);
        }
    }
    Ok((columns, rows))
}

fn egress(catalog: &Catalog) -> Rows {
    let columns = vec![
        text("cloud"),
        text("region"),
        text("from_scope"),
        text("kind"),
        text("to_region"),
        text("to_scope"),
        number("tier_min_tib"),
        number("tier_max_tib"),
        number("usd_per_gib"),
        detail("notes"),
        detail("source"),
        text("as_of"),
    ];
    let rows = catalog.transfer.iter().map(|t| {
        let row = vec![
            Cell::text(t.cloud.as_str()),
            Cell::text(&t.from_region),
            Cell::text(&t.from_scope),
            Cell::text(t.kind.as_str()),
            Cell::text(&t.to_region),
            Cell::text(&t.to_scope),
            Cell::number(t.tier_min_tib, 1),
            Cell::number(t.tier_max_tib, 1),
            Cell::Money(t.usd_per_gib),
            Cell::text(&t.notes),
        ];
        with_origin(row, &t.provenance)
    });
    (columns, rows.collect())
}

fn rtt_columns() -> Vec<Column> {
    vec![
        text("from"),
        text("cloud"),
        text("region"),
        number("ms"),
        number("ms_p90"),
        text("evidence"),
        detail("source"),
        text("as_of"),
    ]
}

fn rtt_measured(catalog: &Catalog) -> Rows {
    let provenance = catalog.network.provenance();
    let rows = catalog.network.measured_pairs().into_iter().map(|pair| {
        // A flagged figure is shown and not used.
        let evidence = if pair.flagged { "flagged" } else { Evidence::Measured.as_str() };
        let row = vec![
            Cell::text(format!("{}/{}", pair.from.0, pair.from.1)),
            Cell::text(pair.to.0.as_str()),
            Cell::text(&pair.to.1),
            Cell::Number(pair.ms, 1),
            Cell::Unknown,
            Cell::text(evidence),
        ];
        match provenance {
            Some(provenance) => with_origin(row, provenance),
            None => row,
        }
    });
    (rtt_columns(), rows.collect())
}

fn rtt_from(catalog: &Catalog, written: &str) -> Result<Rows, Failure> {
    let place = parse_place(catalog, written)?;
    let rows = catalog.regions.iter().enumerate().map(|(index, r): (usize, &Region)| {
        let mut row = vec![Cell::text(written), Cell::text(r.cloud.as_str()), Cell::text(&r.id)];
        match catalog.round_trip(&place, index) {
            Some(trip) => {
                row.extend([
                    Cell::Number(trip.ms, 1),
                    Cell::Number(trip.ms_p90, 1),
                    Cell::text(trip.evidence.as_str()),
                ]);
                row.extend(origin(&trip.provenance));
            }
            None => row.extend(std::iter::repeat_n(Cell::Unknown, 5)),
        }
        row
    });
    Ok((rtt_columns(), rows.collect()))
}

fn parse_place(catalog: &Catalog, written: &str) -> Result<Place, Failure> {
    if let Some((latitude, longitude)) = written.split_once(',') {
        let parse = |t: &str, limit: f64| t.trim().parse::<f64>().ok().filter(|x| x.abs() <= limit);
        return match (parse(latitude, 90.0), parse(longitude, 180.0)) {
            (Some(latitude), Some(longitude)) => Ok(Place::Coordinates { latitude, longitude }),
            _ => Err(Failure::usage(format!("--from {written}: write degrees north and east, 48.2,16.4"))),
        };
    }
    if let Some((cloud, region)) = written.split_once('/') {
        let found = catalog.regions.iter().find(|r| r.cloud.as_str() == cloud && r.id == region);
        let known: Vec<String> = catalog.regions.iter().map(|r| format!("{}/{}", r.cloud, r.id)).collect();
        return found
            .map(|r| Place::Region(RegionRef { cloud: r.cloud, region: r.id.clone() }))
            .ok_or_else(|| unknown_place(written, &known));
    }
    let code = written.to_uppercase();
    let countries: Vec<String> = catalog.vocabulary().countries.into_iter().collect();
    if countries.contains(&code) {
        return Ok(Place::Country(code));
    }
    let is_country = code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
    if is_country {
        return Err(Failure::usage(format!(
            "--from {written}: the catalogue has no region there, so the country's place is not known; give coordinates such as 48.2,16.4"
        )));
    }
    let known: Vec<String> = catalog.regions.iter().map(|r| r.id.clone()).collect();
    match catalog.regions.iter().find(|r| r.id.eq_ignore_ascii_case(written)) {
        Some(r) => Ok(Place::Region(RegionRef { cloud: r.cloud, region: r.id.clone() })),
        None => Err(unknown_place(written, &known)),
    }
}

fn unknown_place(written: &str, known: &[String]) -> Failure {
    let guess = crate::diagnostic::did_you_mean(written, known.iter().map(String::as_str));
    let guess = guess.map(|g| format!("; did you mean `{g}`?")).unwrap_or_default();
    Failure::usage(format!("--from {written}: no such region or country{guess}"))
}

fn sources(catalog: &Catalog) -> Rows {
    let columns = vec![text("source"), text("licence"), text("copy"), detail("description")];
    let rows = catalog.sources.iter().map(|s| {
        vec![Cell::text(&s.id), Cell::text(&s.licence), Cell::text(&s.copy), Cell::text(&s.description)]
    });
    (columns, rows.collect())
}

fn models(catalog: &Catalog) -> Rows {
    let columns = vec![
        text("model"),
        text("kind"),
        number("params_b"),
        number("active_b"),
        number("layers"),
        number("hidden"),
        number("heads"),
        number("kv_heads"),
        number("head_dim"),
        number("kv_bytes_per_token"),
        number("max_context"),
        text("native"),
        detail("licence"),
        detail("source"),
        text("as_of"),
    ];
    let rows = catalog.models.iter().map(|m| {
        let kind = match m.kind {
            crate::catalog::ModelKind::Dense => "dense",
            crate::catalog::ModelKind::Moe => "moe",
            crate::catalog::ModelKind::Embedding => "embedding",
            crate::catalog::ModelKind::Encoder => "encoder",
        };
        let whole = |x: u32| Cell::Number(f64::from(x), 0);
        // 16 bits a value, all layers that keep a cache.
        let kv = f64::from(m.kv_values_per_token()) * f64::from(m.attention_layers()) * 2.0;
        let row = vec![
            Cell::text(&m.id),
            Cell::text(kind),
            Cell::Number(m.params / 1e9, 3),
            Cell::Number(m.params_active / 1e9, 3),
            whole(m.layers),
            whole(m.hidden),
            whole(m.heads),
            whole(m.kv_heads),
            whole(m.head_dim),
            if m.is_generative() { Cell::Number(kv, 0) } else { Cell::Unknown },
            whole(m.max_context),
            Cell::text(m.native.as_str()),
            Cell::text(m.licence.clone().unwrap_or_default()),
        ];
        with_origin(row, &m.provenance)
    });
    (columns, rows.collect())
}
