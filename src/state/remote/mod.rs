//! A state in a bucket: of S3, Azure Blob Storage, Google Cloud Storage, or whatever else has [`Objects`].
//!
//! A machine that applies may be gone with its disk at any moment, so the journal is in the bucket too. Under a prefix there are:
//!
//! - `log/N`, N counted from 1 without gaps: the records that were appended together, or a fence, which has none;
//! - `versions/SERIAL`: a state, as the text of a state file;
//! - `head`: which version the log continues, and from which number on;
//! - `lease`: who may write, and until when;
//! - `clock`: what is put to learn the time by the store's clock.
//!
//! # Why nothing is lost
//!
//! The log alone says what is recorded, and every entry is put only if its number is free. So of all who write at the same point one
//! does, and an entry is never replaced. Whoever opens a state puts a fence at the first free number before anything else; whoever wrote
//! before, however long it was paused, believes that number to be free, and finds out with its next write that it is not. It is told that
//! it was overtaken, and writes nothing any more. Nobody's clock is part of this.
//!
//! The lease keeps writers apart who would otherwise overtake each other; whether it has run out is told from the store's
//! clock alone. The head is replaced only while it is as it
//! was read. An overtaken writer can at most let it name what was recorded before it was overtaken, which is true.
//!
//! A put whose answer was lost is made again, with the same text; who finds its own text in the place has written it. Every text is put
//! once only, because each writer has a name of its own.
//!
//! This assumes that the store answers a put after it is there for everybody who asks, that it puts under a condition in one step, and
//! that nobody removes or changes objects but [`prune`], which never removes a fence, the head or the lease. In particular no rule of the
//! bucket may let objects of the prefix expire.
//!
//! A call to a cloud that was made before its writer was overtaken may still arrive there after it; it was recorded before, and who takes
//! over finds it in the state.

#[cfg(any(feature = "s3", feature = "azure", feature = "gcs"))]
mod bucket;
mod headless;
mod keeping;
mod lease;
mod objects;
mod place;
mod reading;
mod requests;
mod store;
mod text;
mod worker;

pub use keeping::{Pruned, Version, prune, read, read_version, versions};
pub use lease::Term;
pub use objects::{Doing, Listed, Object, Objects, Only, Tag, Trouble, TroubleKind};
pub use place::{Backend, Place};
pub use requests::{Patience, Remote};
pub use store::{Opened, Options, RemoteStore, Vacant};
