//! The sections of the user's file, one by one.

use rhumb_api::{Cloud, Purchase};
use serde_json::Value;

use super::read::{Entry, Reader};
use crate::catalog::{
    Catalog, Grid, InstanceType, Offered, Offering, Provenance, Pue, Quota, QuotaUnit, Region,
};
use crate::diagnostic::Pointer;

const CONTINENTS: [&str; 7] =
    ["africa", "asia", "europe", "middle-east", "north-america", "oceania", "south-america"];
const ANY: (f64, f64) = (0.0, f64::INFINITY);

/// Applies a whole file; problems go to the reader.
pub fn file(catalog: &mut Catalog, reader: &mut Reader<'_>, name: &str, value: &Value) {
    let empty = serde_json::Map::new();
    let members = match value {
        Value::Object(members) => members,
        Value::Null => &empty,
        _ => {
            reader.problem("wrong-type", &Pointer::root(), "the file is a map of sections".to_owned(), "");
            return;
        }
    };
    let root = Entry { members, at: Pointer::root() };
    reader.only(&root, &["as_of", "instance_types", "regions", "prices", "discounts", "quotas"]);
    let as_of = date(reader, &root).unwrap_or_default();
    let own = Provenance { source: format!("user:{name}").into(), as_of: as_of.into() };
    for entry in reader.entries(&root, "instance_types") {
        instance_type(catalog, reader, &entry, &own);
    }
    for entry in reader.entries(&root, "regions") {
        region(catalog, reader, &entry, &own);
    }
    for entry in reader.entries(&root, "prices") {
        price(catalog, reader, &entry, &own);
    }
    for entry in reader.entries(&root, "quotas") {
        quota(catalog, reader, &entry, &own);
    }
    discounts(catalog, reader, &root, &own);
}

fn date(reader: &mut Reader<'_>, root: &Entry<'_>) -> Option<String> {
    let text = reader.text(root, "as_of")?;
    let shape: Vec<usize> = text.split('-').map(str::len).collect();
    if shape == [4, 2, 2] && text.bytes().all(|b| b == b'-' || b.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let message = format!("`as_of` is a date, not `{text}`");
    reader.problem("wrong-value", &root.at.join("as_of"), message, "write it as 2026-11-25");
    None
}

/// Sets a field if the file has a value for it.
fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn instance_type(catalog: &mut Catalog, reader: &mut Reader<'_>, entry: &Entry<'_>, own: &Provenance) {
    reader.only(
        entry,
        &[
            "cloud",
            "name",
            "accelerator",
            "accelerator_count",
            "vcpus",
            "memory_gib",
            "local_nvme_gib",
            "network_gbps",
            "rdma",
            "rdma_gbps",
            "arch",
            "status",
            "notes",
        ],
    );
    let (Some(cloud), Some(name)) = (reader.cloud(entry), reader.needed(entry, "name")) else { return };
    let known = catalog.instance_type(cloud, name);
    let mut row = match known {
        Some(index) => catalog.instance_types[index].clone(),
        None => InstanceType {
            cloud,
            name: name.to_owned(),
            accelerator: None,
            accelerator_count: 0.0,
            vcpus: 0.0,
            memory_gib: None,
            local_nvme_gib: None,
            network_gbps: None,
            rdma: None,
            rdma_gbps: None,
            arch: "x86_64".to_owned(),
            full_load_watts: None,
            status: "current".to_owned(),
            notes: String::new(),
            provenance: own.clone(),
        },
    };
    if let Some(written) = reader.text(entry, "accelerator") {
        match catalog.resolve_accelerator(written).and_then(|id| catalog.accelerator(id)) {
            Some(index) => row.accelerator = Some(index),
            None => {
                let known = catalog.vocabulary().accelerators;
                let place = entry.at.join("accelerator");
                reader.unknown_name(&place, "accelerator", written, known.keys().map(String::as_str));
            }
        }
        if known.is_none() && entry.get("accelerator_count").is_none() {
            reader.missing(entry, "accelerator_count");
        }
    }
    let count = reader.number(entry, "accelerator_count", ANY);
    if count.is_some_and(|c| c > 0.0) && row.accelerator.is_none() && entry.get("accelerator").is_none() {
        reader.missing(entry, "accelerator");
    }
    set(&mut row.accelerator_count, count);
    match reader.number(entry, "vcpus", (0.0, 1e6)) {
        Some(vcpus) => row.vcpus = vcpus,
        None if known.is_none() && entry.get("vcpus").is_none() => reader.missing(entry, "vcpus"),
        None => {}
    }
    for (field, key) in [
        (&mut row.memory_gib, "memory_gib"),
        (&mut row.local_nvme_gib, "local_nvme_gib"),
        (&mut row.network_gbps, "network_gbps"),
        (&mut row.rdma_gbps, "rdma_gbps"),
    ] {
        let value = reader.number(entry, key, ANY);
        set(field, value.map(Some));
    }
    set(&mut row.rdma, reader.text(entry, "rdma").map(|t| Some(t.to_owned())));
    set(&mut row.arch, reader.word(entry, "arch", &["x86_64", "arm64"]).map(str::to_owned));
    set(&mut row.status, reader.text(entry, "status").map(str::to_owned));
    set(&mut row.notes, reader.text(entry, "notes").map(str::to_owned));
    row.provenance = own.clone();
    match known {
        Some(index) => catalog.instance_types[index] = row,
        None => {
            let place =
                catalog.instance_types.partition_point(|t| (t.cloud, t.name.as_str()) < (cloud, name));
            catalog.instance_types.insert(place, row);
            for offering in &mut catalog.offerings {
                if offering.instance_type >= place {
                    offering.instance_type += 1;
                }
            }
        }
    }
}

fn region(catalog: &mut Catalog, reader: &mut Reader<'_>, entry: &Entry<'_>, own: &Provenance) {
    reader.only(
        entry,
        &[
            "cloud",
            "id",
            "location",
            "country",
            "continent",
            "jurisdictions",
            "latitude",
            "longitude",
            "zones",
            "grid_gco2_per_kwh",
            "grid_year",
            "pue",
            "notes",
        ],
    );
    let (Some(cloud), Some(id)) = (reader.cloud(entry), reader.needed(entry, "id")) else { return };
    let known = catalog.region(cloud, id);
    let country = match reader.text(entry, "country") {
        Some(code) if code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic()) => {
            Some(code.to_uppercase())
        }
        Some(code) => {
            let message = format!("`country` is a code of two letters, not `{code}`");
            reader.problem("wrong-value", &entry.at.join("country"), message, "ISO 3166 alpha-2, such as DE");
            None
        }
        None => {
            if known.is_none() && entry.get("country").is_none() {
                reader.missing(entry, "country");
            }
            None
        }
    };
    let mut pues = catalog.regions.iter().filter(|r| r.cloud == cloud).filter_map(|r| r.pue.as_ref());
    let pue_of_cloud = pues.find(|p| !p.of_region).cloned();
    let neighbour = country.as_ref().and_then(|c| catalog.regions.iter().find(|r| r.country == *c));
    let mut row = match known {
        Some(index) => catalog.regions[index].clone(),
        None => Region {
            cloud,
            id: id.to_owned(),
            location: String::new(),
            country: String::new(),
            // A region of the same country has the same continent and jurisdictions.
            continent: neighbour.map(|r| r.continent.clone()).unwrap_or_default(),
            jurisdictions: neighbour
                .map(|r| r.jurisdictions.clone())
                .or_else(|| country.as_ref().map(|c| vec![c.to_lowercase()]))
                .unwrap_or_default(),
            latitude: None,
            longitude: None,
            zones: None,
            grid: None,
            pue: pue_of_cloud,
            notes: String::new(),
            provenance: own.clone(),
        },
    };
    set(&mut row.country, country);
    set(&mut row.location, reader.text(entry, "location").map(str::to_owned));
    set(&mut row.continent, reader.word(entry, "continent", &CONTINENTS).map(str::to_owned));
    set(&mut row.latitude, reader.number(entry, "latitude", (-90.0, 90.0)).map(Some));
    set(&mut row.longitude, reader.number(entry, "longitude", (-180.0, 180.0)).map(Some));
    set(&mut row.zones, whole(reader, entry, "zones", (1.0, 100.0)).map(Some));
    let year = whole(reader, entry, "grid_year", (1990.0, 2100.0));
    if year.is_some() && entry.get("grid_gco2_per_kwh").is_none() {
        reader.missing(entry, "grid_gco2_per_kwh");
    }
    let grid = reader.number(entry, "grid_gco2_per_kwh", (0.0, 5000.0));
    set(&mut row.grid, grid.map(|g_per_kwh| Some(Grid { g_per_kwh, year, provenance: own.clone() })));
    let pue = reader.number(entry, "pue", (1.0, 5.0));
    set(&mut row.pue, pue.map(|ratio| Some(Pue { ratio, of_region: true, provenance: own.clone() })));
    set(&mut row.notes, reader.text(entry, "notes").map(str::to_owned));
    set(&mut row.jurisdictions, words(reader, entry, "jurisdictions"));
    row.provenance = own.clone();
    match known {
        Some(index) => catalog.regions[index] = row,
        None => {
            let place = catalog.regions.partition_point(|r| (r.cloud, r.id.as_str()) < (cloud, id));
            catalog.regions.insert(place, row);
            for offering in &mut catalog.offerings {
                if offering.region >= place {
                    offering.region += 1;
                }
            }
        }
    }
}

fn whole(reader: &mut Reader<'_>, entry: &Entry<'_>, key: &str, range: (f64, f64)) -> Option<u32> {
    let number = reader.number(entry, key, range)?;
    if number.fract() != 0.0 {
        reader.problem("wrong-value", &entry.at.join(key), format!("`{key}` is a whole number"), "");
        return None;
    }
    Some(number as u32)
}

fn words(reader: &mut Reader<'_>, entry: &Entry<'_>, key: &str) -> Option<Vec<String>> {
    let texts = match entry.get(key)? {
        Value::Array(items) => items.iter().map(|v| v.as_str().map(str::to_lowercase)).collect(),
        Value::String(text) => Some(vec![text.to_lowercase()]),
        _ => None,
    };
    if texts.is_none() {
        reader.problem("wrong-type", &entry.at.join(key), format!("`{key}` is a list of texts"), "");
    }
    texts
}

fn purchases() -> [&'static str; 4] {
    Purchase::ALL.map(Purchase::as_str)
}

fn price(catalog: &mut Catalog, reader: &mut Reader<'_>, entry: &Entry<'_>, own: &Provenance) {
    reader.only(
        entry,
        &["cloud", "instance_type", "region", "purchase", "usd_per_hour", "offered", "interruption", "zone"],
    );
    let Some(cloud) = reader.cloud(entry) else { return };
    let (name, id) = (reader.needed(entry, "instance_type"), reader.needed(entry, "region"));
    let purchase = reader.word(entry, "purchase", &purchases()).unwrap_or("on_demand").parse::<Purchase>();
    if entry.get("usd_per_hour").is_none() {
        reader.missing(entry, "usd_per_hour");
    }
    let price = reader.money(entry, "usd_per_hour");
    let offered = match reader.word(entry, "offered", &["yes", "unknown"]) {
        Some("unknown") => Offered::Unknown,
        _ => Offered::Yes,
    };
    let interruption = reader.number(entry, "interruption", (0.0, 1.0));
    if interruption.is_some() && purchase != Ok(Purchase::Spot) {
        let message = "`interruption` is for spot only".to_owned();
        reader.problem("wrong-value", &entry.at.join("interruption"), message, "remove it");
    }
    let zone = reader.text(entry, "zone").map(str::to_owned);
    let instance_type = name.and_then(|name| {
        let found = catalog.instance_type(cloud, name);
        if found.is_none() {
            let known = catalog.instance_types.iter().filter(|t| t.cloud == cloud).map(|t| t.name.as_str());
            reader.unknown_name(&entry.at.join("instance_type"), "instance type", name, known);
        }
        found
    });
    let region = id.and_then(|id| {
        let found = catalog.region(cloud, id);
        if found.is_none() {
            let known = catalog.regions.iter().filter(|r| r.cloud == cloud).map(|r| r.id.as_str());
            reader.unknown_name(&entry.at.join("region"), "region", id, known);
        }
        found
    });
    let (Some(instance_type), Some(region), Ok(purchase), Some(price)) =
        (instance_type, region, purchase, price)
    else {
        return;
    };
    let row = Offering {
        instance_type,
        region,
        zone,
        purchase,
        price,
        list_price: price,
        offered,
        interruption,
        provenance: own.clone(),
        held: None,
    };
    let key = (instance_type, region, purchase);
    match catalog.offerings.binary_search_by_key(&key, |o| (o.instance_type, o.region, o.purchase)) {
        Ok(index) => catalog.offerings[index] = row,
        Err(index) => catalog.offerings.insert(index, row),
    }
}

fn quota(catalog: &mut Catalog, reader: &mut Reader<'_>, entry: &Entry<'_>, own: &Provenance) {
    reader.only(
        entry,
        &["cloud", "code", "purchase", "families", "name", "unit", "scope", "default_new_account", "notes"],
    );
    let (Some(cloud), Some(code)) = (reader.cloud(entry), reader.needed(entry, "code")) else { return };
    let purchase = reader.word(entry, "purchase", &purchases()).and_then(|p| p.parse::<Purchase>().ok());
    let unit = reader.word(entry, "unit", &["vcpus", "gpus", "chips"]).map(|unit| match unit {
        "vcpus" => QuotaUnit::Vcpus,
        "gpus" => QuotaUnit::Gpus,
        _ => QuotaUnit::Chips,
    });
    let families = reader.text(entry, "families").map(str::to_owned);
    let name = reader.text(entry, "name").map(str::to_owned);
    let scope = reader.word(entry, "scope", &["region", "global"]).map(str::to_owned);
    let amount = reader.number(entry, "default_new_account", ANY);
    let notes = reader.text(entry, "notes").map(str::to_owned);
    let same =
        |q: &&mut Quota| q.cloud == cloud && q.code == code && purchase.is_none_or(|p| p == q.purchase);
    if let Some(row) = catalog.quotas.iter_mut().find(same) {
        set(&mut row.unit, unit);
        set(&mut row.families, families);
        set(&mut row.name, name);
        set(&mut row.scope, scope);
        set(&mut row.default_new_account, amount.map(Some));
        set(&mut row.notes, notes);
        row.provenance = own.clone();
        return;
    }
    for key in ["families", "unit"] {
        if entry.get(key).is_none() {
            reader.missing(entry, key);
        }
    }
    let (Some(families), Some(unit)) = (families, unit) else { return };
    catalog.quotas.push(Quota {
        cloud,
        families,
        purchase: purchase.unwrap_or(Purchase::OnDemand),
        name: name.unwrap_or_else(|| code.to_owned()),
        code: code.to_owned(),
        unit,
        scope: scope.unwrap_or_else(|| "region".to_owned()),
        default_new_account: amount,
        notes: notes.unwrap_or_default(),
        provenance: own.clone(),
    });
    catalog.quotas.sort_by(|a, b| (a.cloud, &a.code, a.purchase).cmp(&(b.cloud, &b.code, b.purchase)));
}

/// A discount of the file.
struct Discount {
    cloud: Cloud,
    family: String,
    fraction: f64,
    purchases: Vec<Purchase>,
}

fn discounts(catalog: &mut Catalog, reader: &mut Reader<'_>, root: &Entry<'_>, own: &Provenance) {
    let mut list: Vec<Discount> = Vec::new();
    for entry in reader.entries(root, "discounts") {
        list.extend(discount(catalog, reader, &entry));
    }
    for offering in &mut catalog.offerings {
        let Some(machine) = catalog.instance_types.get(offering.instance_type) else { continue };
        let best = list
            .iter()
            .filter(|d| d.cloud == machine.cloud && machine.name.starts_with(&d.family))
            .filter(|d| d.purchases.contains(&offering.purchase))
            .max_by_key(|d| d.family.len());
        if let Some(discount) = best.filter(|_| !offering.is_own()) {
            offering.price = offering.price.scale(1.0 - discount.fraction);
            offering.provenance.source = format!("{}, {}", offering.provenance.source, own.source).into();
        }
    }
}

fn discount(catalog: &Catalog, reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Discount> {
    reader.only(entry, &["cloud", "family", "percent", "purchase"]);
    let cloud = reader.cloud(entry)?;
    if entry.get("percent").is_none() {
        reader.missing(entry, "percent");
    }
    let percent = reader.number(entry, "percent", (0.0, 100.0));
    let family = reader.text(entry, "family").unwrap_or_default().to_owned();
    let mut of_cloud = catalog.instance_types.iter().filter(|t| t.cloud == cloud);
    if !of_cloud.any(|t| t.name.starts_with(&family)) {
        let message = format!("no instance type of {cloud} begins with `{family}`");
        reader.problem(
            "unknown-name",
            &entry.at.join("family"),
            message,
            "`rhumb catalog instances` lists them",
        );
    }
    let not_spot: Vec<Purchase> = Purchase::ALL.into_iter().filter(|p| *p != Purchase::Spot).collect();
    let purchases = match words(reader, entry, "purchase") {
        None => not_spot,
        Some(words) => {
            let mut read = Vec::new();
            for word in words {
                match word.parse::<Purchase>() {
                    Ok(Purchase::Spot) | Err(()) => {
                        let known = not_spot.iter().map(|p| p.as_str());
                        reader.unknown_name(&entry.at.join("purchase"), "purchase", &word, known);
                    }
                    Ok(purchase) => read.push(purchase),
                }
            }
            read
        }
    };
    Some(Discount { cloud, family, fraction: percent? / 100.0, purchases })
}
