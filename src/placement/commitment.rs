//! Commitments that would pay.

use rhumb_api::{Money, Purchase};

use crate::catalog::Provenance;

/// Machines that are bought on demand, and what they would cost for a term.
#[derive(Clone, Debug, PartialEq)]
pub struct Commitment {
    /// Address of the machines: `services.chat/gcp/europe-west4/g2-standard-4/on_demand`.
    pub addr: String,
    /// What would be bought instead: [`Purchase::Reserved1y`] or [`Purchase::Reserved3y`].
    pub purchase: Purchase,
    /// How many run so much of the time that it pays.
    pub machines: u32,
    /// Dollars an hour for one, paid in every hour of the term, used or not.
    pub price: Money,
    /// Dollars an hour for one on demand.
    pub instead_of: Money,
    /// What a month as planned would then cost less; more than nothing.
    pub saves_per_month: Money,
    /// Where the price comes from.
    pub provenance: Provenance,
}

impl Commitment {
    /// The share of hours from which on it pays for a machine.
    pub fn pays_from(&self) -> f64 {
        self.price.usd() / self.instead_of.usd().max(1e-9)
    }
}
