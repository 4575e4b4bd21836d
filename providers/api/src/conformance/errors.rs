//! What a cloud refuses has no effect, and is told by what to do next.

use super::Check;
use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, check, ensure};
use super::create::nobody;
use super::trial::Trial;
use crate::{Call, ErrorKind, Handle, ProviderError, ResourceKind};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "error.capacity",
        "where there are no machines, a create is answered with capacity and makes nothing",
        capacity
    ),
    check!("error.quota", "beyond a quota, a create is answered with quota and makes nothing", quota),
    check!(
        "error.throttled",
        "a call too many is answered with throttled, does nothing, and does it later",
        throttled
    ),
    check!("error.advice", "when the cloud says when to come again, the error does", advice),
    check!(
        "error.denied",
        "a change that the credentials may not make is answered with denied and does nothing",
        denied
    ),
    check!(
        "error.denied_look",
        "a look that is denied says so, and never that there is nothing",
        denied_look
    ),
    check!(
        "error.conflict",
        "a change that another one is in the way of is answered with conflict and does nothing",
        conflict
    ),
    check!(
        "invalid.needs",
        "an order that names an id that is not there, or none, is invalid and makes nothing",
        needs
    ),
    check!(
        "invalid.secret",
        "an order that names a secret that is not there is invalid and makes nothing",
        secret
    ),
    check!("invalid.update", "an update to what cannot be is invalid and changes nothing", update),
];

/// A create of each of these kinds that is refused, and taken with the same token once the trouble is over.
async fn create(
    t: &Trial<'_>,
    what: Trouble,
    kind: ErrorKind,
    of: &[ResourceKind],
) -> Result<Vec<ProviderError>, Stop> {
    let ids = t.ground().await?;
    let mut errors = Vec::new();
    for of in of {
        let order = t.order(*of, &ids);
        t.trouble(what, Verb::Create).await?;
        let error = t.error(&Call::Create(order.clone()), kind).await?;
        t.calm().await;
        t.made_by(&order.tags.token, 0).await?;
        t.make(&order).await?;
        t.made_by(&order.tags.token, 1).await?;
        errors.push(error);
    }
    Ok(errors)
}

/// An update and a delete of each kind that are refused, change nothing, and are taken once the trouble is over.
async fn change(t: &Trial<'_>, what: Trouble, kind: ErrorKind) -> Done {
    let ids = t.ground().await?;
    for of in t.kinds() {
        let (_, made) = t.sample(*of, &ids).await?;
        let update = Call::Update(made.handle.clone(), t.changed(*of, &ids));
        for (verb, call) in [(Verb::Update, update), (Verb::Delete, Call::Delete(made.handle.clone()))] {
            t.trouble(what, verb).await?;
            t.error(&call, kind).await?;
            t.calm().await;
            t.unchanged(&made).await?;
        }
        t.remove(&made.handle).await?;
    }
    Ok(())
}

/// A read and a list that are answered with an error.
pub(super) async fn look(t: &Trial<'_>, what: Trouble, kind: ErrorKind) -> Done {
    let ids = t.ground().await?;
    for of in t.kinds() {
        let (_, made) = t.sample(*of, &ids).await?;
        t.trouble(what, Verb::Read).await?;
        t.error(&Call::Read(made.handle.clone()), kind).await?;
        t.calm().await;
        t.unchanged(&made).await?;
    }
    t.list_lag().await;
    t.trouble(what, Verb::List).await?;
    let scope = t.scope(&t.lineage, &t.place().region, None);
    t.error(&Call::List(scope), kind).await?;
    t.calm().await;
    let listed = t.list(None).await?;
    ensure!(!listed.is_empty(), "after an error, a list is empty");
    Ok(())
}

async fn capacity(t: &Trial<'_>) -> Done {
    let kinds: Vec<ResourceKind> = t.machine_kinds().collect();
    create(t, Trouble::Capacity, ErrorKind::Capacity, &kinds).await.map(drop)
}

async fn quota(t: &Trial<'_>) -> Done {
    let kinds: Vec<ResourceKind> = t.machine_kinds().collect();
    create(t, Trouble::Quota, ErrorKind::Quota, &kinds).await.map(drop)
}

async fn throttled(t: &Trial<'_>) -> Done {
    create(t, Trouble::Throttled, ErrorKind::Throttled, t.kinds()).await?;
    change(t, Trouble::Throttled, ErrorKind::Throttled).await?;
    look(t, Trouble::Throttled, ErrorKind::Throttled).await
}

async fn advice(t: &Trial<'_>) -> Done {
    const MS: u64 = 1_000;
    for error in create(t, Trouble::ThrottledFor(MS), ErrorKind::Throttled, t.kinds()).await? {
        let told = error.retry_after_ms;
        ensure!(told == Some(MS), "the cloud said {MS} ms, and the error says {told:?}");
    }
    Ok(())
}

async fn denied(t: &Trial<'_>) -> Done {
    create(t, Trouble::Denied, ErrorKind::Denied, t.kinds()).await?;
    change(t, Trouble::Denied, ErrorKind::Denied).await
}

async fn denied_look(t: &Trial<'_>) -> Done {
    look(t, Trouble::Denied, ErrorKind::Denied).await
}

async fn conflict(t: &Trial<'_>) -> Done {
    create(t, Trouble::Conflict, ErrorKind::Conflict, t.kinds()).await?;
    change(t, Trouble::Conflict, ErrorKind::Conflict).await
}

async fn needs(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let right = t.order(*kind, &ids);
        for (need, id) in &right.needs {
            let like = Handle {
                cloud: t.place().cloud,
                region: t.place().region.clone(),
                kind: *kind,
                id: id.clone(),
            };
            let mut lost = t.order(*kind, &ids);
            lost.needs.insert(need.clone(), nobody(&like).id);
            let mut bare = t.order(*kind, &ids);
            bare.needs.remove(need);
            for order in [lost, bare] {
                t.error(&Call::Create(order.clone()), ErrorKind::Invalid).await?;
                t.made_by(&order.tags.token, 0).await?;
            }
        }
    }
    Ok(())
}

async fn secret(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for order in t.with_secrets(&ids) {
        t.trouble(Trouble::NoSecret, Verb::Create).await?;
        t.error(&Call::Create(order.clone()), ErrorKind::Invalid).await?;
        t.calm().await;
        t.made_by(&order.tags.token, 0).await?;
        t.make(&order).await?;
    }
    Ok(())
}

async fn update(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let mut unknown = t.changed(*kind, &ids);
        unknown.resource.attributes.insert("no_such_attribute", 1.into());
        let mut wrong = vec![unknown];
        let mut bare = t.changed(*kind, &ids);
        if !bare.needs.is_empty() {
            bare.needs.clear();
            wrong.push(bare);
        }
        for order in wrong {
            t.error(&Call::Update(made.handle.clone(), order), ErrorKind::Invalid).await?;
            t.unchanged(&made).await?;
        }
    }
    Ok(())
}
