//! What an adapter says of itself before anything is asked of it, and what it may never say.

use super::Check;
use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, check, ensure};
use super::samples::{Place, attributes, changed, spoiled};
use super::trial::Trial;
use crate::{Attr, Call, Capability, Cloud, ErrorKind, Resource, ResourceKind, covered};

pub(super) const CHECKS: &[Check] = &[
    check!("can.clouds", "it answers for the cloud that it is asked about", clouds),
    check!("can.deploys", "it says that it can deploy what it then makes", deploys),
    check!(
        "can.refuses",
        "what it would answer with invalid it says that it cannot deploy, and why",
        refuses
    ),
    check!(
        "can.table",
        "its table has rows for its clouds alone, covers what it can deploy, and it refuses what that does not",
        table
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

async fn table(t: &Trial<'_>) -> Done {
    let provider = t.bench().provider;
    let (clouds, rows) = (provider.clouds(), provider.capabilities());
    for Capability { cloud, kind, .. } in rows {
        ensure!(clouds.contains(cloud), "its table has a {kind} on {cloud}, for which it does not answer");
    }
    for kind in t.kinds() {
        for attributes in [attributes(t.place(), *kind), changed(t.place(), *kind)] {
            let (cloud, region) = (t.place().cloud, t.place().region.clone());
            let sample = Resource { kind: *kind, cloud, region, attributes };
            if let Err(why) = covered(rows, &sample) {
                return Err(Stop::Failed(format!("it makes a {kind}, and its table says: {why}")));
            }
        }
    }
    for (what, resource) in unheard_of(t.place()) {
        let (said, can) = (covered(rows, &resource), provider.can(&resource));
        if let (Err(why), Ok(())) = (said, can) {
            return Err(Stop::Failed(format!("it says that it can deploy {what}, and its table: {why}")));
        }
    }
    Ok(())
}

/// Samples with something that hardly a table has, of each of its dimensions: only one with no bounds there does.
fn unheard_of(place: &Place) -> Vec<(String, Resource)> {
    let of = |kind, cloud| {
        let (attributes, region) = (attributes(place, kind), place.region.clone());
        Resource { kind, cloud, region, attributes }
    };
    let map = |name: &str, value: Attr| Attr::Map([(name.to_owned(), value)].into());
    let named = |name: &str| map(name, "unheard-of".into());
    let sized = |name: &str| map(name, Attr::Int(2));
    let engines = map("services.sample", map("engine", named("name")));
    let on_templates: [(&str, Attr); 14] = [
        ("engine", named("name")),
        ("engines", engines),
        ("server", named("name")),
        ("measured", named("name")),
        ("training", named("framework")),
        ("pipeline", named("engine")),
        ("federation", named("framework")),
        ("engine", sized("tensor_parallel_size")),
        ("engine", sized("pipeline_parallel_size")),
        ("engine", sized("data_parallel_size")),
        ("engine", sized("expert_parallel_size")),
        ("accelerators_per_machine_permille", Attr::Int(500)),
        ("machines_per_replica", Attr::Int(2)),
        ("replicas_per_machine", Attr::Int(2)),
    ];
    let mut all = Vec::new();
    for (name, value) in on_templates {
        let mut resource = of(ResourceKind::LaunchTemplate, place.cloud);
        let what = format!("a launch_template with `{name}` {value:?}");
        resource.attributes.insert(name, value);
        all.push((what, resource));
    }
    for kind in ResourceKind::ALL {
        let mut resource = of(kind, place.cloud);
        resource.attributes.insert("accelerator", "unheard-of".into());
        all.push((format!("a {kind} with an accelerator"), resource));
        for cloud in Cloud::ALL.into_iter().chain([Cloud::Site]) {
            all.push((format!("a {kind} on {cloud}"), of(kind, cloud)));
        }
    }
    all
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
