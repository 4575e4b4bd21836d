//! What exists becomes what is ordered.

use super::Check;
use super::check::{Done, check, ensure};
use super::create::nobody;
use super::trial::{Trial, same_attributes};
use crate::{Attr, Call, ErrorKind, ResourceKind, Status, Tags};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "update.attributes",
        "after an update a thing has the attributes of its order and no others",
        attributes
    ),
    check!("update.tags", "an update leaves lineage and token of the order that made the thing", tags),
    check!("update.address", "an update lets a thing be tagged with the address of its order", address),
    check!("update.again", "the same update again is no error and changes nothing", again),
    check!("update.alone", "an update changes nothing else of the same address", alone),
    check!(
        "update.rolling",
        "while the machines of a fleet are made anew, no more are there and no fewer serve than its order says",
        rolling
    ),
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
            ensure!(
                seen.tags.as_ref() == Some(&made_by.tags),
                "after an update {} has tags {:?}",
                made.handle,
                seen.tags
            );
        }
        // What the update was sent by finds nothing, and what it was made by still does.
        t.made_by(&made_by.tags.token, 1).await?;
        t.made_by(&order.tags.token, 0).await?;
    }
    Ok(())
}

async fn address(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (made_by, made) = t.sample(*kind, &ids).await?;
        // As it is: only its name is another one.
        let mut order = t.order(*kind, &ids);
        order.tags.address = made_by.tags.address.child("renamed");
        let answer = t.some(&Call::Update(made.handle.clone(), order.clone())).await?;
        let now = t.ready(&made.handle).await?;
        let tags = Tags { address: order.tags.address.clone(), ..made_by.tags.clone() };
        for seen in [answer, now] {
            ensure!(
                seen.tags.as_ref() == Some(&tags),
                "renamed by an update, {} has tags {:?}",
                made.handle,
                seen.tags
            );
        }
        t.made_by(&made_by.tags.token, 1).await?;
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

async fn rolling(t: &Trial<'_>) -> Done {
    if !t.kinds().contains(&ResourceKind::Fleet) {
        return Ok(());
    }
    let ids = t.ground().await?;
    for (surge, missing) in [(1, 0), (0, 1)] {
        let order = |template: &str| {
            let mut order = t.order(ResourceKind::Fleet, &ids);
            let all = &mut order.resource.attributes;
            all.insert("max_surge", Attr::Int(surge));
            all.insert("max_unavailable", Attr::Int(missing));
            all.insert("launch_template_sha256", template.repeat(64).into());
            order
        };
        let made = t.make(&order("0")).await?;
        t.healthy(&made.handle).await?;
        // The sample has two machines.
        let (most, fewest) = ((2 + surge) as u32, (2 - missing) as u32);
        let mut seen = t.some(&Call::Update(made.handle.clone(), order("1"))).await?;
        let mut pauses = t.pauses();
        loop {
            let (running, healthy) = (seen.running.unwrap_or(0), seen.healthy.unwrap_or(0));
            ensure!(running <= most, "{} has {running} machines, at most {most} were ordered", made.handle);
            ensure!(
                healthy >= fewest,
                "{} serves with {healthy}, at least {fewest} were ordered",
                made.handle
            );
            if seen.status != Status::Pending {
                break;
            }
            let Some(ms) = pauses.next() else { break };
            t.pause(ms).await;
            let Some(now) = t.read(&made.handle).await? else { break };
            seen = now;
        }
        t.healthy(&made.handle).await?;
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
