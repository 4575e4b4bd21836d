//! What an adapter says of itself before anything is asked of it, and what it may never say.

use super::Check;
use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, check, ensure};
use super::samples::spoiled;
use super::trial::Trial;
use crate::{Call, ErrorKind};

pub(super) const CHECKS: &[Check] = &[
    check!("can.clouds", "it answers for the cloud that it is asked about", clouds),
    check!("can.deploys", "it says that it can deploy what it then makes", deploys),
    check!(
        "can.refuses",
        "what it would answer with invalid it says that it cannot deploy, and why",
        refuses
    ),
    check!(
        "can.invalid",
        "what nobody can deploy is answered with invalid, not made with a part of it left out",
        invalid
    ),
    // The last one: it goes by everything that was heard.
    check!("says.no_secrets", "nothing that it says contains a part of its credentials", no_secrets),
];

async fn clouds(t: &Trial<'_>) -> Done {
    let clouds = t.bench().provider.clouds();
    ensure!(clouds.contains(&t.place().cloud), "it answers for {clouds:?}, not for {}", t.place().cloud);
    Ok(())
}

async fn deploys(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        for order in [t.order(*kind, &ids), t.changed(*kind, &ids)] {
            let can = t.bench().provider.can(&order.resource);
            ensure!(can.is_ok(), "it says that it cannot deploy the sample of a {kind}: {can:?}");
            t.make(&order).await?;
        }
    }
    Ok(())
}

async fn refuses(t: &Trial<'_>) -> Done {
    for (what, resource) in spoiled(t.place()) {
        let Err(why) = t.bench().provider.can(&resource) else {
            return Err(Stop::Failed(format!("it says that it can deploy {what}")));
        };
        t.hear(&what, &why);
        ensure!(!why.trim().is_empty(), "it cannot deploy {what} and does not say why");
    }
    Ok(())
}

async fn invalid(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for (what, resource) in spoiled(t.place()) {
        let mut order = t.order(resource.kind, &ids);
        order.resource = resource;
        let answer = t.error(&Call::Create(order.clone()), ErrorKind::Invalid).await;
        answer.map_err(|stop| match stop {
            Stop::Failed(why) => Stop::Failed(format!("{what}: {why}")),
            other => other,
        })?;
        t.made_by(&order.tags.token, 0).await?;
    }
    Ok(())
}

async fn no_secrets(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    // Each way to make it talk that a double can bring about; those that it cannot are told of elsewhere.
    let all = [
        Trouble::Capacity,
        Trouble::Quota,
        Trouble::Throttled,
        Trouble::Denied,
        Trouble::Conflict,
        Trouble::LostRequest,
        Trouble::LostReply,
    ];
    for what in all {
        for kind in t.kinds() {
            let order = t.order(*kind, &ids);
            if t.trouble(what, Verb::Create).await.is_ok() {
                // Whatever it is answered with is heard.
                drop(t.call(&Call::Create(order)).await);
                t.calm().await;
            }
        }
    }
    let leaks = t.leaks();
    ensure!(leaks.is_empty(), "a secret is in the answer to the {}", leaks[0]);
    Ok(())
}
