//! Apply on virtual time: the engine that production runs, a cloud in which everything goes wrong that can, and processes that die at
//! every step.

mod asked;
mod back;
mod command;
mod crash;
mod deployment;
mod dips;
mod examples;
mod health;
mod interrupts;
pub mod kills;
mod life;
mod month;
mod preflight;
pub mod process;
mod reality;
mod scale;
mod seeds;
mod stage;
mod two;
mod wire;
mod world;
