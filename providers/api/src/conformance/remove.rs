//! What is removed is gone, and nothing else is.

use super::Check;
use super::check::{Done, Stop, check, ensure};
use super::create::nobody;
use super::trial::{Ids, Trial, same_attributes, token_of};
use crate::{Call, ErrorKind, Handle, ResourceKind, Status};

pub(super) const CHECKS: &[Check] = &[
    check!("replace.beside", "a second thing of an address lives beside the first", beside),
    check!(
        "replace.removal",
        "when the first of two things of an address goes, the second stays as it is",
        removal
    ),
    check!("delete.gone", "what is removed is gone", gone),
    check!("delete.tells", "until it is gone, what is removed is shown as going, and as nothing else", tells),
    check!("delete.again", "a delete of what is going, is gone or never was is no error", again),
    check!("delete.stood_on", "a delete of what others stand on is a conflict and changes nothing", stood_on),
    check!("delete.afterwards", "what nothing stands on any more can be removed", afterwards),
];

async fn beside(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (first_by, first) = t.sample(*kind, &ids).await?;
        let (second_by, second) = t.sample(*kind, &ids).await?;
        ensure!(first.handle != second.handle, "a second {kind} of the address is the first");
        t.unchanged(&first).await?;
        for (order, seen) in [(first_by, first), (second_by, second)] {
            same_attributes(&order.resource.attributes, &seen.attributes, &seen.handle)?;
            let found = t.made_by(&order.tags.token, 1).await?;
            ensure!(found[0].handle == seen.handle, "the token of {} finds {}", seen.handle, found[0].handle);
        }
    }
    Ok(())
}

async fn removal(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, first) = t.sample(*kind, &ids).await?;
        let (_, second) = t.sample(*kind, &ids).await?;
        t.remove(&first.handle).await?;
        t.unchanged(&second).await?;
        let left = t.made_by(token_of(&second)?, 1).await?;
        ensure!(left[0].handle == second.handle, "{} is not listed any more", second.handle);
    }
    Ok(())
}

async fn gone(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        t.remove(&made.handle).await?;
    }
    Ok(())
}

async fn tells(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        let answer = t.one(&Call::Delete(made.handle.clone())).await?;
        let read = t.read(&made.handle).await?;
        for seen in [answer, read].into_iter().flatten() {
            let going = seen.status == Status::Deleting && seen.handle == made.handle;
            ensure!(
                going,
                "{} is being removed and is shown as {} {:?}",
                made.handle,
                seen.handle,
                seen.status
            );
        }
    }
    Ok(())
}

async fn again(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    for kind in t.kinds() {
        let (_, made) = t.sample(*kind, &ids).await?;
        t.one(&Call::Delete(made.handle.clone())).await?;
        t.one(&Call::Delete(made.handle.clone())).await?;
        let left = t.settled(&made.handle).await?;
        ensure!(left.is_none(), "{} was removed twice and is there", made.handle);
        for handle in [nobody(&made.handle), made.handle] {
            let answer = t.one(&Call::Delete(handle.clone())).await?;
            ensure!(answer.is_none(), "{handle} was not there and is {answer:?}");
        }
    }
    Ok(())
}

/// One of each kind, the samples on each other.
async fn tower(t: &Trial<'_>) -> Result<Vec<(ResourceKind, Handle)>, Stop> {
    let mut ids = Ids::new();
    let mut all = Vec::new();
    for kind in t.kinds() {
        let (_, seen) = t.sample(*kind, &ids).await?;
        ids.insert(*kind, seen.handle.id.clone());
        all.push((*kind, seen.handle));
    }
    Ok(all)
}

async fn stood_on(t: &Trial<'_>) -> Done {
    let all = tower(t).await?;
    let mut before = Vec::new();
    for (_, handle) in &all {
        before.push(t.ready(handle).await?);
    }
    for (kind, handle) in &all {
        let carries = |other: &&ResourceKind| {
            super::attributes(t.place(), **other).contains_key(kind.as_str()) && *other != kind
        };
        if !t.kinds().iter().any(|other| carries(&other)) {
            continue;
        }
        t.error(&Call::Delete(handle.clone()), ErrorKind::Conflict).await?;
        for seen in &before {
            t.unchanged(seen).await?;
        }
    }
    Ok(())
}

async fn afterwards(t: &Trial<'_>) -> Done {
    let all = tower(t).await?;
    // The one that most stands on: refused first, and no different for that afterwards.
    if let Some((_, handle)) = all.first() {
        t.error(&Call::Delete(handle.clone()), ErrorKind::Conflict).await?;
    }
    for (_, handle) in all.iter().rev() {
        t.remove(handle).await?;
    }
    Ok(())
}
