//! The user's own price list: CSV in `catalog`.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::{Catalog, Offered, Offering, Provenance};
use crate::diagnostic::{Diagnostic, Span, did_you_mean};
use crate::spec::profile::machine;
use crate::spec::sheet::{Cell, Sheet, day, problem};

/// What every price list has.
pub const NEEDED: [&str; 6] = ["cloud", "instance_type", "region", "price", "currency", "date"];

/// What it may have.
pub const OPTIONAL: [&str; 1] = ["purchase"];

/// Dollars an hour of a machine that costs more are a mistake of the unit.
const MOST: i64 = 1_000_000_000 * 1_000_000;

/// Applies a whole list; it changes nothing if something is wrong with it.
///
/// # Errors
/// Everything that is wrong in it, with its place.
pub fn apply(catalog: &mut Catalog, name: &str, text: &str) -> Result<(), Vec<Diagnostic>> {
    let sheet = Sheet::read(text, 0, &NEEDED, &OPTIONAL)?;
    let vocabulary = catalog.vocabulary();
    let source: std::sync::Arc<str> = format!("user:{name}").into();
    let mut problems = Vec::new();
    let mut first: BTreeMap<(usize, usize, Purchase), Span> = BTreeMap::new();
    let mut rows = Vec::with_capacity(sheet.rows.len());
    for (row, (_, cells)) in sheet.rows.iter().enumerate() {
        let [cloud, kind, region, price, currency, date, purchase] = cells.as_slice() else { continue };
        let mut keep = |problem: Box<Diagnostic>| problems.push(*problem);
        let kind = machine(&vocabulary, cloud, kind).map_err(&mut keep).ok();
        let region = kind.as_ref().and_then(|(of, _)| area(catalog, *of, region).map_err(&mut keep).ok());
        let purchase = bought(purchase).map_err(&mut keep).ok();
        let dollars = dollars(currency).map_err(&mut keep).is_ok();
        let price = amount(price).map_err(&mut keep).ok();
        let date = day(date).map_err(&mut keep).ok();
        let (Some((of, name)), Some(region), Some(purchase), true, Some(price), Some(date)) =
            (kind, region, purchase, dollars, price, date)
        else {
            continue;
        };
        let Some(instance_type) = catalog.instance_type(of, &name) else { continue };
        let key = (instance_type, region, purchase);
        if let Some(before) = first.get(&key) {
            let message = format!("{of}/{name} {purchase} is there twice in one region");
            let help = "keep one of the two rows: what you pay now";
            let again = problem("duplicate-key", message, sheet.span(row), "again", help);
            problems.push(Diagnostic { related: vec![(before.clone(), "the first".to_owned())], ..again });
            continue;
        }
        first.insert(key, sheet.span(row));
        rows.push((key, price, date));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut own: BTreeMap<(usize, usize, Purchase), Offering> = BTreeMap::new();
    for ((instance_type, region, purchase), price, date) in rows {
        // How often spot is taken away is known from elsewhere, and a price says nothing of it.
        let known = catalog.offering(instance_type, region, purchase);
        let row = Offering {
            instance_type,
            region,
            zone: known.and_then(|o| o.zone.clone()),
            purchase,
            price,
            list_price: price,
            offered: Offered::Yes,
            interruption: known.and_then(|o| o.interruption),
            provenance: Provenance { source: source.clone(), as_of: date.into() },
            held: None,
        };
        own.insert((instance_type, region, purchase), row);
    }
    catalog.offerings.retain(|o| !own.contains_key(&(o.instance_type, o.region, o.purchase)));
    catalog.offerings.extend(own.into_values());
    catalog.offerings.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
    Ok(())
}

fn area(catalog: &Catalog, cloud: Cloud, cell: &Cell) -> Result<usize, Box<Diagnostic>> {
    catalog.region(cloud, &cell.text).ok_or_else(|| {
        let known = catalog.regions.iter().filter(|r| r.cloud == cloud).map(|r| r.id.as_str());
        let help = match did_you_mean(&cell.text, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "`rhumb catalog regions` lists them; one of your own is added by a YAML file in `catalog`"
                    .to_owned()
            }
        };
        let message = format!("{cloud} has no region `{}`", cell.text);
        Box::new(problem("unknown-region", message, cell.span.clone(), "unknown region", help))
    })
}

/// Nothing is on demand.
fn bought(cell: &Cell) -> Result<Purchase, Box<Diagnostic>> {
    match cell.text.as_str() {
        "" => Ok(Purchase::OnDemand),
        word => word.parse().map_err(|()| {
            let words = Purchase::ALL.map(Purchase::as_str);
            let help = match did_you_mean(word, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            let message = format!("`{word}` is no way to buy a machine");
            Box::new(problem("unknown-value", message, cell.span.clone(), "unknown purchase", help))
        }),
    }
}

fn dollars(cell: &Cell) -> Result<(), Box<Diagnostic>> {
    if cell.text.eq_ignore_ascii_case("USD") {
        return Ok(());
    }
    let message = format!("prices in `{}` are not supported yet", cell.text);
    let help = "write `USD`, and convert prices of another currency at the rate that you are billed by";
    Err(Box::new(problem("not-supported-yet", message, cell.span.clone(), "not dollars", help)))
}

/// Dollars an hour.
fn amount(cell: &Cell) -> Result<Money, Box<Diagnostic>> {
    let bad = |code, message: String, help: &str| {
        Err(Box::new(problem(code, message, cell.span.clone(), "not a price", help)))
    };
    let plain = cell.text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match Money::parse_usd(&cell.text) {
        Ok(price) if plain && price.micros() > 0 && price.micros() <= MOST => Ok(price),
        Ok(price) if price.micros() <= 0 => {
            let help = "write what an hour of one machine costs; machines that cost nothing more are in `commitments`";
            bad("out-of-range", format!("`{}` USD an hour", cell.text), help)
        }
        Ok(_) if plain => bad(
            "out-of-range",
            format!("`{}` USD an hour", cell.text),
            "write dollars an hour of one machine",
        ),
        _ => bad(
            "wrong-type",
            format!("`{}` is not a price", cell.text),
            "write dollars an hour with a point, and no sign or separators: `12.29`",
        ),
    }
}
