//! What is asked of which cloud, and what it answers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rhumb_api::preflight::{Change as What, Finding, Preflight, Verdict, Wanted};
use rhumb_api::{Cloud, ErrorKind, Provider, ProviderError, ResourceAddr};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::apply::Work;
use crate::cli::clouds::Clouds;
use crate::plan::{Action, Change, Plan, Standby, against};
use crate::state::State;

/// How often a question is asked at most before it counts as not answered.
const TRIES: u32 = 4;

/// The pause before it is asked again, doubled each time, unless the cloud says when.
const PAUSE: Duration = Duration::from_millis(250);

/// So many questions come back at different times.
const TURNS: u32 = 8;

/// The longest pause, whatever the cloud says.
const LONGEST: Duration = Duration::from_secs(10);

/// One question.
pub struct Question<'p> {
    /// What it is about, if it is needed only where something is refused.
    pub standby: Option<&'p Standby>,
    /// What is asked.
    pub asked: Preflight,
}

/// What is asked about a plan: all that it does of each cloud at once, and what may stand in of each by itself, since it is
/// needed only if something else is not had.
pub fn questions<'p>(plan: &'p Plan, state: Option<&State>, goes_on: bool) -> Vec<Question<'p>> {
    let changes = match state.filter(|_| goes_on) {
        Some(state) => left_of(plan, state),
        None => plan.changes.iter().map(Cow::Borrowed).collect(),
    };
    let mut planned: Vec<Wanted> = changes.iter().flat_map(|change| wanted(change, state)).collect();
    let first: BTreeSet<&ResourceAddr> = plan.dips.iter().flat_map(|dip| &dip.first).collect();
    for each in planned.iter_mut().filter(|wanted| wanted.change != What::Create) {
        each.first = first.contains(&each.address);
    }
    planned.extend(state.into_iter().flat_map(leftovers));
    let mut all = by_cloud(None, planned, state);
    for standby in &plan.standbys {
        let changes = standby.changes.iter().flat_map(|change| wanted(change, state)).collect();
        all.extend(by_cloud(Some(standby), changes, state));
    }
    all
}

/// What an apply that goes on does: nothing that is done by now, in the place of what was refused what was taken for it, and what the
/// first try made for that goes.
fn left_of<'p>(plan: &Plan, state: &State) -> Vec<Cow<'p, Change>> {
    let now = |change: Change| match change.after {
        Some(_) => against(&change, state.resources.get(&change.addr)),
        None => change,
    };
    Work::of(plan, &[]).changes(state).into_iter().map(|change| Cow::Owned(now(change))).collect()
}

fn by_cloud<'p>(
    standby: Option<&'p Standby>,
    wanted: Vec<Wanted>,
    state: Option<&State>,
) -> Vec<Question<'p>> {
    let mut clouds: BTreeMap<Cloud, Vec<Wanted>> = BTreeMap::new();
    for each in wanted {
        clouds.entry(each.resource.cloud).or_default().push(each);
    }
    let lineage = state.map(|state| state.lineage.clone());
    let of =
        |(cloud, wanted)| Question { standby, asked: Preflight { cloud, lineage: lineage.clone(), wanted } };
    clouds.into_iter().map(of).collect()
}

/// What a change asks of a cloud: of a replacement that the new one is made and the old one removed.
fn wanted(change: &Change, state: Option<&State>) -> Vec<Wanted> {
    let recorded = state.and_then(|state| state.resources.get(&change.addr));
    let id = recorded.and_then(|thing| thing.id.clone());
    let steps: &[What] = match change.action {
        Action::Keep => &[],
        Action::Create => &[What::Create],
        Action::Update => &[What::Update],
        Action::Replace => &[What::Create, What::Delete],
        Action::Remove => &[What::Delete],
    };
    let of = |step: &What| {
        let (resource, id) = match step {
            What::Create => (&change.after, None),
            What::Update => (&change.after, id.clone()),
            What::Delete => (&change.before, id.clone()),
        };
        Some(Wanted {
            address: change.addr.clone(),
            change: *step,
            resource: resource.clone()?,
            id,
            first: false,
        })
    };
    steps.iter().filter_map(of).collect()
}

/// What an apply removes besides what the plan changes.
fn leftovers(state: &State) -> impl Iterator<Item = Wanted> {
    state.spares.iter().map(|spare| Wanted {
        address: spare.address.clone(),
        change: What::Delete,
        resource: spare.thing.resource.clone(),
        id: spare.thing.id.clone(),
        first: false,
    })
}

/// What each adapter refuses to make of what is asked.
pub fn refusals(question: &Question<'_>, provider: &dyn Provider) -> Vec<(ResourceAddr, String)> {
    let made = question.asked.wanted.iter().filter(|wanted| wanted.change != What::Delete);
    made.filter_map(|wanted| Some((wanted.address.clone(), provider.can(&wanted.resource).err()?))).collect()
}

/// Asks everything, so many questions at a time; the answers are in the order of the questions. A cloud without an adapter has
/// none.
pub fn ask_all(questions: &[Question<'_>], clouds: &Clouds) -> Vec<Option<Vec<Finding>>> {
    clouds.runtime.block_on(async {
        let free = Arc::new(Semaphore::new(clouds.options.parallel));
        let mut under_way = JoinSet::new();
        for (index, question) in questions.iter().enumerate() {
            let Some(provider) = clouds.providers.get(&question.asked.cloud).cloned() else { continue };
            let (asked, free) = (question.asked.clone(), Arc::clone(&free));
            under_way.spawn(async move {
                let _turn = free.acquire().await;
                (index, ask(provider.as_ref(), &asked, index).await)
            });
        }
        let mut answers = vec![None; questions.len()];
        while let Some(ended) = under_way.join_next().await {
            let Ok((index, found)) = ended else { continue };
            answers[index] = Some(found);
        }
        answers
    })
}

/// Asks until there is an answer or it is no use; what is not known then is said to be unknown. `turn`: which question it is.
async fn ask(provider: &dyn Provider, asked: &Preflight, turn: usize) -> Vec<Finding> {
    let mut tried = 1;
    let (mut found, why) = loop {
        match provider.preflight(asked).await {
            Ok(found) => break (found, "the adapter says nothing of it".to_owned()),
            Err(error) if tried < TRIES && may_pass(error.kind) => {
                tokio::time::sleep(pause(&error, tried, turn)).await;
                tried += 1;
            }
            Err(error) => break (Vec::new(), format!("the cloud could not be asked: {error}")),
        }
    };
    let unspoken = asked.unspoken(&found);
    found.extend(unspoken.into_iter().map(|about| Finding::new(about, Verdict::Unknown, why.clone())));
    found
}

const fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Throttled | ErrorKind::UnknownOutcome | ErrorKind::Conflict)
}

/// As long as the cloud says, or twice as long as before; and a part of that more for each question, since a cloud tells all that it turns
/// away at once to come back at the same time.
fn pause(error: &ProviderError, tried: u32, turn: usize) -> Duration {
    let own = PAUSE.saturating_mul(1 << (tried - 1).min(8));
    let apart = own / TURNS * (turn as u32 % TURNS);
    (error.retry_after_ms.map_or(own, Duration::from_millis) + apart).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rhumb_api::preflight::{About, Answer, Answering, passes};
    use rhumb_api::{Call, Guarantees, Resource, ResourceKind};

    use super::*;
    use crate::state::{Spare, Spared, StateResource};

    /// A cloud with answers that were written before, the last of them for ever.
    struct Written(Mutex<Vec<Answer>>);

    impl Provider for Written {
        fn clouds(&self) -> &[Cloud] {
            &[Cloud::Aws]
        }
        fn simulated(&self) -> bool {
            true
        }
        fn guarantees(&self) -> Guarantees {
            Guarantees { deduplicates: true, list_lag_ms: 0, call_lag_ms: 0 }
        }
        fn capabilities(&self) -> &[rhumb_api::Capability] {
            &[]
        }
        fn can(&self, resource: &Resource) -> Result<(), String> {
            if resource.region == "no" { Err("there is no such region".to_owned()) } else { Ok(()) }
        }
        fn preflight<'a>(&'a self, _: &'a Preflight) -> Answering<'a> {
            let mut left = self.0.lock().expect("whole");
            let answer = if left.len() > 1 { left.remove(0) } else { left[0].clone() };
            Box::pin(async move { answer })
        }
        fn call<'a>(&'a self, _: &'a Call) -> rhumb_api::Answering<'a> {
            Box::pin(async { Err(ProviderError::new(ErrorKind::Denied, "it is asked nothing else")) })
        }
    }

    fn at_once(kind: ErrorKind) -> Answer {
        Err(ProviderError { retry_after_ms: Some(1), ..ProviderError::new(kind, "busy") })
    }

    fn fine() -> Answer {
        Ok(About::ALL.map(|about| Finding::new(about, Verdict::Ok, "")).to_vec())
    }

    fn resource(count: i64) -> Resource {
        let attributes = BTreeMap::from([("count".to_owned(), count.into())]);
        let (kind, cloud, region) = (ResourceKind::Fleet, Cloud::Aws, "eu-west-1".to_owned());
        Resource { kind, cloud, region, attributes: attributes.into() }
    }

    fn addr(text: &str) -> ResourceAddr {
        ResourceAddr::parse(text).expect("an address")
    }

    fn change(action: Action) -> Change {
        let (before, after) = (Some(resource(2)), Some(resource(3)));
        let (fields, depends_on, reasons) = (Vec::new(), Vec::new(), Vec::new());
        Change { addr: addr("services.a/x"), action, reasons, before, after, fields, depends_on }
    }

    fn answered(answers: &[Answer]) -> (Vec<Finding>, usize) {
        let cloud = Written(Mutex::new(answers.to_vec()));
        let wanted = wanted(&change(Action::Create), None);
        let asked = Preflight { cloud: Cloud::Aws, lineage: None, wanted };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("one");
        let found = runtime.block_on(ask(&cloud, &asked, 0));
        (found, cloud.0.into_inner().expect("whole").len())
    }

    #[test]
    fn what_may_pass_is_asked_again_and_the_rest_is_unknown() {
        let (throttled, lost) = (at_once(ErrorKind::Throttled), at_once(ErrorKind::UnknownOutcome));
        let (found, _) = answered(&[throttled.clone(), lost.clone(), fine()]);
        assert!(passes(&found) && found.len() == 6, "{found:?}");
        // Four times, and no fifth.
        let busy = [throttled.clone(), lost, throttled.clone(), throttled, fine(), fine()];
        let (found, left) = answered(&busy);
        assert_eq!(left, 2);
        let verdicts: BTreeSet<Verdict> = found.iter().map(|finding| finding.verdict).collect();
        assert_eq!((verdicts, found.len()), (BTreeSet::from([Verdict::Unknown]), 5), "{found:?}");
        assert!(found[0].message.contains("could not be asked: throttled: busy"), "{found:?}");
        let (found, left) = answered(&[at_once(ErrorKind::Denied), fine(), fine()]);
        assert!(left == 2 && !passes(&found), "no use in asking again");
    }

    #[test]
    fn who_is_turned_away_together_does_not_come_back_together() {
        let busy =
            ProviderError { retry_after_ms: Some(50), ..ProviderError::new(ErrorKind::Throttled, "busy") };
        let pauses = |tried| -> BTreeSet<Duration> { (0..8).map(|turn| pause(&busy, tried, turn)).collect() };
        assert_eq!((pauses(1).len(), pauses(1).first()), (8, Some(&Duration::from_millis(50))));
        // The second time they are 62.5 ms apart.
        assert_eq!(pause(&busy, 2, 3) - pause(&busy, 2, 2), Duration::from_micros(62_500));
        assert_eq!(pause(&busy, 9, 7), LONGEST);
    }

    #[test]
    fn what_an_adapter_says_nothing_of_is_unknown() {
        let half: Vec<Finding> = fine().expect("some").into_iter().take(3).collect();
        let (found, _) = answered(&[Ok(half)]);
        let unknown: Vec<About> =
            found.iter().filter(|f| f.verdict == Verdict::Unknown).map(|f| f.about).collect();
        assert_eq!(unknown, [About::Quota, About::Capacity]);
    }

    #[test]
    fn a_replacement_is_two_changes_and_ids_are_those_recorded() {
        let mut state = State::new("l".into(), true);
        let thing =
            StateResource { id: Some("fleet-1".into()), ..StateResource::of(resource(2), Vec::new()) };
        state.resources.insert(addr("services.a/x"), Arc::new(thing.clone()));
        let of = |action| -> Vec<(What, u32, Option<String>)> {
            let wanted = wanted(&change(action), Some(&state));
            wanted.into_iter().map(|w| (w.change, w.machines(), w.id)).collect()
        };
        let id = Some("fleet-1".to_owned());
        assert_eq!(of(Action::Keep), []);
        assert_eq!(of(Action::Create), [(What::Create, 3, None)]);
        assert_eq!(of(Action::Update), [(What::Update, 3, id.clone())]);
        assert_eq!(of(Action::Remove), [(What::Delete, 2, id.clone())]);
        let both = [(What::Create, 3, None), (What::Delete, 2, id)];
        assert_eq!(of(Action::Replace), both);
        let spare = Spare { address: addr("services.a/y"), thing: Arc::new(thing), why: Spared::Replaced };
        state.spares.push(spare);
        let left: Vec<Wanted> = leftovers(&state).collect();
        assert_eq!((left.len(), left[0].change), (1, What::Delete));
    }

    #[test]
    fn what_an_adapter_cannot_make_is_told_by_address() {
        let cloud = Written(Mutex::new(vec![fine()]));
        let mut wanted =
            [wanted(&change(Action::Create), None), wanted(&change(Action::Remove), None)].concat();
        for each in &mut wanted {
            each.resource.region = "no".to_owned();
        }
        let asked = Preflight { cloud: Cloud::Aws, lineage: None, wanted };
        let refused = refusals(&Question { standby: None, asked }, &cloud);
        assert_eq!(refused, [(addr("services.a/x"), "there is no such region".to_owned())]);
    }
}
