//! What every promise of a placement comes to in every world.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{HOURS_PER_MONTH, Money, Purchase};

use super::played::{Errors, Played, Table, factor, normals};
use super::{Drawn, Held, Promise, Spot, Stressing, What};
use crate::math;
use crate::optimize::{LOST_WORK, UNKNOWN_INTERRUPTION};
use crate::perf::{self, RequestShape, ServiceCurve};
use crate::placement::{Metric, Pool, WorkloadPlacement, World};
use crate::replay::{self, Random};
use crate::spec::{
    Batch, BudgetBinds, BudgetScope, Connections, Load, MeasuredAt, Pipeline, Place, Service, Spec,
};

/// A limit is held up to this share beyond it: rounding.
const SLACK: f64 = 1e-9;

/// The figure of a promise in every world.
pub(super) struct Row {
    pub workload: Option<String>,
    pub what: What,
    pub limit: f64,
    pub figures: Vec<f64>,
}

impl Row {
    pub fn holds(&self, world: usize) -> bool {
        self.figures[world] <= self.limit * (1.0 + SLACK)
    }

    pub fn told(self) -> Promise {
        let worlds = self.figures.len();
        let held = (0..worlds).filter(|i| self.holds(*i)).count() as u32;
        let mut sorted = self.figures;
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| sorted[((worlds as f64 * q) as usize).min(worlds - 1)];
        Promise {
            workload: self.workload,
            what: self.what,
            limit: self.limit,
            held: Held { held, worlds: worlds as u32 },
            median: at(0.5),
            high: at(0.9),
        }
    }
}

pub(super) struct Worlds<'a> {
    pub spec: &'a Spec,
    pub world: &'a World,
    pub asked: &'a Stressing,
    pub errors: BTreeMap<(String, String), Errors>,
    pub drawn: BTreeMap<(String, String), Drawn>,
    pub spot: Vec<Spot>,
    pub interrupted: Vec<String>,
    pub trained: Vec<String>,
    pub measured: Vec<String>,
    pub hedged: Vec<String>,
    pub rows: Vec<Row>,
    /// Dollars a month in every world, by workload: as the budget binds.
    pub costs: BTreeMap<String, Vec<f64>>,
}

impl<'a> Worlds<'a> {
    /// Nothing drawn yet.
    pub fn new(spec: &'a Spec, world: &'a World, asked: &'a Stressing) -> Self {
        Worlds {
            spec,
            world,
            asked,
            errors: BTreeMap::new(),
            drawn: BTreeMap::new(),
            spot: Vec::new(),
            interrupted: Vec::new(),
            trained: Vec::new(),
            measured: Vec::new(),
            hedged: Vec::new(),
            rows: Vec::new(),
            costs: BTreeMap::new(),
        }
    }

    /// The curve of a pool, its errors drawn.
    fn curve(
        &mut self,
        model: &str,
        pool: &Pool,
        shape: &RequestShape,
        step_limit_ms: Option<f64>,
    ) -> Result<(ServiceCurve, (String, String)), String> {
        let address = pool.addr.as_str();
        let stated = self.spec.models.get(model).ok_or_else(|| format!("there is no model `{model}`"))?;
        let curve = replay::curve_of(self.world, stated, pool, shape, step_limit_ms)
            .map_err(|why| format!("{address}: {why}"))?;
        let arch = self.world.archs.get(model).map_or_else(|| model.to_owned(), |a| a.id.clone());
        let on = pool.accelerator.as_ref().unwrap_or(&pool.instance_type);
        let key = (arch, on.clone());
        let asked = self.asked;
        self.errors.entry(key.clone()).or_insert_with(|| Errors::draw(asked, &key.0, &key.1));
        let drawn = self.drawn.entry(key.clone()).or_insert_with(|| Drawn {
            model: key.0.clone(),
            accelerator: key.1.clone(),
            pools: Vec::new(),
            tpot: curve.tpot_band,
            ttft: curve.ttft_band,
            evidence: curve.evidence,
        });
        drawn.pools.push(address.to_owned());
        drawn.evidence = drawn.evidence.max(curve.evidence);
        for (widest, band) in [(&mut drawn.tpot, curve.tpot_band), (&mut drawn.ttft, curve.ttft_band)] {
            if band.sigma > widest.sigma {
                *widest = band;
            }
        }
        Ok((curve, key))
    }

    /// Spot machines of a pool that are lost in a month, in every world.
    fn lost(&mut self, pool: &Pool) -> Vec<u32> {
        let worlds = self.asked.worlds as usize;
        let Some(spot) = pool.machines.iter().find(|m| m.purchase == Purchase::Spot && m.count > 0) else {
            return vec![0; worlds];
        };
        let interruption = spot.interruption.unwrap_or(UNKNOWN_INTERRUPTION);
        self.spot.push(Spot {
            pool: pool.addr.to_string(),
            machines: spot.count,
            interruption,
            assumed: spot.interruption.is_none(),
        });
        let mut random = Random::new(self.asked.seed, &format!("spot {}", pool.addr));
        (0..worlds)
            .map(|_| (0..spot.count).filter(|_| random.uniform() < interruption).count() as u32)
            .collect()
    }

    /// Dollars an hour more for a machine that is bought on demand instead of spot; `None` if it is not sold so.
    fn dearer(&self, pool: &Pool) -> Option<Money> {
        let catalog = &self.world.catalog;
        let spot = pool.machines.iter().find(|m| m.purchase == Purchase::Spot);
        let on_demand = catalog
            .instance_type(pool.cloud, &pool.instance_type)
            .zip(catalog.region(pool.cloud, &pool.region))
            .and_then(|(t, r)| catalog.offering(t, r, Purchase::OnDemand));
        let (spot, on_demand) = spot.zip(on_demand)?;
        Some((on_demand.price - spot.price).max(Money::ZERO))
    }

    pub fn service(
        &mut self,
        address: &str,
        service: &Service,
        placed: &WorkloadPlacement,
    ) -> Result<(), String> {
        let t = &service.traffic;
        let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
        let step_limit_ms = service.slo.tpot.iter().map(|o| o.limit_ms).min_by(f64::total_cmp);
        let share = |pool: usize| -> f64 {
            let to = |origin: &str| -> f64 {
                let routes = placed.routes.iter().filter(|r| r.origin == origin);
                routes.flat_map(|r| &r.to).filter(|(p, _)| *p == pool).map(|(_, s)| s).sum()
            };
            t.origins.iter().map(|o| o.share * to(&o.name)).sum()
        };
        let mut pools = Vec::new();
        let mut lost = Vec::new();
        for (i, pool) in placed.pools.iter().enumerate() {
            let model = pool.stands_in.as_ref().map_or(&service.model, |s| &s.model);
            let (curve, key) = self.curve(model, pool, &shape, step_limit_ms)?;
            let load = match t.load {
                Load::Rate(rate) => Load::Rate(rate * share(i)),
                Load::Concurrency(clients) => Load::Concurrency(clients * share(i)),
            };
            pools.push(Played { pool, service, curve, key, load });
            lost.push(self.lost(pool));
        }
        let limits: Vec<(Metric, Option<f64>, f64)> = {
            let of = |metric, list: &[crate::spec::Objective]| -> Vec<_> {
                list.iter().map(|o| (metric, o.quantile, o.limit_ms)).collect()
            };
            let slo = &service.slo;
            [of(Metric::Ttft, &slo.ttft), of(Metric::Tpot, &slo.tpot), of(Metric::E2e, &slo.e2e)].concat()
        };
        // The figure of each limit; that of the first token at the same quantile behind it.
        let asked: Vec<(Metric, Option<f64>)> =
            limits.iter().flat_map(|(m, q, _)| [(*m, *q), (Metric::Ttft, *q)]).collect();
        let requests = self.asked.requests;
        let whole: Vec<Table> =
            pools.iter().map(|p| p.table(p.pool.replicas, 1.0, &asked, requests)).collect();
        let fail = service.during_failure;
        let fewer: Vec<BTreeMap<u32, Table>> = pools
            .iter()
            .zip(&lost)
            .map(|(p, lost)| {
                let counts: BTreeSet<u32> = lost.iter().copied().collect();
                let left = |k: &u32| p.pool.replicas.saturating_sub(k.saturating_mul(p.on_a_machine()));
                let spot = counts.iter().any(|k| *k > 0);
                counts
                    .into_iter()
                    .filter(|_| spot)
                    .map(|k| (k, p.table(left(&k), fail.capacity, &asked, requests)))
                    .collect()
            })
            .collect();
        let spot = fewer.iter().any(|tables| !tables.is_empty());
        for origin in &t.origins {
            let serving: BTreeSet<usize> = placed
                .routes
                .iter()
                .filter(|r| r.origin == origin.name)
                .flat_map(|r| r.to.iter().map(|(pool, _)| *pool))
                .collect();
            let network: BTreeMap<usize, Vec<f64>> = serving
                .iter()
                .map(|i| Ok((*i, self.network(service, &origin.place, pools[*i].pool)?)))
                .collect::<Result<_, String>>()?;
            for (j, (metric, quantile, limit)) in limits.iter().enumerate() {
                let figure = |i: usize, world: usize, table: &Table| {
                    let p = &pools[i];
                    let errors = &self.errors[&p.key];
                    let (z, first) = (errors.tokens[world], errors.first[world]);
                    let ms = table.at(z, 2 * j);
                    // What the table has is slower by the factor of a token; the rest is that of a first token.
                    let more = factor(&p.curve.ttft_band, first) / factor(&p.curve.tpot_band, z);
                    match metric {
                        Metric::Tpot => ms,
                        Metric::Ttft => ms * more + network[&i][world],
                        Metric::E2e => ms + (more - 1.0) * table.at(z, 2 * j + 1) + network[&i][world],
                    }
                };
                let worlds = 0..self.asked.worlds as usize;
                let worst = |of: &dyn Fn(usize) -> f64| serving.iter().map(|i| of(*i)).fold(0.0, f64::max);
                let figures = worlds.clone().map(|w| worst(&|i| figure(i, w, &whole[i]))).collect();
                let (origin, metric, quantile) = (origin.name.clone(), *metric, *quantile);
                let mut rows = vec![Row {
                    workload: Some(address.to_owned()),
                    what: What::Objective { origin: origin.clone(), metric, quantile },
                    limit: *limit,
                    figures,
                }];
                if spot {
                    let less = |i: usize, w: usize| fewer[i].get(&lost[i][w]).unwrap_or(&whole[i]);
                    rows.push(Row {
                        workload: Some(address.to_owned()),
                        what: What::SpotLost { origin, metric, quantile },
                        limit: limit * fail.slo_factor,
                        figures: worlds.map(|w| worst(&|i| figure(i, w, less(i, w)))).collect(),
                    });
                }
                self.rows.extend(rows);
            }
        }
        let worlds = self.asked.worlds as usize;
        let costs = match self.spec.budget.binds {
            BudgetBinds::Ceiling => vec![placed.cost.ceiling_per_month.usd(); worlds],
            binds @ (BudgetBinds::Expected | BudgetBinds::PeakMonth) => {
                let cost = &placed.cost;
                let all_peak = binds == BudgetBinds::PeakMonth;
                let month = if all_peak { cost.peak_per_month } else { cost.expected_per_month };
                let mut costs = vec![month.usd(); worlds];
                for (p, lost) in pools.iter().zip(&lost).filter(|(_, lost)| lost.iter().any(|n| *n > 0)) {
                    match self.dearer(p.pool) {
                        Some(more) => {
                            let each = more.times(HOURS_PER_MONTH).usd();
                            costs.iter_mut().zip(lost).for_each(|(c, n)| *c += f64::from(*n) * each);
                        }
                        None if self.budgeted(address) => {
                            return Err(format!(
                                "{}: what the month costs when spot machines are lost is unknown, because the type is not sold on demand \
                                 there; a budget cannot be judged (`budget.binds: ceiling` limits what is known)",
                                p.pool.addr
                            ));
                        }
                        None => {}
                    }
                }
                costs
            }
        };
        self.costs.insert(address.to_owned(), costs);
        Ok(())
    }

    /// What was measured is drawn from no band, and no machine of it is lost: it costs the same in every world.
    pub fn profiled(&mut self, address: &str, placed: &WorkloadPlacement) {
        let month = match self.spec.budget.binds {
            BudgetBinds::Ceiling => placed.cost.ceiling_per_month,
            BudgetBinds::PeakMonth => placed.cost.peak_per_month,
            BudgetBinds::Expected => placed.cost.expected_per_month,
        };
        self.costs.insert(address.to_owned(), vec![month.usd(); self.asked.worlds as usize]);
        self.measured.push(address.to_owned());
    }

    /// Whether a budget limits a workload.
    fn budgeted(&self, address: &str) -> bool {
        self.spec.budgets_of(address).next().is_some()
    }

    /// Network time that counts, ms, in every world: log-normal from its figure to its 90 % edge.
    fn network(&self, service: &Service, place: &Place, pool: &Pool) -> Result<Vec<f64>, String> {
        let worlds = self.asked.worlds;
        if *place == Place::Vpc || service.slo.measured_at != MeasuredAt::Client {
            return Ok(vec![0.0; worlds as usize]);
        }
        let catalog = &self.world.catalog;
        let trip = catalog
            .region(pool.cloud, &pool.region)
            .and_then(|region| catalog.round_trip(place, region))
            .ok_or_else(|| format!("the network time to {}/{} is unknown", pool.cloud, pool.region))?;
        let trips = match service.slo.connections {
            Connections::Warm => 1.0,
            Connections::New => 3.0,
        };
        let sigma = if trip.ms > 0.0 && trip.ms_p90 > trip.ms {
            math::ln(trip.ms_p90 / trip.ms) / math::normal_quantile(0.9)
        } else {
            0.0
        };
        let purpose = format!("network {place:?} {}/{}", pool.cloud, pool.region);
        let drawn = normals(self.asked.seed, &purpose, worlds);
        Ok(drawn
            .iter()
            .map(|z| (trip.ms * math::exp(sigma * z) + service.slo.last_mile_ms) * trips)
            .collect())
    }

    pub fn batch(&mut self, address: &str, batch: &Batch, placed: &WorkloadPlacement) -> Result<(), String> {
        let (Some(pool), Some(run)) = (placed.pools.first(), &placed.run) else {
            return Err(format!("{address} has no run"));
        };
        let shape = RequestShape { input: batch.input, output: batch.output, prefix_cached: 0.0 };
        let (curve, key) = self.curve(&batch.model, pool, &shape, None)?;
        let spot: u32 = pool.machines.iter().filter(|m| m.purchase == Purchase::Spot).map(|m| m.count).sum();
        let catalog = &self.world.catalog;
        let network_gbps = catalog
            .instance_type(pool.cloud, &pool.instance_type)
            .and_then(|t| catalog.instance_types.get(t))
            .and_then(|t| t.network_gbps);
        let spread = f64::from(pool.machines_per_replica.max(1));
        let weights = curve.memory.weights * f64::from(pool.layout.accelerators()) / spread;
        let start = perf::start_up_s(weights, network_gbps);
        // What a replay took off the closed form it takes off in every world.
        let rate = run.items_per_s * pool.tpot_factor;
        let hours = |speed: f64| {
            let work = batch.items / (rate / speed);
            (if spot > 0 { 2.0 * start + LOST_WORK * work } else { start + work }) / 3600.0
        };
        let hours: Vec<f64> =
            self.errors[&key].tokens.iter().map(|z| hours(factor(&curve.tpot_band, *z))).collect();
        let machines = run.cost_per_run.usd() * run.runs_per_month;
        self.ends(address, placed, (run.hours, machines), batch.deadline_s, hours);
        if spot > 0 {
            self.interrupted.push(pool.addr.to_string());
        }
        Ok(())
    }

    /// A pipeline: its rates have no band, so that it takes as long in every world, or is as fresh.
    pub fn pipeline(
        &mut self,
        address: &str,
        pipeline: &Pipeline,
        placed: &WorkloadPlacement,
    ) -> Result<(), String> {
        if pipeline.stream.is_some() {
            self.profiled(address, placed);
            let spot = placed.pools.iter().filter(|pool| pool.uses_spot());
            self.hedged.extend(spot.map(|pool| pool.addr.to_string()));
            return Ok(());
        }
        let (Some(pool), Some(run)) = (placed.pools.first(), &placed.run) else {
            return Err(format!("{address} has no run"));
        };
        let hours = vec![run.hours; self.asked.worlds as usize];
        let machines = run.cost_per_run.usd() * run.runs_per_month;
        self.ends(address, placed, (run.hours, machines), pipeline.deadline_s, hours);
        if pool.uses_spot() {
            self.interrupted.push(pool.addr.to_string());
        }
        Ok(())
    }

    /// A federation: its times have no band either.
    pub fn federation(&mut self, address: &str, placed: &WorkloadPlacement) -> Result<(), String> {
        let Some(run) = &placed.run else { return Err(format!("{address} has no run")) };
        let hours = vec![run.hours; self.asked.worlds as usize];
        let machines = run.cost_per_run.usd() * run.runs_per_month;
        self.ends(address, placed, (run.hours, machines), run.deadline_hours * 3600.0, hours);
        Ok(())
    }

    /// What the months of a run cost whose hours differ from the planned ones, and whether it keeps its deadline. `machines`: what of
    /// the month goes with the hours, dollars.
    pub(super) fn ends(
        &mut self,
        address: &str,
        placed: &WorkloadPlacement,
        (planned, machines): (f64, f64),
        deadline_s: f64,
        hours: Vec<f64>,
    ) {
        let cost = &placed.cost;
        let (month, hourly) = match self.spec.budget.binds {
            BudgetBinds::Ceiling => (
                cost.ceiling_per_month.usd(),
                machines + (cost.ceiling_per_month - cost.expected_per_month).usd(),
            ),
            BudgetBinds::Expected | BudgetBinds::PeakMonth => (cost.expected_per_month.usd(), machines),
        };
        let costs = hours.iter().map(|h| month + hourly * (h / planned - 1.0)).collect();
        self.costs.insert(address.to_owned(), costs);
        self.rows.push(Row {
            workload: Some(address.to_owned()),
            what: What::Deadline,
            limit: deadline_s / 3600.0,
            figures: hours,
        });
    }

    /// What the month costs in every world against each budget, that of everything last.
    pub fn budgets(&mut self) {
        let limits = &self.spec.budget.limits;
        let (total, parts): (Vec<_>, Vec<_>) = limits.iter().partition(|(of, _)| **of == BudgetScope::All);
        for (scope, budget) in parts.into_iter().chain(total) {
            let counted: Vec<&Vec<f64>> =
                self.costs.iter().filter(|(a, _)| scope.covers(self.spec, a)).map(|(_, c)| c).collect();
            if counted.is_empty() {
                continue;
            }
            let sums = (0..self.asked.worlds as usize).map(|w| counted.iter().map(|c| c[w]).sum());
            self.rows.push(Row {
                workload: scope.workload().map(str::to_owned),
                what: What::Budget { label: scope.label() },
                limit: budget.limit.usd(),
                figures: sums.collect(),
            });
        }
    }
}
