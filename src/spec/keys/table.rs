//! The rows of the key table.

mod budget;
mod chain;
mod degrade;
mod federation;
mod held;
mod measured;
mod model;
mod pipeline;
mod purchase;
mod rollout;
mod site;
mod traffic;
mod training;

use super::{Key, Kind, Names};
use crate::spec::units::{Range, Unit};
use budget::{BUDGET, STABILITY};
use chain::CHAIN;
use degrade::DEGRADE;
use federation::FEDERATION;
use held::HELD;
use model::MODEL;
use pipeline::PIPELINE;
use purchase::PURCHASE;
use rollout::ROLLOUT;
use site::SITE;
use traffic::TRAFFIC;
use training::TRAINING;

const DURATION: Kind = Kind::Quantity(Unit::Duration, Range::POSITIVE);
const WORKLOAD_LABELS: Kind = Kind::Map { entry: "LABEL", names: Names::Any, of: &Kind::Label };

/// Top level.
pub static ROOT: &[Key] = &[
    Key::new("rhumb", Kind::Whole { min: 1, max: 1, auto: false }, "Version of the spec language.")
        .required(),
    Key::new("name", Kind::Name, "Name of the deployment; part of every resource's name.").required(),
    Key::new("labels", WORKLOAD_LABELS, "Put on every resource that is created."),
    Key::new(
        "variables",
        Kind::Map { entry: "VARIABLE", names: Names::Identifier, of: &Kind::Section(VARIABLE) },
        "Values handed in from outside: `--var NAME=VALUE`, `--var-file FILE`, `RHUMB_VAR_NAME`. Used as `${var.NAME}`.",
    ),
    Key::new(
        "locals",
        Kind::Map { entry: "LOCAL", names: Names::Identifier, of: &Kind::Anything },
        "Values computed once and used as `${local.NAME}`; they may refer to variables and to each other.",
    ),
    Key::new(
        "defaults",
        Kind::Defaults,
        "Keys of every workload that has them and does not state them itself, merged key by key within a section.",
    ),
    Key::new(
        "models",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(MODEL) },
        "The models, and the compressions of each that the planner may choose from.",
    ),
    Key::new(
        "services",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(SERVICE) },
        "Online inference: requests that somebody waits for.",
    ),
    Key::new(
        "chains",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(CHAIN) },
        "Services that a request goes through, with one objective for all of it.",
    ),
    Key::new(
        "batches",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(BATCH) },
        "Inference over many items with a deadline.",
    ),
    Key::new(
        "trainings",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(TRAINING) },
        "Training and fine-tuning runs with a deadline.",
    ),
    Key::new(
        "pipelines",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(PIPELINE) },
        "Data pipelines on processors: runs with a deadline, and streams that never end.",
    ),
    Key::new(
        "federations",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(FEDERATION) },
        "Training in rounds at several sites, whose data stay there.",
    ),
    Key::new("budget", Kind::Section(BUDGET), "What may be spent and emitted."),
    Key::new(
        "objective",
        Kind::Objective,
        "What is minimised: the cost, the cost with a price of what is emitted, or emissions (cost decides among equals).",
    )
    .default("cost"),
    Key::new("stability", Kind::Section(STABILITY), "What must be gained before something that runs is given up."),
    Key::new(
        "confidence",
        Kind::Quantity(Unit::Percent, Range::OPEN),
        "Plan at this edge of every prediction's band: a wide band costs money, a measured one saves it.",
    )
    .default("85%"),
    Key::new(
        "providers",
        Kind::Map { entry: "CLOUD", names: Names::Cloud, of: &Kind::Section(PROVIDER) },
        "Accounts, discounts and quotas of the clouds.",
    ),
    Key::new(
        "catalog",
        Kind::List(&Kind::Path),
        "Your own catalogue files, in order: instance types, prices, quotas, regions that are added or override (YAML), or a price list (CSV: cloud, instance_type, region, purchase, price, currency, date).",
    ),
    Key::new(
        "calibration",
        Kind::Path,
        "Your own benchmark runs, as `rhumb calibrate` recorded them: predictions near them are corrected.",
    ),
    Key::new(
        "sites",
        Kind::Map { entry: "SITE", names: Names::Name, of: &Kind::Section(SITE) },
        "Places of your own outside the clouds, and the machines that stand there. A service goes there only if its `placement.sites` names them.",
    ),
    Key::new("state", Kind::Section(STATE), "Where what exists is remembered."),
    Key::new(
        "commitments",
        Kind::Map { entry: "NAME", names: Names::Name, of: &Kind::Section(HELD) },
        "What is paid for already: machines, and promises to spend. They are used first: no hour of them costs more.",
    ),
    Key::not_yet("policies", "Rules that a plan must pass."),
];

static VARIABLE: &[Key] = &[
    Key::new(
        "type",
        Kind::Choice { values: crate::spec::expr::TYPES, later: &[] },
        "Type of the value. Without it, the type of the default.",
    ),
    Key::new("default", Kind::Literal, "The value if none is handed in. Without it, one must be."),
    Key::new("description", Kind::Text, "What it is for; shown when it is missing."),
];

static SERVICE: &[Key] = &[
    Key::new("model", Kind::Model, "A name in `models`. Required unless `profile` is there."),
    Key::new(
        "profile",
        Kind::Path,
        "In place of `model` and `slo`: CSV of what you measured, with the columns `size_class`, `cloud`, `instance_type`, \
         `requests_per_s`: what one machine sustains of a size class, and of no other, within your objectives. Nothing is predicted.",
    ),
    Key::new("image", Kind::Text, "With `profile`: the container that was measured. It is started once on every machine, with all of it."),
    Key::new("command", Kind::List(&Kind::Text), "With `profile`: what the container runs.").default("what its image says"),
    Key::new("labels", WORKLOAD_LABELS, "Added to the deployment's labels; the own ones win."),
    Key::new(
        "use_case",
        Kind::Choice { values: crate::spec::use_case::NAMES, later: &[] },
        "Template for lengths and objectives that are not stated.",
    ),
    Key::new(
        "priority",
        Kind::Choice { values: &["latency", "balanced", "cost"], later: &[] },
        "Where in the template's range the objectives lie: its strict end, its middle, its relaxed end. Only with `use_case`.",
    )
    .default("balanced"),
    Key::new("traffic", Kind::Section(TRAFFIC), "What arrives in the busiest hour.").required(),
    Key::new("slo", Kind::Section(SLO), "Service-level objectives. Required without `use_case` or `profile`."),
    Key::new("survive", Kind::Section(SURVIVE), "What may fail, one scope at a time, while `during_failure` holds."),
    Key::new("during_failure", Kind::Section(DURING_FAILURE), "What must still hold during a failure."),
    Key::new("degrade", Kind::Section(DEGRADE), "Smaller models that may stand in during a failure, where they cost less than a spare machine."),
    Key::new("placement", Kind::Section(PLACEMENT), "Where replicas and their data may be."),
    Key::new("purchase", Kind::Section(PURCHASE), "How machines may be paid for."),
    Key::new("scaling", Kind::Section(SCALING), "How many replicas."),
    Key::new("engine", Kind::Section(ENGINE), "The inference engine and its arguments."),
    Key::new("endpoint", Kind::Section(ENDPOINT), "Who can reach it."),
    Key::new(
        "share_machines",
        Kind::Choice { values: &["never", "within-deployment"], later: &[] },
        "Whether its replicas may be on machines with those of other services that share.",
    )
    .default("never"),
    Key::new("rollout", Kind::Section(ROLLOUT), "How a change is rolled out."),
    Key::not_yet("runtime", "What the engine runs on, if not on machines directly."),
];

static ORIGIN: &[Key] = &[
    Key::new(
        "at",
        Kind::Place,
        "A country (`DE`), a region (`aws/eu-west-1`), coordinates (`[48.14, 11.58]`, north and east), a site of yours (`sites.plant-7`) or `vpc` (next to the service).",
    )
    .required(),
    Key::new(
        "share",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "Share of the service's requests. May be left out by a single origin.",
    )
    .default("100%"),
    Key::new(
        "residency",
        Kind::List(&Kind::Jurisdiction),
        "Jurisdictions or countries, any of which may hold this origin's data, besides the service's own rule.",
    ),
];

static SLO: &[Key] = &[
    Key::new(
        "ttft",
        Kind::Objectives,
        "Time to first token, from the client's send, network included (see `measured_at`).",
    ),
    Key::new("tpot", Kind::Objectives, "Time per output token after the first, per request."),
    Key::new("e2e", Kind::Objectives, "From the client's send to the last token."),
    Key::new(
        "measured_at",
        Kind::Choice { values: &["client", "gateway", "engine"], later: &[] },
        "Where latency is measured; `gateway` and `engine` leave the network out.",
    )
    .default("client"),
    Key::new(
        "last_mile",
        Kind::Quantity(Unit::Duration, Range::NOT_NEGATIVE),
        "Round trip of the users' own access network, added to every network time.",
    )
    .default("0ms"),
    Key::new(
        "connections",
        Kind::Choice { values: &["warm", "new"], later: &[] },
        "`new` adds the TCP and TLS handshakes: three round trips instead of one.",
    )
    .default("warm"),
    Key::not_yet("itl", "Inter-token latency: every gap."),
    Key::not_yet("window", "Period that percentiles are taken over, if not the busiest hour."),
];

static SURVIVE: &[Key] = &[
    Key::new("replica", Kind::Whole { min: 0, max: 1000, auto: false }, "Engine replicas that may fail.")
        .default("0"),
    Key::new(
        "machine",
        Kind::Whole { min: 0, max: 1000, auto: false },
        "Machines that may fail, with every replica on them.",
    )
    .default("0"),
    Key::new("zone", Kind::Whole { min: 0, max: 10, auto: false }, "Zones of a region that may fail.")
        .default("0"),
    Key::new("region", Kind::Whole { min: 0, max: 10, auto: false }, "Regions that may fail.").default("0"),
    Key::new(
        "wan",
        Kind::Whole { min: 0, max: 1, auto: false },
        "1: the connection of a site may fail. Origins at a site are then served by machines of that site alone.",
    )
    .default("0"),
];

static DURING_FAILURE: &[Key] = &[
    Key::new(
        "capacity",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "Share of the peak that must still be served.",
    )
    .default("100%"),
    Key::new("slo", Kind::DuringFailureSlo, "`keep`, or `relax 2x`: every limit is multiplied.")
        .default("keep"),
];

static PLACEMENT: &[Key] = &[
    Key::new(
        "residency",
        Kind::List(&Kind::Jurisdiction),
        "Jurisdictions (`eu`) or countries (`ch`), any of which may hold replicas and data.",
    )
    .default("anywhere"),
    Key::new("clouds", Kind::AllowDeny(&Kind::Cloud), "Clouds: a list, or `{ not: [...] }`.").default("any"),
    Key::new("regions", Kind::AllowDeny(&Kind::Region), "Regions: `eu-west-1` or `aws/eu-west-1`.")
        .default("any"),
    Key::new(
        "accelerators",
        Kind::AllowDeny(&Kind::Accelerator),
        "Accelerators by any known name; a family such as `a100` means every member.",
    )
    .default("any"),
    Key::new(
        "instance_types",
        Kind::AllowDeny(&Kind::InstanceType),
        "Instance types by the cloud's own name.",
    )
    .default("any"),
    Key::new("spread", Kind::Section(SPREAD), "Enforced by counting."),
    Key::new(
        "sites",
        Kind::List(&Kind::Site),
        "Sites of yours that replicas may be at; services only. With `clouds` beside it there too, else at these sites alone. Who states one of the two takes neither from `defaults`.",
    )
    .default("no site"),
    Key::new(
        "each_of",
        Kind::Name,
        "In place of `sites`: the name of equal sites. The service becomes one at each, `NAME-SITE`; its origins may be `at: site`.",
    ),
];

static SPREAD: &[Key] = &[
    Key::new("regions", Kind::Whole { min: 1, max: 20, auto: false }, "At least this many regions.")
        .default("1"),
    Key::not_yet("zones", "At least this many zones; `survive: { zone: 1 }` is planned."),
];

static SCALING: &[Key] = &[
    Key::new(
        "mode",
        Kind::Choice { values: &["fixed", "horizontal", "vertical", "hybrid"], later: &[] },
        "How machines follow the load, not at all or `traffic.daily` and `weekend` on a schedule, started before they are needed: `horizontal` by their number, `vertical` by what they are, with `min_replicas` replicas in every hour, `hybrid` by both. With the last two the hours below a load that the planner finds have machines of their own, of another type or region, where that costs less.",
    )
    .default("fixed"),
    Key::new(
        "min_replicas",
        Kind::Whole { min: 1, max: 10_000, auto: false },
        "At least this many engine replicas.",
    )
    .default("1"),
    Key::new(
        "max_replicas",
        Kind::Whole { min: 1, max: 10_000, auto: false },
        "At most this many engine replicas.",
    )
    .default("no limit"),
    Key::new(
        "scale_to_zero",
        Kind::Bool,
        "Whether nothing runs in hours without any load: machines are ready again when the next load begins. A request that comes nonetheless gets no answer.",
    )
    .default("false"),
    Key::not_yet("scale_to_zero_after", "Idle time after which nothing runs.").instead(
        "who comes after an idle time would wait for a start of minutes: write `scale_to_zero: true`, which stops machines in the hours that `daily` and `weekend` say are without load, and starts them in time",
    ),
];

static ENGINE: &[Key] = &[
    Key::new(
        "name",
        Kind::Choice { values: &["vllm", "sglang", "trtllm"], later: &[] },
        "The engine: vLLM, SGLang or TensorRT-LLM.",
    )
    .default("vllm"),
    Key::new("version", Kind::Version, "Version of the engine, in quotes: `\"0.17\"`."),
    Key::new(
        "args",
        Kind::Section(ENGINE_ARGS),
        "Arguments by vLLM's names; `auto` leaves the choice to the planner.",
    ),
];

const PARALLEL: Kind = Kind::Whole { min: 1, max: 1024, auto: true };

static ENGINE_ARGS: &[Key] = &[
    Key::new(
        "max_model_len",
        Kind::Whole { min: 1, max: 100_000_000, auto: true },
        "Longest request, prompt and answer together, in tokens.",
    )
    .default("as long as the traffic needs"),
    Key::new("max_num_seqs", Kind::Whole { min: 1, max: 100_000, auto: true }, "Requests that run at once.")
        .default("the planner chooses"),
    Key::new(
        "max_num_batched_tokens",
        Kind::Whole { min: 1, max: 10_000_000, auto: true },
        "Tokens of one forward pass.",
    )
    .default("the engine's default"),
    Key::new("tensor_parallel_size", PARALLEL, "Accelerators that share every layer.")
        .default("the planner chooses"),
    Key::new("pipeline_parallel_size", PARALLEL, "Stages of layers.").default("the planner chooses"),
    Key::new("data_parallel_size", PARALLEL, "Copies of the attention layers in one engine.")
        .default("the planner chooses"),
    Key::new(
        "enable_expert_parallel",
        Kind::BoolOrAuto,
        "Experts spread over accelerators instead of each being split.",
    )
    .default("the planner chooses"),
    Key::new(
        "gpu_memory_utilization",
        Kind::PercentOrAuto(Range::POSITIVE_SHARE),
        "Share of an accelerator's memory that the engine may use: `90%` or `0.9`.",
    )
    .default("90%"),
];

static ENDPOINT: &[Key] = &[
    Key::new(
        "exposure",
        Kind::Choice { values: &["private", "public"], later: &[] },
        "`private`: from the deployment's own network; `public`: from the internet, with TLS and keys.",
    )
    .default("private"),
    Key::new(
        "tls_certificate",
        Kind::Secret,
        "Reference to the certificate, never the certificate itself. Required for a public endpoint.",
    ),
    Key::new(
        "api_keys",
        Kind::Secret,
        "Reference to the secret that holds the API keys, never the keys. Required for a public endpoint.",
    ),
    Key::new(
        "prevent_destroy",
        Kind::Bool,
        "Refuse every plan that would remove or replace what clients reach it by: its load balancers, or at sites the last of its machines. Recorded with them, so that it holds also once the service is gone from the spec.",
    )
    .default("false"),
];

static BATCH: &[Key] = &[
    Key::new("model", Kind::Model, "A name in `models`.").required(),
    Key::new("labels", WORKLOAD_LABELS, "Added to the deployment's labels; the own ones win."),
    Key::new("items", Kind::Quantity(Unit::Count, Range::POSITIVE), "Items of one run.").required(),
    Key::new(
        "input_tokens",
        Kind::Lengths,
        "Tokens of an item. Required unless the model is `measured`, whose items have none.",
    ),
    Key::new(
        "output_tokens",
        Kind::Lengths,
        "Tokens generated for an item; leave it out for an embedding model.",
    )
    .default("0"),
    Key::new("schedule", Kind::Cron, "Five cron fields, UTC: `\"0 1 * * *\"`.").default("one run"),
    Key::new("deadline", DURATION, "A run must end within this time.").required(),
    Key::new("placement", Kind::Section(PLACEMENT), "Where machines and their data may be."),
    Key::new("purchase", Kind::Section(PURCHASE), "How machines may be paid for."),
    Key::new("engine", Kind::Section(ENGINE), "The inference engine and its arguments."),
    Key::new(
        "after",
        Kind::List(&Kind::Run),
        "Batches, trainings, pipelines and federations (`pipelines.NAME`) whose run must be complete first.",
    ),
];

static PROVIDER: &[Key] = &[
    Key::new(
        "profile",
        Kind::Text,
        "AWS: named profile of the account. Recorded in the plan for its adapter.",
    ),
    Key::new("subscription", Kind::Text, "Azure: subscription. Recorded in the plan for its adapter."),
    Key::new("project", Kind::Text, "Google Cloud: project. Recorded in the plan for its adapter."),
    Key::new("discount", Kind::Quantity(Unit::Percent, Range::PART), "Taken off every list price but spot.")
        .default("0%"),
    Key::new(
        "quotas",
        Kind::Map {
            entry: "REGION",
            names: Names::Any,
            of: &Kind::Map {
                entry: "CODE",
                names: Names::Any,
                of: &Kind::Quantity(Unit::Count, Range::NOT_NEGATIVE),
            },
        },
        "Quotas that you hold: region to quota code to amount, in the quota's own unit. They bind.",
    )
    .later(&["auto"]),
];

static STATE: &[Key] = &[
    Key::new(
        "backend",
        Kind::Choice { values: &["local", "s3", "gcs", "azblob"], later: &[] },
        "Where state is stored: a file, or a bucket, whose credentials are read from the environment.",
    )
    .default("local"),
    Key::new("path", Kind::Path, "File of the local backend, relative to the spec.")
        .default("rhumb.state.json"),
    Key::new("bucket", Kind::Text, "Bucket of `s3` and `gcs`, container of `azblob`."),
    Key::new("key", Kind::Text, "What the keys of all objects of the state begin with, in the bucket."),
    Key::new("region", Kind::Text, "Region of the bucket, of `s3`; without it that of the environment."),
    Key::new("account", Kind::Text, "Storage account, of `azblob`; without it that of the environment."),
    Key::new("endpoint", Kind::Text, "Address of a service of that protocol other than the cloud's own."),
];

/// The keys of `defaults`: what workloads have, but for what only one workload can mean.
pub static DEFAULTS: &[Key] = &[
    Key::new("labels", WORKLOAD_LABELS, "Labels of every workload."),
    Key::new("traffic", Kind::Section(TRAFFIC), "For services."),
    Key::new("slo", Kind::Section(SLO), "For services."),
    Key::new("survive", Kind::Section(SURVIVE), "For services."),
    Key::new("during_failure", Kind::Section(DURING_FAILURE), "For services."),
    Key::new("placement", Kind::Section(PLACEMENT), "For every workload."),
    Key::new("purchase", Kind::Section(PURCHASE), "For every workload."),
    Key::new("scaling", Kind::Section(SCALING), "For services."),
    Key::new("engine", Kind::Section(ENGINE), "For services and batches."),
    Key::new("endpoint", Kind::Section(ENDPOINT), "For services."),
    Key::new(
        "share_machines",
        Kind::Choice { values: &["never", "within-deployment"], later: &[] },
        "For services.",
    ),
    Key::new("rollout", Kind::Section(ROLLOUT), "For services."),
    Key::not_yet("runtime", "What the engine runs on, if not on machines directly."),
];
