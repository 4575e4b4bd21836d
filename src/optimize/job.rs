//! One workload, service, batch, training, pipeline or federation, with everything that the search asks of it.

use std::sync::LazyLock;

use crate::catalog::{Accelerator, InstanceType, ModelArch, Offered, Quota, Region, TransferTo};
use crate::diagnostic::Pointer;
use crate::perf::{self, EngineSettings, RequestShape};
use crate::placement::{Metric, Rejection, World};
use crate::spec::{
    AllowDeny, Batch, Dataset, Engine, EngineName, Federation, Lengths, Model, NO_MODEL, Pipeline,
    PlacementRules, Profiled, Purchase, PurchaseRules, Quantization, RegionRef, Service, Smaller, Spec,
    Stream, Training, Variant,
};
use rhumb_api::{Cloud, Money};

/// Which sort.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    Service(&'a Service),
    /// A service with a profile.
    Mixed(&'a Profiled),
    Run(Task<'a>),
    Federation(&'a Federation, Role),
}

/// For which members of a federation machines are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Aggregator,
    Client,
}

/// Work that ends, done once or on a schedule.
#[derive(Clone, Copy)]
pub(super) enum Task<'a> {
    Batch(&'a Batch),
    Training(&'a Training),
    Pipeline(&'a Pipeline),
}

impl<'a> Task<'a> {
    /// Hours that a run may take.
    pub fn deadline(self) -> f64 {
        let seconds = match self {
            Task::Batch(batch) => batch.deadline_s,
            Task::Training(training) => training.deadline_s,
            Task::Pipeline(pipeline) => pipeline.deadline_s,
        };
        seconds / 3600.0
    }

    /// What makes it a stream.
    pub fn stream(self) -> Option<&'a Stream> {
        match self {
            Task::Pipeline(pipeline) => pipeline.stream.as_ref(),
            Task::Batch(_) | Task::Training(_) => None,
        }
    }

    /// The limit on its time: the constraint, and its key.
    pub fn limit(self) -> &'static str {
        if self.stream().is_some() { "freshness" } else { "deadline" }
    }

    /// Runs of a month.
    pub fn runs(self) -> f64 {
        let schedule = match self {
            Task::Batch(batch) => &batch.schedule,
            Task::Training(training) => &training.schedule,
            Task::Pipeline(pipeline) => &pipeline.schedule,
        };
        schedule.as_ref().map_or(1.0, |s| s.runs_per_month)
    }

    /// Where it was written.
    pub fn at(self) -> &'a Pointer {
        match self {
            Task::Batch(batch) => &batch.at,
            Task::Training(training) => &training.at,
            Task::Pipeline(pipeline) => &pipeline.at,
        }
    }
}

/// A workload of the spec.
#[derive(Clone)]
pub(super) struct Job<'a> {
    pub address: String,
    pub spec: &'a Spec,
    pub world: &'a World,
    pub kind: Kind<'a>,
    pub model: &'a Model,
    pub arch: &'a ModelArch,
    pub rules: &'a PlacementRules,
    pub purchase: &'a PurchaseRules,
    pub engine: &'a Engine,
    pub shape: RequestShape,
    pub at: &'a Pointer,
}

/// A limit of the spec on a latency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit<'a> {
    pub metric: Metric,
    pub quantile: Option<f64>,
    pub limit_ms: f64,
    pub at: &'a Pointer,
}

/// `max_num_seqs` that are tried where the spec states none: the engine's default of 256, less where
/// memory is short, more for throughput. One that memory cannot fill has no larger neighbour.
pub(super) const SEQUENCES: [u32; 3] = [64, 256, 1024];

/// Tokens of a step where the spec states none: vLLM's default for serving.
const BATCHED_TOKENS: u32 = 8192;

/// A training has no engine: nothing is stated.
static NO_ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::unstated(EngineName::Vllm, Pointer::root()));

/// Nobody asks a pipeline or a federation anything.
const NO_REQUESTS: RequestShape = {
    let none = Lengths { mean: 0.0, cv2: 0.0, p95: 0.0, max: 0.0 };
    RequestShape { input: none, output: none, prefix_cached: 0.0 }
};

/// Share of accelerator memory that the engine may use where the spec states none.
const UTILIZATION: f64 = 0.90;

impl<'a> Job<'a> {
    /// Machines of each kind of a pool that there may be besides while a change is rolled out; at a site there are those that stand there.
    pub fn surge(&self, cloud: Cloud) -> u32 {
        let rolling = self.spec.rollout(&self.address).and_then(|rollout| rollout.rolling);
        rolling.filter(|_| cloud != Cloud::Site).map_or(0, |rolling| rolling.surge)
    }

    /// The workload at `address`; `None` if the spec or the world does not have it or its model.
    pub fn of(spec: &'a Spec, world: &'a World, address: &str) -> Option<Self> {
        let kind = match address.split_once('.')? {
            ("services", name) => match spec.profiled.get(name) {
                Some(profiled) => Kind::Mixed(profiled),
                None => Kind::Service(spec.services.get(name)?),
            },
            ("batches", name) => Kind::Run(Task::Batch(spec.batches.get(name)?)),
            ("trainings", name) => Kind::Run(Task::Training(spec.trainings.get(name)?)),
            ("pipelines", name) => Kind::Run(Task::Pipeline(spec.pipelines.get(name)?)),
            ("federations", name) => Kind::Federation(spec.federations.get(name)?, Role::Aggregator),
            _ => return None,
        };
        let known = |name: &str| {
            let model = spec.models.get(name)?;
            Some((model, world.arch(model)?))
        };
        let nothing = || -> (&Model, &ModelArch) { (&NO_MODEL, &perf::measured::NO_ARCHITECTURE) };
        let ((model, arch), rules, purchase, engine, at, shape) = match kind {
            Kind::Service(s) => {
                let t = &s.traffic;
                let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
                for smaller in s.degrade.iter().flat_map(|d| &d.to) {
                    known(&smaller.model)?;
                }
                (known(&s.model)?, &s.placement, &s.purchase, &s.engine, &s.at, shape)
            }
            Kind::Run(Task::Batch(b)) => {
                let shape = RequestShape { input: b.input, output: b.output, prefix_cached: 0.0 };
                (known(&b.model)?, &b.placement, &b.purchase, &b.engine, &b.at, shape)
            }
            Kind::Run(Task::Training(t)) => {
                let length = f64::from(t.sequence_tokens);
                let input = Lengths { mean: length, cv2: 0.0, p95: length, max: length };
                let output = Lengths { mean: 0.0, cv2: 0.0, p95: 0.0, max: 0.0 };
                let shape = RequestShape { input, output, prefix_cached: 0.0 };
                (known(&t.model)?, &t.placement, &t.purchase, &*NO_ENGINE, &t.at, shape)
            }
            Kind::Mixed(p) => {
                let none = Lengths { mean: 0.0, cv2: 0.0, p95: 0.0, max: 0.0 };
                let shape = RequestShape { input: none, output: none, prefix_cached: 0.0 };
                let nothing: (&Model, &ModelArch) = (&NO_MODEL, &perf::measured::NO_ARCHITECTURE);
                (nothing, &p.placement, &p.purchase, &*NO_ENGINE, &p.at, shape)
            }
            Kind::Run(Task::Pipeline(p)) => {
                (nothing(), &p.placement, &p.purchase, &*NO_ENGINE, &p.at, NO_REQUESTS)
            }
            Kind::Federation(f, _) => (nothing(), &f.placement, &f.purchase, &*NO_ENGINE, &f.at, NO_REQUESTS),
        };
        Some(Job {
            address: address.to_owned(),
            spec,
            world,
            kind,
            model,
            arch,
            rules,
            purchase,
            engine,
            shape,
            at,
        })
    }

    /// The same for the clients of a federation, whose own job is that of its aggregator.
    pub fn clients(&self) -> Option<Self> {
        let Kind::Federation(asked, Role::Aggregator) = self.kind else { return None };
        let kind = Kind::Federation(asked, Role::Client);
        Some(Job { kind, rules: &asked.at_sites, ..self.clone() })
    }

    /// The same of each model that may stand in for that of a service, which has none itself.
    pub fn stand_ins(&self) -> Vec<Self> {
        let Kind::Service(Service { degrade: Some(degrade), model, .. }) = self.kind else {
            return Vec::new();
        };
        // [`Job::of`] looked all of them up.
        let of = |smaller: &'a Smaller| {
            let model = self.spec.models.get(&smaller.model)?;
            Some(Job { model, arch: self.world.arch(model)?, ..self.clone() })
        };
        // A stand-in's own job is of another model.
        if self.model.name != *model { Vec::new() } else { degrade.to.iter().filter_map(of).collect() }
    }

    /// Whether it is one of machines without accelerators, which others would leave idle.
    fn bare(&self) -> bool {
        matches!(self.kind, Kind::Run(Task::Pipeline(_)) | Kind::Federation(_, Role::Aggregator))
    }

    /// The longest that a token may take by the tightest objective, ms; `None` if there is none.
    pub fn step_limit_ms(&self) -> Option<f64> {
        let Kind::Service(service) = self.kind else { return None };
        service.slo.tpot.iter().map(|o| o.limit_ms).min_by(f64::total_cmp)
    }

    /// What a training or a pipeline reads from another region.
    pub fn dataset(&self) -> Option<&'a Dataset> {
        match self.kind {
            Kind::Run(Task::Training(training)) => training.dataset.as_ref(),
            Kind::Run(Task::Pipeline(pipeline)) => pipeline.dataset.as_ref(),
            _ => None,
        }
    }

    /// Engine settings with `max_num_seqs` sequences.
    pub fn settings(&self, max_num_seqs: u32) -> EngineSettings {
        let e = self.engine;
        let longest = (self.shape.input.max + self.shape.output.max).ceil().clamp(1.0, 1e9) as u32;
        EngineSettings {
            name: e.name,
            version: e.version.as_deref().and_then(version).unwrap_or(perf::default_version(e.name)),
            max_num_seqs,
            max_num_batched_tokens: e.max_num_batched_tokens.unwrap_or(BATCHED_TOKENS),
            max_model_len: e.max_model_len.unwrap_or(longest),
            gpu_memory_utilization: e.gpu_memory_utilization.unwrap_or(UTILIZATION),
        }
    }

    /// The monthly limits that bind this workload alone: its own, and those that it shares.
    pub fn budgets(&self) -> Vec<(Money, &'a Pointer)> {
        let address = &self.address;
        let limits = self.spec.budget.limits.iter();
        let own = limits.filter(|(scope, _)| scope.binds(self.spec, address));
        own.map(|(_, b)| (b.limit, &b.at)).collect()
    }

    /// Whether spot may be bought at all.
    pub fn may_use_spot(&self) -> bool {
        self.purchase.spot_max_share > 0.0
    }

    /// The amount declared for a quota in a region.
    pub fn declared(&self, cloud: Cloud, region: &str, code: &str) -> Option<f64> {
        self.spec.providers.get(&cloud)?.quotas.get(region)?.get(code).copied()
    }

    /// Why a variant may not be used.
    pub fn quality(&self, variant: &Variant) -> Option<Rejection> {
        // The floor is stated for the model, whatever runs it.
        let floor = self.model.quality.as_ref()?;
        let measured = self.model.measured().is_some();
        if !measured
            && (variant.quantization == Quantization::Native || variant.quantization == self.arch.native)
        {
            return None;
        }
        let rows = self.world.catalog.quality.iter().filter(|q| {
            q.model == self.arch.id
                && q.quantization == variant.quantization
                && q.benchmark == floor.benchmark
        });
        let kept = floor
            .measured
            .get(&variant.name)
            .copied()
            .or_else(|| rows.map(|q| q.recovery).min_by(f64::total_cmp));
        let percent = |x: f64| crate::math::round_to(x * 100.0, 2);
        let reason = match kept {
            Some(kept) if kept >= floor.keep => return None,
            Some(kept) => format!(
                "`{}` {} {} % of {}, {} % are asked for",
                variant.name,
                if measured { "scores" } else { "keeps" },
                percent(kept),
                floor.benchmark,
                percent(floor.keep)
            ),
            None => format!("nobody stated what `{}` keeps of {}", variant.name, floor.benchmark),
        };
        Some(Rejection {
            constraint: "quality",
            reason,
            at: Some(floor.at.clone()),
            distance: kept.map(|k| floor.keep / k - 1.0),
        })
    }

    /// Why an instance type may not be used.
    pub fn machine(&self, kind: &InstanceType) -> Option<Rejection> {
        let no = |constraint, reason: String, at: Option<&Pointer>| {
            Some(Rejection { constraint, reason, at: at.cloned(), distance: None })
        };
        let placement = &self.rules.at;
        let bare = self.bare();
        if bare && !kind.is_processors_only() {
            let what = if matches!(self.kind, Kind::Run(_)) { "a pipeline" } else { "an aggregator" };
            return no(
                "accelerator",
                format!("{} has an accelerator that {what} leaves idle", kind.name),
                None,
            );
        }
        let accelerator = kind.accelerator.and_then(|a| self.world.catalog.accelerators.get(a));
        if accelerator.is_none() && !(kind.is_processors_only() && self.runs_on_processors()) {
            return no("accelerator", format!("{} has no accelerator", kind.name), None);
        }
        if kind.cloud != Cloud::Site && !self.rules.clouds.allows(&kind.cloud) {
            return no("clouds", format!("{} is not allowed", kind.cloud), Some(&placement.join("clouds")));
        }
        if !self.rules.instance_types.allows(&kind.name) {
            let at = placement.join("instance_types");
            return no("instance-types", format!("{} is not allowed", kind.name), Some(&at));
        }
        let (allowed, what) = match (accelerator, &self.rules.accelerators) {
            (Some(accelerator), rule) => (rule.allows(&accelerator.id), accelerator.id.as_str()),
            // A list of accelerators asks for one of them.
            (None, rule) => (bare || !matches!(rule, AllowDeny::Only(_)), "a machine without accelerator"),
        };
        if !allowed {
            return no(
                "accelerators",
                format!("{what} is not allowed"),
                Some(&placement.join("accelerators")),
            );
        }
        if kind.status != "current" && !kind.status.starts_with("previous") {
            return no("retired", format!("{} is {}", kind.name, kind.status), None);
        }
        // What the team measured ran there.
        let measured = matches!(self.kind, Kind::Mixed(_));
        if !measured && kind.arch == "arm64" && accelerator.is_some_and(|a| !is_grace(a)) {
            let reason = format!(
                "{} has an arm64 host; engine images for arm64 are built for Grace machines only",
                kind.name
            );
            return no("engine", reason, None);
        }
        // What emits nobody knows how much keeps no cap that could be proven.
        if let Some(at) = self.spec.carbon_at()
            && let Err(reason) = perf::carbon::watts(kind, accelerator)
        {
            return no("carbon", reason, Some(&at));
        }
        None
    }

    /// Whether machines without accelerators may do it.
    fn runs_on_processors(&self) -> bool {
        self.bare()
            || matches!(self.kind, Kind::Mixed(_))
            || self.model.measured().is_some_and(super::measured::on_processors)
    }

    /// Whether it is known what it costs to bring a dataset to a region: what nobody knows is not nothing.
    fn is_brought(&self, dataset: &Dataset, region: &Region) -> bool {
        let catalog = &self.world.catalog;
        let to = RegionRef { cloud: region.cloud, region: region.id.clone() };
        let from = catalog.region(dataset.from.cloud, &dataset.from.region);
        from.and_then(|from| catalog.transfer_price(from, TransferTo::Region(&to))).is_some()
    }

    /// Whether it is known what it costs to send something to the internet from a region.
    fn sends(&self, region: &Region) -> bool {
        let catalog = &self.world.catalog;
        let from = catalog.region(region.cloud, &region.id);
        from.and_then(|from| catalog.transfer_price(from, TransferTo::Internet)).is_some()
    }

    /// Why a region may not be used by the workload as a whole.
    pub fn region(&self, region: &Region) -> Option<Rejection> {
        let no = |constraint, reason: String, key: &str| {
            Some(Rejection { constraint, reason, at: Some(self.rules.at.join(key)), distance: None })
        };
        if region.cloud == Cloud::Site {
            // `regions` are those of clouds; a site is named or it is out of bounds.
            if !self.rules.sites.contains(&region.id) {
                return no("sites", format!("`placement.sites` does not name {}", region.id), "sites");
            }
        } else if !self.rules.clouds.allows(&region.cloud) {
            return no("clouds", format!("{} is not allowed", region.cloud), "clouds");
        } else if !region_allowed(&self.rules.regions, region) {
            return no("regions", format!("{}/{} is not allowed", region.cloud, region.id), "regions");
        }
        if !resides(&self.rules.residency, region) {
            let reason =
                format!("{}/{} is not in {}", region.cloud, region.id, self.rules.residency.join(" or "));
            return no("residency", reason, "residency");
        }
        let unpriced = self.dataset().filter(|d| d.gib > 0.0 && !self.is_brought(d, region));
        if let Some(Dataset { from, .. }) = unpriced {
            let reason = format!(
                "what it costs to bring data from {}/{} to {}/{}",
                from.cloud, from.region, region.cloud, region.id
            );
            return Some(Rejection { constraint: "unknown", reason, at: None, distance: None });
        }
        if matches!(self.kind, Kind::Federation(_, Role::Aggregator)) && !self.sends(region) {
            let reason = format!("what it costs to send updates from {}/{}", region.cloud, region.id);
            return Some(Rejection { constraint: "unknown", reason, at: None, distance: None });
        }
        if let Some(at) = self.spec.carbon_at()
            && let Err(reason) = perf::carbon::place(region)
        {
            return Some(Rejection { constraint: "carbon", reason, at: Some(at), distance: None });
        }
        None
    }

    /// Whether a purchase option may be used.
    pub fn buys(&self, purchase: Purchase) -> bool {
        match purchase {
            Purchase::Spot => self.may_use_spot(),
            Purchase::Held => self.purchase.held,
            other => self.purchase.options.contains(&other),
        }
    }
}

/// `0.17` or `0.17.1` as (0, 17).
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next().map_or(Some(0), |p| p.parse().ok())?))
}

/// Grace superchips (GH200, GB200, GB300): the only arm64 hosts that the engines publish images for.
/// Their accelerators have compute capability 9.0 or above; the T4g of other arm64 hosts has 7.5.
fn is_grace(accelerator: &Accelerator) -> bool {
    accelerator
        .compute_capability
        .as_deref()
        .and_then(|c| c.split('.').next())
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 9)
}

/// Whether a region is named by a rule, plain or as `cloud/region`.
fn region_allowed(rule: &AllowDeny<String>, region: &Region) -> bool {
    let full = format!("{}/{}", region.cloud, region.id);
    let named = |list: &[String]| list.iter().any(|x| *x == region.id || *x == full);
    match rule {
        AllowDeny::Any => true,
        AllowDeny::Only(list) => named(list),
        AllowDeny::Not(list) => !named(list),
    }
}

/// Whether data may be in a region: one of the tags or its country will do, no tag is anywhere.
pub(super) fn resides(rule: &[String], region: &Region) -> bool {
    let country = region.country.to_lowercase();
    rule.is_empty() || rule.iter().any(|tag| *tag == country || region.jurisdictions.contains(tag))
}

/// Where a quota is declared: its region, or `global` for one of the whole account.
pub(super) fn quota_place<'q>(quota: &Quota, region: &'q str) -> &'q str {
    if quota.scope == "global" { "global" } else { region }
}

/// Latency limits of a service, TTFT first.
pub(super) fn limits(service: &Service) -> Vec<Limit<'_>> {
    let slo = &service.slo;
    [(Metric::Ttft, &slo.ttft), (Metric::Tpot, &slo.tpot), (Metric::E2e, &slo.e2e)]
        .into_iter()
        .flat_map(|(metric, list)| {
            list.iter().map(move |o| Limit { metric, quantile: o.quantile, limit_ms: o.limit_ms, at: &o.at })
        })
        .collect()
}

/// The words of a caveat about an offering that may not exist.
pub(super) fn unsure(kind: &InstanceType, region: &Region, offered: Offered) -> Option<String> {
    (offered == Offered::Unknown).then(|| {
        format!(
            "{} has a price in {}/{}, but no source says that it can be had there",
            kind.name, region.cloud, region.id
        )
    })
}
