//! One change of the world, as it is written on a command line, and the world with it.

use rhumb_api::{Cloud, Purchase};
use serde_json::Value;

use super::Selector;
use super::held::{held_again, of_held};
use crate::catalog::Catalog;
use crate::diagnostic::{Pointer, SourceFile, did_you_mean};
use crate::math;
use crate::placement::World;
use crate::spec::{self, KvCacheDtype, MOST_SHARDS, ProviderSettings, Quantization, Service, Spec, Variant};

/// What is different in another world.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `price:aws/p5=x0.8`: prices of machines times a factor, the user's own prices too.
    Price {
        /// Which offers.
        of: Selector,
        /// More than 0.
        factor: f64,
    },
    /// `without:aws/eu-west-1`: offers that are gone.
    Without {
        /// Which offers.
        of: Selector,
    },
    /// `traffic:chat=x2`: requests/s or requests in flight of services, items of batches, times a factor.
    Traffic {
        /// A workload's address; `None` = all.
        of: Option<String>,
        /// More than 0.
        factor: f64,
    },
    /// `quota:aws/us-east-1/P=+192`: what an account may run, in the quota's own unit.
    Quota {
        /// The cloud.
        cloud: Cloud,
        /// Region id; `global` for a quota of the whole account.
        place: String,
        /// The cloud's code for it.
        code: String,
        /// How it changes.
        to: Amount,
    },
    /// `chat.precision=int4`: the only precision in which a workload's model may run.
    Precision {
        /// The workload's address.
        of: String,
        /// The precision.
        to: Quantization,
    },
    /// `chat.slo.ttft_p95=700ms`: another value of a key of the spec.
    Key {
        /// The key, as typed, in parts.
        path: Vec<String>,
        /// The value; `null` takes the key away.
        value: Value,
    },
}

/// How an amount changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// `x2`, `+10%`.
    Times(f64),
    /// `+8`, `-8`.
    Plus(f64),
    /// `8`.
    To(f64),
}

/// The range of a factor: what is beyond is a slip of the keyboard.
const FACTORS: (f64, f64) = (1e-3, 1e3);

/// The forms of a change, for messages.
const FORMS: &str = "write price:NAMES=x0.8, without:NAMES, traffic=x2, traffic:WORKLOAD=x2, \
                     quota:CLOUD/REGION/CODE=+192, WORKLOAD.precision=int4, or KEY=VALUE such as chat.slo.ttft_p95=700ms";

/// Words before `:`.
const KINDS: [&str; 4] = ["price", "without", "traffic", "quota"];

/// Keys that make no other world, each with the reason.
const FIXED: [(&str, &str); 5] = [
    ("rhumb", "it is the version of the language"),
    ("name", "it names the deployment, and nothing is chosen by it"),
    ("defaults", "the workloads have taken over what it says: change it there"),
    ("variables", "they have been put in: change the key that uses one, or plan with --var"),
    ("locals", "they have been put in: change the key that uses one"),
];

impl Amount {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite());
        if let Some(factor) = text.strip_prefix(['x', 'X', '×']) {
            return number(factor).map(Amount::Times);
        }
        if let Some(percent) = text.strip_suffix('%').filter(|t| t.starts_with(['+', '-'])) {
            return number(percent.trim()).map(|p| Amount::Times(math::round_to(1.0 + p / 100.0, 12)));
        }
        let n = number(text)?;
        Some(if text.starts_with(['+', '-']) { Amount::Plus(n) } else { Amount::To(n) })
    }

    /// What becomes of `now`; `None` if that is not known and matters.
    pub(super) fn of(self, now: Option<f64>) -> Option<f64> {
        match self {
            Amount::Times(factor) => now.map(|n| n * factor),
            Amount::Plus(more) => now.map(|n| n + more),
            Amount::To(n) => Some(n),
        }
    }
}

fn factor(text: &str, of: &str) -> Result<f64, String> {
    let Some(Amount::Times(factor)) = Amount::parse(text.trim()) else {
        return Err(format!("`{of}={text}`: write a factor or a percentage: {of}=x1.1, {of}=-20%"));
    };
    if factor >= FACTORS.0 && factor <= FACTORS.1 {
        return Ok(factor);
    }
    Err(format!("`{of}={text}`: a factor from {} to {}", FACTORS.0, FACTORS.1))
}

/// The changes of one world, joined by commas: those inside brackets or quotes join nothing.
///
/// # Errors
/// As of [`Change::parse`].
pub fn changes(text: &str, spec: &Spec, catalog: &Catalog) -> Result<Vec<Change>, String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0_i32, false);
    for c in text.chars() {
        match c {
            '"' | '\'' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        match parts.last_mut() {
            Some(last) if c != ',' || depth > 0 || quoted => last.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| Change::parse(part.trim(), spec, catalog)).collect()
}

impl Change {
    /// Reads a change.
    ///
    /// # Errors
    /// It has no known form, or a name in it is unknown: with the nearest that is known; for people. A value of a key is looked at
    /// when the spec is read with it.
    pub fn parse(text: &str, spec: &Spec, catalog: &Catalog) -> Result<Self, String> {
        let (left, right) = match text.split_once('=') {
            Some((left, right)) => (left.trim(), Some(right.trim())),
            None => (text, None),
        };
        let (kind, rest) = match left.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (left, None),
        };
        match (kind, rest, right) {
            ("price", Some(names), Some(to)) => {
                Ok(Change::Price { of: Selector::parse(names, catalog)?, factor: factor(to, left)? })
            }
            ("without", Some(names), None) if !names.is_empty() => {
                Ok(Change::Without { of: Selector::parse(names, catalog)? })
            }
            ("traffic", name, Some(to)) => {
                let of = name.map(|name| workload(name, spec)).transpose()?;
                Ok(Change::Traffic { of, factor: factor(to, left)? })
            }
            ("quota", Some(which), Some(to)) => quota(which, to, catalog),
            (_, None, Some(value)) if !KINDS.contains(&kind) => key(left, value, spec, catalog),
            (kind, Some(_), _) if !KINDS.contains(&kind) => Err(match did_you_mean(kind, KINDS) {
                Some(near) => format!("`{text}`: there is no change `{kind}:`; did you mean `{near}:`?"),
                None => format!("`{text}` is no change; {FORMS}"),
            }),
            _ => Err(format!("`{text}` is no change; {FORMS}")),
        }
    }

    /// Whether it changes the text of the spec, so that the spec must be read anew.
    pub fn is_key(&self) -> bool {
        matches!(self, Change::Key { .. })
    }

    /// Changes the tree of a spec, if the change is one of its keys.
    ///
    /// # Errors
    /// The key lies below something that is no map, or is not there to be taken away; for people.
    pub fn edit(&self, tree: &mut Value) -> Result<(), String> {
        match self {
            Change::Key { path, value } => set(tree, path, value),
            _ => Ok(()),
        }
    }

    /// Changes spec and world; one of a key does nothing here.
    ///
    /// # Errors
    /// What is to be changed is not there; for people.
    pub fn apply(&self, spec: &mut Spec, world: &mut World) -> Result<(), String> {
        match self {
            Change::Price { of, factor } => {
                let mut offerings = std::mem::take(&mut world.catalog.offerings);
                for offer in offerings.iter_mut().filter(|o| of.takes(&world.catalog, o)) {
                    offer.price = offer.price.scale(*factor);
                    offer.list_price = offer.list_price.scale(*factor);
                }
                world.catalog.offerings = offerings;
                if !of.names_held() {
                    held_again(spec, world);
                }
            }
            Change::Without { of } => {
                let mut offerings = std::mem::take(&mut world.catalog.offerings);
                offerings.retain(|o| !of.takes(&world.catalog, o));
                world.catalog.offerings = offerings;
                held_again(spec, world);
            }
            Change::Traffic { of, factor } => traffic(spec, of.as_deref(), *factor),
            Change::Quota { cloud: Cloud::Site, place, code, to } => of_site(spec, place, code, *to)?,
            Change::Quota { cloud, place, code, to } if code.starts_with(spec::HELD) => {
                of_held(spec, world, (*cloud, place, code), *to)?;
            }
            Change::Quota { cloud, place, code, to } => {
                let settings = spec.providers.entry(*cloud).or_insert_with(|| ProviderSettings {
                    account: None,
                    discount: 0.0,
                    quotas: Default::default(),
                    at: Pointer::root().join("providers").join(cloud),
                });
                let declared = settings.quotas.entry(place.clone()).or_default();
                let amount = to.of(declared.get(code).copied()).ok_or_else(|| {
                    format!(
                        "quota {code} of {cloud}/{place} is not declared, so that it does not bind; \
                         quota:{cloud}/{place}/{code}=AMOUNT declares it"
                    )
                })?;
                if amount < 0.0 {
                    return Err(format!("quota {code} of {cloud}/{place} would be {amount}; at least 0"));
                }
                declared.insert(code.clone(), amount);
            }
            Change::Precision { of, to } => precision(spec, world, of, *to),
            Change::Key { .. } => {}
        }
        Ok(())
    }
}

/// Multiplies the traffic of a workload (its address), or of all.
pub(super) fn traffic(spec: &mut Spec, of: Option<&str>, factor: f64) {
    let meant = |kind: &str, name: &str| of.is_none_or(|of| of.split_once('.') == Some((kind, name)));
    for (name, service) in &mut spec.services {
        if meant("services", name) {
            for load in [&mut service.traffic.load, &mut service.traffic.usual] {
                *load = load.scaled(factor);
            }
        }
    }
    for (name, profiled) in &mut spec.profiled {
        if meant("services", name) {
            // Whole millionths of a request, as they are read.
            for peak in [&mut profiled.peak, &mut profiled.usual] {
                *peak = (*peak as f64 * factor).round().max(1.0) as u64;
            }
        }
    }
    for (name, batch) in &mut spec.batches {
        if meant("batches", name) {
            batch.items *= factor;
        }
    }
    for (name, training) in &mut spec.trainings {
        if meant("trainings", name) {
            training.dataset_tokens *= factor;
        }
    }
    for (name, pipeline) in &mut spec.pipelines {
        if meant("pipelines", name) && pipeline.stream.is_some() {
            pipeline.busier(factor);
        } else if meant("pipelines", name) {
            pipeline.input_gib *= factor;
            // More data come as more parts of the same size.
            let shards = (f64::from(pipeline.shards) * factor).ceil();
            pipeline.shards = shards.clamp(1.0, f64::from(MOST_SHARDS)) as u32;
            if let Some(dataset) = &mut pipeline.dataset {
                dataset.gib *= factor;
            }
        }
    }
    for (name, federation) in &mut spec.federations {
        if meant("federations", name) {
            // More data at the sites are trained on for longer; weights stay as large as they are.
            federation.local_s.values_mut().for_each(|seconds| *seconds *= factor);
        }
    }
}

/// Leaves a workload's model one precision; a model that others use as well is copied for it.
fn precision(spec: &mut Spec, world: &mut World, of: &str, to: Quantization) {
    let users = |name: &str| {
        let stands_in = |s: &Service| s.degrade.iter().flat_map(|d| &d.to).any(|to| to.model == name);
        spec.services.values().filter(|s| s.model == name || stands_in(s)).count()
            + spec.batches.values().filter(|b| b.model == name).count()
            + spec.trainings.values().filter(|t| t.model == name).count()
    };
    let own = match of.split_once('.') {
        Some(("services", name)) => spec.services.get(name).map(|s| s.model.clone()),
        Some(("batches", name)) => spec.batches.get(name).map(|b| b.model.clone()),
        _ => None,
    };
    let Some(own) = own else { return };
    let Some(mut model) = spec.models.get(&own).cloned() else { return };
    let stored = world.archs.get(&own).map(|arch| arch.native);
    model.variants.retain(|_, v| {
        v.quantization == to || (v.quantization == Quantization::Native && stored == Some(to))
    });
    if model.variants.is_empty() {
        let name = to.as_str().to_owned();
        let at = model.at.clone();
        let variant =
            Variant { name: name.clone(), quantization: to, kv_cache: KvCacheDtype::Auto, source: None, at };
        model.variants.insert(name, variant);
    }
    if users(&own) > 1 {
        let mut copy = format!("{own}-{}", to.as_str().replace('_', "-"));
        while spec.models.contains_key(&copy) {
            copy.push_str("-1");
        }
        if let Some(arch) = world.archs.get(&own).cloned() {
            world.archs.insert(copy.clone(), arch);
        }
        match of.split_once('.') {
            Some(("services", name)) => spec.services.get_mut(name).map(|s| s.model.clone_from(&copy)),
            Some(("batches", name)) => spec.batches.get_mut(name).map(|b| b.model.clone_from(&copy)),
            _ => None,
        };
        model.name.clone_from(&copy);
        spec.models.insert(copy, model);
    } else {
        spec.models.insert(own, model);
    }
}

/// The address of a workload, given that or its name.
///
/// # Errors
/// There is none, or there are several of that name; for people.
pub fn workload(name: &str, spec: &Spec) -> Result<String, String> {
    let all = spec.addresses();
    let bare = |address: &str| address.split_once('.').map_or(String::new(), |(_, n)| n.to_owned());
    let found: Vec<&String> = all.iter().filter(|a| **a == name || bare(a) == name).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let names: Vec<String> = all.iter().map(|a| bare(a)).collect();
            let hint = did_you_mean(name, names.iter().chain(&all).map(String::as_str))
                .map_or_else(|| format!("there are {}", all.join(", ")), |n| format!("did you mean `{n}`?"));
            Err(format!("there is no workload `{name}`; {hint}"))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|a| a.as_str()).collect();
            Err(format!("`{name}` is several workloads; write {}", names.join(" or ")))
        }
    }
}

/// Stock of a machine, or the cap on power, of a site.
fn of_site(spec: &mut Spec, place: &str, code: &str, to: Amount) -> Result<(), String> {
    let unknown = || format!("nothing at site/{place} is `{code}`: write the name of a machine or `power`");
    let site = spec.sites.get_mut(place).ok_or_else(unknown)?;
    let now = match code {
        spec::POWER => site.power_watts,
        machine => Some(f64::from(site.machines.get(machine).ok_or_else(unknown)?.count)),
    };
    let amount = to.of(now).ok_or_else(|| {
        format!("site/{place} has no cap on power; quota:site/{place}/power=WATTS states one")
    })?;
    if !(0.0..=1e9).contains(&amount) {
        return Err(format!("{code} at site/{place} would be {amount}; at least 0"));
    }
    match site.machines.get_mut(code) {
        Some(machine) => machine.count = amount as u32,
        None => site.power_watts = Some(amount),
    }
    spec.lower_sites();
    Ok(())
}

/// `aws/us-east-1/L-417A185B`, `aws/us-east-1/P`, `aws/us-east-1/p5/spot`.
fn quota(which: &str, to: &str, catalog: &Catalog) -> Result<Change, String> {
    let form =
        "write quota:CLOUD/REGION/CODE=+192, with the cloud's code for it or a letter or series of machines";
    let mut parts = which.split('/');
    let (Some(cloud), Some(place), Some(what)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("`quota:{which}`: {form}"));
    };
    let has_sites = catalog.regions.iter().any(|r| r.cloud == Cloud::Site);
    let clouds = || Cloud::ALL.into_iter().chain(has_sites.then_some(Cloud::Site));
    let cloud = clouds().find(|c| c.as_str() == cloud).ok_or_else(|| {
        let all: Vec<&str> = clouds().map(Cloud::as_str).collect();
        format!("`quota:{which}`: `{cloud}` is no cloud; there are {}", all.join(", "))
    })?;
    let purchase =
        match parts.next() {
            None => None,
            Some(word) => Some(Purchase::ALL.into_iter().find(|p| p.as_str() == word).ok_or_else(|| {
                format!("`quota:{which}`: `{word}` is no purchase option; on_demand or spot")
            })?),
        };
    let regions = || catalog.regions.iter().filter(|r| r.cloud == cloud).map(|r| r.id.as_str());
    if place != "global" && catalog.region(cloud, place).is_none() {
        let hint = did_you_mean(place, regions()).map_or_else(
            || format!("`rhumb catalog regions` lists those of {cloud}"),
            |known| format!("did you mean `{known}`?"),
        );
        return Err(format!("`quota:{which}`: `{place}` is no region of {cloud}; {hint}"));
    }
    let own = || catalog.quotas.iter().filter(|q| q.cloud == cloud);
    let word = |text: &str| text.split_whitespace().any(|w| w.eq_ignore_ascii_case(what));
    let mut found: Vec<_> = own().filter(|q| q.code.eq_ignore_ascii_case(what)).collect();
    if found.is_empty() {
        let bought = purchase.unwrap_or(Purchase::OnDemand);
        found = own().filter(|q| q.purchase == bought && (word(&q.name) || word(&q.families))).collect();
    }
    let mut codes: Vec<&str> = found.iter().map(|q| q.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let code = match codes.as_slice() {
        [one] => (*one).to_owned(),
        [] => {
            let hint = did_you_mean(what, own().map(|q| q.code.as_str())).map_or_else(
                || format!("`rhumb catalog quotas` lists those of {cloud}"),
                |known| format!("did you mean `{known}`?"),
            );
            return Err(format!("`quota:{which}`: no quota of {cloud} is `{what}`; {hint}"));
        }
        many => return Err(format!("`quota:{which}`: `{what}` may be any of {}", many.join(", "))),
    };
    let to = Amount::parse(to)
        .ok_or_else(|| format!("`quota:{which}={to}`: write an amount: =192, =+192, =x2"))?;
    Ok(Change::Quota { cloud, place: place.to_owned(), code, to })
}

/// The keys that a spec begins with.
fn roots() -> impl Iterator<Item = &'static str> {
    spec::keys::ROOT.iter().map(|key| key.name)
}

/// A key of the spec and its value.
fn key(path: &str, value: &str, spec: &Spec, catalog: &Catalog) -> Result<Change, String> {
    let mut parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return Err(format!("`{path}={value}` is no change; {FORMS}"));
    }
    if let Some((_, why)) = FIXED.iter().find(|(root, _)| *root == parts[0]) {
        return Err(format!("`{path}` cannot be changed: {why}"));
    }
    if let ["services" | "batches" | "trainings" | "pipelines" | "federations", ..] =
        parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
    {
        workload(&parts.iter().take(2).cloned().collect::<Vec<_>>().join("."), spec)?;
    } else if parts.len() > 1 && !roots().any(|root| root == parts[0]) {
        let address = workload(&parts[0], spec).map_err(|why| match did_you_mean(&parts[0], roots()) {
            Some(near) => format!("`{path}`: there is no key `{}`; did you mean `{near}`?", parts[0]),
            None => format!("`{path}`: {why}"),
        })?;
        parts.splice(0..1, address.split('.').map(str::to_owned));
    }
    if let [_, _, last] = parts.as_slice()
        && last == "precision"
    {
        let to = catalog.resolve_precision(value).ok_or_else(|| {
            let hint = did_you_mean(value, PRECISIONS).map_or_else(
                || format!("there are {}", PRECISIONS.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            format!("`{path}={value}`: `{value}` is no precision; {hint}")
        })?;
        if parts[0] == "services" && spec.profiled.contains_key(&parts[1]) {
            return Err(format!(
                "`{path}={value}`: a service with a profile has no model, and so no precision"
            ));
        }
        let model = match parts[0].as_str() {
            "services" => spec.services.get(&parts[1]).map(|s| &s.model),
            _ => None,
        };
        if model.and_then(|m| spec.models.get(m)).is_some_and(|m| m.measured().is_some()) {
            return Err(format!(
                "`{path}={value}`: a measured model has no precision; take variants away, as in \
                 models.NAME.measured.variants.VARIANT=null"
            ));
        }
        return Ok(Change::Precision { of: format!("{}.{}", parts[0], parts[1]), to });
    }
    // `ttft_p95`, as it is said.
    let parts = parts
        .iter()
        .flat_map(|part| match part.split_once('_') {
            Some((metric @ ("ttft" | "tpot" | "e2e"), quantile)) => {
                vec![metric.to_owned(), quantile.to_owned()]
            }
            _ => vec![part.clone()],
        })
        .collect();
    let parts = percentiles(parts);
    let file = SourceFile { name: "value".into(), text: format!("{value}\n") };
    let (value, _, problems) = spec::parse_document(file);
    match problems.first() {
        None => Ok(Change::Key { path: parts, value }),
        Some(problem) => Err(format!("`{path}`: the value is no YAML: {}", problem.message)),
    }
}

/// Precisions, for messages.
const PRECISIONS: [&str; 8] = ["native", "bf16", "fp8", "fp8_block", "int8", "int4", "mxfp4", "nvfp4"];

/// Joins again what a dot in a percentile parted: `p99`, `9`.
fn percentiles(parts: Vec<String>) -> Vec<String> {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let mut joined: Vec<String> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if digits(&part) && last.strip_prefix('p').is_some_and(digits) => {
                last.push('.');
                last.push_str(&part);
            }
            _ => joined.push(part),
        }
    }
    joined
}

/// Sets the value at a path of keys, or takes the key away. Keys may have dots in them (`p99.9`, `services.chat` in a
/// budget): the longest that is there is taken.
fn set(tree: &mut Value, path: &[String], value: &Value) -> Result<(), String> {
    let whole = path.join(".");
    let (mut at, mut rest) = (tree, path);
    loop {
        let Value::Object(map) = at else {
            let done = path.len() - rest.len();
            return Err(format!("`{whole}`: `{}` has no keys", path[..done].join(".")));
        };
        let there = (1..=rest.len()).rev().find(|n| map.contains_key(&rest[..*n].join(".")));
        let taken = there.unwrap_or(1);
        let name = rest[..taken].join(".");
        rest = &rest[taken..];
        if rest.is_empty() {
            if !value.is_null() {
                map.insert(name, value.clone());
            } else if map.shift_remove(&name).is_none() {
                return Err(format!("`{whole}` is not there to be taken away"));
            }
            return Ok(());
        }
        if there.is_none() && value.is_null() {
            return Err(format!("`{whole}` is not there to be taken away"));
        }
        at = map.entry(name).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
}
