//! What a broken adapter makes of its cloud's answers.

use rhumb_api::{Answer, Attr, Attributes, Call, ErrorKind, ProviderError, Reply, ResourceKind, Status};

use super::broken::{Broken, Fault, ON_TOP, UNKNOWN, each, labels, lists, secret};

fn mapped(answer: Answer, from: ErrorKind, to: ErrorKind) -> Answer {
    answer.map_err(|error| if error.kind == from { ProviderError { kind: to, ..error } } else { error })
}

fn is(answer: &Answer, kind: ErrorKind) -> bool {
    answer.as_ref().is_err_and(|error| error.kind == kind)
}

const NOTHING: Answer = Ok(Reply::One(None));

pub fn twist(adapter: &Broken, call: &Call, answer: Answer) -> Answer {
    match call {
        Call::Create(_) => of_things(adapter, call, of_create(adapter, call, answer)),
        Call::List(_) => of_things(adapter, call, of_list(adapter, call, answer)),
        _ => of_things(adapter, call, of_change(adapter, call, answer)),
    }
}

/// What is wrong with things wherever they are told of.
fn of_things(adapter: &Broken, call: &Call, answer: Answer) -> Answer {
    match adapter.fault {
        Fault::MisplacesHandles => each(answer, |seen| {
            if seen.handle.kind == ON_TOP {
                seen.handle.region.push('x');
            }
        }),
        Fault::TagsWithTheParent => each(answer, |seen| {
            if let Some(tags) = &mut seen.tags {
                tags.address = tags.address.parent().unwrap_or(tags.address.clone());
            }
        }),
        Fault::DropsAnAttribute => each(answer, |seen| drop(seen.attributes.remove("labels"))),
        Fault::AddsAnAttribute => each(answer, |seen| {
            seen.attributes.insert("arn", Attr::from("arn:1"));
        }),
        Fault::NeverReady => each(answer, |seen| {
            if seen.status == Status::Ready && seen.handle.kind == ON_TOP {
                seen.status = Status::Pending;
            }
        }),
        Fault::CountsOneMachineMore => {
            each(answer, |seen| seen.running = seen.running.map(|running| running + 1))
        }
        Fault::SaysNothingOfHealth => each(answer, |seen| seen.healthy = None),
        Fault::NeverHealthy => each(answer, |seen| seen.healthy = seen.healthy.map(|_| 0)),
        Fault::HealthierThanItRuns => each(answer, |seen| seen.healthy = seen.healthy.map(|n| n + 1)),
        Fault::RollsAllAtOnce => each(answer, |seen| {
            if seen.status == Status::Pending && adapter.updates(&seen.handle).is_some() {
                seen.healthy = seen.healthy.map(|_| 0);
            }
        }),
        Fault::RollsBesideAll => each(answer, |seen| {
            if seen.status == Status::Pending && adapter.updates(&seen.handle).is_some() {
                seen.running = seen.running.map(|n| 2 * n);
            }
        }),
        Fault::HasNoAddress => each(answer, |seen| seen.outputs.clear()),
        Fault::RunsNeverEnd => each(answer, |seen| {
            if seen.status == Status::Complete {
                seen.status = Status::Ready;
            }
        }),
        Fault::CompleteKeepsMachines => each(answer, |seen| {
            if seen.status == Status::Complete {
                seen.running = Some(1);
            }
        }),
        Fault::FailedIsReady => each(answer, |seen| {
            if matches!(seen.status, Status::Failed(_)) {
                seen.status = Status::Ready;
            }
        }),
        Fault::FailedUpdateIsReady => each(answer, |seen| {
            if matches!(seen.status, Status::Failed(_)) && adapter.updates(&seen.handle).is_some() {
                seen.status = Status::Ready;
            }
        }),
        Fault::FailedOfSomethingElse => each(answer, |seen| {
            if let Status::Failed(error) = &mut seen.status {
                error.kind = ErrorKind::Invalid;
            }
        }),
        Fault::UpdateReplacesTags => each(answer, |seen| {
            if let Some(order) = adapter.updates(&seen.handle) {
                seen.tags = Some(order.tags);
            }
        }),
        Fault::TagsTheUntagged => each(answer, |seen| {
            let made = adapter.made(&seen.handle);
            seen.tags = seen.tags.take().or(made.map(|order| order.tags));
        }),
        Fault::UpdateKeepsTheAddress => each(answer, |seen| {
            if adapter.updates(&seen.handle).is_some()
                && let Some(tags) = &mut seen.tags
                && let Some(parent) = tags.address.parent()
                && tags.address.as_str().ends_with("/renamed")
            {
                tags.address = parent;
            }
        }),
        Fault::DeletingIsReady if !matches!(call, Call::List(_)) => each(answer, |seen| {
            if seen.status == Status::Deleting {
                seen.status = Status::Ready;
            }
        }),
        Fault::ThrottledIsDenied => mapped(answer, ErrorKind::Throttled, ErrorKind::Denied),
        Fault::KeepsAdviceToItself => answer.map_err(|error| ProviderError { retry_after_ms: None, ..error }),
        Fault::ConflictIsInvalid => mapped(answer, ErrorKind::Conflict, ErrorKind::Invalid),
        Fault::UnknownIsCapacity => mapped(answer, ErrorKind::UnknownOutcome, ErrorKind::Capacity),
        Fault::TellsSecrets if is(&answer, ErrorKind::Denied) => {
            Err(ProviderError::new(ErrorKind::Denied, secret()))
        }
        _ => answer,
    }
}

fn of_create(adapter: &Broken, call: &Call, answer: Answer) -> Answer {
    let Call::Create(order) = call else { return answer };
    match adapter.fault {
        Fault::GivesOneId => each(answer, |seen| {
            seen.handle = adapter.first_of(&seen.handle).unwrap_or(seen.handle.clone());
        }),
        Fault::CapacityIsQuota => mapped(answer, ErrorKind::Capacity, ErrorKind::Quota),
        Fault::QuotaIsCapacity => mapped(answer, ErrorKind::Quota, ErrorKind::Capacity),
        Fault::DeniedIsNotFound => mapped(answer, ErrorKind::Denied, ErrorKind::NotFound),
        Fault::CapacityMakesIt if is(&answer, ErrorKind::Capacity) => adapter.plant(order, Some(answer)),
        Fault::ThrottledMakesIt if is(&answer, ErrorKind::Throttled) => adapter.plant(order, Some(answer)),
        Fault::MakesWithoutNeeds
            if is(&answer, ErrorKind::Invalid) && !order.resource.attributes.contains_key(UNKNOWN) =>
        {
            adapter.plant(order, None)
        }
        Fault::UnknownIsPending if is(&answer, ErrorKind::UnknownOutcome) => NOTHING,
        _ => answer,
    }
}

fn of_change(adapter: &Broken, call: &Call, answer: Answer) -> Answer {
    let (update, delete, read) = match call {
        Call::Update(handle, _) => (Some(handle), None, None),
        Call::Delete(handle) => (None, Some(handle), None),
        Call::Read(handle) => (None, None, Some(handle)),
        Call::Create(_) | Call::List(_) => (None, None, None),
    };
    let nothing = answer == NOTHING;
    let not_found = || Err(ProviderError::new(ErrorKind::NotFound, "there is no such thing"));
    match (adapter.fault, update, delete, read) {
        (Fault::UnknownReadIsNotFound, _, _, Some(_)) if nothing => not_found(),
        (Fault::SecondDeleteIsNotFound, _, Some(_), _) if nothing => not_found(),
        (Fault::ReadsAreLists, _, _, Some(_)) if nothing => Ok(Reply::Many(Vec::new())),
        (Fault::UpdatesAreLists, Some(_), ..) | (Fault::DeletesAreLists, _, Some(_), _) => match answer {
            Ok(Reply::One(seen)) => Ok(Reply::Many(seen.into_iter().collect())),
            other => other,
        },
        (Fault::UpdateOfTheMissingIsInvalid, Some(_), ..) => {
            mapped(answer, ErrorKind::NotFound, ErrorKind::Invalid)
        }
        (Fault::UpdateOfTheMissingIsNothing, Some(_), ..) if is(&answer, ErrorKind::NotFound) => NOTHING,
        (Fault::DeletesUnderOthers, _, Some(_), _) if is(&answer, ErrorKind::Conflict) => NOTHING,
        (Fault::CompleteVanishes, _, _, Some(handle)) => match &answer {
            // Told once.
            Ok(Reply::One(Some(seen))) if seen.status == Status::Complete => {
                if adapter.forgets(handle) {
                    NOTHING
                } else {
                    answer
                }
            }
            _ => answer,
        },
        (Fault::DeniedIsNotFound, Some(_), ..) | (Fault::DeniedIsNotFound, _, Some(_), _) => {
            mapped(answer, ErrorKind::Denied, ErrorKind::NotFound)
        }
        (Fault::DeniedDeletes, _, Some(handle), _) if is(&answer, ErrorKind::Denied) => {
            adapter.sim.with(|cloud| cloud.vanish(handle)).expect("it is there");
            answer
        }
        (Fault::DeniedReadIsNothing, _, _, Some(_)) if is(&answer, ErrorKind::Denied) => NOTHING,
        (Fault::LostReadIsNothing, _, _, Some(_)) if is(&answer, ErrorKind::UnknownOutcome) => NOTHING,
        (Fault::LostDeleteIsGone, _, Some(_), _) if is(&answer, ErrorKind::UnknownOutcome) => NOTHING,
        (Fault::UnknownChangeIsConflict, Some(_), ..) | (Fault::UnknownChangeIsConflict, _, Some(_), _) => {
            mapped(answer, ErrorKind::UnknownOutcome, ErrorKind::Conflict)
        }
        (Fault::InvalidUpdateChanges, Some(handle), ..) if is(&answer, ErrorKind::Invalid) => {
            adapter
                .sim
                .with(|cloud| cloud.set_attribute(handle, "labels", Some(labels())))
                .expect("it is there");
            answer
        }
        _ => answer,
    }
}

fn of_list(adapter: &Broken, call: &Call, answer: Answer) -> Answer {
    let Call::List(scope) = call else { return answer };
    match adapter.fault {
        Fault::ListsAreThings => match answer {
            Ok(Reply::Many(all)) => Ok(Reply::One(all.into_iter().next())),
            other => other,
        },
        Fault::EmptyListIsNotFound if answer == Ok(Reply::Many(Vec::new())) => {
            Err(ProviderError::new(ErrorKind::NotFound, "there is nothing"))
        }
        Fault::HidesTheRepeated => lists(answer, |all| all.retain(|seen| !adapter.hidden(&seen.handle))),
        Fault::ListsHaveNetworksAlone => lists(answer, |all| {
            all.retain(|seen| seen.handle.kind == ResourceKind::Network);
        }),
        Fault::ListsAreEmpty => lists(answer, Vec::clear),
        Fault::ListsKeepTheGone => lists(answer, |all| {
            for old in adapter.listed() {
                let token = scope.token.as_ref().is_none_or(|token| old.token() == Some(token));
                let ours = old.is_of(&scope.lineage) && old.handle.region == scope.region && token;
                if ours && all.iter().all(|seen| seen.handle != old.handle) {
                    all.push(old);
                }
            }
            all.sort_by(|a, b| a.handle.cmp(&b.handle));
        }),
        Fault::ListsLackAttributes => lists(answer, |all| {
            all.iter_mut().for_each(|seen| seen.attributes = Attributes::default());
        }),
        Fault::ListsHaveNoAddress => lists(answer, |all| {
            all.iter_mut().for_each(|seen| seen.outputs.clear());
        }),
        Fault::ListsAreUnordered => lists(answer, |all| all.reverse()),
        Fault::ListsRepeat => lists(answer, |all| {
            if let Some(last) = all.last().cloned() {
                all.push(last);
            }
        }),
        Fault::FailedIsNotListed => lists(answer, |all| {
            all.retain(|seen| !matches!(seen.status, Status::Failed(_)));
        }),
        Fault::DeniedListIsEmpty if is(&answer, ErrorKind::Denied) => Ok(Reply::Many(Vec::new())),
        Fault::LostListIsEmpty if is(&answer, ErrorKind::UnknownOutcome) => Ok(Reply::Many(Vec::new())),
        _ => answer,
    }
}
