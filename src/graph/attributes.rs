//! The attributes of each kind of resource, and the constants behind them.
//!
//! Values are texts, whole numbers, lists and maps; a quantity has its unit in its name. An attribute
//! that is marked `?` is left out when there is nothing to say. Where an attribute names another resource,
//! its value is that resource's address.
//!
//! All kinds:
//!
//! | attribute | value |
//! |---|---|
//! | `deployment` | `name` of the spec |
//! | `workload` | `services.NAME`, `batches.NAME`, `trainings.NAME`, `pipelines.NAME` or `federations.NAME`; `machines.shared` for what services share |
//! | `labels` | map; `labels` of the spec with the workload's own; those of the spec alone for what services share |
//! | `account`? | `profile`, `subscription` or `project` of `providers.CLOUD` |
//!
//! `network`:
//!
//! | attribute | value |
//! |---|---|
//! | `address_range` | CIDR; the same everywhere, since networks of a deployment are not joined |
//! | `zones` | zones that need a subnet |
//!
//! `firewall`:
//!
//! | attribute | value |
//! |---|---|
//! | `network` | address |
//! | `inbound` | list of maps: `from` (`internet`, `network`, `load_balancer`, `members`, `sites`: the connections of the sites whose clients it works with), `to` (`load_balancer`, `machines`), `protocol` (`tcp`), `first_port`, `last_port`; of shared machines also `firewall`: that of the load balancer which may come in |
//! | `outbound` | `any`: weights and engine are fetched from outside |
//!
//! `load_balancer` (services only, one per region):
//!
//! | attribute | value |
//! |---|---|
//! | `network`, `firewall` | addresses |
//! | `exposure` | `private` or `public` |
//! | `protocol`, `port` | what clients speak: `https` 443 with a certificate, else `http` 80 |
//! | `tls_certificate`? | reference to the certificate |
//! | `health_check_path`, `health_check_port`? | what is asked of a machine; the port is left out where the service has a pool on shared machines: there every target port is asked by itself, and other machines say theirs |
//! | `stickiness`? | `session`: the turns of a conversation go to one replica, which may have them in its cache |
//! | `origins_ppm` | map: origin to the share of its traffic that is sent to this region, in millionths |
//! | `prevent_destroy`? | `true`: no plan removes or replaces it; a matter of records, nothing of the cloud's |
//! | `overflow`? | list of maps: `from`, `to` (lists of fleets), `percent`: the weight of `to` is 0, and while machines of `from` have failed `percent` of their requests go there |
//! | `part`? | of a part of a service: `of` (address of the whole service), `prompt_tokens_above`?, `prompt_tokens_to`?: the gateway sends it the requests whose prompts have more tokens than the first and at most as many as the second; or `peak_ppm_above`?, `peak_ppm_to`?, `hours` (list of texts, `Mon-Fri 08:00-18:00` or, where all days are alike, `08:00-18:00`), `time_zone`: it sends it all requests of these hours, whose loads are such parts of the peak in millionths |
//!
//! `launch_template` (one per pool):
//!
//! | attribute | value |
//! |---|---|
//! | `network`, `firewall` | addresses |
//! | `instance_type` | the cloud's name |
//! | `accelerator`? | id in the catalogue |
//! | `accelerators_per_machine_permille` | thousandths: 8000 for 8, 125 for an eighth |
//! | `replicas_per_machine` | engine processes of a machine; 1 if a replica spans machines |
//! | `machines_per_replica` | 1 unless a replica spans machines |
//! | `port` | port of the first engine process; the next ones follow |
//! | `model`, `engine` | maps, see below; not of a model whose times were measured, nor of a service with a profile |
//! | `server` | map, of such a model: `name` (in the spec), `variant`, `image` (a container's, as written), `command` (list, empty if the image says it), `batch` (most items that it takes together), on a machine without accelerators `vcpus` and `memory_bytes` of each |
//! | `measured` | map, of a service with a profile: `image`, `command` (list, empty if the image says it), `classes_ppb` (map: size class to the part of it, in billionths, that all machines of the type get together) |
//! | `artifacts_at`? | `cloud/region` that the weights are copied from; the public hub without it |
//! | `api_keys`? | reference to the secret that holds the keys |
//! | `start_script_sha256`, `environment_sha256` | SHA-256 of the rendered files |
//!
//! `model`: `name` (in the spec), `repository`? (what the engine loads; left out if no repository is known
//! to hold these weights), `config`? (the local `config.json` that stands for the model), `revision`?,
//! `variant`, `quantization`, `kv_cache_dtype`, `made_at_start` (whether the engine itself compresses the
//! published weights), `adapters`? (`max_rank` that the engine allocates for, `sources`: name to repository), `answers_for`? (of a stand-in: the name
//! of the model in whose place it answers).
//!
//! `engine`: `name`, `version` (`major.minor`), `tensor_parallel_size`, `pipeline_parallel_size`,
//! `data_parallel_size`, `expert_parallel_size`, `accelerators_per_replica`, `max_model_len`,
//! `max_num_seqs`, `max_num_batched_tokens`, `gpu_memory_utilization_permille`.
//!
//! The launch template of a training has `training`, and `dataset_at`? (`cloud/region` that the dataset is copied from), in the place of
//! `port`, `engine` and `api_keys`; its `model` is what training starts from, without variant and compression.
//!
//! `training`: `method`, `rank`?, `precision`, `strategy`, `activation_checkpointing`, `processes_per_machine`, `sequence_tokens`,
//! `micro_batch`, `gradient_accumulation`, `steps`, `checkpoint_every_s`, `command` (list).
//!
//! The launch template of a pipeline has `pipeline`, and `dataset_at`? (`cloud/region` that its input is read from), in the place of
//! `port`, `model`, `engine` and `api_keys`.
//!
//! `pipeline`: `engine` (`spark` or `ray`), `image`, `command` (list), `cores` (vCPUs of a machine that work), `driver_cores` (of all, those
//! of the driver, on machine 0), `memory_bytes_per_core`, `shards`, `trigger_ms`? (of a stream: from the start of a micro-batch to that of
//! the next).
//!
//! The launch template of a member of a federation has `federation` in the place of `port`, `model`, `engine` and `api_keys`; at a site it
//! names no network and no firewall.
//!
//! `federation`: `framework` (`flower`), `role` (`aggregator` or `client`), `image`, `command` (list; what the aggregator starts), `port` (of the
//! aggregator, where clients come), `rounds`, `sites` (that take part), `min_sites`, `round_deadline_s`.
//!
//! `fleet` (one per pool and purchase option):
//!
//! | attribute | value |
//! |---|---|
//! | `network`, `launch_template`, `load_balancer` | addresses |
//! | `launch_template_sha256` | SHA-256 of its launch template without `labels`: another one makes its machines anew |
//! | `instance_type` | the cloud's name |
//! | `accelerator`? | id in the catalogue |
//! | `purchase` | `on_demand`, `spot`, `reserved_1y`, `reserved_3y`, `held` |
//! | `commitment`?, `commitment_kind`?, `commitment_id`? | of held machines: the commitment's name in the spec, `reservation`, `capacity-block` or `savings-plan` (whose machines are started as on demand), and the cloud's id if the spec states it |
//! | `count` | machines |
//! | `zones` | zones that the pool is spread over evenly |
//! | `replicas_per_machine`, `machines_per_replica` | as in its launch template |
//! | `health_check_path`, `health_check_port` | as in its load balancer |
//! | `target_ports` | list; ports that get traffic |
//! | `stands_in_for`? | address of the pool that it answers for while that has failed in part; nothing is sent to it otherwise |
//! | `min_count`?, `max_count`? | of a fleet that follows the load: the fewest and the most machines at any time; `count` are those of the peak |
//! | `schedule`? | list of maps: `at_s` (seconds after midnight), `count` (machines from then on), `days`? (list of `monday` to `sunday`; every day without it) |
//! | `time_zone`? | IANA name; of the schedule |
//! | `max_surge`?, `max_unavailable`? | machines that there may be besides, and that may be missing, while machines are made anew; both or none, not both 0 |
//!
//! Days have names in a schedule because the clouds number them differently or not at all: recurring actions of EC2 Auto Scaling are five cron
//! fields (the last one 0 to 6 from Sunday on), scaling schedules of Google are cron fields with the start of a span and its length, and
//! recurring profiles of Azure list names of days. An adapter translates an entry; seconds that a cloud does not have are rounded
//! down, so that machines start sooner.
//!
//! Machines that services share (one launch template and one `fleet` for each mix of replicas on them; network and firewall are one
//! for all of a region). A machine has labels of the deployment alone: no service may claim it.
//!
//! | attribute of the launch template | value |
//! |---|---|
//! | `network`, `firewall`, `instance_type`, `accelerator`?, `accelerators_per_machine_permille` | as above |
//! | `replicas_per_machine` | engine processes of a machine, of all services |
//! | `machines_per_replica` | 1 |
//! | `engines` | map: pool to `workload`, `port` (the first of the pool), `replicas` (list of maps: `port` and `accelerators`, the indexes of its devices), `model`, `engine`, `artifacts_at`?, `api_keys`? |
//! | `start_script_sha256` | SHA-256 of the rendered start script |
//! | `environments_sha256` | map: environment file to its SHA-256 |
//!
//! | attribute of the fleet | value |
//! |---|---|
//! | `network`, `launch_template`, `launch_template_sha256`, `instance_type`, `accelerator`?, `purchase`, `replicas_per_machine`, `machines_per_replica` | as above |
//! | `count` | machines with this mix |
//! | `zones` | zones of the whole fleet |
//! | `machines_in_zones` | list: machines with this mix in the first zone, in the second, ... |
//! | `health_check_path` | asked at every target port: an engine that does not answer gets no traffic, its neighbours do |
//! | `targets` | map: load balancer to the list of ports that get its traffic |
//!
//! `edge_unit` (in the place of a fleet, at a site; there is no network, firewall or load balancer of ours there, and its launch template
//! names none):
//!
//! | attribute | value |
//! |---|---|
//! | `site` | name in the spec |
//! | `launch_template`, `launch_template_sha256`, `instance_type`, `accelerator`?, `purchase`, `count`, `replicas_per_machine`, `machines_per_replica`, `target_ports`, `health_check_path`, `health_check_port` | as of a fleet |
//! | `origins_ppm`, `stickiness`?, `prevent_destroy`? | as of a load balancer: what the site's own one must do |
//!
//! `job_run` (in the place of a fleet, for everything that is no service; at a site with `site` and without `network`): `network`, `launch_template`, `launch_template_sha256`,
//! `instance_type`, `accelerator`?, `purchase`, `count`, `zones`, `replicas_per_machine`, `machines_per_replica`, and
//!
//! | attribute | value |
//! |---|---|
//! | `items`, `tokens`, `shards` or `rounds` | of one run |
//! | `input_sha256`? | SHA-256 of what a run works on and what it does with that, wherever it runs: one that has ended is not run again while this stays; not of a stream |
//! | `deadline_s` | seconds from start to end of one run |
//! | `schedule`? | five cron fields, UTC; run once without it |
//! | `events_per_hour`, `trigger_ms`, `restart` | of a stream, in the place of `deadline_s`: what comes in at the peak, its trigger, and that it is started again whenever it ends (`always`) |
//! | `after`? | list: `batches.NAME`, `trainings.NAME`, `pipelines.NAME` and `federations.NAME` whose run must be complete first, on whichever cloud: until then it is there and has no machines, held or paid; the adapter sees to that or refuses it (decision 27) |

use rhumb_api::{Attr, Attributes};

/// Port of the first engine process of a machine.
pub const ENGINE_PORT: i64 = 8000;

/// What a machine answers with 200 once its engine can serve; the same path in all three engines.
pub const HEALTH_PATH: &str = "/health";

/// The workload of machines that services share, and of what belongs to them.
pub const SHARED: &str = "machines.shared";

/// Address range of every network.
pub const ADDRESS_RANGE: &str = "10.64.0.0/16";

/// Builds attributes without repeating conversions.
#[derive(Clone, Debug, Default)]
pub(super) struct Builder(Attributes);

impl Builder {
    pub fn with(mut self, name: &str, value: impl Into<Attr>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    pub fn maybe(self, name: &str, value: Option<impl Into<Attr>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub fn number(self, name: &str, value: impl Into<i64>) -> Self {
        self.with(name, value.into())
    }

    pub fn finish(self) -> Attributes {
        self.0
    }

    pub fn map(self) -> Attr {
        Attr::Map(self.0)
    }
}

/// A fraction in parts of `whole`, rounded; what is not a number becomes 0 and what is too large the largest.
pub(super) fn parts(fraction: f64, whole: f64) -> i64 {
    (fraction * whole).round() as i64
}
