//! What there is, as lists tell it.

use std::collections::BTreeSet;

use super::Check;
use super::Place;
use super::check::{Done, Stop, check, ensure};
use super::samples::order;
use super::trial::{Ids, Trial, token_of};
use crate::{Handle, Observed, Order, ResourceKind};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "list.complete",
        "after the list lag, a list has everything of its lineage in its region",
        complete
    ),
    check!("list.token", "a list by token has what that intent made and nothing else", token),
    check!("list.lineage", "a list has nothing of another lineage", other_lineage),
    check!("list.region", "a list has nothing of another region, and an id means nothing there", region),
    check!("list.forgets", "after the list lag, a list does not have what is gone", forgets),
    check!("list.as_read", "a list shows things as a read does", as_read),
    check!("list.order", "a list is in the order of handles, each once", in_order),
];

/// One of each kind beside the ground; everything that there is.
async fn everything(t: &Trial<'_>) -> Result<Vec<Observed>, Stop> {
    let mut ids = Ids::new();
    let mut all = Vec::new();
    for kind in t.kinds() {
        for _ in 0..2 {
            let (_, seen) = t.sample(*kind, &ids).await?;
            all.push(seen);
        }
        ids.insert(*kind, all[all.len() - 2].handle.id.clone());
    }
    t.list_lag().await;
    Ok(all)
}

fn handles(all: &[Observed]) -> BTreeSet<&Handle> {
    all.iter().map(|seen| &seen.handle).collect()
}

async fn complete(t: &Trial<'_>) -> Done {
    let all = everything(t).await?;
    let listed = t.list(None).await?;
    let (there, shown) = (handles(&all), handles(&listed));
    let missing: Vec<String> = there.difference(&shown).map(ToString::to_string).collect();
    ensure!(missing.is_empty(), "a list lacks {}", missing.join(", "));
    let more: Vec<String> = shown.difference(&there).map(ToString::to_string).collect();
    ensure!(more.is_empty(), "a list has {}", more.join(", "));
    Ok(())
}

async fn token(t: &Trial<'_>) -> Done {
    for seen in everything(t).await? {
        let listed = t.list(Some(token_of(&seen)?)).await?;
        let right = listed.len() == 1 && listed[0].handle == seen.handle;
        ensure!(right, "the token of {} finds {:?}", seen.handle, handles(&listed));
    }
    let none = t.list(Some(&t.token())).await?;
    ensure!(none.is_empty(), "a token that made nothing finds {:?}", handles(&none));
    Ok(())
}

/// The first kind of the place stands on nothing.
fn alone(t: &Trial<'_>, lineage: &str, region: &str) -> Order {
    let place = Place { region: region.to_owned(), ..t.place().clone() };
    let mut order = order(&place, t.kinds()[0], t.token(), &Ids::new());
    lineage.clone_into(&mut order.tags.lineage);
    order
}

async fn other_lineage(t: &Trial<'_>) -> Done {
    let here = &t.place().region;
    let ours = t.make(&alone(t, &t.lineage, here)).await?;
    let theirs = t.make(&alone(t, &t.other_lineage, here)).await?;
    t.list_lag().await;
    for (lineage, own) in [(&t.lineage, &ours), (&t.other_lineage, &theirs)] {
        let listed = t.list_of(lineage, here, None).await?;
        let right = listed.len() == 1 && listed[0].handle == own.handle;
        ensure!(right, "the lineage of {} alone has {:?}", own.handle, handles(&listed));
    }
    let stolen = t.list(Some(token_of(&theirs)?)).await?;
    ensure!(stolen.is_empty(), "a token of another lineage finds {:?}", handles(&stolen));
    Ok(())
}

async fn region(t: &Trial<'_>) -> Done {
    let (here, there) = (t.place().region.as_str(), t.bench().elsewhere);
    let near = t.make(&alone(t, &t.lineage, here)).await?;
    let lost = Handle { region: there.to_owned(), ..near.handle.clone() };
    let found = t.read(&lost).await?.filter(|seen| seen.tags == near.tags);
    ensure!(found.is_none(), "{} is in {there} as well", near.handle);
    let far = t.make(&alone(t, &t.lineage, there)).await?;
    t.list_lag().await;
    for (region, own) in [(here, &near), (there, &far)] {
        let listed = t.list_of(&t.lineage, region, None).await?;
        let right = listed.len() == 1 && listed[0].handle == own.handle;
        ensure!(right, "a list of {region} has {:?}, not {} alone", handles(&listed), own.handle);
    }
    t.remove(&far.handle).await?;
    t.unchanged(&near).await
}

async fn forgets(t: &Trial<'_>) -> Done {
    let ids = t.ground().await?;
    let mut gone = Vec::new();
    for kind in t.kinds() {
        let (_, seen) = t.sample(*kind, &ids).await?;
        // It has been in lists.
        t.made_by(token_of(&seen)?, 1).await?;
        t.remove(&seen.handle).await?;
        gone.push(seen);
    }
    t.list_lag().await;
    let listed = t.list(None).await?;
    let still = gone.iter().find(|seen| handles(&listed).contains(&seen.handle));
    ensure!(still.is_none(), "a list still has {:?}", still.map(|seen| &seen.handle));
    for seen in gone {
        let listed = t.list(Some(token_of(&seen)?)).await?;
        ensure!(listed.is_empty(), "the token of {} still finds it", seen.handle);
    }
    Ok(())
}

async fn as_read(t: &Trial<'_>) -> Done {
    everything(t).await?;
    for listed in t.list(None).await? {
        // Runs end when they like: there and as ordered is all that both must say.
        let read = t.read(&listed.handle).await?.map(|mut read| {
            if listed.handle.kind == ResourceKind::JobRun {
                read.status = listed.status.clone();
                read.running = listed.running;
            }
            read
        });
        ensure!(read.as_ref() == Some(&listed), "a list shows {listed:?}, and a read {read:?}");
    }
    Ok(())
}

async fn in_order(t: &Trial<'_>) -> Done {
    everything(t).await?;
    let listed = t.list(None).await?;
    ensure!(listed.len() > 1, "a list has {} things", listed.len());
    let sorted = listed.windows(2).all(|two| two[0].handle < two[1].handle);
    ensure!(sorted, "a list is not in the order of handles");
    Ok(())
}
