//! The simulated cloud from outside.

mod ahead;
mod bench;
mod conformance;
mod courses;
mod faults;
mod http;
mod inprocess;
mod oracle;
mod owners;
mod schedules;
mod strictness;
mod tokens;
mod waiting;
