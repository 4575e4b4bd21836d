//! A pool at many speeds, and where in their bands the worlds lie.

use rayon::prelude::*;

use super::{GRID, REACH, Stressing};
use crate::math;
use crate::perf::{Band, ServiceCurve};
use crate::placement::{Metric, Pool};
use crate::replay::{self, Loaded, Random, Stream};
use crate::spec::{Load, Service};

/// Draws of a purpose: more worlds or more pools do not move them.
pub(super) fn normals(seed: u64, purpose: &str, count: u32) -> Vec<f64> {
    let mut random = Random::new(seed, purpose);
    (0..count).map(|_| random.normal()).collect()
}

/// Where the truth lies in every world, standard deviations: of tokens and of first tokens.
pub(super) struct Errors {
    pub tokens: Vec<f64>,
    pub first: Vec<f64>,
}

impl Errors {
    pub fn draw(asked: &Stressing, model: &str, accelerator: &str) -> Self {
        let drawn = |what| normals(asked.seed, &format!("{what} {model} {accelerator}"), asked.worlds);
        let tokens = drawn("tokens");
        let rho = asked.correlation.clamp(-1.0, 1.0);
        let own = math::sqrt(1.0 - rho * rho);
        let first = drawn("first").iter().zip(&tokens).map(|(e, t)| rho * t + own * e).collect();
        Errors { tokens, first }
    }
}

/// The factor on a time at a position in its band.
pub(super) fn factor(band: &Band, z: f64) -> f64 {
    math::exp(band.mu + band.sigma * z)
}

/// Milliseconds of what was asked for, at each position of the grid.
pub(super) struct Table(Vec<Vec<f64>>);

impl Table {
    fn position(i: usize) -> f64 {
        -REACH + 2.0 * REACH * i as f64 / (GRID - 1) as f64
    }

    /// Between two positions the logarithm is straight.
    pub fn at(&self, z: f64, figure: usize) -> f64 {
        let x = (z.clamp(-REACH, REACH) + REACH) / (2.0 * REACH) * (GRID - 1) as f64;
        let i = (libm::floor(x) as usize).min(GRID - 2);
        let part = x - i as f64;
        let (a, b) = (self.0[i][figure], self.0[i + 1][figure]);
        if part == 0.0 {
            return a;
        }
        if a > 0.0 && b.is_finite() { a * math::pow(b / a, part) } else { b }
    }
}

/// A pool of a service under its load.
pub(super) struct Played<'a> {
    pub pool: &'a Pool,
    pub service: &'a Service,
    pub curve: ServiceCurve,
    pub key: (String, String),
    /// Requests/s at the peak, or requests in flight.
    pub load: Load,
}

impl Played<'_> {
    /// Replicas that go with a machine.
    pub fn on_a_machine(&self) -> u32 {
        if self.pool.machines_per_replica > 1 { 1 } else { self.pool.replicas_per_machine.max(1) }
    }

    /// Requests/s at `curve`: as many as clients that wait for their answers can send.
    fn rate(&self, curve: &ServiceCurve, replicas: u32, times: f64) -> f64 {
        let t = &self.service.traffic;
        let clients = match self.load {
            Load::Rate(rate) => return rate * times,
            Load::Concurrency(clients) => clients * times,
        };
        let n = f64::from(replicas.max(1));
        let think = t.sessions.map_or(0.0, |s| s.think_s);
        let sent = |rate: f64| {
            curve
                .mean_e2e(rate / n, replicas, t.arrivals)
                .is_some_and(|ms| rate * (ms / 1e3 + think) <= clients)
        };
        let (mut low, mut high) = (0.0, curve.saturation_rate() * n);
        for _ in 0..60 {
            let middle = low + (high - low) / 2.0;
            if sent(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// Figures at a speed, ms at the engine, with `replicas` and `times` the load.
    fn figures(
        &self,
        speed: f64,
        replicas: u32,
        times: f64,
        asked: &[(Metric, Option<f64>)],
        requests: u32,
    ) -> Vec<f64> {
        if replicas == 0 {
            return vec![f64::INFINITY; asked.len()];
        }
        let t = &self.service.traffic;
        let slowed = self.curve.slowed(speed);
        let rate = self.rate(&slowed, replicas, times);
        let closed = slowed.latency(rate / f64::from(replicas), replicas, t.arrivals);
        let Some(closed) = closed else { return vec![f64::INFINITY; asked.len()] };
        if requests == 0 || rate <= 0.0 {
            let of = |(metric, q): &(Metric, Option<f64>)| match metric {
                Metric::Ttft => closed.ttft.at(*q),
                Metric::Tpot => closed.tpot.at(*q),
                Metric::E2e => closed.e2e.at(*q),
            };
            return asked.iter().map(of).collect();
        }
        let users = match self.load {
            Load::Concurrency(clients) => (clients * times).ceil().clamp(1.0, 1e6) as u32,
            Load::Rate(_) => 1,
        };
        let loaded = Loaded {
            curve: &slowed,
            limits: replay::limits_of(&self.curve, &self.pool.engine, self.pool.layout),
            replicas,
            stream: Stream {
                rate,
                arrivals: t.arrivals,
                input: t.input,
                output: t.output,
                prefix_cached: t.prefix_cached,
                recorded: t.recorded.as_deref(),
            },
            sessions: t.sessions.map(|s| (s, users)),
            requests,
        };
        loaded.figures(asked).into_iter().map(|f| f.mean).collect()
    }

    pub fn table(&self, replicas: u32, times: f64, asked: &[(Metric, Option<f64>)], requests: u32) -> Table {
        let row = |i| {
            self.figures(factor(&self.curve.tpot_band, Table::position(i)), replicas, times, asked, requests)
        };
        Table((0..GRID).into_par_iter().map(row).collect())
    }
}
