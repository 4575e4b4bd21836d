//! One module per command.

pub mod apply;
pub mod bench_plan;
pub mod calibrate;
pub mod catalog;
pub mod check;
pub mod completions;
pub mod explain;
pub mod fmt;
pub mod graph;
pub mod init;
pub mod man;
pub mod pareto;
pub mod plan;
pub mod predict;
pub mod scale;
pub mod schema;
pub mod show;
pub mod sim;
pub mod stress;
pub mod validate;
pub mod verify;
pub mod what_if;
