//! The integration tests: one binary, a module per subject.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]
// Tables of cases are clearer spelt out than behind type names.
#![allow(clippy::type_complexity)]

mod architecture;
mod calibrate;
mod carbon;
mod catalog;
mod catalog_pack;
mod chains;
mod cli;
mod commitments;
mod day;
mod day_laws;
mod diagnostics;
mod graph;
mod held;
mod inconclusive;
mod perf;
mod planfile;
mod report;
mod shared_machines;
mod spec;
mod spec_files;
mod state;
mod stream_worlds;
mod streams;
mod verify;

mod check;
mod check_plan;
mod determinism;
mod diff;
mod explore;
mod fallbacks;
mod faults;
mod federation_worlds;
mod federations;
mod fleet_fallbacks;
#[path = "../fuzz/mod.rs"]
mod fuzz;
mod judge;
mod labels;
mod line;
mod lora;
mod maker;
mod measured;
mod measured_batches;
mod optimize;
mod oracle;
mod pipeline_worlds;
mod pipelines;
mod plans;
mod points;
mod predict_extras;
mod processors;
mod profiles;
mod sharing;
mod sharing_faults;
mod sites;
mod stability;
mod together;
mod training;
mod training_faults;
mod trainings;
mod week;
mod why_not;
