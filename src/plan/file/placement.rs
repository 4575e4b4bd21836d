//! What was chosen, in a plan file.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Cloud, Money, Purchase, ResourceAddr};

use super::mirror::{mirror, words};
use crate::catalog::{Evidence, Provenance};
use crate::diagnostic::Pointer;
use crate::perf::training::TrainingMemory;
use crate::perf::{EngineSettings, Latency, Layout, MemoryFit};
use crate::placement::{
    self, BatchRun, CandidateId, Certificate, ChainPart, ChainSplit, Commitment, Cost, CostLine, Coupling,
    Covered, Emission, Emissions, FailureCheck, Fallback, Fallbacks, FederationClient, FederationRun,
    FreeChoice, HeldUse, JointViolation, Kept, KeptWorkload, LeftOut, MachinesAt, PipelineRun, SavingsUse,
    SharedLimit, StandsIn, Stop, StreamRun, TrainingRun,
};
use crate::placement::{DearerDivision, Divided, DividedService, DivisionOption, ServicePart};
use crate::placement::{FleetFallback, Mix, MovedPool, OnShared, SharedFleet, SharedPool};
use crate::placement::{Following, HourClass, Relaxation, Route, Switch, WorkloadPlacement};
use crate::placement::{Loser, Metric, ObjectiveCheck, Placement, Pool, PoolMachines, QuotaNeed, Rejection};
use crate::placement::{MixBranch, MixKind, MixLoss, MixPart, MixProof, MixRoute, SizeClass, SizeMix};
use crate::spec::{
    By, Checkpointing, FederationFramework, Framework, HeldKind, KvCacheDtype, PipelineEngine, Quantization,
    Sharding, TrainingPrecision,
};

words!(EvidenceWord for Evidence {
    Measured = "measured",
    Calibrated = "calibrated",
    Listed = "listed",
    Stated = "stated",
    Modelled = "modelled",
    Assumed = "assumed",
});

words!(MetricWord for placement::Metric { Ttft = "ttft", Tpot = "tpot", E2e = "e2e" });

mirror!(ProvenanceFile for Provenance { source: Arc<str>, as_of: Arc<str> });

mirror!(PlacementFile for Placement {
    workloads: BTreeMap<String, WorkloadPlacement>,
    fleets: Vec<SharedFleet>,
    joint_violations: Vec<JointViolation>,
    emissions: Emissions,
    chains: Vec<ChainSplit>,
    commitments: Vec<Commitment>,
    held: Vec<HeldUse>,
    savings: Vec<SavingsUse>,
    kept: Option<Kept>,
    coupling: Option<Coupling>,
    divided: Option<Divided>,
});

mirror!(DividedFile for Divided {
    services: BTreeMap<String, DividedService>,
    lower_bound: Money,
    dearer: Vec<DearerDivision>,
    gave_up: bool,
});

words!(ByFile for By { Prompts = "prompts", Load = "load" });

mirror!(DividedServiceFile for DividedService {
    by: By,
    at: Vec<u32>,
    parts: Vec<ServicePart>,
    options: Vec<DivisionOption>,
});

mirror!(ServicePartFile for ServicePart {
    address: String,
    above: u32,
    to: Option<u32>,
    hours: Vec<String>,
    share: f64,
});

mirror!(DivisionOptionFile for DivisionOption { at: Vec<u32>, least: Vec<Option<Money>> });

mirror!(DearerDivisionFile for DearerDivision {
    at: BTreeMap<String, Vec<u32>>,
    lower_bound: Option<Money>,
    coupling: Option<Coupling>,
});

mirror!(MachinesAtFile for MachinesAt { cloud: Cloud, region: String, instance_type: String, shared: bool });

mirror!(KeptFile for Kept {
    saving_ppm: u32,
    workloads: BTreeMap<String, KeptWorkload>,
    cost: Money,
    free: Option<Money>,
});

mirror!(KeptWorkloadFile for KeptWorkload {
    running: Vec<MachinesAt>,
    planned: Vec<MachinesAt>,
    cost: Money,
    free: Option<FreeChoice>,
});

mirror!(FreeChoiceFile for FreeChoice { places: Vec<MachinesAt>, cost: Money });

mirror!(CommitmentFile for Commitment {
    addr: String,
    purchase: Purchase,
    machines: u32,
    price: Money,
    instead_of: Money,
    saves_per_month: Money,
    provenance: Provenance,
});

mirror!(HeldFile for HeldUse {
    name: String,
    kind: HeldKind,
    cloud: Cloud,
    region: String,
    instance_type: String,
    count: u32,
    used: u32,
    until: String,
    hours: u32,
    usable: bool,
    cost: Option<Money>,
    id: Option<String>,
    rises_per_month: Option<Money>,
});

mirror!(CoveredFile for Covered { region: String, instance_type: String, machines: u32, rate: Money });

mirror!(SavingsFile for SavingsUse {
    name: String,
    cloud: Cloud,
    spend: Money,
    covered: Vec<Covered>,
    mean: Money,
    until: String,
    hours: u32,
    id: Option<String>,
    rises_per_month: Money,
});

words!(HeldWord for HeldKind { Reservation = "reservation", CapacityBlock = "capacity-block" });

mirror!(ChainFile for ChainSplit {
    name: String,
    quantile: f64,
    limit_ms: f64,
    between_ms: f64,
    part_quantile: f64,
    steps: Vec<Vec<ChainPart>>,
});

mirror!(ChainPartFile for ChainPart { address: String, limit_ms: f64 });

mirror!(EmissionsFile for Emissions { machines: BTreeMap<String, Emission>, cap_mg: Option<i64> });

mirror!(EmissionFile for Emission {
    mg_per_month: Option<i64>,
    mg_per_hour: Option<i64>,
    watts: Option<f64>,
    pue: Option<f64>,
    pue_of_region: bool,
    g_per_kwh: Option<f64>,
    year: Option<u32>,
    provenance: Option<Provenance>,
    unknown: Option<String>,
});

mirror!(CouplingFile for Coupling {
    limits: Vec<SharedLimit>,
    carbon_price: i64,
    optimum: Money,
    lower_bound: Money,
    apart: Money,
    least: BTreeMap<String, Money>,
    plans: u64,
    nodes: u64,
    stopped: Option<Stop>,
});

words!(StopWord for placement::Stop { TimeLimit = "time-limit", ByHand = "by-hand" });

mirror!(SharedLimitFile for SharedLimit {
    constraint: &'static str,
    workload: Option<String>,
    label: Option<(String, String)>,
    cloud: Option<Cloud>,
    region: Option<String>,
    code: Option<String>,
    limit: f64,
    taken: f64,
    multiplier: i64,
    worth: Money,
    at: Option<Pointer>,
});

mirror!(WorkloadFile for WorkloadPlacement {
    address: String,
    pools: Vec<Pool>,
    fallbacks: Vec<Fallbacks>,
    routes: Vec<Route>,
    objectives: Vec<ObjectiveCheck>,
    failures: Vec<FailureCheck>,
    cost: Cost,
    run: Option<BatchRun>,
    mix: Option<SizeMix>,
    certificate: Certificate,
    losers: Vec<Loser>,
    relaxations: Vec<Relaxation>,
    quotas: Vec<QuotaNeed>,
    caveats: Vec<String>,
});

mirror!(MixFile for SizeMix {
    file: String,
    sha256: String,
    kinds: Vec<MixKind>,
    classes: Vec<SizeClass>,
    losses: Vec<MixLoss>,
    proofs: Vec<MixProof>,
});

mirror!(MixKindFile for MixKind { cloud: Cloud, instance_type: String, machines: u32 });

mirror!(SizeClassFile for SizeClass { name: String, demand: u64, to: Vec<MixPart> });

mirror!(MixPartFile for MixPart { kind: u32, billionths: u64 });

mirror!(MixLossFile for MixLoss { lost: Vec<u32>, routes: Vec<MixRoute> });

mirror!(MixRouteFile for MixRoute { to: Vec<MixPart> });

mirror!(MixProofFile for MixProof { prices: Vec<Vec<i64>>, tree: Vec<MixBranch> });

mirror!(MixBranchFile for MixBranch { kind: Option<u32>, at: u32 });

mirror!(QuotaFile for QuotaNeed {
    cloud: Cloud,
    region: String,
    code: String,
    name: String,
    unit: &'static str,
    amount: f64,
    declared: Option<f64>,
    default_new_account: Option<f64>,
});

mirror!(PoolFile for Pool {
    addr: ResourceAddr,
    cloud: Cloud,
    region: String,
    instance_type: String,
    accelerator: Option<String>,
    accelerators_per_machine: f64,
    vcpus_per_replica: Option<u32>,
    variant: String,
    quantization: Quantization,
    kv_cache: KvCacheDtype,
    layout: Layout,
    engine: EngineSettings,
    replicas_per_machine: u32,
    machines_per_replica: u32,
    replicas: u32,
    zones: u32,
    machines: Vec<PoolMachines>,
    shared: Option<OnShared>,
    stands_in: Option<StandsIn>,
    following: Option<Following>,
    peak_rate: f64,
    capacity: f64,
    latency: Option<Latency>,
    ttft_factor: f64,
    tpot_factor: f64,
    memory: MemoryFit,
    evidence: Evidence,
    notes: Vec<String>,
});

mirror!(StandsInFile for StandsIn {
    pool: ResourceAddr,
    model: String,
    quality: f64,
    percent: u32,
    rate: f64,
});

mirror!(OnSharedFile for OnShared {
    fleet: ResourceAddr,
    accelerators: u32,
    most_per_machine: u32,
    most_per_zone: Option<u32>,
});

mirror!(SharedFleetFile for SharedFleet {
    addr: ResourceAddr,
    cloud: Cloud,
    region: String,
    instance_type: String,
    accelerator: Option<String>,
    accelerators_per_machine: u32,
    purchase: Purchase,
    count: u32,
    zones: u32,
    price: Money,
    list_price: Money,
    provenance: Provenance,
    pools: Vec<SharedPool>,
    mixes: Vec<Mix>,
    quotas: Vec<QuotaNeed>,
    caveats: Vec<String>,
    fallbacks: Vec<FleetFallback>,
});

mirror!(FleetFallbackFile for FleetFallback {
    fleet: SharedFleet,
    moved: Vec<MovedPool>,
    more_per_month: Money,
    caveats: Vec<String>,
});

mirror!(MovedPoolFile for MovedPool { workload: String, from: ResourceAddr, pool: Pool });

mirror!(SharedPoolFile for SharedPool {
    workload: String,
    addr: ResourceAddr,
    replicas: u32,
    per_hour: Money,
});

mirror!(MachineMixFile for Mix { machines: Vec<u32>, replicas: Vec<u32> });

mirror!(FollowingFile for Following {
    time_zone: String,
    start_up_s: u32,
    classes: Vec<HourClass>,
    schedule: Vec<Switch>,
});

mirror!(HourClassFile for HourClass { share: u32, seconds: u32, replicas: u32, machines: Vec<u32> });

mirror!(SwitchFile for Switch { at_s: u32, class: usize });

mirror!(FallbacksFile for Fallbacks { pool: ResourceAddr, list: Vec<Fallback> });

mirror!(FallbackFile for Fallback {
    pool: Pool,
    more_per_month: Money,
    ceiling_per_month: Money,
    run: Option<BatchRun>,
    caveats: Vec<String>,
});

mirror!(MachinesFile for PoolMachines {
    purchase: Purchase,
    count: u32,
    price: Money,
    list_price: Money,
    provenance: Provenance,
    interruption: Option<f64>,
    commitment: Option<String>,
});

mirror!(RouteFile for Route {
    origin: String,
    to: Vec<(usize, f64)>,
    network_ms: Vec<f64>,
    evidence: Evidence,
});

mirror!(ObjectiveFile for ObjectiveCheck {
    origin: String,
    metric: Metric,
    quantile: Option<f64>,
    limit_ms: f64,
    network_ms: f64,
    predicted_ms: f64,
    at_confidence_ms: f64,
    evidence: Evidence,
});

mirror!(FailureFile for FailureCheck {
    scope: &'static str,
    count: u32,
    at: String,
    replicas_left: u32,
    required_rate: f64,
    capacity: f64,
});

mirror!(CostLineFile for CostLine {
    addr: String,
    what: String,
    per_hour: Option<Money>,
    evidence: Evidence,
    provenance: Option<Provenance>,
});

mirror!(CostFile for Cost {
    lines: Vec<CostLine>,
    expected_per_hour: Money,
    expected_per_month: Money,
    peak_per_month: Money,
    ceiling_per_month: Money,
    incomplete: bool,
});

mirror!(RunFile for BatchRun {
    hours: f64,
    deadline_hours: f64,
    items_per_s: f64,
    runs_per_month: f64,
    cost_per_run: Money,
    training: Option<TrainingRun>,
    pipeline: Option<PipelineRun>,
    federation: Option<FederationRun>,
});

mirror!(FederationFile for FederationRun {
    framework: FederationFramework,
    rounds: u32,
    round_s: f64,
    round_limit_s: f64,
    start_up_s: f64,
    aggregate_s: f64,
    min_sites: u32,
    clients: Vec<FederationClient>,
    left_out: Vec<LeftOut>,
    sent_gib: f64,
});

mirror!(FederationClientFile for FederationClient {
    site: String,
    transfer_s: f64,
    local_s: f64,
    round_s: f64,
});

mirror!(LeftOutFile for LeftOut {
    site: String,
    reason: String,
});

words!(FederationFrameworkWord for FederationFramework { Flower = "flower" });

mirror!(PipelineFile for PipelineRun {
    engine: PipelineEngine,
    cores_per_machine: u32,
    driver_cores: u32,
    shards: u32,
    waves: u32,
    shard_s: f64,
    start_up_s: f64,
    stream: Option<StreamRun>,
});

mirror!(StreamFile for StreamRun {
    events_per_s: f64,
    trigger_ms: u64,
    overhead_s: f64,
    batch_s: f64,
    fresh_s: f64,
    freshness_s: f64,
});

words!(PipelineEngineWord for PipelineEngine { Spark = "spark", Ray = "ray" });

mirror!(TrainingFile for TrainingRun {
    framework: Framework,
    rank: Option<u32>,
    precision: TrainingPrecision,
    accelerators: u32,
    sharding: Sharding,
    checkpointing: Checkpointing,
    sequence_tokens: u32,
    micro_batch: u32,
    accumulation: u32,
    steps: f64,
    predicted_tokens_per_s: f64,
    memory: TrainingMemory,
    start_up_s: f64,
    checkpoint_gib: f64,
    checkpoint_s: f64,
    checkpoint_every_s: f64,
    interruptions: f64,
    most_interruptions: u32,
    late_hours: f64,
});

mirror!(CertificateFile for Certificate {
    family: String,
    candidates: u64,
    rejected: BTreeMap<String, u64>,
    bounded: u64,
    evaluated: u64,
    optimum: Money,
    lower_bound: Money,
    together: bool,
});

mirror!(CandidateFile for CandidateId {
    cloud: Cloud,
    region: String,
    instance_type: String,
    purchase: Purchase,
    variant: String,
    layout: Layout,
});

mirror!(LoserFile for Loser {
    candidate: CandidateId,
    machines: Option<u32>,
    per_hour: Money,
    rejection: Rejection,
});

mirror!(RejectionFile for Rejection {
    constraint: &'static str,
    reason: String,
    at: Option<Pointer>,
    distance: Option<f64>,
});

mirror!(RelaxationFile for Relaxation {
    constraint: &'static str,
    at: Option<Pointer>,
    change: String,
    cost_per_month: Money,
    saves_per_month: Option<Money>,
    choice: Option<CandidateId>,
});

mirror!(JointFile for JointViolation { constraint: &'static str, reason: String, at: Option<Pointer> });
