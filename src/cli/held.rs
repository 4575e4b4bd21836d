//! A state that is held while it is changed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::state::{self, PlaceKind, StatePlace};
use super::wanted::{Wanted, not_complete};
use super::{Exit, Failure, Settings, progress};
use crate::apply::Recorder;
use crate::state::local::LocalStore;
use crate::state::remote::{self, RemoteStore};
use crate::state::{Holder, Record, State, StoreError, local};

/// A state that is held, or a place for one; with it nobody else can change it.
pub struct Held {
    opened: Option<Opened>,
    /// The place of a state that is nowhere yet.
    waiting: Option<Vacant>,
    /// As the user named it.
    pub name: String,
    place: StatePlace,
}

/// What was opened.
#[allow(clippy::large_enum_variant, reason = "there is one of it; how large depends on features")]
enum Opened {
    Nothing(Vacant),
    Recorded(Store),
}

enum Vacant {
    Local(local::Vacant),
    Remote(remote::Vacant),
}

/// A state that can be changed, wherever it is.
#[allow(clippy::large_enum_variant, reason = "there is one of it; how large depends on features")]
pub enum Store {
    /// In a file.
    Local(LocalStore),
    /// In a bucket.
    Remote(RemoteStore),
    /// Nowhere yet: it is put as a whole once all of it is known.
    Nowhere(State),
}

impl Held {
    /// Takes the lock of a state.
    ///
    /// # Errors
    /// Someone else has it, it cannot be read, or it was lost.
    pub fn open(place: &StatePlace, settings: &Settings) -> Result<Self, Failure> {
        let held = Self::open_anywhere(place, settings)?;
        if held.state().is_none() {
            place.not_lost()?;
        }
        Ok(held)
    }

    /// As [`Held::open`], also where something was lost or moved away.
    ///
    /// # Errors
    /// Someone else has it, or it cannot be read.
    pub fn open_anywhere(place: &StatePlace, settings: &Settings) -> Result<Self, Failure> {
        Self::opened(place, settings, false).map(|(held, _)| held)
    }

    /// As [`Held::open_anywhere`]; where a bucket has lost the object that says where to begin, it is put back, and then `true` comes with it.
    ///
    /// # Errors
    /// As of [`Held::open_anywhere`].
    pub fn open_without_head(place: &StatePlace, settings: &Settings) -> Result<(Self, bool), Failure> {
        Self::opened(place, settings, true)
    }

    fn opened(place: &StatePlace, settings: &Settings, headless: bool) -> Result<(Self, bool), Failure> {
        let mut put_back = false;
        let holder = Holder { by: who(), at: settings.clock.to_string() };
        let opened = match &place.kind {
            PlaceKind::File(path) => {
                match LocalStore::open(state::disk()?, path, &place.name, &holder)
                    .map_err(|e| place.cannot_open(e))?
                {
                    local::Opened::Nothing(vacant) => Opened::Nothing(Vacant::Local(vacant)),
                    local::Opened::Recorded(store) => Opened::Recorded(Store::Local(store)),
                }
            }
            PlaceKind::Bucket(bucket, options) => {
                let remote = bucket.connect(options).map_err(store_failure)?;
                let waiting = progress::start("taking the lease of the state", settings);
                let opened = match headless {
                    false => RemoteStore::open(&remote, &holder, &lease()).map(|opened| (opened, false)),
                    true => RemoteStore::open_without_head(&remote, &holder, &lease()),
                };
                waiting.finish();
                let (opened, again) = opened.map_err(store_failure)?;
                put_back = again;
                match opened {
                    remote::Opened::Nothing(vacant) => Opened::Nothing(Vacant::Remote(vacant)),
                    remote::Opened::Recorded(store) => Opened::Recorded(Store::Remote(store)),
                }
            }
        };
        let (name, place) = (place.name.clone(), place.clone());
        Ok((Held { opened: Some(opened), waiting: None, name, place }, put_back))
    }

    /// What is recorded; `None` if nothing ever was.
    pub fn state(&self) -> Option<&State> {
        match &self.opened {
            Some(Opened::Recorded(store)) => Some(store.state()),
            _ => None,
        }
    }

    /// Whether the record says something else than the last apply left, or that apply was not complete: one that finds all as planned has to
    /// be recorded then, or nobody could tell that it is.
    ///
    /// # Errors
    /// Versions are kept and cannot be read.
    pub fn is_unlike_the_last_apply(&self) -> Result<bool, Failure> {
        let Some(state) = self.state() else { return Ok(false) };
        let same = || Wanted::of(&self.place, state).map(|wanted| wanted.is_recorded(state));
        Ok(state.applying.is_some() || not_complete(state).is_some() || !same()?)
    }

    /// The store, made with this state; `false` if something was recorded there already.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn put(&mut self, state: State) -> Result<bool, Failure> {
        let Some(Opened::Nothing(vacant)) = self.opened.take_if(|o| matches!(o, Opened::Nothing(_))) else {
            return Ok(false);
        };
        let made = match vacant {
            Vacant::Local(vacant) => Store::Local(vacant.put(state).map_err(store_failure)?),
            Vacant::Remote(vacant) => Store::Remote(vacant.put(state).map_err(store_failure)?),
        };
        self.opened = Some(Opened::Recorded(made));
        Ok(true)
    }

    /// A state that is tried out where nothing is recorded: until [`Held::put_tried`] nothing of it is there for others.
    pub fn try_out(&mut self, state: State) {
        if let Some(Opened::Nothing(vacant)) = self.opened.take_if(|o| matches!(o, Opened::Nothing(_))) {
            self.waiting = Some(vacant);
            self.opened = Some(Opened::Recorded(Store::Nowhere(state)));
        }
    }

    /// Changes what is tried out, if something is.
    pub fn change_tried(&mut self, change: impl FnOnce(&mut State)) {
        if let Some(Opened::Recorded(Store::Nowhere(state))) = &mut self.opened {
            change(state);
        }
    }

    /// Records what was tried out, if something was.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn put_tried(&mut self) -> Result<(), Failure> {
        let Some(vacant) = self.waiting.take() else { return Ok(()) };
        if let Some(Opened::Recorded(Store::Nowhere(state))) = self.opened.take() {
            self.opened = Some(Opened::Nothing(vacant));
            self.put(state)?;
        }
        Ok(())
    }

    /// Ends a state in a file that is recorded somewhere else from now on.
    ///
    /// # Errors
    /// It is in a bucket, or the disk failed.
    pub fn retire(mut self) -> Result<(), Failure> {
        match self.opened.take() {
            Some(Opened::Recorded(Store::Local(store))) => store.retire().map_err(store_failure),
            _ => Err(Failure::error(format!("{}: it is in no file", self.name))),
        }
    }

    /// The store, made if there was none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn store(&mut self, simulated: bool) -> Result<&mut Store, Failure> {
        if let Some(Opened::Nothing(vacant)) = self.opened.take_if(|o| matches!(o, Opened::Nothing(_))) {
            let made = match vacant {
                Vacant::Local(vacant) => {
                    Store::Local(vacant.create(lineage(), simulated).map_err(store_failure)?)
                }
                Vacant::Remote(vacant) => {
                    Store::Remote(vacant.create(lineage(), simulated).map_err(store_failure)?)
                }
            };
            self.opened = Some(Opened::Recorded(made));
        }
        match &mut self.opened {
            Some(Opened::Recorded(store)) => Ok(store),
            _ => Err(Failure::error(format!("{}: it could not be made", self.name))),
        }
    }
}

impl Store {
    /// What is recorded.
    pub fn state(&self) -> &State {
        match self {
            Store::Local(store) => store.state(),
            Store::Remote(store) => store.state(),
            Store::Nowhere(state) => state,
        }
    }

    /// Records changes; they are durable when it returns.
    ///
    /// # Errors
    /// They do not fit, or cannot be made durable.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        match self {
            Store::Local(store) => store.append(records),
            Store::Remote(store) => store.append(records),
            Store::Nowhere(state) => {
                let refused = |e: crate::state::RecordError| StoreError::Refused {
                    name: "the restored state".to_owned(),
                    reason: e.to_string(),
                };
                records.iter().try_for_each(|record| state.take(record)).map_err(refused)
            }
        }
    }

    /// Makes the next reading short, and keeps what is recorded as a version.
    ///
    /// # Errors
    /// A snapshot or a version cannot be made; what is recorded is so all the same.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        match self {
            Store::Local(store) => store.compact().and_then(|()| store.keep()),
            Store::Remote(store) => store.compact(),
            Store::Nowhere(_) => Ok(()),
        }
    }
}

impl Recorder for Store {
    fn append(&mut self, records: &[Record]) -> Result<(), String> {
        Store::append(self, records).map_err(|e| e.to_string())
    }
}

/// How long a lease lasts. In a build with debug assertions, `RHUMB_LEASE_MS` makes it shorter, so that tests need not wait for the
/// end of one whose holder they have killed.
fn lease() -> remote::Options {
    let options = remote::Options::default();
    #[cfg(debug_assertions)]
    if let Some(ms) = std::env::var("RHUMB_LEASE_MS").ok().and_then(|ms| ms.parse().ok()) {
        let term = remote::Term { ttl: std::time::Duration::from_millis(ms), ..remote::Term::default() };
        return remote::Options { lease: Some(term) };
    }
    options
}

/// How a store's error ends a command.
pub fn store_failure(error: StoreError) -> Failure {
    let exit = if matches!(error, StoreError::Locked { .. }) { Exit::Stale } else { Exit::Error };
    Failure::Message { exit, text: error.to_string() }
}

/// A name that no other deployment has: 128 bits from the operating system's source of random keys.
fn lineage() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// Where CI systems say who let them run: GitHub (whoever runs it again before whoever began), GitLab, Jenkins (its plugin of build users),
/// Azure Pipelines, Buildkite, CircleCI, CodeBuild.
const CI_USERS: &[&str] = &[
    "GITHUB_TRIGGERING_ACTOR",
    "GITHUB_ACTOR",
    "GITLAB_USER_LOGIN",
    "BUILD_USER_ID",
    "BUILD_USER",
    "BUILD_REQUESTEDFOR",
    "BUILDKITE_BUILD_CREATOR",
    "CIRCLE_USERNAME",
    "CODEBUILD_INITIATOR",
];

/// Who applies, as the environment says: user and host.
pub fn who() -> String {
    let named = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    who_by(&|name| std::env::var(name).ok(), &named)
}

/// The user of a runner is that of all its jobs, if it has any: who is behind a job comes first.
fn who_by(variable: &dyn Fn(&str) -> Option<String>, named: &dyn Fn() -> Option<String>) -> String {
    let told = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let of = |names: &[&str]| names.iter().find_map(|name| variable(name).and_then(told));
    let user = of(CI_USERS).or_else(|| of(&["USER", "LOGNAME", "USERNAME"]));
    let host = of(&["HOSTNAME", "COMPUTERNAME"]).or_else(|| named().and_then(told));
    let [user, host] = [user, host].map(|said| said.unwrap_or_else(|| "unknown".to_owned()));
    format!("{user}@{host}").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_applies_is_who_is_behind_a_job_or_unknown() {
        let by = |set: &[(&str, &str)]| {
            let of = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            who_by(&of, &|| Some("vm\n".to_owned()))
        };
        assert_eq!(by(&[]), "unknown@vm");
        assert_eq!(by(&[("USER", ""), ("LOGNAME", "ann"), ("HOSTNAME", "laptop")]), "ann@laptop");
        assert_eq!(by(&[("USER", "runner"), ("GITHUB_ACTOR", "ann")]), "ann@vm");
        assert_eq!(by(&[("GITHUB_ACTOR", "ann"), ("GITHUB_TRIGGERING_ACTOR", "bob")]), "bob@vm");
        assert_eq!(by(&[("GITLAB_USER_LOGIN", "a\u{1b}nn")]), "ann@vm");
        assert_eq!(by(&[("BUILD_USER", "Ann Other"), ("USER", "jenkins")]), "Ann Other@vm");
    }
}
