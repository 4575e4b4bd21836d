//! Where states are: in files and in buckets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rhumb_api::ResourceAddr;

use super::held::store_failure;
use super::load::{self, SpecArgs};
use super::{Failure, Settings};
use crate::spec::Spec;
use crate::state::disk::{Disk, RealDisk};
#[cfg(debug_assertions)]
use crate::state::faulty::{Fault, FaultyDisk, Moment};
use crate::state::remote::{self, Place};
use crate::state::{State, StateError, StoreError, local};

/// Where a state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePlace {
    /// As the user named it; the address of a remote one.
    pub name: String,
    /// A file or a bucket.
    pub kind: PlaceKind,
}

/// What a state is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A file.
    File(PathBuf),
    /// A bucket, with what is stated of it besides.
    Bucket(Place, BTreeMap<String, String>),
}

/// The file that links lead to: a state is replaced by renaming, and its lock, journal and versions lie beside it, so that
/// whoever goes by a link and whoever goes by the file must mean the same place.
fn followed(mut path: PathBuf) -> PathBuf {
    // What leads further, or back to itself, is left to the error of opening it.
    for _ in 0..16 {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}

impl StatePlace {
    /// A file as the user named it; of a link, which nobody must move in its place, the file that it leads to.
    fn file(path: PathBuf, name: String) -> Self {
        let file = followed(path.clone());
        let name = if file == path { name } else { file.display().to_string() };
        StatePlace { kind: PlaceKind::File(file), name }
    }

    /// The place that was typed: a file, relative to the working folder, or an address (`s3://BUCKET/KEY`).
    ///
    /// # Errors
    /// An address that is none.
    pub fn named(typed: &Path, settings: &Settings) -> Result<Self, Failure> {
        let name = typed.to_string_lossy().into_owned();
        if !Place::is_meant(&name) {
            return Ok(StatePlace::file(settings.dir.join(typed), name));
        }
        // What was typed is not repeated before it is known to hold no credentials.
        let place = Place::parse(&name).map_err(|e| Failure::usage(format!("--state: {e}")))?;
        Ok(StatePlace { name: place.to_string(), kind: PlaceKind::Bucket(place, BTreeMap::new()) })
    }

    /// The place that `--state` names, or else that of the spec, whose files are relative to its folder.
    ///
    /// # Errors
    /// An address that is none.
    pub fn of(
        named: Option<&Path>,
        spec: &Spec,
        folder: &Path,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        if let Some(path) = named {
            return StatePlace::named(path, settings);
        }
        let Some(remote) = &spec.state.remote else {
            return Ok(StatePlace::file(folder.join(&spec.state.path), spec.state.path.clone()));
        };
        let place = Place::parse(&remote.address).map_err(|e| Failure::error(format!("`state`: {e}")))?;
        Ok(StatePlace { name: place.to_string(), kind: PlaceKind::Bucket(place, remote.options.clone()) })
    }

    /// The state as last recorded, without the lock; `None` if none ever was.
    ///
    /// # Errors
    /// It is there and cannot be read, it was lost, or the bucket cannot be reached.
    pub fn read(&self) -> Result<Option<State>, Failure> {
        match &self.kind {
            PlaceKind::File(path) => match local::read(&mut RealDisk::new(), path, &self.name) {
                Ok(None) => self.not_lost().map(|()| None),
                Ok(found) => Ok(found),
                Err(error) => Err(self.damaged(path, &error)),
            },
            PlaceKind::Bucket(place, options) => {
                let remote = place.connect(options).map_err(store_failure)?;
                remote::read(&remote).map_err(store_failure)
            }
        }
    }

    /// Why a file cannot be read, and, if it is damaged, where its state still is.
    fn damaged(&self, path: &Path, error: &StateError) -> Failure {
        let text = error.to_string();
        // Nothing is wrong with what a newer program wrote, or with what may not be read.
        let damage = error.help.as_deref().is_some_and(|help| help.contains("from a copy"));
        let versions = local::versions(&mut RealDisk::new(), path, &self.name).unwrap_or_default();
        match versions.last() {
            Some(last) if damage => Failure::error(format!(
                "{text}\nversions of it lie beside, the last of serial {last}: move {0} and {0}.journal away, and `rhumb state restore --to {last}` \
                 brings it back",
                self.name
            )),
            _ => Failure::error(text),
        }
    }

    /// Why it cannot be opened.
    pub fn cannot_open(&self, error: StoreError) -> Failure {
        match (&self.kind, error) {
            (PlaceKind::File(path), StoreError::Unreadable(error)) => self.damaged(path, &error),
            (_, error) => store_failure(error),
        }
    }

    /// Whether nothing was ever recorded in a file where nothing is.
    ///
    /// # Errors
    /// Something was: versions of it are there, and it was not moved away. To plan on nothing would make everything once more.
    pub fn not_lost(&self) -> Result<(), Failure> {
        let (PlaceKind::File(path), name) = (&self.kind, &self.name) else { return Ok(()) };
        if local::was_moved(&mut RealDisk::new(), path).map_err(|e| Failure::error(format!("{name}: {e}")))? {
            return Err(Failure::error(format!(
                "{name}: the state was moved to another place (`rhumb state move`): let `state` in the spec name that, or give it with \
                 --state; to begin anew, move {name}.moved and {name}.version-* away"
            )));
        }
        let Some(last) = self.versions()?.last().copied() else { return Ok(()) };
        Err(Failure::error(format!(
            "{name}: nothing is recorded there, and versions of it are, the last of serial {last}: it was lost. `rhumb state restore --to {last}` \
             brings it back; to begin anew, move {name}.version-* away"
        )))
    }

    /// The serials of the versions that are kept, ascending.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn versions(&self) -> Result<Vec<u64>, Failure> {
        match &self.kind {
            PlaceKind::File(path) => Ok(local::versions(&mut RealDisk::new(), path, &self.name)?),
            PlaceKind::Bucket(place, options) => {
                let remote = place.connect(options).map_err(store_failure)?;
                let all = remote::versions(&remote).map_err(store_failure)?;
                Ok(all.iter().map(|version| version.serial).collect())
            }
        }
    }

    /// The state as it was at a serial.
    ///
    /// # Errors
    /// That version is not kept, or cannot be read.
    pub fn version(&self, serial: u64) -> Result<State, Failure> {
        let found = match &self.kind {
            PlaceKind::File(path) => local::read_version(&mut RealDisk::new(), path, &self.name, serial)?,
            PlaceKind::Bucket(place, options) => {
                let remote = place.connect(options).map_err(store_failure)?;
                remote::read_version(&remote, serial).map_err(store_failure)?
            }
        };
        if let Some(state) = found {
            return Ok(state);
        }
        let kept: Vec<String> = self.versions()?.iter().map(u64::to_string).collect();
        let help = match kept.is_empty() {
            true => "none is kept yet: one is made at the end of each apply".to_owned(),
            false => format!("kept are {} (`rhumb state versions`)", kept.join(", ")),
        };
        Err(Failure::error(format!("{}: there is no version of serial {serial}; {help}", self.name)))
    }
}

/// Which deployment's state.
#[derive(Clone, Debug, clap::Args)]
pub struct StateArgs {
    /// A spec, which names it.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The state's file or address (s3://BUCKET/KEY, az://CONTAINER/KEY, gs://BUCKET/KEY), instead of the one that the spec names, which is
    /// not read then
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

impl StateArgs {
    /// Where it is.
    ///
    /// # Errors
    /// The spec cannot be read.
    pub fn place(&self, settings: &Settings) -> Result<StatePlace, Failure> {
        if let Some(path) = &self.state {
            return StatePlace::named(path, settings);
        }
        let found = load::load(&self.spec, &[], settings)?;
        StatePlace::of(None, &found.loaded.spec, &found.folder, settings)
    }

    /// What is recorded, without the lock.
    ///
    /// # Errors
    /// Nothing is, or it cannot be read.
    pub fn read(&self, settings: &Settings) -> Result<(StatePlace, State), Failure> {
        let place = self.place(settings)?;
        match place.read()? {
            Some(state) => Ok((place, state)),
            None => Err(Failure::error(format!("{}: nothing was ever recorded there", place.name))),
        }
    }
}

/// An address, as typed.
///
/// # Errors
/// It is none; for people.
pub fn address(text: &str) -> Result<ResourceAddr, String> {
    ResourceAddr::parse(text).map_err(|e| e.to_string())
}

/// What a file or a cloud says may not reach a terminal as a command to it.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The disk that states are written to.
///
/// In a build with debug assertions, `RHUMB_DISK_FAULT=N:KIND` makes the Nth file operation of it fail, so that tests can end a real process
/// between any two of them: `abort-before`, `abort-half`, `abort-after`, `kill-before`, `kill-half`, `kill-after` (SIGKILL), `no-space`, `device`, `short`, `rename`.
///
/// # Errors
/// The variable is set and says nothing that is known.
pub fn disk() -> Result<Box<dyn Disk>, Failure> {
    let real = RealDisk::new();
    #[cfg(debug_assertions)]
    if let Some(text) = std::env::var("RHUMB_DISK_FAULT").ok().filter(|text| !text.is_empty()) {
        let (at, fault) =
            fault(&text).ok_or_else(|| Failure::usage(format!("RHUMB_DISK_FAULT={text}: unknown")))?;
        let disk = FaultyDisk::new(real, at, fault);
        return Ok(Box::new(if text.contains(":kill-") { disk.ended_by(killed) } else { disk }));
    }
    Ok(Box::new(real))
}

/// Sends SIGKILL to this process and does nothing any more; where nobody can send it, ends it.
#[cfg(debug_assertions)]
fn killed() -> ! {
    let own = std::process::id().to_string();
    if std::process::Command::new("kill").args(["-KILL", &own]).status().is_ok() {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    std::process::abort();
}

#[cfg(debug_assertions)]
fn fault(text: &str) -> Option<(u64, Fault)> {
    let (at, kind) = text.split_once(':')?;
    let fault = match kind {
        "abort-before" | "kill-before" => Fault::Abort(Moment::Before),
        "abort-half" | "kill-half" => Fault::Abort(Moment::Half),
        "abort-after" | "kill-after" => Fault::Abort(Moment::After),
        "no-space" => Fault::NoSpace,
        "device" => Fault::Device,
        "short" => Fault::Short,
        "rename" => Fault::Rename,
        _ => return None,
    };
    Some((at.parse().ok()?, fault))
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Failure::error(error.to_string())
    }
}
