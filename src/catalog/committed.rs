//! What holds a machine that nobody sells.

use std::sync::Arc;

use rhumb_api::{Cloud, Purchase};

use super::{Catalog, Offering, Quota};

/// A commitment that a held offering is of, and what a machine takes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The commitment's name in the spec.
    pub name: Arc<str>,
    /// The code of its limit.
    pub code: Arc<str>,
    /// Of that limit, in its unit: one machine, or dollars an hour in whole micro-dollars.
    pub each: f64,
    /// Whether the machines themselves are held, and not a spending that covers them.
    pub machines: bool,
}

impl Catalog {
    /// An offering of machines bought so; of held ones, those of a commitment.
    pub fn offering_of(
        &self,
        instance_type: usize,
        region: usize,
        (purchase, commitment): (Purchase, Option<&str>),
    ) -> Option<&Offering> {
        match commitment {
            None => self.offering(instance_type, region, purchase),
            Some(name) => self.offerings_of(instance_type).iter().find(|o| {
                (o.region, o.purchase) == (region, purchase)
                    && o.held.as_ref().is_some_and(|h| *h.name == *name)
            }),
        }
    }

    /// The quotas that one machine of an offering counts against, and how much of each it takes: those of the cloud
    /// ([`Catalog::quotas_for`]), and of a held one its commitment's.
    pub fn quotas_of(&self, offering: &Offering) -> Vec<(&Quota, f64)> {
        let cloud = self.instance_types.get(offering.instance_type).map(|kind| kind.cloud);
        let mut all = self.quotas_for(offering.instance_type, offering.purchase);
        all.extend(
            offering.held.iter().filter_map(|held| Some((self.limit(cloud?, &held.code)?, held.each))),
        );
        all
    }

    fn limit(&self, cloud: Cloud, code: &str) -> Option<&Quota> {
        self.quotas.iter().find(|q| q.purchase == Purchase::Held && q.cloud == cloud && q.code == code)
    }
}
