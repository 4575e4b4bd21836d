//! Who may write: one at a time, for as long as there are signs of life.
//!
//! The lease keeps writers out of each other's way; it is not what makes them safe, because a process may be paused at any point and go on
//! after its lease was taken over. That is the fence in the log.
//!
//! Whether a lease has run out is told from the store's clock alone: when the lease was put, and when an object that is put now was. So
//! neither the clock of who asks nor that of who holds matters. It grows a fence with each holder and is never removed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::objects::{Object, Only, Tag};
use super::requests::{Put, Remote};
use super::text::Lease;
use crate::state::StoreError;
use crate::state::error::legible;

/// The object.
const KEY: &str = "lease";

/// Times that a lease is put again because an earlier put of the same holder came in between.
const TRIES: usize = 4;

/// The longest time that a lease is believed to last.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How a lease is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// How long it lasts without a sign of life; there is one three times as often.
    pub ttl: Duration,
    /// What is added when others judge whether it has run out: the store's clock knows whole seconds only, and may be told by several
    /// machines.
    pub allowance: Duration,
    /// How often one that is held is looked at again.
    pub poll: Duration,
}

impl Default for Term {
    fn default() -> Self {
        Term { ttl: Duration::from_secs(30), allowance: Duration::from_secs(2), poll: Duration::from_secs(1) }
    }
}

/// A lease that was taken.
pub(super) struct Held {
    lease: Lease,
    tag: Tag,
}

impl Held {
    pub(super) fn fence(&self) -> u64 {
        self.lease.fence
    }
}

/// Why a store is not to be written to any more: whoever finds out first says so.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<StoreError>>>);

impl Failure {
    pub(super) fn get(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first one, which stays.
    pub(super) fn set(&self, error: StoreError) -> StoreError {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error).clone()
    }
}

/// Takes the lease, once it is free or has run out.
///
/// # Errors
/// Another holder lives; or a request failed.
pub(super) async fn take(
    remote: &Remote,
    term: &Term,
    holder: String,
    writer: &str,
) -> Result<Held, StoreError> {
    let mut before: Option<Object> = None;
    let mut changes = 0;
    loop {
        let found = remote.get(KEY).await?;
        let (fence, only) = match &found {
            None => (1, Only::Absent),
            Some(object) => {
                let lease = Lease::decode(remote, KEY, object)?;
                if !lease.released {
                    // Changed once while this looked, it may have been renewed last by a request of a holder that is dead by now.
                    changes += u32::from(before.as_ref().is_some_and(|b| b.bytes != object.bytes));
                    if changes > 1 {
                        let (name, holder) = (remote.name().to_owned(), legible(&lease.holder));
                        return Err(StoreError::Locked { name, holder });
                    }
                    let left = left(remote, term, writer, object, &lease).await?;
                    if !left.is_zero() {
                        unchanged(remote, term, object, left).await?;
                        before = found;
                        continue;
                    }
                }
                (lease.fence.saturating_add(1), Only::Unchanged(object.tag.clone()))
            }
        };
        let ttl_ms = u64::try_from(term.ttl.as_millis()).unwrap_or(u64::MAX);
        let lease = Lease::new(holder.clone(), writer.to_owned(), fence, ttl_ms);
        match remote.put(KEY, lease.encode().as_bytes(), &only).await? {
            Put::Done(tag) => return Ok(Held { lease, tag }),
            // Another one was faster: whatever is there now lives.
            Put::Found(_) => before = before.or(found),
        }
    }
}

/// How long a lease lasts from now on, by the store's clock.
async fn left(
    remote: &Remote,
    term: &Term,
    writer: &str,
    object: &Object,
    lease: &Lease,
) -> Result<Duration, StoreError> {
    let now = remote.now(writer).await?;
    let lasts = Duration::from_millis(lease.ttl_ms).min(LONGEST) + term.allowance;
    // A clock that went back is as if no time had passed.
    let age = Duration::from_millis(u64::try_from(now.saturating_sub(object.at)).unwrap_or(0));
    Ok(lasts.saturating_sub(age))
}

/// Waits until a lease is another one, or for a time.
async fn unchanged(remote: &Remote, term: &Term, object: &Object, time: Duration) -> Result<(), StoreError> {
    let until = Instant::now() + time;
    loop {
        let pause = until.saturating_duration_since(Instant::now()).min(term.poll);
        if pause.is_zero() {
            return Ok(());
        }
        sleep(pause).await;
        if remote.get(KEY).await?.is_none_or(|now| now.bytes != object.bytes) {
            return Ok(());
        }
    }
}

/// Puts a lease anew, changed; `false` if it is another's. What is put differs from all that was there before.
async fn renew(remote: &Remote, held: &mut Held, change: impl Fn(&mut Lease)) -> Result<bool, StoreError> {
    for _ in 0..TRIES {
        let mut lease = held.lease.clone();
        lease.beat = lease.beat.saturating_add(1);
        change(&mut lease);
        match remote.put(KEY, lease.encode().as_bytes(), &Only::Unchanged(held.tag.clone())).await? {
            Put::Done(tag) => {
                *held = Held { lease, tag };
                return Ok(true);
            }
            // One that was given up because it took too long has arrived all the same.
            Put::Found(Some(found)) => {
                let now = Lease::decode(remote, KEY, &found)?;
                if now.writer != held.lease.writer {
                    return Ok(false);
                }
                *held = Held { lease: now, tag: found.tag };
            }
            Put::Found(None) => return Ok(false),
        }
    }
    Ok(false)
}

/// Lets the fence of a lease be greater than one that is in the log already: others wrote without a lease, or it was removed.
pub(super) async fn raise(remote: &Remote, held: &mut Held, above: u64) -> Result<(), StoreError> {
    let fence = above.saturating_add(1);
    if renew(remote, held, |lease| lease.fence = fence).await? { Ok(()) } else { Err(overtaken(remote)) }
}

/// Gives signs of life, until the lease is another's or the store was not reached for as long as it lasts.
pub(super) async fn keep(remote: Remote, term: Term, held: Arc<tokio::sync::Mutex<Held>>, failure: Failure) {
    let mut last = Instant::now();
    loop {
        sleep(term.ttl / 3).await;
        let began = Instant::now();
        let mut trouble = None;
        let beat = async {
            loop {
                match renew(&remote, &mut *held.lock().await, |_| {}).await {
                    Ok(mine) => return mine,
                    Err(error) => trouble = Some(error),
                }
                sleep(term.ttl / 10).await;
            }
        };
        match timeout_at(last + term.ttl, beat).await {
            // From before the request, because the store's clock may have told the time at once.
            Ok(true) => last = began,
            Ok(false) => {
                failure.set(overtaken(&remote));
                return;
            }
            Err(_) => {
                failure.set(trouble.unwrap_or_else(|| StoreError::Remote {
                    name: remote.name_of(KEY),
                    what: "keep it",
                    reason: format!("no answer within {} ms", term.ttl.as_millis()),
                    help: "check the network and the endpoint, and start again",
                }));
                return;
            }
        }
    }
}

/// Lets others take the lease at once.
///
/// # Errors
/// A request failed: it runs out then.
pub(super) async fn release(remote: &Remote, held: &mut Held) -> Result<(), StoreError> {
    renew(remote, held, |lease| lease.released = true).await.map(drop)
}

fn overtaken(remote: &Remote) -> StoreError {
    StoreError::Overtaken { name: remote.name().to_owned() }
}
