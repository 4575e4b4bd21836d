//! A training in every world: how fast it is, and what interrupts it.

use rhumb_api::Money;

use super::Drawn;
use super::played::{Errors, factor};
use super::worlds::Worlds;
use crate::perf::Band;
use crate::perf::training::{Run, predict};
use crate::placement::{Pool, TrainingRun, WorkloadPlacement};
use crate::replay::{self, Random};
use crate::spec::Training;

impl Worlds<'_> {
    pub fn training(
        &mut self,
        address: &str,
        training: &Training,
        placed: &WorkloadPlacement,
    ) -> Result<(), String> {
        let (pool, run) =
            placed.pools.first().zip(placed.run.as_ref()).ok_or_else(|| format!("{address} has no run"))?;
        let trains = run.training.as_ref().ok_or_else(|| format!("{address} does not train"))?;
        let predicted =
            predict(&self.planned(training, pool, trains)?).map_err(|why| format!("{address}: {why}"))?;
        let arch = self.world.archs.get(&training.model).map_or(training.model.as_str(), |a| &a.id);
        let key = (format!("{arch} in training"), pool.accelerator.clone().unwrap_or_default());
        let asked = self.asked;
        let errors = self.errors.entry(key.clone()).or_insert_with(|| Errors::draw(asked, &key.0, &key.1));
        // The band is of tokens a second; a time is off the other way. The worse the longer, as of every other workload.
        let band = Band { mu: -predicted.band.mu, ..predicted.band };
        let mut random = Random::new(asked.seed, &format!("training {address}"));
        let hours: Vec<f64> = errors
            .tokens
            .iter()
            .map(|z| {
                let speed = predicted.tokens_per_s / factor(&band, *z);
                let pace = replay::planned_pace(training, trains, pool, speed);
                replay::trial(&pace, &mut random).seconds / 3600.0
            })
            .collect();
        let drawn = self.drawn.entry(key.clone()).or_insert_with(|| Drawn {
            model: key.0,
            accelerator: key.1,
            pools: Vec::new(),
            tpot: band,
            ttft: Band { mu: 0.0, sigma: 0.0, groups: 0 },
            evidence: predicted.evidence,
        });
        drawn.pools.push(pool.addr.to_string());
        drawn.evidence = drawn.evidence.max(predicted.evidence);
        if band.sigma > drawn.tpot.sigma {
            drawn.tpot = band;
        }
        let each: Money = pool.machines.iter().map(|m| m.price.times(i64::from(m.count))).sum();
        // Not what is copied.
        let machines = each.usd() * run.hours * run.runs_per_month;
        self.ends(address, placed, (run.hours, machines), training.deadline_s, hours);
        self.trained.push(pool.addr.to_string());
        Ok(())
    }

    /// The run as it was planned, on the machines that the catalogue has.
    fn planned(&self, training: &Training, pool: &Pool, run: &TrainingRun) -> Result<Run<'_>, String> {
        let catalog = &self.world.catalog;
        let kind = catalog
            .instance_type(pool.cloud, &pool.instance_type)
            .and_then(|i| catalog.instance_types.get(i))
            .ok_or_else(|| format!("{} is not in the catalogue", pool.instance_type))?;
        let accelerator = kind
            .accelerator
            .and_then(|i| catalog.accelerators.get(i))
            .ok_or_else(|| format!("{} has no accelerator", pool.instance_type))?;
        let arch = self
            .world
            .archs
            .get(&training.model)
            .ok_or_else(|| format!("`{}` has no known architecture", training.model))?;
        let whole = (kind.accelerator_count as u32).max(1);
        let known = |g: &f64| *g > 0.0;
        let gbps = kind.rdma_gbps.filter(known).or(kind.network_gbps.filter(known));
        Ok(Run {
            arch,
            accelerator,
            accelerators: run.accelerators,
            accelerators_per_node: whole,
            network: gbps.map(|g| g * 1e9 / 8.0 / f64::from(whole)),
            method: training.method,
            framework: training.framework,
            precision: run.precision,
            sequence: run.sequence_tokens,
            micro_batch: run.micro_batch,
            sharding: run.sharding,
            checkpointing: run.checkpointing,
        })
    }
}
