//! A simulated cloud: everything that the apply engine and the adapters of rhumb rely on, and everything that
//! goes wrong with it, from a seed.
//!
//! [`SimCloud`] is pure and synchronous: it is told what time it is, and the same calls at the same times of the
//! same [`World`] leave a log that is the same byte for byte. [`InProcess`] is a [`rhumb_api::Provider`] over it
//! on virtual time; [`server`] and [`Client`] put HTTP between the two, so that processes can be killed.
//!
//! It is stricter than the clouds are. What it refuses may pass elsewhere; what it takes is right by the
//! documentation of the vocabulary.

mod arrival;
mod calendar;
mod chance;
mod client;
mod cloud;
mod control;
mod course;
mod follow;
mod hand;
pub mod help;
mod inprocess;
mod kinds;
mod log;
mod meter;
mod orders;
mod preflight;
mod request;
mod routes;
pub mod server;
mod thing;
mod wait;
mod wire;
mod world;

pub use calendar::{Moment, MomentError};
pub use client::{Client, ConnectError};
pub use cloud::{Held, SimCloud, When};
pub use control::{Control, ControlError};
pub use hand::HandError;
pub use inprocess::{InProcess, Sleep};
pub use kinds::{forces_replacement, references, required};
pub use log::{CallNo, Entry, Event};
pub use meter::Bill;
pub use world::{
    Denial, Durations, Faults, Interruptions, Price, Quota, Rate, Rule, Runs, Span, Stock, Verb, What, World,
    WorldError,
};
