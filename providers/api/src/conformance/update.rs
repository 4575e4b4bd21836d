//! What exists becomes what is ordered.

use super::Check;
use super::check::{Done, check, ensure};
use super::create::nobody;
use super::trial::{Trial, same_attributes};
use crate::{Call, ErrorKind};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "update.attributes",
        "after an update a thing has the attributes of its order and no others",
        attributes
    ),
    check!("update.tags", "an update leaves the tags of the order that made the thing", tags),
    check!("update.again", "the same update again is no error and changes nothing", again),
    check!("update.alone", "an update changes nothing else of the same address", alone),
    check!("update.missing", "an update of what never was or is gone is answered with not_found", missing),
];

async fn attributes(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let order = t.changed(*kind, &ids);
        let answer = t.some(&Call::Update(made.handle.clone(), order.clone())).await?;
        ensure!(answer.handle == made.handle, "the update of {} was one of {}", made.handle, answer.handle);
        let now = t.ready(&made.handle).await?;
        same_attributes(&order.resource.attributes, &now.attributes, &made.handle)?;
    }
    Ok(())
}

async fn tags(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (made_by, made) = t.sample(*kind, &ids).await?;
        let order = t.changed(*kind, &ids);
        let answer = t.some(&Call::Update(made.handle.clone(), order.clone())).await?;
        let now = t.ready(&made.handle).await?;
        for seen in [answer, now] {
            ensure!(seen.tags == made_by.tags, "after an update {} has tags {:?}", made.handle, seen.tags);
        }
        // What the update was sent by finds nothing, and what it was made by still does.
        t.made_by(&made_by.tags.token, 1).await?;
        t.made_by(&order.tags.token, 0).await?;
    }
    Ok(())
}

async fn again(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let order = t.changed(*kind, &ids);
        let update = Call::Update(made.handle.clone(), order.clone());
        t.some(&update).await?;
        let first = t.ready(&made.handle).await?;
        t.some(&update).await?;
        t.unchanged(&first).await?;
        // Another intent for the same is no change either.
        t.some(&Call::Update(made.handle, t.changed(*kind, &ids))).await?;
        t.unchanged(&first).await?;
    }
    Ok(())
}

async fn alone(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, beside) = t.sample(*kind, &ids).await?;
        let (_, made) = t.sample(*kind, &ids).await?;
        t.some(&Call::Update(made.handle.clone(), t.changed(*kind, &ids))).await?;
        t.ready(&made.handle).await?;
        t.unchanged(&beside).await?;
    }
    Ok(())
}

async fn missing(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let never = nobody(&made.handle);
        t.error(&Call::Update(never, t.changed(*kind, &ids)), ErrorKind::NotFound).await?;
        t.remove(&made.handle).await?;
        let order = t.changed(*kind, &ids);
        t.error(&Call::Update(made.handle.clone(), order.clone()), ErrorKind::NotFound).await?;
        let there = t.read(&made.handle).await?;
        ensure!(there.is_none(), "an update brought {} back", made.handle);
        t.made_by(&order.tags.token, 0).await?;
    }
    Ok(())
}
