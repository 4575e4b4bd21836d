//! What ends by itself, and what was accepted and then fails.

use super::Check;
use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, check, ensure};
use super::trial::{Trial, same_attributes, token_of};
use crate::{Attr, Call, ErrorKind, Observed, Reply, ResourceAddr, ResourceKind, Status};

pub(super) const CHECKS: &[Check] = &[
    check!("run.completes", "a run ends by itself and is complete, without machines", completes),
    check!("run.stays", "a complete run is there, as it was ordered, until it is removed", stays),
    check!(
        "run.after",
        "a run has no machines until the runs are complete that it comes after, and then runs, or it is refused",
        after
    ),
    check!("failed.told", "what was accepted and then failed says so, and of what", failed_told),
    check!("failed.stays", "what has failed is read and listed until it is removed", failed_stays),
    check!(
        "failed.again",
        "what an update or a delete failed on after it was accepted says so, and takes the same again",
        failed_again
    ),
];

async fn complete(t: &Trial<'_>) -> Result<Observed, Stop> {
    let ids = t.ground().await?;
    let (_, made) = t.sample(ResourceKind::JobRun, &ids).await?;
    t.completed(&made.handle).await
}

async fn completes(t: &Trial<'_>) -> Done {
    let seen = complete(t).await?;
    ensure!(seen.running == Some(0), "{} is complete and runs {:?} machines", seen.handle, seen.running);
    Ok(())
}

async fn stays(t: &Trial<'_>) -> Done {
    let seen = complete(t).await?;
    let now = t.read(&seen.handle).await?;
    let now = now.ok_or_else(|| Stop::Failed(format!("{} was complete and is gone", seen.handle)))?;
    ensure!(now.status == Status::Complete, "{} was complete and is {:?}", now.handle, now.status);
    same_attributes(&super::attributes(t.place(), ResourceKind::JobRun), &now.attributes, &now.handle)?;
    let listed = t.made_by(token_of(&seen)?, 1).await?;
    ensure!(listed[0].status == Status::Complete, "a list shows {} as {:?}", now.handle, listed[0].status);
    t.remove(&seen.handle).await
}

async fn after(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    let (first_by, first) = t.sample(ResourceKind::JobRun, &ids).await?;
    let mut order = t.order(ResourceKind::JobRun, &ids);
    let comes_after = vec![first_by.tags.address.workload().into()];
    order.resource.attributes.insert("after", Attr::List(comes_after));
    order.tags.address = follower();
    order.needs.insert(first_by.tags.address, first.handle.id.clone());
    let second = match t.patiently(&Call::Create(order)).await {
        Ok(Reply::One(Some(seen))) => seen.handle,
        // An adapter that cannot hold it says so, and nothing runs before its time.
        Err(error) if error.kind == ErrorKind::Invalid => return Ok(()),
        other => return Err(Stop::Failed(format!("a run after another one was answered with {other:?}"))),
    };
    let mut pauses = t.pauses();
    loop {
        // In this order: what the second has the first has let it have.
        let (follows, leads) = (t.read(&second).await?, t.read(&first.handle).await?);
        let (Some(follows), Some(leads)) = (follows, leads) else {
            return Err(Stop::Failed(format!("{second} or {}, which it comes after, is gone", first.handle)));
        };
        let early = leads.status != Status::Complete && follows.running.is_some_and(|running| running > 0);
        ensure!(!early, "{second} has machines before {} is complete, which it comes after", first.handle);
        if follows.status == Status::Complete {
            return Ok(());
        }
        let Some(ms) = pauses.next() else {
            let (second, first) = (follows.status, leads.status);
            return Err(Stop::Failed(format!(
                "a run that comes after one that is {first:?} stays {second:?}"
            )));
        };
        t.pause(ms).await;
    }
}

/// The address of a run of another workload than that of the samples.
fn follower() -> ResourceAddr {
    match ResourceAddr::parse("batches.follower/run") {
        Ok(address) => address,
        Err(_) => unreachable!("two names are an address"),
    }
}

/// One that was accepted and has failed, of each kind with machines.
async fn failed(t: &Trial<'_>) -> Result<Vec<Observed>, Stop> {
    let ids = t.ground().await?;
    let mut all = Vec::new();
    for kind in t.machine_kinds() {
        t.trouble(Trouble::FailsLater(ErrorKind::Capacity), Verb::Create).await?;
        let made = t.some(&Call::Create(t.order(kind, &ids))).await?;
        t.calm().await;
        let seen = t.settled(&made.handle).await?;
        let gone = || Stop::Failed(format!("{} failed and is gone", made.handle));
        all.push(seen.ok_or_else(gone)?);
    }
    Ok(all)
}

async fn failed_told(t: &Trial<'_>) -> Done {
    for seen in failed(t).await? {
        let told = matches!(&seen.status, Status::Failed(error) if error.kind == ErrorKind::Capacity);
        ensure!(told, "{} failed for capacity and is {:?}", seen.handle, seen.status);
    }
    Ok(())
}

async fn failed_stays(t: &Trial<'_>) -> Done {
    for seen in failed(t).await? {
        let listed = t.made_by(token_of(&seen)?, 1).await?;
        ensure!(listed[0].status == seen.status, "a list shows {} as {:?}", seen.handle, listed[0].status);
        let read = t.read(&seen.handle).await?;
        let status = read.map(|read| read.status);
        ensure!(status.as_ref() == Some(&seen.status), "{} failed and is {status:?}", seen.handle);
        t.remove(&seen.handle).await?;
        t.made_by(token_of(&seen)?, 0).await?;
    }
    Ok(())
}

async fn failed_again(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.machine_kinds() {
        let (made_by, made) = t.sample(kind, &ids).await?;
        let order = t.changed(kind, &ids);
        let changes = [
            (Verb::Update, Call::Update(made.handle.clone(), order)),
            (Verb::Delete, Call::Delete(made.handle)),
        ];
        for (verb, call) in changes {
            t.trouble(Trouble::FailsLater(ErrorKind::Capacity), verb).await?;
            let begun = t.some(&call).await?;
            t.calm().await;
            let seen = t.settled(&begun.handle).await?;
            let seen = seen.ok_or_else(|| {
                Stop::Failed(format!("the {} of {} failed and it is gone", call.verb(), begun.handle))
            })?;
            let told = matches!(&seen.status, Status::Failed(error) if error.kind == ErrorKind::Capacity);
            ensure!(told, "the {} of {} failed and it is {:?}", call.verb(), seen.handle, seen.status);
            ensure!(
                seen.tags.as_ref() == Some(&made_by.tags),
                "a failed {} changed the tags of {}",
                call.verb(),
                seen.handle
            );
            t.one(&call).await?;
            if verb == Verb::Update {
                let now = t.ready(&seen.handle).await?;
                same_attributes(&super::changed(t.place(), kind), &now.attributes, &now.handle)?;
            } else {
                t.remove(&seen.handle).await?;
            }
        }
    }
    Ok(())
}
