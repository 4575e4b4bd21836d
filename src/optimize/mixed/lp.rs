//! The least cost of the load of all size classes on machines that need not be whole: what bounds a search over whole ones.
//!
//! Each class is divided among the kinds of machines that serve it; what a kind costs is convex and piecewise linear in its load. So a
//! basis has one kind for each class, its key, and beyond that one for each kind whose load stands at a corner of its cost; only these
//! few are unknowns. The prices of all kinds follow from a system as large as the corners are many, which is solved anew in each step:
//! nothing is updated that could drift.
//!
//! Whatever comes out is only a guess at prices: a bound is derived from them in integers, and a routing is checked in integers.

/// What a load of a kind costs: `slopes` up to `ends`, both ascending; the last end is infinite.
#[derive(Clone, Debug)]
pub struct Curve {
    pub ends: Vec<f64>,
    pub slopes: Vec<f64>,
}

impl Curve {
    fn segment(&self, load: f64) -> usize {
        self.ends.iter().position(|end| load < *end).unwrap_or(self.slopes.len() - 1)
    }

    /// The segment that ends at a load; one that does not is divided there.
    fn corner(&mut self, load: f64) -> usize {
        let near = |end: &f64| (end - load).abs() <= 1e-9 * (1.0 + load.abs());
        if let Some(known) = self.ends.iter().position(near) {
            return known;
        }
        let segment = self.segment(load);
        self.ends.insert(segment, load);
        self.slopes.insert(segment, self.slopes[segment]);
        segment
    }

    fn start(&self, segment: usize) -> f64 {
        if segment == 0 { 0.0 } else { self.ends[segment - 1] }
    }
}

/// What stands for a kind in the basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// Its load is somewhere in this segment.
    Within(usize),
    /// Its load is the end of this segment.
    Corner(usize),
}

/// A basis to begin at.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Of each class the place of its key in its list; empty = the cheapest by `prices`.
    keys: Vec<usize>,
    extras: Vec<Extra>,
    /// Kinds at a corner.
    corners: Vec<bool>,
    prices: Vec<f64>,
}

impl Start {
    /// Every class where it is the cheapest.
    pub fn at(prices: Vec<f64>) -> Self {
        Start { prices, ..Start::default() }
    }
}

#[derive(Clone, Debug)]
pub struct Solution {
    /// Of each kind, cost of a machine's time.
    pub prices: Vec<f64>,
    /// Of each kind whose load is within a segment of its cost, the slope there.
    pub slopes: Vec<Option<f64>>,
    pub loads: Vec<f64>,
    /// Of each class its parts, by kind.
    pub shares: Vec<Vec<(usize, f64)>>,
    /// Where a problem that is nearly the same begins.
    pub end: Start,
}

/// A part of a class on a kind, by its place in the class's list, beside its key.
#[derive(Clone, Debug)]
struct Extra {
    class: usize,
    place: usize,
    share: f64,
}

struct Basis<'a> {
    classes: &'a [Vec<(usize, f64)>],
    curves: Vec<Curve>,
    keys: Vec<usize>,
    extras: Vec<Extra>,
    rows: Vec<Row>,
}

/// What comes into the basis.
#[derive(Clone, Copy)]
enum Entering {
    Share {
        class: usize,
        place: usize,
    },
    /// A kind leaves its corner, to this side.
    Load {
        kind: usize,
        up: bool,
    },
}

/// What goes.
#[derive(Clone, Copy)]
enum Leaving {
    Nothing,
    Extra(usize),
    Key(usize),
    Row(usize, usize),
}

const TINY: f64 = 1e-11;

/// `classes`: of each, the kinds that serve it with the machines that all of it would take there. A basis of another problem with the same
/// classes is one of this: where a load was at a corner that its cost no longer has, it gets one between equal slopes.
pub fn solve(classes: &[Vec<(usize, f64)>], curves: Vec<Curve>, start: &Start) -> Solution {
    let mut basis =
        Basis { classes, curves, keys: start.keys.clone(), extras: start.extras.clone(), rows: Vec::new() };
    if basis.keys.len() != classes.len() {
        let cheapest = |list: &Vec<(usize, f64)>| {
            let cost = |p: &(usize, f64)| p.1 * start.prices.get(p.0).copied().unwrap_or(1.0);
            let least = list.iter().enumerate().min_by(|a, b| cost(a.1).total_cmp(&cost(b.1)));
            least.map_or(0, |(place, _)| place)
        };
        basis.keys = classes.iter().map(cheapest).collect();
        basis.extras.clear();
    }
    let loads = basis.loads();
    for (kind, (curve, load)) in basis.curves.iter_mut().zip(&loads).enumerate() {
        let corner = !basis.extras.is_empty() && start.corners.get(kind) == Some(&true);
        basis.rows.push(if corner {
            Row::Corner(curve.corner(*load))
        } else {
            Row::Within(curve.segment(*load))
        });
    }
    let scale = basis.curves.iter().flat_map(|c| c.slopes.iter().copied()).fold(0.0, f64::max).max(1e-300);
    let mut prices = vec![0.0; basis.curves.len()];
    let mut still = 0_usize;
    for _ in 0..64 * (classes.len() + prices.len()) {
        let Some(found) = basis.prices() else { break };
        prices = found;
        // After many steps that lead nowhere the first is taken, which leads out of any circle.
        let Some(entering) = basis.entering(&prices, scale * 1e-10, still > 40) else { break };
        let Some(moved) = basis.step(entering, still > 40) else { break };
        still = if moved > TINY { 0 } else { still + 1 };
    }
    let shares = (0..classes.len()).map(|c| basis.shares(c)).collect();
    let loads = basis.loads();
    let slopes = basis.rows.iter().zip(&basis.curves).map(|(row, curve)| match row {
        Row::Within(segment) => Some(curve.slopes[*segment]),
        Row::Corner(_) => None,
    });
    let (slopes, corners) =
        (slopes.collect(), basis.rows.iter().map(|row| matches!(row, Row::Corner(_))).collect());
    let end = Start { keys: basis.keys, extras: basis.extras, corners, prices: prices.clone() };
    Solution { prices, slopes, loads, shares, end }
}

impl Basis<'_> {
    fn key(&self, class: usize) -> (usize, f64) {
        self.classes[class][self.keys[class]]
    }

    fn key_share(&self, class: usize) -> f64 {
        1.0 - self.extras.iter().filter(|e| e.class == class).map(|e| e.share).sum::<f64>()
    }

    fn shares(&self, class: usize) -> Vec<(usize, f64)> {
        let own = self.extras.iter().filter(|e| e.class == class);
        let mut all = vec![(self.key(class).0, self.key_share(class))];
        all.extend(own.map(|e| (self.classes[class][e.place].0, e.share)));
        all.retain(|(_, share)| *share > 0.0);
        all.sort_by_key(|(kind, _)| *kind);
        all
    }

    fn loads(&self) -> Vec<f64> {
        let mut loads = vec![0.0; self.curves.len()];
        for class in 0..self.classes.len() {
            let (kind, load) = self.key(class);
            loads[kind] += load;
        }
        for e in &self.extras {
            let ((own, load), (key, other)) = (self.classes[e.class][e.place], self.key(e.class));
            loads[own] += load * e.share;
            loads[key] -= other * e.share;
        }
        loads
    }

    /// Kind to its place among those at a corner.
    fn corners(&self) -> (Vec<usize>, usize) {
        let mut places = vec![usize::MAX; self.rows.len()];
        let mut n = 0;
        for (kind, row) in self.rows.iter().enumerate() {
            if matches!(row, Row::Corner(_)) {
                places[kind] = n;
                n += 1;
            }
        }
        (places, n)
    }

    /// For each extra, what the loads of kinds at corners change with it.
    fn matrix(&self, places: &[usize], n: usize) -> Vec<Vec<f64>> {
        let row = |e: &Extra| {
            let mut row = vec![0.0; n];
            let ((own, load), (key, other)) = (self.classes[e.class][e.place], self.key(e.class));
            if let Some(cell) = row.get_mut(places[own]) {
                *cell += load;
            }
            if let Some(cell) = row.get_mut(places[key]) {
                *cell -= other;
            }
            row
        };
        self.extras.iter().map(row).collect()
    }

    /// A kind within a segment costs its slope; those at corners cost what makes all parts of a class cost the same.
    fn prices(&self) -> Option<Vec<f64>> {
        let (places, n) = self.corners();
        let known = |kind: usize| match self.rows[kind] {
            Row::Within(segment) => Some(self.curves[kind].slopes[segment]),
            Row::Corner(_) => None,
        };
        let right = self.extras.iter().map(|e| {
            let ((own, load), (key, other)) = (self.classes[e.class][e.place], self.key(e.class));
            other * known(key).unwrap_or(0.0) - load * known(own).unwrap_or(0.0)
        });
        let found = gauss(self.matrix(&places, n), right.collect())?;
        let of = |kind: usize| known(kind).or_else(|| found.get(places[kind]).copied()).unwrap_or(0.0);
        Some((0..self.rows.len()).map(of).collect())
    }

    fn entering(&self, prices: &[f64], tolerance: f64, first: bool) -> Option<Entering> {
        let mut best: Option<(f64, Entering)> = None;
        let mut offer = |gain: f64, entering: Entering| {
            if gain > tolerance && best.as_ref().is_none_or(|(known, _)| !first && gain > *known) {
                best = Some((gain, entering));
            }
        };
        for (kind, row) in self.rows.iter().enumerate() {
            if let Row::Corner(end) = row {
                let slopes = &self.curves[kind].slopes;
                offer(prices[kind] - slopes[end + 1], Entering::Load { kind, up: true });
                offer(slopes[*end] - prices[kind], Entering::Load { kind, up: false });
            }
        }
        for (class, list) in self.classes.iter().enumerate() {
            let (key, load) = self.key(class);
            let cost = load * prices[key];
            for (place, (kind, load)) in list.iter().enumerate() {
                // What is in the basis costs the same, but for rounding.
                let gain = cost - load * prices[*kind];
                if gain > tolerance * (1.0 + cost.abs()) && !self.has(class, place) {
                    offer(gain, Entering::Share { class, place });
                }
            }
        }
        best.map(|(_, entering)| entering)
    }

    fn has(&self, class: usize, place: usize) -> bool {
        self.keys[class] == place || self.extras.iter().any(|e| (e.class, e.place) == (class, place))
    }

    /// Goes as far as it may; how far, or nothing if the basis has no inverse or there is no end.
    fn step(&mut self, entering: Entering, first: bool) -> Option<f64> {
        let (places, n) = self.corners();
        let mut right = vec![0.0; n];
        let mut change = vec![0.0; self.rows.len()];
        let mut of_key = vec![0.0; self.classes.len()];
        match entering {
            Entering::Share { class, place } => {
                let ((own, load), (key, other)) = (self.classes[class][place], self.key(class));
                change[own] += load;
                change[key] -= other;
                of_key[class] -= 1.0;
                for kind in [own, key] {
                    if let Some(cell) = right.get_mut(places[kind]) {
                        *cell = -change[kind];
                    }
                }
            }
            Entering::Load { kind, up } => {
                if let Some(cell) = right.get_mut(places[kind]) {
                    *cell = if up { 1.0 } else { -1.0 };
                }
            }
        }
        let matrix = self.matrix(&places, n);
        let transposed = (0..n).map(|r| matrix.iter().map(|row| row[r]).collect()).collect();
        let moves = gauss(transposed, right)?;
        for (e, by) in self.extras.iter().zip(&moves) {
            let ((own, load), (key, other)) = (self.classes[e.class][e.place], self.key(e.class));
            change[own] += load * by;
            change[key] -= other * by;
            of_key[e.class] -= by;
        }
        let loads = self.loads();
        // How far, what ends it, and how much that moves.
        let mut end = (f64::INFINITY, Leaving::Nothing, 0.0_f64);
        let mut stop = |room: f64, leaving: Leaving, by: f64| {
            let far = room.max(0.0) / by.abs();
            let earlier = far < end.0 - TINY;
            if earlier || (!first && far <= end.0 + TINY && by.abs() > end.2) {
                end = (far.min(end.0), leaving, by.abs());
            }
        };
        if let Entering::Load { kind, up } = entering
            && let Row::Corner(at) = self.rows[kind]
        {
            let curve = &self.curves[kind];
            let (length, corner) = if up {
                (curve.ends[at + 1] - curve.ends[at], Some(at + 1))
            } else {
                (curve.ends[at] - curve.start(at), at.checked_sub(1))
            };
            if let Some(corner) = corner.filter(|_| length.is_finite()) {
                stop(length, Leaving::Row(kind, corner), 1.0);
            }
        }
        for (i, (e, by)) in self.extras.iter().zip(&moves).enumerate() {
            if *by < -TINY {
                stop(e.share, Leaving::Extra(i), *by);
            }
        }
        for (class, by) in of_key.iter().enumerate() {
            if *by < -TINY {
                stop(self.key_share(class), Leaving::Key(class), *by);
            }
        }
        for (kind, by) in change.iter().enumerate() {
            let Row::Within(segment) = self.rows[kind] else { continue };
            let curve = &self.curves[kind];
            if *by > TINY && curve.ends[segment].is_finite() {
                stop(curve.ends[segment] - loads[kind], Leaving::Row(kind, segment), *by);
            } else if *by < -TINY && segment > 0 {
                stop(loads[kind] - curve.ends[segment - 1], Leaving::Row(kind, segment - 1), *by);
            }
        }
        let (far, leaving, _) = end;
        if !far.is_finite() {
            return None;
        }
        for (e, by) in self.extras.iter_mut().zip(&moves) {
            e.share = (e.share + far * by).max(0.0);
        }
        self.pivot(entering, far, leaving);
        Some(far)
    }

    fn pivot(&mut self, entering: Entering, far: f64, leaving: Leaving) {
        if let Leaving::Extra(i) = leaving {
            self.extras.remove(i);
        }
        match entering {
            Entering::Share { class, place } => self.extras.push(Extra { class, place, share: far }),
            Entering::Load { kind, up } => {
                if let Row::Corner(at) = self.rows[kind] {
                    self.rows[kind] = Row::Within(if up { at + 1 } else { at });
                }
            }
        }
        match leaving {
            Leaving::Row(kind, corner) => self.rows[kind] = Row::Corner(corner),
            // Another part of the class takes its place: the largest, so that it is there to stay.
            Leaving::Key(class) => {
                let own = self.extras.iter().enumerate().filter(|(_, e)| e.class == class);
                let largest = own.max_by(|a, b| a.1.share.total_cmp(&b.1.share)).map(|(i, _)| i);
                if let Some(i) = largest {
                    self.keys[class] = self.extras.remove(i).place;
                }
            }
            Leaving::Extra(_) | Leaving::Nothing => {}
        }
    }
}

/// Solves a square system; `None` if it has no single solution.
fn gauss(mut rows: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        if rows[pivot].len() != n || rows[pivot][column].abs() < 1e-13 {
            return None;
        }
        rows.swap(column, pivot);
        right.swap(column, pivot);
        let (top, below) = rows.split_at_mut(column + 1);
        let top = &top[column];
        for (row, i) in below.iter_mut().zip(column + 1..) {
            let factor = row[column] / top[column];
            if factor != 0.0 {
                row[column..]
                    .iter_mut()
                    .zip(&top[column..])
                    .for_each(|(cell, above)| *cell -= factor * above);
                right[i] -= factor * right[column];
            }
        }
    }
    for column in (0..n).rev() {
        let known: f64 = (column + 1..n).map(|k| rows[column][k] * right[k]).sum();
        right[column] = (right[column] - known) / rows[column][column];
    }
    Some(right)
}
