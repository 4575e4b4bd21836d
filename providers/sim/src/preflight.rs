//! What would be refused if it were ordered now.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::preflight::{About, Amount, Answer, Change, Finding, Preflight, Verdict, Wanted, secrets};
use rhumb_api::{ErrorKind, Handle, ProviderError, ResourceKind};

use crate::arrival::expired;
use crate::cloud::{Pool, SimCloud};
use crate::kinds::{check_place, check_resource};
use crate::orders::pool_of;
use crate::thing::{Thing, beside, has_machines};
use crate::world::{Quota, Verb};

/// So many machines of each sort.
type Pools = BTreeMap<Pool, u32>;

impl From<Change> for Verb {
    fn from(change: Change) -> Verb {
        match change {
            Change::Create => Verb::Create,
            Change::Update => Verb::Update,
            Change::Delete => Verb::Delete,
        }
    }
}

impl SimCloud {
    /// The answer to a preflight that arrives now.
    pub(crate) fn look_ahead(&mut self, asked: &Preflight, injected: Option<ProviderError>) -> Answer {
        if let Some(error) = injected {
            return Err(error);
        }
        self.throttle(asked.cloud)?;
        let cloud = asked.cloud;
        if self.world.expired.contains(&cloud) {
            return Ok(vec![Finding::new(About::Credentials, Verdict::Failed, expired(cloud))]);
        }
        if let Some(message) = self.withheld(cloud, None, Verb::Preflight) {
            return Err(ProviderError::new(ErrorKind::Denied, message));
        }
        if let Some(stray) = asked.wanted.iter().find(|wanted| wanted.resource.cloud != cloud) {
            let message = format!("`{}` is on {}, not on {cloud}", stray.address, stray.resource.cloud);
            return Err(ProviderError::new(ErrorKind::Invalid, message));
        }
        let mut found = vec![Finding::new(About::Credentials, Verdict::Ok, "the cloud takes them")];
        found.extend(self.rights(asked));
        found.extend(asked.wanted.iter().map(|wanted| self.offered(wanted)));
        let (more, freed) = self.growth(&asked.wanted);
        found.extend(self.limits(&more, &freed));
        found.extend(self.referred(&asked.wanted));
        let given = |pool: &Pool| freed.get(pool).copied().unwrap_or(0);
        found.extend(more.iter().map(|(pool, needed)| self.stocked(pool, *needed, given(pool))));
        Ok(found)
    }

    /// Each right that the changes need: to make them, to see how far what is made is, and to look up what became of a call.
    fn rights(&self, asked: &Preflight) -> Vec<Finding> {
        let mut needed: BTreeSet<(Option<ResourceKind>, Verb)> = BTreeSet::new();
        for wanted in &asked.wanted {
            let kind = Some(wanted.resource.kind);
            needed.extend([(kind, wanted.change.into()), (kind, Verb::Read), (None, Verb::List)]);
        }
        let of = |(kind, verb): (Option<ResourceKind>, Verb)| match self.withheld(asked.cloud, kind, verb) {
            Some(message) => Finding::new(About::Permission, Verdict::Failed, message),
            None => {
                let what = kind.map_or("things", ResourceKind::as_str);
                Finding::new(About::Permission, Verdict::Ok, format!("{} {what}", verb.as_str()))
            }
        };
        needed.into_iter().map(of).collect()
    }

    /// Whether there is such a thing there; of what goes, whether there is the place.
    fn offered(&self, wanted: &Wanted) -> Finding {
        let resource = &wanted.resource;
        let checked = match wanted.change {
            Change::Delete => check_place(resource.cloud, &resource.region, &self.world),
            Change::Create | Change::Update => check_resource(resource, &self.world),
        };
        let finding = match checked {
            Ok(()) => Finding::new(About::Offering, Verdict::Ok, format!("a {}", resource.kind)),
            Err(error) => Finding::new(About::Offering, Verdict::Failed, error.message),
        };
        finding.of(wanted)
    }

    /// Machines that are needed more than there are, of all changes together, and machines that are given back before.
    fn growth(&self, wanted: &[Wanted]) -> (Pools, Pools) {
        let (mut more, mut freed) = (Pools::new(), Pools::new());
        for each in wanted.iter().filter(|wanted| has_machines(wanted.resource.kind)) {
            let (there, then) = match each.change {
                Change::Create => (0, each.machines()),
                Change::Update => (self.has(each), each.machines().saturating_add(self.beside(each))),
                Change::Delete => (self.has(each), 0),
            };
            let pool = pool_of(&each.resource);
            let sum = more.entry(pool.clone()).or_default();
            *sum = sum.saturating_add(then.saturating_sub(there));
            if each.first {
                let sum = freed.entry(pool).or_default();
                *sum = sum.saturating_add(there.saturating_sub(then));
            }
        }
        more.retain(|_, needed| *needed > 0);
        (more, freed)
    }

    /// Machines that something has beside its own while they are made anew.
    fn beside(&self, wanted: &Wanted) -> u32 {
        match self.thing_of(wanted) {
            Some(thing) if thing.complete || thing.between_runs => 0,
            Some(thing) => beside(&thing.attributes, &wanted.resource.attributes),
            None => 0,
        }
    }

    fn thing_of(&self, wanted: &Wanted) -> Option<&Thing> {
        let resource = &wanted.resource;
        let id = wanted.id.clone()?;
        let (cloud, region, kind) = (resource.cloud, resource.region.clone(), resource.kind);
        self.things.get(&Handle { cloud, region, kind, id })
    }

    /// Machines that something has which is changed or removed; of what is idle as many as it is to have: it needs none more.
    fn has(&self, wanted: &Wanted) -> u32 {
        match self.thing_of(wanted) {
            Some(thing) if thing.complete || thing.between_runs => match wanted.change {
                Change::Delete => 0,
                _ => wanted.machines(),
            },
            Some(thing) => thing.machines,
            None => 0,
        }
    }

    /// Each quota that counts some of the machines, with all that it counts; and machines that none counts.
    fn limits(&self, more: &Pools, freed: &Pools) -> Vec<Finding> {
        let mut found = Vec::new();
        for quota in &self.world.quotas {
            let sum = |pools: &Pools| {
                let counted = pools.iter().filter(|(pool, _)| quota.counts(pool));
                counted.fold(0_u32, |sum, (_, n)| sum.saturating_add(*n))
            };
            let needed = sum(more);
            if needed > 0 {
                let left = self.left_of(quota, sum(freed));
                found.push(limited(quota, u64::from(needed), u64::from(left)));
            }
        }
        for (pool, needed) in more {
            if !self.world.quotas.iter().any(|quota| quota.counts(pool)) {
                let message = format!("no quota limits {}", words(pool));
                let amount = machines(u64::from(*needed), None);
                let finding = Finding::new(About::Quota, Verdict::Ok, message).in_region(&pool.1);
                found.push(Finding { amount, ..finding });
            }
        }
        found
    }

    /// Each secret that is named, once, with the first that names it.
    fn referred(&self, wanted: &[Wanted]) -> Vec<Finding> {
        let mut first: BTreeMap<&str, &Wanted> = BTreeMap::new();
        for each in wanted.iter().filter(|wanted| wanted.change != Change::Delete) {
            for reference in secrets(&each.resource) {
                first.entry(reference).or_insert(each);
            }
        }
        let of = |(reference, wanted): (&str, &Wanted)| {
            let (verdict, message) = match self.has_secret(reference) {
                true => (Verdict::Ok, format!("`{reference}` exists")),
                false => (Verdict::Failed, format!("there is no secret `{reference}`")),
            };
            Finding::new(About::Secret, verdict, message).of(wanted)
        };
        first.into_iter().map(of).collect()
    }

    fn stocked(&self, pool: &Pool, needed: u32, freed: u32) -> Finding {
        let left = self.stock_left_after(pool, freed);
        let (verdict, message) = match needed <= left {
            true => (Verdict::Ok, format!("there are {} at this moment, which is no promise", words(pool))),
            false => (
                Verdict::Warning,
                format!("at this moment there are {left} {}, and {needed} are needed", words(pool)),
            ),
        };
        let available = (left < u32::MAX).then_some(u64::from(left));
        let finding = Finding::new(About::Capacity, verdict, message).in_region(&pool.1);
        Finding { amount: machines(u64::from(needed), available), ..finding }
    }
}

fn limited(quota: &Quota, needed: u64, left: u64) -> Finding {
    let types = quota.type_prefix.as_deref().map_or(String::new(), |prefix| format!(" {prefix}*"));
    let bought = match quota.spot {
        Some(true) => " on spot",
        Some(false) => " not on spot",
        None => "",
    };
    let what = format!("{} machines{types}{bought}", quota.machines);
    let (verdict, message) = match needed <= left {
        true => (Verdict::Ok, format!("{needed} more of at most {what}, of which {left} are left")),
        false => {
            (Verdict::Failed, format!("{needed} more exceed the quota of {what}, of which {left} are left"))
        }
    };
    let finding = Finding::new(About::Quota, verdict, message).in_region(&quota.region);
    Finding { amount: machines(needed, Some(left)), ..finding }
}

fn machines(needed: u64, available: Option<u64>) -> Option<Amount> {
    Some(Amount { unit: "machines".to_owned(), needed, available })
}

fn words((_, _, name, spot): &Pool) -> String {
    format!("{name}{}", if *spot { " on spot" } else { "" })
}

#[cfg(test)]
mod tests {
    use rhumb_api::preflight::passes;
    use rhumb_api::{Attr, Cloud, Resource, ResourceAddr};

    use super::*;
    use crate::world::World;

    const REGION: &str = "eu-west-1";

    fn fleet(name: &str, count: i64) -> Wanted {
        let attributes = [
            ("instance_type", Attr::from(name)),
            ("purchase", "on_demand".into()),
            ("count", Attr::Int(count)),
        ];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (kind, cloud, region) = (ResourceKind::Fleet, Cloud::Aws, REGION.to_owned());
        let address = ResourceAddr::parse(format!("services.a/{name}")).unwrap();
        let resource = Resource { kind, cloud, region, attributes };
        Wanted { address, change: Change::Create, resource, id: None, first: false }
    }

    fn quota(prefix: Option<&str>, machines: u32) -> Quota {
        let type_prefix = prefix.map(str::to_owned);
        Quota { cloud: Cloud::Aws, region: REGION.to_owned(), type_prefix, spot: None, machines }
    }

    fn about(world: World, wanted: &[Wanted], about: About) -> Vec<(Verdict, Option<Amount>)> {
        let asked = Preflight { cloud: Cloud::Aws, lineage: None, wanted: wanted.to_vec() };
        let mut found = SimCloud::new(world).look_ahead(&asked, None).unwrap();
        found.retain(|finding| finding.about == about);
        found.into_iter().map(|finding| (finding.verdict, finding.amount)).collect()
    }

    #[test]
    fn what_several_fleets_need_of_a_quota_is_added_up() {
        let world = |quotas: &[Quota]| World { quotas: quotas.to_vec(), ..World::default() };
        let both = [fleet("p5.48xlarge", 2), fleet("p4d.24xlarge", 2)];
        let of_all = world(&[quota(None, 3)]);
        assert_eq!(about(of_all.clone(), &both[..1], About::Quota), [(Verdict::Ok, machines(2, Some(3)))]);
        assert_eq!(about(of_all, &both, About::Quota), [(Verdict::Failed, machines(4, Some(3)))]);
        // One that counts a part, beside machines that nothing counts.
        let of_p5 = world(&[quota(Some("p5"), 2), quota(Some("g6"), 0)]);
        let found = about(of_p5, &both, About::Quota);
        assert_eq!(found, [(Verdict::Ok, machines(2, Some(2))), (Verdict::Ok, machines(2, None))]);
    }

    #[test]
    fn machines_of_two_fleets_of_one_type_are_looked_for_together() {
        let mut cloud = SimCloud::new(World::default());
        cloud.set_stock(Cloud::Aws, REGION, "p5.48xlarge", false, Some(3));
        let both = [fleet("p5.48xlarge", 2), fleet("p5.48xlarge", 2)];
        let found = about(cloud.world().clone(), &both, About::Capacity);
        assert_eq!(found, [(Verdict::Warning, machines(4, Some(3)))]);
        let gone = Wanted { change: Change::Delete, ..fleet("p5.48xlarge", 9) };
        assert_eq!(about(World::default(), &[gone], About::Capacity), []);
    }

    #[test]
    fn what_is_of_another_cloud_is_not_judged() {
        let asked = Preflight { cloud: Cloud::Gcp, lineage: None, wanted: vec![fleet("p5.48xlarge", 1)] };
        let error = SimCloud::new(World::default()).look_ahead(&asked, None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        let expired = World { expired: [Cloud::Gcp].into(), ..World::default() };
        let found = SimCloud::new(expired).look_ahead(&asked, None).unwrap();
        assert_eq!((found.len(), passes(&found)), (1, false));
    }
}
