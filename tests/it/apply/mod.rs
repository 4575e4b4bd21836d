//! Apply on virtual time: the engine that production runs, a cloud in which everything goes wrong that can, and processes that die at
//! every step.

pub mod asked;
mod back;
mod chains;
mod command;
mod crash;
mod deployment;
mod dips;
mod exact;
mod examples;
mod followers;
mod generated;
mod health;
mod interrupts;
pub mod kills;
mod life;
mod lost;
mod month;
mod places;
mod preflight;
pub mod process;
mod reality;
mod records;
mod refused;
mod scale;
mod seeds;
mod shortages;
mod stage;
mod stopped;
mod tables;
mod told;
mod two;
mod wire;
mod world;
mod wrong;
