//! What is wanted, beside what earlier tries of the same apply have made and changed.

use std::borrow::Cow;

use super::Work;
use crate::plan::{self, Action, Change};
use crate::state::State;

impl Work<'_> {
    /// A change of the plan, or of what stands in, as it is by now.
    ///
    /// What one try has made or changed, a network for example, is as that one wanted it, and may be wanted otherwise now, also where the
    /// plan makes it or leaves it as it was. What is as it is wanted keeps its place among all that is to be done.
    pub(super) fn now<'c>(&self, planned: &'c Change, state: &State) -> Cow<'c, Change> {
        let from = self.from.unwrap_or(0);
        let thing = state.resources.get(&planned.addr).filter(|thing| thing.since > from);
        let (Some(thing), Some(after)) = (thing, &planned.after) else { return Cow::Borrowed(planned) };
        let doubtful = thing.doubtful.is_some();
        let old = thing.stands_on_old(&state.resources);
        let known = !doubtful && old.is_none();
        let as_planned = match planned.action {
            Action::Remove => true,
            // What is not known to be as recorded may be the old one still.
            Action::Replace => doubtful || thing.resource == *after,
            Action::Update => thing.resource == *after,
            Action::Create | Action::Keep => known && thing.resource == *after,
        };
        if as_planned {
            return Cow::Borrowed(planned);
        }
        let mut change = plan::against(planned, Some(thing));
        let held = old.is_some_and(|(_, kind)| plan::follows(kind, after.kind));
        if held || (change.action == Action::Keep && !known) {
            change.action = if held { Action::Replace } else { Action::Update };
            change.reasons.push("it is not as an earlier try left it, or stands on what is to go".to_owned());
        }
        Cow::Owned(change)
    }
}
