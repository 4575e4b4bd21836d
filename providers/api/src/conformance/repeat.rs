//! Calls that are sent again.

use std::collections::BTreeSet;

use super::Check;
use super::check::{Done, Stop, check, ensure};
use super::trial::Trial;
use crate::{Answer, Attr, Attributes, Call, Handle, Order, Reply};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "repeat.create",
        "the same create again is answered with the same thing where tokens are deduplicated; elsewhere its token finds all that it made",
        create
    ),
    check!(
        "repeat.while_pending",
        "the same create again makes nothing new before the first is over, where tokens are deduplicated",
        while_pending
    ),
    check!(
        "repeat.changed_order",
        "a token with another order is an error or the old thing, where tokens are deduplicated",
        changed_order
    ),
    check!(
        "repeat.after_delete",
        "a token whose thing is gone makes nothing again, where tokens are deduplicated",
        after_delete
    ),
];

async fn create(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, first) = t.sample(*kind, &ids).await?;
        let again = t.some(&Call::Create(order.clone())).await?;
        ensure!(again.tags == first.tags, "a repeated create of a {kind} has tags {:?}", again.tags);
        if t.promised.deduplicates {
            ensure!(
                again.handle == first.handle,
                "the create of {} again made {}",
                first.handle,
                again.handle
            );
        }
        // The engine removes what is there twice by what a list of the token shows.
        let answered = BTreeSet::from([first.handle, again.handle]);
        t.list_lag().await;
        let listed: BTreeSet<Handle> =
            t.list(Some(&order.tags.token)).await?.into_iter().map(|seen| seen.handle).collect();
        ensure!(listed == answered, "creates were answered with {answered:?}, and there are {listed:?}");
    }
    Ok(())
}

async fn while_pending(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        let first = t.some(&Call::Create(order.clone())).await?;
        let again = t.call(&Call::Create(order.clone())).await;
        if t.promised.deduplicates {
            made_nothing(t, &order, Some(&first.handle), &again).await?;
        }
        t.ready(&first.handle).await?;
    }
    Ok(())
}

async fn changed_order(t: &Trial<'_>) -> Done {
    if !t.promised.deduplicates {
        return Ok(());
    }
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, first) = t.sample(*kind, &ids).await?;
        let mut other = order.clone();
        other.resource.attributes.insert("labels", Attr::Map(Attributes::default()));
        let again = t.call(&Call::Create(other)).await;
        made_nothing(t, &order, Some(&first.handle), &again).await?;
        t.unchanged(&first).await?;
    }
    Ok(())
}

async fn after_delete(t: &Trial<'_>) -> Done {
    if !t.promised.deduplicates {
        return Ok(());
    }
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, first) = t.sample(*kind, &ids).await?;
        t.remove(&first.handle).await?;
        let again = t.call(&Call::Create(order.clone())).await;
        made_nothing(t, &order, None, &again).await?;
    }
    Ok(())
}

/// That a repeated create was answered with the old thing, with nothing or with an error, and made nothing.
async fn made_nothing(t: &Trial<'_>, order: &Order, old: Option<&Handle>, answer: &Answer) -> Done {
    let kind = order.resource.kind;
    match answer {
        Err(_) | Ok(Reply::One(None)) => {}
        Ok(Reply::One(Some(seen))) if Some(&seen.handle) == old => {}
        other => {
            return Err(Stop::Failed(format!(
                "a token of a {kind} that was used was answered with {other:?}"
            )));
        }
    }
    let there = t.made_by(&order.tags.token, usize::from(old.is_some())).await?;
    let same = there.iter().all(|seen| Some(&seen.handle) == old);
    ensure!(same, "a token of a {kind} that was used made another thing");
    Ok(())
}
