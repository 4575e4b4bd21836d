//! What nobody knows is told as unknown, and can be found out.

use super::Check;
use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, check, ensure};
use super::errors::look;
use super::trial::{Trial, same_attributes};
use crate::{Call, ErrorKind, Observed, ResourceKind};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "unknown.happened",
        "a create whose reply is lost is unknown, and its token finds the one thing that it made",
        happened
    ),
    check!(
        "unknown.did_not",
        "a create whose request is lost is unknown, and its token finds nothing until it is sent again",
        did_not
    ),
    check!(
        "unknown.late",
        "what a late create makes is found once the call lag and the list lag are over",
        late
    ),
    check!(
        "unknown.sent_again",
        "a late create that was sent again meanwhile makes one thing, where tokens are deduplicated",
        sent_again
    ),
    check!(
        "unknown.late_update",
        "a late update has its effect within the call lag, and undoes nothing afterwards",
        late_update
    ),
    check!(
        "unknown.update",
        "an update whose request or reply is lost is unknown, and a read tells what became of it",
        update
    ),
    check!(
        "unknown.delete",
        "a delete whose request or reply is lost is unknown, and a read tells what became of it",
        delete
    ),
    check!(
        "unknown.look",
        "a look whose reply is lost is unknown, and never says that there is nothing",
        lost_look
    ),
];

/// Sends a call that meets trouble.
async fn lose(t: &Trial<'_>, what: Trouble, call: &Call) -> Done {
    t.trouble(what, Verb::from(call)).await?;
    t.error(call, ErrorKind::UnknownOutcome).await?;
    t.calm().await;
    Ok(())
}

/// The one thing that a create with this trouble made.
async fn found(t: &Trial<'_>, what: Trouble) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        let call = Call::Create(order.clone());
        lose(t, what, &call).await?;
        t.all_lags().await;
        let all = t.list(Some(&order.tags.token)).await?;
        ensure!(all.len() == 1, "a create of a {kind} made {} things by its token", all.len());
        let seen = t.ready(&all[0].handle).await?;
        same_attributes(&order.resource.attributes, &seen.attributes, &seen.handle)?;
        if t.promised.deduplicates {
            let again = t.some(&call).await?;
            ensure!(
                again.handle == seen.handle,
                "sent again, it made {} beside {}",
                again.handle,
                seen.handle
            );
        }
    }
    Ok(())
}

async fn happened(t: &Trial<'_>) -> Done {
    found(t, Trouble::LostReply).await
}

async fn late(t: &Trial<'_>) -> Done {
    found(t, Trouble::LateRequest).await
}

async fn sent_again(t: &Trial<'_>) -> Done {
    if !t.promised.deduplicates {
        return Ok(());
    }
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        lose(t, Trouble::LateRequest, &Call::Create(order.clone())).await?;
        let seen = t.make(&order).await?;
        t.all_lags().await;
        let all = t.made_by(&order.tags.token, 1).await?;
        ensure!(all[0].handle == seen.handle, "the token of {} finds {}", seen.handle, all[0].handle);
    }
    Ok(())
}

async fn late_update(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let update = Call::Update(made.handle.clone(), t.changed(*kind, &ids));
        lose(t, Trouble::LateRequest, &update).await?;
        t.all_lags().await;
        let now = t.ready(&made.handle).await?;
        same_attributes(&super::changed(t.place(), *kind), &now.attributes, &made.handle)?;
        t.some(&Call::Update(made.handle.clone(), t.order(*kind, &ids))).await?;
        t.all_lags().await;
        t.unchanged(&made).await?;
    }
    Ok(())
}

async fn did_not(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        lose(t, Trouble::LostRequest, &Call::Create(order.clone())).await?;
        t.all_lags().await;
        t.made_by(&order.tags.token, 0).await?;
        t.make(&order).await?;
        t.made_by(&order.tags.token, 1).await?;
    }
    Ok(())
}

/// A thing beside the ground, for each kind, and what it is to become.
async fn made(t: &Trial<'_>) -> Result<Vec<(ResourceKind, Observed, Call)>, Stop> {
    let ids = t.ground().await?;
    let mut all = Vec::new();
    for kind in t.kinds() {
        let (_, seen) = t.sample(*kind, &ids).await?;
        let update = Call::Update(seen.handle.clone(), t.changed(*kind, &ids));
        all.push((*kind, seen, update));
    }
    Ok(all)
}

async fn update(t: &Trial<'_>) -> Done {
    for (kind, seen, update) in made(t).await? {
        lose(t, Trouble::LostRequest, &update).await?;
        t.all_lags().await;
        t.unchanged(&seen).await?;
        lose(t, Trouble::LostReply, &update).await?;
        t.all_lags().await;
        // As it is now, and sent again.
        for sent_again in [false, true] {
            if sent_again {
                t.some(&update).await?;
            }
            let now = t.ready(&seen.handle).await?;
            same_attributes(&super::changed(t.place(), kind), &now.attributes, &seen.handle)?;
        }
    }
    Ok(())
}

async fn delete(t: &Trial<'_>) -> Done {
    for (_, seen, _) in made(t).await? {
        let delete = Call::Delete(seen.handle.clone());
        lose(t, Trouble::LostRequest, &delete).await?;
        t.all_lags().await;
        t.unchanged(&seen).await?;
        lose(t, Trouble::LostReply, &delete).await?;
        t.all_lags().await;
        let left = t.settled(&seen.handle).await?;
        ensure!(left.is_none(), "{} was removed and is there", seen.handle);
        t.remove(&seen.handle).await?;
    }
    Ok(())
}

async fn lost_look(t: &Trial<'_>) -> Done {
    look(t, Trouble::LostReply, ErrorKind::UnknownOutcome).await
}
