//! Whether the calls that a cloud got are those that the plans ask for: with this verb, at this address, with these attributes.
//!
//! The cloud's own log says which calls there were; what was in them is known by who sent them. What the plans ask for is worked out
//! here once more from what a plan says and from what was recorded when a call was decided on, without the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb::plan::{Action, Change, Standby};
use rhumb::state::{Intent, State, StateResource, Taken};
use rhumb_api::{Call, Handle, Order, ResourceAddr, ResourceKind, Token};
use rhumb_sim::{CallNo, Entry, Event, Stock, Verb, World, forces_replacement};

use super::deployment::{Region, standby};
use super::examples;
use super::world::{Plan, Theatre};

/// What processes have decided on and sent.
#[derive(Debug, Default)]
pub struct Deeds {
    decided: BTreeMap<Token, Decided>,
    /// By the number that the cloud gave it: a call, and the intent that it is of if that was recorded.
    sent: BTreeMap<CallNo, (Call, Option<Token>)>,
}

/// An intent, and what was known when it was decided on.
#[derive(Debug)]
struct Decided {
    /// The plan that was applied; none of a process that only settles.
    plan: Option<String>,
    address: ResourceAddr,
    call: Call,
    /// What stood in for what was refused.
    taken: Vec<Taken>,
    /// What was recorded at the address.
    there: Option<Arc<StateResource>>,
    /// It was to go whatever a plan says.
    spare: bool,
}

impl Deeds {
    /// An intent is about to be recorded.
    pub fn decide(&mut self, plan: Option<&str>, state: &State, intent: &Intent) {
        let address = &intent.address;
        let spare = |handle: &Handle| {
            let mut own = state.spares.iter().filter(|spare| spare.address == *address);
            own.any(|spare| spare.thing.handle().as_ref() == Some(handle))
        };
        let decided = Decided {
            plan: plan.map(str::to_owned),
            address: address.clone(),
            call: intent.call.clone(),
            taken: state.applying.as_ref().map_or_else(Vec::new, |applying| applying.taken.clone()),
            there: state.resources.get(address).cloned(),
            spare: matches!(&intent.call, Call::Delete(handle) if spare(handle)),
        };
        self.decided.insert(intent.token.clone(), decided);
    }

    /// A call that changes something was sent.
    pub fn send(&mut self, state: &State, number: CallNo, call: Call) {
        let of = state.open.iter().find(|(_, intent)| intent.call == call).map(|(token, _)| token.clone());
        self.sent.insert(number, (call, of));
    }

    /// Calls of a cloud's log that changed something, or were to, and that none of these plans asks for as they were.
    pub fn unplanned(&self, log: &[Entry], plans: &[&Plan]) -> Vec<String> {
        let mut wrong = BTreeSet::new();
        for entry in log.iter().filter(|entry| entry.event == Event::Sent) {
            let Some(verb @ (Verb::Create | Verb::Update | Verb::Delete)) = entry.verb else { continue };
            if let Err(why) = self.asked_for(entry, verb, plans) {
                let of = entry.address.as_ref().map_or("something that never was", ResourceAddr::as_str);
                wrong.insert(format!("{} {of}: {why}", verb.as_str()));
            }
        }
        wrong.into_iter().collect()
    }

    fn asked_for(&self, entry: &Entry, verb: Verb, plans: &[&Plan]) -> Result<(), String> {
        let sent = entry.call.and_then(|number| self.sent.get(&number));
        let (call, token) = sent.ok_or("none of those who apply has sent it")?;
        let decided = token.as_ref().and_then(|token| self.decided.get(token));
        let decided = decided.ok_or("it was sent and not recorded before")?;
        if decided.call != *call
            || Verb::from(call) != verb
            || entry.address.as_ref() != Some(&decided.address)
        {
            return Err(format!("it was recorded as {} {}", decided.call.verb(), decided.address));
        }
        decided.asked_for(plans)
    }
}

impl Decided {
    fn asked_for(&self, plans: &[&Plan]) -> Result<(), String> {
        let name = self.plan.as_ref().ok_or("who only settles has decided on it")?;
        let plan = plans.iter().find(|plan| plan.name == *name);
        let plan = plan.ok_or_else(|| format!("it is of the plan {name}, which is none of these"))?;
        // What was begun before something stood in is done as it was begun.
        let mut tried = (0..=self.taken.len()).rev().map(|many| self.fits(plan, &self.taken[..many]));
        let first = tried.next().unwrap_or(Ok(()));
        if tried.any(|other| other.is_ok()) { Ok(()) } else { first }
    }

    fn fits(&self, plan: &Plan, taken: &[Taken]) -> Result<(), String> {
        let change = asked(plan, taken).get(&self.address).copied();
        let (handle, order) = match &self.call {
            Call::Create(order) => (None, order),
            Call::Update(handle, order) => (Some(handle), order),
            Call::Delete(handle) => return self.removal(plan, handle, change),
            Call::Read(_) | Call::List(_) => return Err("it changes nothing".to_owned()),
        };
        if handle.is_some() && handle != self.there.as_ref().and_then(|thing| thing.handle()).as_ref() {
            return Err("it is of another thing than is recorded there".to_owned());
        }
        let (stands_in, change) = change.ok_or("the plan does not have it")?;
        let (action, after) = (change.action, change.after.as_ref());
        let as_before = change.before.as_ref() == Some(&order.resource);
        if goes_back(plan, &self.address) && handle.is_some() && as_before {
            return Ok(());
        }
        let after = after.ok_or_else(|| format!("the plan says {action:?}"))?;
        let names: Vec<&str> = after.attributes.differing(&order.resource.attributes).collect();
        if order.resource != *after {
            return Err(format!("the plan has it otherwise: {names:?}"));
        }
        let stand = examples::stand(&plan.standbys, taken);
        let needs = examples::needs_beside(self.address.workload(), &change.depends_on, &stand);
        if order.needs.keys().cloned().collect::<BTreeSet<_>>() != needs {
            return Err("the plan has it need something else".to_owned());
        }
        let earlier = self.there.as_ref().is_some_and(|thing| thing.since > plan.from.unwrap_or(0));
        let verb = match action {
            _ if stands_in => self.towards(order),
            // What an earlier try has made or changed otherwise.
            _ if !taken.is_empty() && earlier && self.towards(order).is_some() => self.towards(order),
            Action::Create | Action::Replace => Some(Verb::Create),
            Action::Update => Some(Verb::Update),
            Action::Keep | Action::Remove => None,
        };
        if verb == Some(Verb::from(&self.call)) { Ok(()) } else { Err(format!("the plan says {action:?}")) }
    }

    /// How something becomes what stands in wants: it was planned without what the first try has made.
    fn towards(&self, order: &Order) -> Option<Verb> {
        let (Some(there), after) = (&self.there, &order.resource) else { return Some(Verb::Create) };
        let old = |kind: &str| {
            let mut other = there.stands_on.iter().filter(|(addr, id)| order.needs.get(*addr) != Some(*id));
            other.any(|(addr, _)| addr.as_str().ends_with(kind))
        };
        if old("/network") && !matches!(after.kind, ResourceKind::Network | ResourceKind::LaunchTemplate) {
            return Some(Verb::Create);
        }
        let mut names = there.resource.attributes.differing(&after.attributes).peekable();
        if names.peek().is_none() {
            return (there.doubtful.is_some() || old("")).then_some(Verb::Update);
        }
        let anew = names.any(|name| forces_replacement(after.kind, name));
        Some(if anew { Verb::Create } else { Verb::Update })
    }

    fn removal(&self, plan: &Plan, handle: &Handle, change: Option<(bool, &Change)>) -> Result<(), String> {
        if self.spare {
            return Ok(());
        }
        let own = self.there.as_ref().filter(|thing| thing.handle().as_ref() == Some(handle));
        let own = own.ok_or("it is of nothing that is recorded there")?;
        let made_by_it = own.since > plan.from.unwrap_or(0);
        let first = plan.dips.iter().any(|dip| dip.first.contains(&self.address));
        match change {
            Some((_, change)) if change.action == Action::Remove => Ok(()),
            Some((stands_in, change)) if stands_in || change.action == Action::Replace => {
                // A removal that failed is recorded later than the plan.
                let old = !made_by_it || own.doubtful.is_some();
                if first && old { Ok(()) } else { Err(format!("the plan says {:?}", change.action)) }
            }
            Some((_, change)) if change.before.is_none() && made_by_it && goes_back(plan, &self.address) => {
                Ok(())
            }
            // What an earlier try has made and nothing needs any more.
            None if made_by_it => Ok(()),
            Some((_, change)) => Err(format!("the plan says {:?}", change.action)),
            None => Err("the plan does not have it".to_owned()),
        }
    }
}

/// Whether what was made for a workload goes again when its machines are refused.
fn goes_back(plan: &Plan, address: &ResourceAddr) -> bool {
    plan.rollouts.iter().any(|rollout| rollout.roll_back && rollout.workload == address.workload())
}

/// What a plan asks for with what stands in, by address, and whether it is of that.
fn asked<'p>(plan: &'p Plan, taken: &[Taken]) -> BTreeMap<&'p ResourceAddr, (bool, &'p Change)> {
    let mut all: BTreeMap<_, _> = plan.changes.iter().map(|change| (&change.addr, (false, change))).collect();
    let stand = examples::stand(&plan.standbys, taken);
    let changes = |own: bool| {
        let of = move |s: &&'p Standby| {
            let is_own = |c: &&Change| (c.addr.workload() == s.pool.workload()) == own;
            s.changes.iter().filter(is_own).map(|change| (&change.addr, (true, change))).collect::<Vec<_>>()
        };
        stand.iter().flat_map(of).collect::<Vec<_>>()
    };
    all.extend(changes(false));
    for addr in stand.iter().flat_map(|standby| &standby.without) {
        all.remove(addr);
    }
    all.extend(changes(true));
    all
}

fn quiet() -> World {
    World { seed: 1, ..World::default() }
}

/// A plan with one of its changes otherwise.
fn with(plan: &Plan, ending: &str, change: impl FnOnce(&mut Change)) -> Plan {
    let mut other = plan.clone();
    let of = other.changes.iter_mut().find(|change| change.addr.as_str().ends_with(ending));
    change(of.expect("a change"));
    other
}

/// An update that a plan does not ask for, or not like that, is seen, and so is every other call.
#[test]
fn calls_that_no_plan_asks_for_are_seen() {
    let small = Region::new("services.chat", "eu-west-1");
    let mut grown = small.clone();
    grown.pools.insert("g6e.xlarge".into(), (4, 1));
    let mut theatre = Theatre::new(quiet());
    let first = Plan::new("first", None, &small.wanted());
    theatre.converge(&first);
    let second = Plan::new("second", Some(&theatre.durable), &grown.wanted());
    theatre.converge(&second);
    let third = Plan::new("third", Some(&theatre.durable), &rhumb::plan::Desired::new());
    theatre.converge(&third);
    assert_eq!(theatre.unplanned(&[&first, &second, &third]), Vec::<String>::new());
    assert_eq!(theatre.unplanned(&[&second, &third]).len(), 5, "each thing of the first");
    let one = |plans: &[&Plan], what: &str| {
        let wrong = theatre.unplanned(plans);
        assert!(wrong.len() == 1 && wrong[0].ends_with(what), "{what}: {wrong:?}");
    };
    let fleet = "g6e.xlarge/on_demand";
    let other = with(&second, fleet, |change| change.action = Action::Keep);
    one(&[&first, &other, &third], "on_demand: the plan says Keep");
    let other = with(&second, fleet, |change| change.action = Action::Replace);
    one(&[&first, &other, &third], "on_demand: the plan says Replace");
    let other = with(&second, fleet, |change| {
        change.after.as_mut().expect("it stays").attributes.insert("count", 5.into());
    });
    one(&[&first, &other, &third], "on_demand: the plan has it otherwise: [\"count\"]");
    let other = with(&first, "firewall", |change| {
        change.after.as_mut().expect("it is made").attributes.remove("outbound");
    });
    one(&[&other, &second, &third], "firewall: the plan has it otherwise: [\"outbound\"]");
    let other = with(&first, "firewall", |change| change.depends_on.clear());
    one(&[&other, &second, &third], "firewall: the plan has it need something else");
    let mut less = second.clone();
    less.changes.retain(|change| !change.addr.as_str().ends_with(fleet));
    one(&[&first, &less, &third], "on_demand: the plan does not have it");
    let other = with(&third, fleet, |change| change.action = Action::Keep);
    one(&[&first, &second, &other], "on_demand: the plan says Keep");
    // Of somebody else, and of a process that has not recorded it.
    let stranger =
        Call::Delete(theatre.cloud.log().iter().find_map(|entry| entry.handle.clone()).expect("one"));
    theatre.cloud.submit(theatre.now, stranger.clone());
    let wrong = theatre.unplanned(&[&first, &second, &third]);
    assert!(wrong.len() == 1 && wrong[0].ends_with("none of those who apply has sent it"), "{wrong:?}");
    let number = theatre.cloud.submit(theatre.now, stranger.clone());
    let mut deeds = Deeds::default();
    deeds.send(&theatre.durable, number, stranger);
    let last = theatre.cloud.log().last().cloned().expect("it was sent");
    let wrong = deeds.unplanned(&[last], &[&first]);
    assert!(wrong.len() == 1 && wrong[0].ends_with("it was sent and not recorded before"), "{wrong:?}");
}

/// What stands in is asked for by the plan that has it, what an earlier try has made may go, and nothing else.
#[test]
fn what_stands_in_is_of_the_plan_that_has_it() {
    let small = Region::new("services.chat", "eu-west-1");
    let none = Stock {
        cloud: small.cloud,
        region: small.region.clone(),
        instance_type: "g6e.xlarge".into(),
        spot: false,
        machines: Some(0),
    };
    let mut theatre = Theatre::new(World { stock: vec![none], ..quiet() });
    let mut plan = Plan::new("first", None, &small.wanted());
    plan.standbys.push(standby(&small, "g6e.xlarge", "p5.48xlarge"));
    theatre.converge(&plan);
    assert_eq!(theatre.unplanned(&[&plan]), Vec::<String>::new());
    let mut without = plan.clone();
    without.standbys.clear();
    let wrong = theatre.unplanned(&[&without]);
    // Its template and its machines, and that the template of the others went.
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    let mut otherwise = plan.clone();
    for change in &mut otherwise.standbys[0].changes {
        change.after.as_mut().expect("it is made").attributes.insert("zones", 3.into());
    }
    let wrong = theatre.unplanned(&[&otherwise]);
    assert!(wrong.len() == 2 && wrong.iter().all(|w| w.ends_with("otherwise: [\"zones\"]")), "{wrong:?}");
}
