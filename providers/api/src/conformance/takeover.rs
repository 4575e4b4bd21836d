//! What is somebody else's, or nobody's, and what it takes to make it one's own.

use super::Check;
use super::check::{Done, Stop, check, ensure};
use super::trial::{Ids, Trial, same_attributes};
use crate::{Call, ErrorKind, Observed, Order, Owner, ResourceKind};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "take.refused",
        "an update of what is not this deployment's is refused unless it names whose it is",
        refused
    ),
    check!("take.others", "an update makes what is of the lineage that it names this deployment's", others),
    check!(
        "take.untagged",
        "what has no tags is read and not listed, and is taken over as nobody's",
        untagged
    ),
];

/// One of each kind, of another deployment, and their ids.
async fn theirs(t: &Trial<'_>) -> Result<(Vec<(ResourceKind, Observed)>, Ids), Stop> {
    let (mut all, mut ids) = (Vec::new(), Ids::new());
    for kind in t.kinds() {
        let mut order = t.order(*kind, &ids);
        order.tags.lineage.clone_from(&t.other_lineage);
        let seen = t.make(&order).await?;
        ids.insert(*kind, seen.handle.id.clone());
        all.push((*kind, seen));
    }
    Ok((all, ids))
}

fn taking(mut order: Order, from: Owner) -> Order {
    order.takes_over = Some(from);
    order
}

/// Takes a thing over, and looks at it.
async fn taken(t: &Trial<'_>, was: &Observed, order: &Order) -> Done {
    let update = Call::Update(was.handle.clone(), order.clone());
    let answer = t.some(&update).await?;
    let now = t.ready(&was.handle).await?;
    for seen in [&answer, &now] {
        let tagged = seen.tags.as_ref() == Some(&order.tags);
        ensure!(tagged, "taken over by {:?}, {} has tags {:?}", order.tags, was.handle, seen.tags);
    }
    same_attributes(&order.resource.attributes, &now.attributes, &was.handle)?;
    // What was lost on its way is sent again.
    t.some(&update).await?;
    t.unchanged(&now).await?;
    let found = t.made_by(&order.tags.token, 1).await?;
    ensure!(
        found[0].handle == was.handle,
        "the token that {} was taken over by finds another one",
        was.handle
    );
    Ok(())
}

async fn refused(t: &Trial<'_>) -> Done {
    let (all, ids) = theirs(t).await?;
    for (kind, seen) in all {
        let order = || t.changed(kind, &ids);
        let somebody = Owner::Lineage("somebody-else".to_owned());
        for order in [order(), taking(order(), Owner::Nobody), taking(order(), somebody)] {
            t.error(&Call::Update(seen.handle.clone(), order), ErrorKind::Invalid).await?;
            t.unchanged(&seen).await?;
        }
        // What comes next stands on it.
        let order = taking(order(), Owner::Lineage(t.other_lineage.clone()));
        t.some(&Call::Update(seen.handle.clone(), order)).await?;
        t.ready(&seen.handle).await?;
        // It is no longer theirs.
        let mut back = t.order(kind, &ids);
        back.tags.lineage.clone_from(&t.other_lineage);
        t.error(&Call::Update(seen.handle.clone(), back), ErrorKind::Invalid).await?;
    }
    Ok(())
}

async fn others(t: &Trial<'_>) -> Done {
    let (all, ids) = theirs(t).await?;
    for (kind, seen) in all {
        let order = taking(t.changed(kind, &ids), Owner::Lineage(t.other_lineage.clone()));
        taken(t, &seen, &order).await?;
    }
    let left = t.list_of(&t.other_lineage, &t.place().region, None).await?;
    ensure!(left.is_empty(), "{} things were taken over and are still listed as theirs", left.len());
    Ok(())
}

async fn untagged(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let untagged = t.bench().arrange.untag(&made.handle).await;
        untagged.map_err(|why| Stop::NotArranged(format!("a thing without tags: {why}")))?;
        t.list_lag().await;
        let seen = t.ready(&made.handle).await?;
        ensure!(seen.tags.is_none(), "{} has no tags, and is shown with {:?}", made.handle, seen.tags);
        let listed = t.list(None).await?;
        let shown = listed.iter().any(|other| other.handle == made.handle);
        ensure!(!shown, "{} has no tags, and is listed as of a lineage", made.handle);
        let theirs = Owner::Lineage(t.lineage.clone());
        for order in [t.changed(*kind, &ids), taking(t.changed(*kind, &ids), theirs)] {
            t.error(&Call::Update(made.handle.clone(), order), ErrorKind::Invalid).await?;
        }
        taken(t, &seen, &taking(t.changed(*kind, &ids), Owner::Nobody)).await?;
    }
    Ok(())
}
