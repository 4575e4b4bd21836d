//! Packed tables into a [`Catalog`].

use rhumb_api::{Cloud, Money, Purchase};

use super::names::Names;
use super::network::{DistanceModel, Network, Pair};
use super::packed::{ByName, Row, Tables};
use super::transfer::{Transfer, TransferKind};
use super::{
    Accelerator, Catalog, Grid, InstanceType, Offered, Offering, Provenance, Pue, QualityRow, Quota,
    QuotaUnit, Region, Source, arch,
};

/// The catalogue behind packed tables.
pub(super) fn load(packed: &[u8]) -> Catalog {
    let tables = Tables::open(packed);
    let accelerators: Vec<Accelerator> = tables.rows("accelerators").map(accelerator).collect();
    let accelerator_index = |id: &str| accelerators.binary_search_by(|a| a.id.as_str().cmp(id)).ok();
    let mut type_rows = ByName::new(&tables.strings);
    let mut instance_types = Vec::new();
    for row in tables.rows("instance_types") {
        if let Some(cloud) = row.cloud(0) {
            type_rows.insert(row.index(0), row.index(1), instance_types.len());
            instance_types.push(instance_type(&row, cloud, accelerator_index(row.text(2))));
        }
    }
    let mut region_rows = ByName::new(&tables.strings);
    let mut regions = Vec::new();
    for row in tables.rows("regions") {
        if let Some(cloud) = row.cloud(0) {
            region_rows.insert(row.index(0), row.index(1), regions.len());
            regions.push(region(&row, cloud));
        }
    }
    carbon(&tables, &region_rows, &mut regions);
    let mut catalog = Catalog {
        offerings: offerings(&tables, &type_rows, &region_rows, &instance_types),
        quotas: tables.rows("quotas").filter_map(|row| quota(&row)).collect(),
        models: tables.rows("models").filter_map(|row| model(&row)).collect(),
        quality: tables.rows("quality").filter_map(|row| quality(&row)).collect(),
        sources: tables.rows("sources").map(|row| source(&row)).collect(),
        user_files: Vec::new(),
        user_texts: Vec::new(),
        excluded_sources: tables.excluded.split_whitespace().map(str::to_owned).collect(),
        network: network(&tables),
        transfer: tables.rows("egress").filter_map(|row| transfer(&row)).collect(),
        names: Names::new(
            tables
                .rows("aliases")
                .map(|row| (row.text(0), row.owned(1), row.owned(2), row.text(3) == "yes", row.text(4))),
        ),
        accelerators,
        instance_types,
        regions,
    };
    catalog.names.add_canonical(&catalog.models, &catalog.accelerators);
    catalog
}

fn accelerator(row: Row<'_>) -> Accelerator {
    const GIGA: f64 = 1e9;
    const TERA: f64 = 1e12;
    const MIB: f64 = 1024.0 * 1024.0;
    Accelerator {
        id: row.owned(0),
        vendor: row.owned(1),
        model: row.owned(2),
        memory_gib: row.number(3).unwrap_or(0.0),
        memory_reported_bytes: row.scaled(4, MIB),
        memory_bandwidth: row.scaled(5, GIGA),
        fp32: row.scaled(6, TERA),
        bf16: row.scaled(7, TERA),
        fp16: row.scaled(8, TERA),
        fp8: row.scaled(9, TERA),
        int8: row.scaled(10, TERA),
        fp4: row.scaled(11, TERA),
        interconnect: row.some_text(12),
        interconnect_bandwidth: row.scaled(13, GIGA),
        tdp_watts: row.number(14),
        compute_capability: row.some_text(15),
        perf_id: row.some_text(16),
        notes: row.owned(17),
        provenance: row.provenance(),
    }
}

fn instance_type(row: &Row<'_>, cloud: Cloud, accelerator: Option<usize>) -> InstanceType {
    InstanceType {
        cloud,
        name: row.owned(1),
        accelerator,
        accelerator_count: row.number(3).unwrap_or(0.0),
        vcpus: row.number(4).unwrap_or(0.0),
        memory_gib: row.number(5),
        local_nvme_gib: row.number(6),
        network_gbps: row.number(7),
        rdma: row.some_text(8),
        rdma_gbps: row.number(9),
        arch: row.owned(10),
        full_load_watts: None,
        status: row.owned(11),
        notes: row.owned(12),
        provenance: row.provenance(),
    }
}

fn region(row: &Row<'_>, cloud: Cloud) -> Region {
    Region {
        cloud,
        id: row.owned(1),
        location: row.owned(2),
        country: row.owned(3),
        continent: row.owned(4),
        jurisdictions: row.text(5).split(';').filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        latitude: row.number(6),
        longitude: row.number(7),
        // The list says 0 for a region without availability zones; it is one failure domain.
        zones: row.whole(8).map(|zones| zones.max(1)),
        grid: None,
        pue: None,
        notes: row.owned(9),
        provenance: row.provenance(),
    }
}

/// What the electricity of each region emits, and its PUE: its own before that of its cloud.
fn carbon(tables: &Tables<'_>, rows: &ByName, regions: &mut [Region]) {
    for row in tables.rows("grid") {
        let at = rows.get(row.index(0), row.index(1)).and_then(|i| regions.get_mut(i));
        if let (Some(region), Some(g_per_kwh)) = (at, row.number(2)) {
            region.grid = Some(Grid { g_per_kwh, year: row.whole(3), provenance: row.provenance() });
        }
    }
    for row in tables.rows("pue") {
        let (Some(cloud), Some(ratio)) = (row.cloud(0), row.number(2)) else { continue };
        let pue = |of_region: bool| Some(Pue { ratio, of_region, provenance: row.provenance() });
        if row.text(1).is_empty() {
            let others = |r: &&mut Region| r.cloud == cloud && r.pue.is_none();
            regions.iter_mut().filter(others).for_each(|r| r.pue = pue(false));
        } else if let Some(region) = rows.get(row.index(0), row.index(1)).and_then(|i| regions.get_mut(i)) {
            region.pue = pue(true);
        }
    }
}

/// Prices of whole regions. A price of a local or Wavelength zone is not the region's and is left
/// out; of several zones the cheapest stands for the region.
fn offerings(
    tables: &Tables<'_>,
    types: &ByName,
    regions: &ByName,
    instance_types: &[InstanceType],
) -> Vec<Offering> {
    let mut edge_zones: Vec<(u32, u32, u32)> = tables
        .rows("zones")
        .filter(|row| row.text(3) != "zone")
        .map(|row| (row.index(0), row.index(1), row.index(2)))
        .collect();
    edge_zones.sort_unstable();
    let mut sold: Vec<(u32, u32, u32)> =
        tables.rows("offered").map(|row| (row.index(0), row.index(1), row.index(2))).collect();
    sold.sort_unstable();
    let mut bands: Vec<((u32, u32, u32), Option<f64>)> = tables
        .rows("spot_advisor")
        .map(|row| ((row.index(0), row.index(1), row.index(2)), interruption(row.text(3))))
        .collect();
    bands.sort_unstable_by_key(|(key, _)| *key);
    let mut result: Vec<Offering> = Vec::new();
    for row in tables.rows("prices") {
        let key = (row.index(0), row.index(1), row.index(2));
        let (Some(instance_type), Some(region)) = (types.get(key.0, key.1), regions.get(key.0, key.2)) else {
            continue;
        };
        let (Ok(purchase), Some(price)) = (row.text(3).parse::<Purchase>(), row.money(5)) else { continue };
        let zone = row.some_text(4);
        if zone.is_some() && edge_zones.binary_search(&(key.0, key.2, row.index(4))).is_ok() {
            continue;
        }
        if let Some(last) = result.last_mut()
            && (last.instance_type, last.region, last.purchase) == (instance_type, region, purchase)
        {
            cheaper_zone(last, price, zone, row.provenance());
            continue;
        }
        let is_sold = instance_types.get(instance_type).is_some_and(|t| t.cloud != Cloud::Azure)
            || sold.binary_search(&key).is_ok();
        let band = bands.binary_search_by(|(k, _)| k.cmp(&key)).ok().and_then(|i| bands.get(i));
        result.push(Offering {
            instance_type,
            region,
            zone,
            purchase,
            price,
            list_price: price,
            offered: if is_sold { Offered::Yes } else { Offered::Unknown },
            interruption: (purchase == Purchase::Spot).then(|| band.and_then(|(_, b)| *b)).flatten(),
            provenance: row.provenance(),
            held: None,
        });
    }
    result.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
    result
}

/// Keeps the cheaper of two zones; equal ones are both named.
fn cheaper_zone(kept: &mut Offering, price: Money, zone: Option<String>, provenance: Provenance) {
    if price < kept.price {
        kept.price = price;
        kept.list_price = price;
        kept.zone = zone;
        kept.provenance = provenance;
    } else if price == kept.price
        && let (Some(names), Some(zone)) = (&mut kept.zone, zone)
    {
        names.push(' ');
        names.push_str(&zone);
    }
}

/// Upper edge of a band of the spot advisor. `>20%` has no stated one, so it is 1: the only edge
/// that is certain.
fn interruption(band: &str) -> Option<f64> {
    match band {
        "<5%" => Some(0.05),
        "5-10%" => Some(0.10),
        "10-15%" => Some(0.15),
        "15-20%" => Some(0.20),
        ">20%" => Some(1.0),
        _ => None,
    }
}

fn quota(row: &Row<'_>) -> Option<Quota> {
    Some(Quota {
        cloud: row.cloud(0)?,
        families: row.owned(1),
        purchase: row.text(2).parse().ok()?,
        code: row.owned(3),
        name: row.owned(4),
        unit: match row.text(5) {
            "vcpus" => QuotaUnit::Vcpus,
            "gpus" => QuotaUnit::Gpus,
            "chips" => QuotaUnit::Chips,
            _ => return None,
        },
        scope: row.owned(6),
        default_new_account: row.number(7),
        notes: row.owned(8),
        provenance: row.provenance(),
    })
}

fn model(row: &Row<'_>) -> Option<super::ModelArch> {
    let flag = |column: usize| row.text(column) == "True";
    arch::from_table(arch::TableRow {
        id: row.owned(0),
        kind: row.text(1),
        layers: row.whole(2)?,
        hidden: row.whole(3)?,
        ffn: row.whole(4).unwrap_or(0),
        gated: flag(5),
        heads: row.whole(6)?,
        kv_heads: row.whole(7)?,
        head_dim: row.whole(8)?,
        kv_lora_rank: row.whole(9),
        q_lora_rank: row.whole(10),
        qk_rope_head_dim: row.whole(11),
        qk_nope_head_dim: row.whole(12),
        v_head_dim: row.whole(13),
        experts: row.whole(14),
        experts_per_token: row.whole(15),
        shared_experts: row.whole(16),
        moe_intermediate: row.whole(17),
        dense_layers: row.whole(18),
        vocab: row.whole(19)?,
        max_context: row.whole(20)?,
        native_dtype: row.text(21),
        sliding_window: row.whole(22),
        sliding_layers: row.whole(23),
        linear_layers: row.whole(24).unwrap_or(0),
        sparse_topk: row.whole(25),
        tied_embeddings: flag(26),
        params_stated: row.scaled(27, 1e9),
        licence: row.some_text(29),
        provenance: row.provenance(),
    })
}

fn quality(row: &Row<'_>) -> Option<QualityRow> {
    Some(QualityRow {
        model: row.owned(0),
        quantization: super::names::quantization(row.text(1))?,
        benchmark: row.owned(2),
        recovery: row.number(4)? / 100.0,
        kind: row.owned(7),
        provenance: row.provenance(),
    })
}

fn source(row: &Row<'_>) -> Source {
    Source { id: row.owned(0), description: row.owned(2), copy: row.owned(3), licence: row.owned(4) }
}

fn network(tables: &Tables<'_>) -> Network {
    let mut keys = ByName::new(&tables.strings);
    let mut places = Vec::new();
    let mut place = |row: &Row<'_>, column: usize| -> Option<u16> {
        let (cloud, name) = (row.index(column), row.index(column + 1));
        if let Some(known) = keys.get(cloud, name) {
            return u16::try_from(known).ok();
        }
        let number = u16::try_from(places.len()).ok()?;
        places.push((row.cloud(column)?, row.owned(column + 1)));
        keys.insert(cloud, name, usize::from(number));
        Some(number)
    };
    let mut pairs = Vec::new();
    let mut provenance = None;
    for row in tables.rows("rtt") {
        if let (Some(from), Some(to), Some(ms)) = (place(&row, 0), place(&row, 2), row.number(4)) {
            pairs.push(Pair { from, to, value: ms, flagged: !row.text(5).is_empty() });
            provenance.get_or_insert_with(|| row.provenance());
        }
    }
    let mut rates = Vec::new();
    for row in tables.rows("throughput") {
        if let (Some(from), Some(to), Some(gbps)) = (place(&row, 0), place(&row, 2), row.number(4)) {
            rates.push(Pair { from, to, value: gbps, flagged: false });
        }
    }
    let fits = tables.rows("rtt_fit").filter_map(|row| {
        Some(DistanceModel {
            continents: (row.owned(0), row.owned(1)),
            base_ms: row.number(3)?,
            route_factor: row.number(4)?,
            p90_abs_error_ms: row.number(6)?,
            provenance: row.provenance(),
        })
    });
    Network::new(places, pairs, rates, fits.collect(), provenance)
}

fn transfer(row: &Row<'_>) -> Option<Transfer> {
    Some(Transfer {
        cloud: row.cloud(0)?,
        from_region: row.owned(1),
        from_scope: row.owned(2),
        kind: match row.text(3) {
            "internet" => TransferKind::Internet,
            "same_cloud_other_region" => TransferKind::OtherRegion,
            "same_region_other_zone" => TransferKind::OtherZone,
            "ingress" => TransferKind::Ingress,
            _ => return None,
        },
        to_region: row.owned(4),
        to_scope: row.owned(5),
        tier_min_tib: row.number(6),
        tier_max_tib: row.number(7),
        usd_per_gib: row.money(8)?,
        notes: row.owned(9),
        provenance: row.provenance(),
    })
}
