//! Which offers a change is about.

use rhumb_api::{Cloud, Purchase};

use crate::catalog::{Catalog, InstanceType, Offering, Resolved};
use crate::diagnostic::did_you_mean;

/// Offers of the catalogue by name: `aws`, `aws/eu-west-1`, `p5.48xlarge`, `aws/p5/spot`, `h100`, `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    text: String,
    parts: Vec<Part>,
}

/// What an offer must have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Cloud(Cloud),
    Region(String),
    Type(String),
    /// A series of machines, as the cloud calls it, lower case.
    Family(String),
    /// Any of these accelerators.
    Accelerators(Vec<String>),
    Purchase(Purchase),
}

impl Part {
    const fn noun(&self) -> &'static str {
        match self {
            Part::Cloud(_) => "clouds",
            Part::Region(_) => "regions",
            Part::Type(_) | Part::Family(_) => "kinds of machines",
            Part::Accelerators(_) => "accelerators",
            Part::Purchase(_) => "purchase options",
        }
    }

    fn takes(&self, catalog: &Catalog, offering: &Offering) -> bool {
        let (Some(kind), Some(region)) =
            (catalog.instance_types.get(offering.instance_type), catalog.regions.get(offering.region))
        else {
            return false;
        };
        match self {
            Part::Cloud(cloud) => kind.cloud == *cloud,
            Part::Region(id) => region.id == *id,
            Part::Type(name) => kind.name == *name,
            Part::Family(family) => kind.series().contains(family),
            Part::Accelerators(ids) => kind
                .accelerator
                .and_then(|a| catalog.accelerators.get(a))
                .is_some_and(|a| ids.contains(&a.id)),
            Part::Purchase(purchase) => offering.purchase == *purchase,
        }
    }
}

impl Selector {
    /// Whether held machines are named by that word.
    pub fn names_held(&self) -> bool {
        self.parts.contains(&Part::Purchase(Purchase::Held))
    }

    /// Reads names joined by `/`, in any order and any case.
    ///
    /// # Errors
    /// A name that the catalogue does not have, two of the same sort, or nothing on sale that has all of them; for people.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        for name in text.split('/').filter(|name| !name.eq_ignore_ascii_case("all")) {
            let part = part(name, catalog)?;
            if let Some(other) = parts.iter().find(|p| p.noun() == part.noun()) {
                return Err(format!("`{text}` names two {}: no offer has both", other.noun()));
            }
            parts.push(part);
        }
        let selector = Selector { text: text.to_owned(), parts };
        if catalog.offerings.iter().any(|o| selector.takes(catalog, o)) {
            return Ok(selector);
        }
        Err(format!("nothing on sale is all of `{text}`; {}", selector.nearby(catalog)))
    }

    /// Whether it is about this offer.
    pub fn takes(&self, catalog: &Catalog, offering: &Offering) -> bool {
        self.parts.iter().all(|part| part.takes(catalog, offering))
    }

    /// Where the machines are sold that are not sold where they were looked for.
    fn nearby(&self, catalog: &Catalog) -> String {
        const SHOWN: usize = 4;
        let rest: Vec<&Part> = self.parts.iter().filter(|p| !matches!(p, Part::Region(_))).collect();
        let mut regions: Vec<usize> = catalog
            .offerings
            .iter()
            .filter(|o| rest.iter().all(|p| p.takes(catalog, o)))
            .map(|o| o.region)
            .collect();
        regions.sort_unstable();
        regions.dedup();
        if regions.is_empty() || rest.len() == self.parts.len() {
            return "`rhumb catalog prices` lists what is".to_owned();
        }
        let shown: Vec<String> = regions
            .iter()
            .filter_map(|r| catalog.regions.get(*r))
            .take(SHOWN)
            .map(|r| format!("{}/{}", r.cloud, r.id))
            .collect();
        let more = regions.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more regions") } else { String::new() };
        format!("it is sold in {}{more}", shown.join(", "))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.text)
    }
}

fn part(name: &str, catalog: &Catalog) -> Result<Part, String> {
    let same = |known: &str| known.eq_ignore_ascii_case(name);
    let has_sites = catalog.regions.iter().any(|r| r.cloud == Cloud::Site);
    let clouds = || Cloud::ALL.into_iter().chain(has_sites.then_some(Cloud::Site));
    if let Some(cloud) = clouds().find(|c| same(c.as_str())) {
        return Ok(Part::Cloud(cloud));
    }
    let purchases = || Purchase::ALL.into_iter().chain([Purchase::Held]);
    if let Some(purchase) = purchases().find(|p| same(p.as_str())) {
        return Ok(Part::Purchase(purchase));
    }
    if let Some(region) = catalog.regions.iter().find(|r| same(&r.id)) {
        return Ok(Part::Region(region.id.clone()));
    }
    if let Some(kind) = catalog.instance_types.iter().find(|t| same(&t.name)) {
        return Ok(Part::Type(kind.name.clone()));
    }
    match catalog.names.accelerator(name) {
        Some(Resolved::Known { id, .. }) => return Ok(Part::Accelerators(vec![id.clone()])),
        Some(Resolved::Family(ids)) if !ids.is_empty() => return Ok(Part::Accelerators(ids.clone())),
        _ => {}
    }
    let lower = name.to_lowercase();
    let series = lower.strip_prefix("standard_").unwrap_or(&lower);
    let all: Vec<String> = catalog.instance_types.iter().flat_map(InstanceType::series).collect();
    if all.iter().any(|f| f == series) {
        return Ok(Part::Family(series.to_owned()));
    }
    let words: Vec<&str> = clouds().map(Cloud::as_str).chain(purchases().map(Purchase::as_str)).collect();
    let known = words
        .iter()
        .copied()
        .chain(catalog.regions.iter().map(|r| r.id.as_str()))
        .chain(catalog.instance_types.iter().map(|t| t.name.as_str()))
        .chain(catalog.accelerators.iter().map(|a| a.id.as_str()))
        .chain(all.iter().map(String::as_str));
    let hint = did_you_mean(name, known).map_or_else(
        || {
            "write a cloud, region, instance type, series, accelerator or purchase option, joined by `/`: \
             aws/eu-west-1, p5.48xlarge, aws/p5/spot, h100, all"
                .to_owned()
        },
        |known| format!("did you mean `{known}`?"),
    );
    Err(format!("`{name}` is nothing that the catalogue knows; {hint}"))
}
