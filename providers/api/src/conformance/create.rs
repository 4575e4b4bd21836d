//! What is made is what was ordered.

use std::collections::BTreeSet;

use super::Check;
use super::check::{Done, check, ensure};
use super::trial::{Trial, has_machines, same_attributes};
use crate::{Attr, Call, Handle, ResourceKind, Status, outputs};

pub(super) const CHECKS: &[Check] = &[
    check!("create.handle", "what is made is of the cloud, region and kind that were ordered", handle),
    check!("create.tags", "what is made has the tags of its order, at once and when it is ready", tags),
    check!(
        "create.attributes",
        "what is made has all attributes that were ordered and no others",
        attributes
    ),
    check!("create.ready", "what is made becomes ready", ready),
    check!("create.machines", "what is ready has as many machines as were ordered", machines),
    check!(
        "create.healthy",
        "machines with a health check say how many answer it, of those that run, and at last all do; others say nothing",
        healthy
    ),
    check!(
        "create.address",
        "a load balancer and machines at a site say where clients reach them, in reads and in lists alike",
        address
    ),
    check!("create.ids_differ", "two things of a kind have two ids", ids_differ),
    check!("create.ids_are_not_reused", "the id of what is gone is not given again", ids_are_not_reused),
    check!("read.unknown", "a read of what never was is answered with nothing", unknown),
    check!("reply.one", "create, update, delete and read are answered with one thing or none", one),
    check!("reply.many", "a list is answered with a list, if an empty one", many),
];

async fn handle(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let seen = t.some(&Call::Create(t.order(*kind, &ids))).await?;
        let Handle { cloud, region, kind: of, id } = &seen.handle;
        let place = t.place();
        let right = (*cloud, region, of) == (place.cloud, &place.region, kind) && !id.is_empty();
        ensure!(
            right,
            "a {kind} in {}/{} was ordered, and {} was made",
            place.cloud,
            place.region,
            seen.handle
        );
        let read = t.ready(&seen.handle).await?;
        ensure!(read.handle == seen.handle, "a read of {} shows {}", seen.handle, read.handle);
    }
    Ok(())
}

async fn tags(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let order = t.order(*kind, &ids);
        let seen = t.some(&Call::Create(order.clone())).await?;
        ensure!(
            seen.tags.as_ref() == Some(&order.tags),
            "the answer to the create of a {kind} has tags {:?}",
            seen.tags
        );
        let read = t.ready(&seen.handle).await?;
        ensure!(
            read.tags.as_ref() == Some(&order.tags),
            "{} has tags {:?}, not {:?}",
            seen.handle,
            read.tags,
            order.tags
        );
    }
    Ok(())
}

async fn attributes(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, seen) = t.sample(*kind, &ids).await?;
        same_attributes(&order.resource.attributes, &seen.attributes, &seen.handle)?;
    }
    Ok(())
}

async fn ready(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        t.sample(*kind, &ids).await?;
    }
    Ok(())
}

async fn machines(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, seen) = t.sample(*kind, &ids).await?;
        let wanted = match (order.resource.attributes.get("count"), &seen.status) {
            (Some(Attr::Int(_)), Status::Complete) => Some(0),
            (Some(Attr::Int(n)), _) => u32::try_from(*n).ok(),
            _ => None,
        };
        ensure!(has_machines(*kind) == wanted.is_some(), "the sample of a {kind} counts machines");
        ensure!(
            seen.running == wanted,
            "{} runs {:?} machines while it is {:?}, not {wanted:?}",
            seen.handle,
            seen.running,
            seen.status
        );
    }
    Ok(())
}

async fn healthy(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, seen) = t.sample(*kind, &ids).await?;
        let asked = has_machines(*kind) && order.resource.attributes.contains_key("health_check_path");
        ensure!(
            seen.healthy.is_some() == asked,
            "{} says that {:?} machines are healthy, and {} a health check",
            seen.handle,
            seen.healthy,
            if asked { "has" } else { "has no" }
        );
        ensure!(
            seen.healthy <= seen.running,
            "of {} {:?} machines are healthy and {:?} run",
            seen.handle,
            seen.healthy,
            seen.running
        );
        if asked {
            t.healthy(&seen.handle).await?;
        }
    }
    Ok(())
}

async fn address(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (order, seen) = t.sample(*kind, &ids).await?;
        let reached = matches!(kind, ResourceKind::LoadBalancer | ResourceKind::EdgeUnit);
        let said = seen.outputs.get(outputs::ADDRESS).filter(|address| !address.is_empty());
        ensure!(said.is_some() == reached, "{} says that its address is {said:?}", seen.handle);
        t.list_lag().await;
        let listed = t.list(Some(&order.tags.token)).await?;
        let same = listed.iter().find(|other| other.handle == seen.handle);
        ensure!(
            same.is_none_or(|other| other.outputs == seen.outputs),
            "a list says of {} that it was given {:?}, a read {:?}",
            seen.handle,
            same.map(|other| &other.outputs),
            seen.outputs
        );
    }
    Ok(())
}

async fn ids_differ(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let mut all = BTreeSet::new();
        for _ in 0..3 {
            let (_, seen) = t.sample(*kind, &ids).await?;
            ensure!(all.insert(seen.handle.clone()), "{} was made twice", seen.handle);
        }
    }
    Ok(())
}

async fn ids_are_not_reused(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let mut all = BTreeSet::new();
        for _ in 0..3 {
            let (_, seen) = t.sample(*kind, &ids).await?;
            t.remove(&seen.handle).await?;
            ensure!(all.insert(seen.handle.clone()), "{} was gone and is there again", seen.handle);
        }
    }
    Ok(())
}

/// A handle that nothing has: in the form of the cloud's ids as far as one is known.
pub(super) fn nobody(like: &Handle) -> Handle {
    // Digits become others, so that the length and the letters before them stay.
    let other = |c: char| match c {
        '0'..='8' => '9',
        '9' => '8',
        'a'..='e' => 'f',
        other => other,
    };
    let split = like.id.rfind('-').map_or(0, |at| at + 1);
    let (name, digits) = like.id.split_at(split);
    Handle { id: format!("{name}{}", digits.chars().map(other).collect::<String>()), ..like.clone() }
}

async fn unknown(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, seen) = t.sample(*kind, &ids).await?;
        let there = t.read(&nobody(&seen.handle)).await?;
        ensure!(there.is_none(), "{} never was and is {there:?}", nobody(&seen.handle));
    }
    Ok(())
}

async fn one(t: &Trial<'_>) -> Done {
    let kind = if t.kinds().contains(&ResourceKind::Network) {
        ResourceKind::Network
    } else {
        ResourceKind::LaunchTemplate
    };
    let ids = super::trial::Ids::new();
    let (_, seen) = t.sample(kind, &ids).await?;
    t.one(&Call::Update(seen.handle.clone(), t.changed(kind, &ids))).await?;
    t.ready(&seen.handle).await?;
    t.one(&Call::Delete(seen.handle.clone())).await?;
    t.settled(&seen.handle).await?;
    t.one(&Call::Delete(seen.handle.clone())).await?;
    t.one(&Call::Read(seen.handle)).await?;
    Ok(())
}

async fn many(t: &Trial<'_>) -> Done {
    let none = t.list(Some(&t.token())).await?;
    ensure!(none.is_empty(), "a list of an intent that never was has {} things", none.len());
    t.ground().await?;
    t.list(None).await?;
    Ok(())
}
