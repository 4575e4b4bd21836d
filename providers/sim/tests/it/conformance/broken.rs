//! An adapter that breaks one law.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhumb_api::conformance::token;
use rhumb_api::{
    Among, Answer, Answering, Attr, Call, Capability, Cloud, ErrorKind, Guarantees, Handle, Observed, Order,
    Preflight, Provider, ProviderError, Reply, Resource, ResourceKind, Status, Token, preflight,
};
use rhumb_sim::InProcess;

use super::CANARY;

/// Ways to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    MisplacesHandles,
    TagsWithTheParent,
    DropsAnAttribute,
    AddsAnAttribute,
    NeverReady,
    CountsOneMachineMore,
    SaysNothingOfHealth,
    NeverHealthy,
    HealthierThanItRuns,
    RollsAllAtOnce,
    RollsBesideAll,
    HasNoAddress,
    ListsHaveNoAddress,
    GivesOneId,
    GivesIdsAgain,
    UnknownReadIsNotFound,
    ReadsAreLists,
    UpdatesAreLists,
    DeletesAreLists,
    ListsAreThings,
    EmptyListIsNotFound,
    IgnoresTokens,
    IgnoresTokensWhilePending,
    ChangedOrderMakesASecond,
    ForgetsTokensOfTheGone,
    HidesTheRepeated,
    UpdatesNothing,
    UpdateKeepsWhatWasDropped,
    UpdateReplacesTags,
    UpdateKeepsTheAddress,
    SameUpdateIsInvalid,
    UpdatesByAddress,
    UpdateOfTheMissingIsInvalid,
    UpdateOfTheMissingIsNothing,
    UpdatesWhatIsOthers,
    TakesOverInWordsAlone,
    TagsTheUntagged,
    OneThingPerAddress,
    DeletesByAddress,
    DeletesNothing,
    DeletingIsReady,
    SecondDeleteIsNotFound,
    DeletesUnderOthers,
    ConflictIsForEver,
    RunsNeverEnd,
    RunsDoNotWait,
    CompleteKeepsMachines,
    CompleteVanishes,
    FailedIsReady,
    FailedOfSomethingElse,
    FailedIsNotListed,
    FailedStaysFailed,
    FailedUpdateIsReady,
    ListsHaveNetworksAlone,
    ListsAreEmpty,
    ListsIgnoreTokens,
    ListsIgnoreLineages,
    ListsIgnoreRegions,
    ReadsIgnoreRegions,
    ListsKeepTheGone,
    ListsLackAttributes,
    ListsAreUnordered,
    ListsRepeat,
    CapacityIsQuota,
    CapacityMakesIt,
    QuotaIsCapacity,
    ThrottledIsDenied,
    ThrottledMakesIt,
    KeepsAdviceToItself,
    DeniedIsNotFound,
    DeniedDeletes,
    DeniedReadIsNothing,
    DeniedListIsEmpty,
    ConflictIsInvalid,
    MakesWithoutNeeds,
    InvalidUpdateChanges,
    UnknownIsCapacity,
    UnknownIsPending,
    SendsAgainByItself,
    LateCopiesMakeASecond,
    PromisesNoCallLag,
    PromisesNoListLag,
    UnknownChangeIsConflict,
    LostDeleteIsGone,
    LostReadIsNothing,
    LostListIsEmpty,
    AnswersForNoCloud,
    CanNothing,
    CanEverything,
    CannotAndDoesNotSayWhy,
    TableIsEmpty,
    TableIsNarrower,
    LeavesOutTheUnknown,
    TellsSecrets,
    MakesWithoutSecrets,
    PreflightRefusesAll,
    PreflightSaysHalf,
    PreflightMakesIt,
    PreflightTakesCredentials,
    PreflightGrantsAll,
    PreflightOffersAll,
    PreflightCountsEachAlone,
    PreflightCountsTheReplacedAsGone,
    PreflightKnowsNoOrder,
    PreflightKnowsNoSecrets,
    PreflightPromisesMachines,
    PreflightFailsForMachines,
    UnansweredPreflightPasses,
}

#[derive(Default)]
pub(super) struct Memory {
    /// Orders by token, with what they made.
    pub made: BTreeMap<Token, (Order, Handle)>,
    /// The last update of a thing.
    pub updates: BTreeMap<Handle, Order>,
    pub removed: Vec<Handle>,
    pub refused: Vec<Handle>,
    listed: BTreeMap<Handle, Observed>,
    pub lineages: Vec<(String, String)>,
    /// Creates whose outcome was unknown.
    lost: Vec<Token>,
    /// Ids as they are told, with the true ones.
    aliases: BTreeMap<Handle, Handle>,
    fresh: u64,
}

/// The simulated cloud behind an adapter with a fault.
pub struct Broken {
    pub sim: InProcess,
    pub fault: Fault,
    table: Vec<Capability>,
    memory: Mutex<Memory>,
}

pub(super) fn err(kind: ErrorKind, message: &str) -> Answer {
    Err(ProviderError::new(kind, message))
}

pub(super) fn one(answer: &Answer) -> Option<&Observed> {
    match answer {
        Ok(Reply::One(seen)) => seen.as_ref(),
        _ => None,
    }
}

/// Changes every thing of an answer.
pub(super) fn each(mut answer: Answer, change: impl Fn(&mut Observed)) -> Answer {
    match &mut answer {
        Ok(Reply::One(Some(seen))) => change(seen),
        Ok(Reply::Many(all)) => all.iter_mut().for_each(change),
        _ => {}
    }
    answer
}

pub(super) fn lists(answer: Answer, change: impl FnOnce(&mut Vec<Observed>)) -> Answer {
    match answer {
        Ok(Reply::Many(mut all)) => {
            change(&mut all);
            Ok(Reply::Many(all))
        }
        other => other,
    }
}

fn kind(answer: &Answer) -> Option<ErrorKind> {
    answer.as_ref().err().map(|error| error.kind)
}

impl Broken {
    pub fn new(sim: InProcess, fault: Fault) -> Self {
        let table = sim.capabilities().iter().cloned().filter_map(|row| match fault {
            Fault::TableIsEmpty => None,
            Fault::TableIsNarrower => Some(Capability { engines: Among::only(["vllm"]), ..row }),
            _ => Some(row),
        });
        Broken { table: table.collect(), sim, fault, memory: Mutex::default() }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn ask(&self, call: Call) -> Answer {
        self.sim.call(&call).await
    }

    pub(super) fn fresh(&self) -> Token {
        let mut memory = self.memory();
        memory.fresh += 1;
        token((1 << 60) + memory.fresh)
    }

    /// The same order by an intent of its own.
    pub(super) fn anew(&self, order: &Order) -> Call {
        let mut order = order.clone();
        order.tags.token = self.fresh();
        Call::Create(order)
    }

    /// Puts what an order wants there behind the cloud's back, and answers as given.
    pub(super) fn plant(&self, order: &Order, answer: Option<Answer>) -> Answer {
        let number = {
            let mut memory = self.memory();
            memory.fresh += 1;
            memory.fresh
        };
        let resource = &order.resource;
        let handle = Handle {
            cloud: resource.cloud,
            region: resource.region.clone(),
            kind: resource.kind,
            id: format!("planted-{number:08x}"),
        };
        let (tags, attributes) = (order.tags.clone(), resource.attributes.clone());
        let seen = Observed {
            handle,
            tags: Some(tags),
            attributes,
            status: Status::Ready,
            running: None,
            healthy: None,
            outputs: BTreeMap::new(),
        };
        self.sim.with(|cloud| cloud.plant(seen.clone())).expect("the id is new");
        answer.unwrap_or(Ok(Reply::One(Some(seen))))
    }

    /// Things that were made for the address of this one.
    pub(super) fn namesakes(&self, handle: &Handle) -> Vec<Handle> {
        let memory = self.memory();
        let of = |(order, made): &(Order, Handle)| (order.tags.address.clone(), made.clone());
        let all: Vec<_> = memory.made.values().map(of).collect();
        let address = all.iter().find(|(_, made)| made == handle).map(|(address, _)| address.clone());
        let same = all.into_iter().filter(|(other, made)| Some(other) == address.as_ref() && made != handle);
        same.map(|(_, made)| made).collect()
    }

    async fn answer(&self, call: &Call) -> Answer {
        let true_call = self.true_ids(call.clone());
        if let Call::Create(order) = &true_call {
            let at = (order.tags.lineage.clone(), order.resource.region.clone());
            let mut memory = self.memory();
            if !memory.lineages.contains(&at) {
                memory.lineages.push(at);
            }
        }
        let mut answer = match self.instead(&true_call).await {
            Some(answer) => answer,
            None => self.ask(true_call.clone()).await,
        };
        if self.fault == Fault::SendsAgainByItself
            && kind(&answer) == Some(ErrorKind::UnknownOutcome)
            && let Call::Create(order) = &true_call
        {
            answer = self.plant(order, Some(answer));
        }
        if self.fault == Fault::ReadsIgnoreRegions
            && let (Call::Read(handle), Ok(Reply::One(None))) = (&true_call, &answer)
        {
            let regions: Vec<_> = self.memory().lineages.iter().map(|(_, region)| region.clone()).collect();
            for region in regions {
                let seen = self.ask(Call::Read(Handle { region, ..handle.clone() })).await;
                if one(&seen).is_some() {
                    answer = seen;
                }
            }
        }
        if let Call::Create(order) = &true_call {
            let lost = self.memory().lost.contains(&order.tags.token);
            match kind(&answer) {
                Some(ErrorKind::UnknownOutcome) => self.memory().lost.push(order.tags.token.clone()),
                None if lost && self.fault == Fault::LateCopiesMakeASecond => {
                    self.memory().lost.retain(|token| *token != order.tags.token);
                    answer = self.plant(order, Some(answer));
                }
                _ => {}
            }
        }
        self.note(call, &answer);
        self.told_ids(call, super::twist::twist(self, &true_call, answer))
    }

    fn note(&self, call: &Call, answer: &Answer) {
        let mut memory = self.memory();
        match (call, answer) {
            (Call::Create(order), Ok(Reply::One(Some(seen)))) => {
                memory.made.entry(order.tags.token.clone()).or_insert((order.clone(), seen.handle.clone()));
            }
            (Call::Update(handle, order), Ok(_)) => {
                drop(memory.updates.insert(handle.clone(), order.clone()))
            }
            (Call::Delete(handle), Ok(_)) => memory.removed.push(handle.clone()),
            (Call::Delete(handle), Err(error)) if error.kind == ErrorKind::Conflict => {
                memory.refused.push(handle.clone());
            }
            (Call::List(_), Ok(Reply::Many(all))) => {
                memory.listed.extend(all.iter().map(|seen| (seen.handle.clone(), seen.clone())));
            }
            _ => {}
        }
    }

    /// A call with the cloud's own ids.
    fn true_ids(&self, mut call: Call) -> Call {
        if self.fault != Fault::GivesIdsAgain {
            return call;
        }
        let memory = self.memory();
        match &mut call {
            Call::Update(handle, _) | Call::Delete(handle) | Call::Read(handle) => {
                if let Some(truth) = memory.aliases.get(handle) {
                    *handle = truth.clone();
                }
            }
            Call::Create(_) | Call::List(_) => {}
        }
        call
    }

    /// An answer with ids as they are told: that of something that is gone to the next that is made.
    fn told_ids(&self, call: &Call, answer: Answer) -> Answer {
        if self.fault != Fault::GivesIdsAgain {
            return answer;
        }
        let mut memory = self.memory();
        if let (Call::Create(_), Some(seen)) = (call, one(&answer)) {
            let known = memory.aliases.values().any(|truth| *truth == seen.handle);
            let free = memory.removed.iter().rposition(|gone| {
                let same = (gone.kind, &gone.region) == (seen.handle.kind, &seen.handle.region);
                same && gone.kind == ON_TOP && gone != &seen.handle
            });
            if let (false, Some(free)) = (known, free) {
                let told = memory.removed.remove(free);
                memory.aliases.insert(told, seen.handle.clone());
            }
        }
        let told = |handle: &Handle| memory.aliases.iter().find(|(_, truth)| *truth == handle);
        each(answer, |seen| {
            if let Some((alias, _)) = told(&seen.handle) {
                seen.handle = alias.clone();
            }
        })
    }

    pub(super) fn listed(&self) -> Vec<Observed> {
        self.memory().listed.values().cloned().collect()
    }

    /// What a thing was made with.
    pub(super) fn made(&self, handle: &Handle) -> Option<Order> {
        let memory = self.memory();
        memory.made.values().find(|(_, made)| made == handle).map(|(order, _)| order.clone())
    }

    pub(super) fn updates(&self, handle: &Handle) -> Option<Order> {
        self.memory().updates.get(handle).cloned()
    }

    pub(super) fn hidden(&self, handle: &Handle) -> bool {
        self.memory().refused.contains(handle)
    }

    /// Whether it was asked before whether this is forgotten.
    pub(super) fn forgets(&self, handle: &Handle) -> bool {
        let mut memory = self.memory();
        let before = memory.refused.contains(handle);
        memory.refused.push(handle.clone());
        before
    }

    /// The first that was made of this kind and is still there.
    pub(super) fn first_of(&self, like: &Handle) -> Option<Handle> {
        let memory = self.memory();
        let same =
            |made: &&Handle| made.kind == ON_TOP && (made.kind, &made.region) == (like.kind, &like.region);
        memory
            .made
            .values()
            .map(|(_, made)| made)
            .filter(same)
            .filter(|made| !memory.removed.contains(made))
            .min()
            .cloned()
    }
}

/// The kind that some faults are of alone: nothing stands on it, so that all else goes well.
pub(super) const ON_TOP: ResourceKind = ResourceKind::Fleet;

/// The attribute that the suite takes for unknown.
pub(super) const UNKNOWN: &str = "no_such_attribute";

impl Provider for Broken {
    fn clouds(&self) -> &[Cloud] {
        if self.fault == Fault::AnswersForNoCloud { &[] } else { self.sim.clouds() }
    }

    fn simulated(&self) -> bool {
        true
    }

    fn guarantees(&self) -> Guarantees {
        let promised = self.sim.guarantees();
        match self.fault {
            Fault::PromisesNoCallLag => Guarantees { call_lag_ms: 0, ..promised },
            Fault::PromisesNoListLag => Guarantees { list_lag_ms: 0, ..promised },
            _ => promised,
        }
    }

    fn capabilities(&self) -> &[Capability] {
        &self.table
    }

    fn can(&self, resource: &Resource) -> Result<(), String> {
        let can = self.sim.can(resource);
        match self.fault {
            Fault::CanNothing => Err("this build deploys nothing".to_owned()),
            Fault::CanEverything => Ok(()),
            Fault::CannotAndDoesNotSayWhy => can.map_err(|_| String::new()),
            _ => can,
        }
    }

    fn preflight<'a>(&'a self, asked: &'a Preflight) -> preflight::Answering<'a> {
        Box::pin(self.look_ahead(asked))
    }

    fn call<'a>(&'a self, call: &'a Call) -> Answering<'a> {
        Box::pin(self.answer(call))
    }
}

pub(super) fn secret() -> String {
    format!("key {CANARY} may not do this")
}

pub(super) fn labels() -> Attr {
    Attr::Map([("changed".to_owned(), Attr::from("anyway"))].into())
}
