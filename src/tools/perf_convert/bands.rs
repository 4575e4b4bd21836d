//! Fits `bands.tsv`: how far measurements lie from predictions that did not know them.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Kind, LeftOut, leave_out, tenth};
use super::points::Point;

/// Classes with fewer left-out groups, models or systems than this share a wider class's band.
const FEWEST: usize = 3;
/// Normal quantile of 0.9.
const Z90: f64 = 1.281_551_565_544_600_4;

/// A band: class, engine and family (`*` for all), median and width of `ln(measured / predicted)`.
pub struct Fitted {
    pub kind: Kind,
    pub class: (String, String, String),
    pub ttft: bool,
    pub mu: f64,
    pub sigma: f64,
    pub rows: usize,
    pub groups: usize,
}

/// Residuals with weights between equal points and equal groups, sorted.
fn weighted(points: &[&LeftOut<'_>], ttft: bool) -> Vec<(f64, f64)> {
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for p in points {
        *sizes.entry(&p.point.group).or_default() += 1.0;
    }
    let mut all: Vec<(f64, f64)> = points
        .iter()
        .map(|p| (if ttft { p.ttft } else { p.tpot }, 1.0 / sizes[p.point.group.as_str()].sqrt()))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

fn quantile(sorted: &[(f64, f64)], q: f64) -> f64 {
    let total: f64 = sorted.iter().map(|x| x.1).sum();
    let mut sum = 0.0;
    for (value, weight) in sorted {
        sum += weight;
        if sum >= q * total {
            return *value;
        }
    }
    sorted.last().map_or(0.0, |x| x.0)
}

/// Groups among the points.
pub fn groups(points: &[&LeftOut<'_>]) -> usize {
    points.iter().map(|p| p.point.group.as_str()).collect::<BTreeSet<_>>().len()
}

/// What was left out at a time, among the points: groups, models or systems.
fn units(kind: Kind, points: &[&LeftOut<'_>]) -> usize {
    let name = |p: &LeftOut<'_>| match kind {
        Kind::Seen => p.point.group.clone(),
        Kind::NewModel => p.point.model.clone(),
        Kind::NewAccelerator => p.point.system.clone(),
    };
    points.iter().map(|p| name(p)).collect::<BTreeSet<_>>().len()
}

/// Centre and width of the interval from the 10th to the 90th percentile, wider for few `units`.
fn band(points: &[&LeftOut<'_>], ttft: bool, units: usize) -> (f64, f64) {
    let sorted = weighted(points, ttft);
    let (low, high) = (quantile(&sorted, 0.1), quantile(&sorted, 0.9));
    let few = 1.0 + 1.0 / units.max(1) as f64;
    ((low + high) / 2.0, ((high - low) / 2.0 / Z90).max(0.03) * few)
}

type Class = (String, String, String);

/// The classes that a left-out point counts for, narrowest first.
fn classes(p: &LeftOut<'_>) -> [Class; 4] {
    let (class, engine, family) = (p.point.class, p.point.engine.as_str(), p.point.family);
    let of = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    [of(class, engine, family), of(class, engine, "*"), of(class, "*", "*"), of("*", "*", "*")]
}

/// Fits all bands: `seen` from left-out groups, the others from left-out models and left-out systems.
pub fn fit(by_group: &[LeftOut<'_>], by_model: &[LeftOut<'_>], by_system: &[LeftOut<'_>]) -> Vec<Fitted> {
    let mut found = Vec::new();
    for (kind, _) in Kind::ALL {
        let pool: Vec<&LeftOut<'_>> = match kind {
            Kind::Seen => by_group.iter().filter(|p| p.kind == kind).collect(),
            Kind::NewModel => by_model.iter().filter(|p| p.kind == kind).collect(),
            Kind::NewAccelerator => by_system.iter().chain(by_model).filter(|p| p.kind == kind).collect(),
        };
        let mut by: BTreeMap<Class, Vec<&LeftOut<'_>>> = BTreeMap::new();
        for p in pool {
            for class in classes(p) {
                by.entry(class).or_default().push(p);
            }
        }
        for (class, points) in by {
            let (n, units) = (groups(&points), units(kind, &points));
            if units < FEWEST && class.0 != "*" {
                continue;
            }
            for ttft in [false, true] {
                let (mu, sigma) = band(&points, ttft, units);
                found.push(Fitted {
                    kind,
                    class: class.clone(),
                    ttft,
                    mu,
                    sigma,
                    rows: points.len(),
                    groups: n,
                });
            }
        }
    }
    found
}

/// The band that stands for a left-out point, of the narrowest class there is.
pub fn of<'b>(bands: &'b [Fitted], p: &LeftOut<'_>, ttft: bool) -> Option<&'b Fitted> {
    classes(p)
        .into_iter()
        .find_map(|class| bands.iter().find(|b| b.kind == p.kind && b.class == class && b.ttft == ttft))
}

/// Whether a left-out point lies between the 10th and the 90th percentile of its band, and that
/// interval's width as the ratio of its ends.
pub fn inside(bands: &[Fitted], p: &LeftOut<'_>, ttft: bool) -> Option<(bool, f64)> {
    let b = of(bands, p, ttft)?;
    let r = if ttft { p.ttft } else { p.tpot };
    Some(((r - b.mu).abs() <= Z90 * b.sigma, (2.0 * Z90 * b.sigma).exp()))
}

/// A left-out point, and for TPOT and TTFT whether it lies inside of a band that knows nothing of it, with that
/// band's width.
pub struct Judged<'a> {
    pub left: LeftOut<'a>,
    pub tpot: Option<(bool, f64)>,
    pub ttft: Option<(bool, f64)>,
}

/// Bands on points that they were not fitted on: the residuals that make the bands of a fold come from models
/// that saw neither what they predict nor anything of the fold.
pub fn nested<'a, F: Ord + Clone + Send + Sync>(
    points: &[&'a Point],
    outer: &[LeftOut<'a>],
    fold: impl Fn(&Point) -> F + Sync,
) -> Vec<Judged<'a>> {
    let mut by: BTreeMap<F, Vec<LeftOut<'a>>> = BTreeMap::new();
    for left in outer {
        by.entry(fold(left.point)).or_default().push(*left);
    }
    let mut judged = Vec::new();
    for (f, own) in by {
        let others: Vec<&Point> = points.iter().copied().filter(|p| fold(p) != f).collect();
        let has = |kind: Kind| own.iter().any(|l| l.kind == kind);
        let when = |wanted: bool, left: &dyn Fn() -> Vec<LeftOut<'a>>| if wanted { left() } else { vec![] };
        let bands = fit(
            &when(has(Kind::Seen), &|| leave_out(&others, tenth)),
            &when(has(Kind::NewModel) || has(Kind::NewAccelerator), &|| {
                leave_out(&others, |p| p.model.clone())
            }),
            &when(has(Kind::NewAccelerator), &|| leave_out(&others, |p| p.system.clone())),
        );
        judged.extend(own.into_iter().map(|left| Judged {
            tpot: inside(&bands, &left, false),
            ttft: inside(&bands, &left, true),
            left,
        }));
    }
    judged
}

/// Lines of `bands.tsv`.
pub fn lines(bands: &[Fitted]) -> Vec<Vec<String>> {
    bands
        .iter()
        .map(|b| {
            let kind = Kind::ALL.iter().find(|k| k.0 == b.kind).map_or("", |k| k.1);
            let (class, engine, family) = b.class.clone();
            let metric = if b.ttft { "ttft" } else { "tpot" };
            vec![
                kind.to_owned(),
                class,
                engine,
                family,
                metric.to_owned(),
                format!("{:.4}", b.mu),
                format!("{:.4}", b.sigma),
                b.rows.to_string(),
                b.groups.to_string(),
            ]
        })
        .collect()
}
