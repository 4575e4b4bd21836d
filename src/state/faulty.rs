//! A disk that fails when it is told to, for tests of what then is left.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation is not done: there is no space.
    NoSpace,
    /// The operation is not done: the device does not answer.
    Device,
    /// The operation is done, and reported as failed.
    Late,
    /// Half of the bytes are written, then there is no space. Only of operations that write bytes.
    Short,
    /// The name is not changed. Only of renames.
    Rename,
    /// The process ends, as by SIGKILL: this operation and every later one fails; what was done stays.
    Crash(Moment),
    /// The power fails: as a crash, and what was not synced is left as said.
    PowerCut(Moment, Left),
    /// This process really ends, without flushing anything.
    Abort(Moment),
}

/// When the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The operation is not done.
    Before,
    /// Half of the bytes are written; of an operation that writes none: it is not done.
    Half,
    /// The operation is done.
    After,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Of bytes that were appended or made.
    pub bytes: LeftBytes,
    /// Whether files have the names that they had last, rather than those that were synced.
    pub names: bool,
}

/// What a power cut leaves of bytes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBytes {
    /// Nothing.
    Lost,
    /// The first half of them.
    Half,
    /// As many zeros: the file had grown, its content had not been written.
    Zeros,
    /// The second half of them, behind zeros: blocks are not written in order.
    Hole,
    /// All of them.
    Kept,
}

/// What a [`FaultyDisk`] has been asked so far, seen from outside of the store that has it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    operations: u64,
    written: u64,
    fired: bool,
    dead: bool,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far, those that failed too.
    pub fn operations(&self) -> u64 {
        self.seen().operations
    }

    /// Bytes that were written so far.
    pub fn written(&self) -> u64 {
        self.seen().written
    }

    /// Whether the fault has happened: its operation came, and it was one of those that it is about.
    pub fn fired(&self) -> bool {
        self.seen().fired
    }
}

/// A disk whose operation number `at`, counted from 1, fails.
#[derive(Debug)]
pub struct FaultyDisk<D> {
    disk: D,
    at: u64,
    fault: Fault,
    watch: Watch,
    platter: Platter,
    end: fn() -> !,
}

/// What would be left without power: files by number, and which names they have.
#[derive(Debug, Default)]
struct Platter {
    /// The durable content of each file.
    files: Vec<Vec<u8>>,
    /// The files by the names that they have now.
    names: BTreeMap<PathBuf, usize>,
    /// By the names that are durable.
    durable: BTreeMap<PathBuf, usize>,
    /// Every name that was met.
    met: BTreeSet<PathBuf>,
}

/// What an operation writes, so that half of it can be.
enum Writes<'a> {
    Nothing,
    Append(&'a Path, &'a [u8]),
    Make(&'a Path, &'a [u8]),
    Name,
}

impl<D: Disk> FaultyDisk<D> {
    /// A disk that fails at its operation number `at`; never if that is 0.
    pub fn new(disk: D, at: u64, fault: Fault) -> Self {
        let (watch, platter) = (Watch::default(), Platter::default());
        FaultyDisk { disk, at, fault, watch, platter, end: std::process::abort }
    }

    /// The same, whose [`Fault::Abort`] ends this process in another way.
    #[must_use]
    pub fn ended_by(self, end: fn() -> !) -> Self {
        FaultyDisk { end, ..self }
    }

    /// What it has been asked so far.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// One operation, or its fault.
    fn run<T>(
        &mut self,
        writes: &Writes<'_>,
        operation: impl FnOnce(&mut D, &mut Platter) -> io::Result<T>,
    ) -> io::Result<T> {
        let due = {
            let mut seen = self.watch.seen();
            seen.operations += 1;
            if seen.dead {
                return Err(gone());
            }
            let applies = match self.fault {
                Fault::Short => matches!(writes, Writes::Append(..) | Writes::Make(..)),
                Fault::Rename => matches!(writes, Writes::Name),
                _ => true,
            };
            let due = seen.operations == self.at && applies;
            seen.fired |= due;
            due
        };
        if !due {
            if let Writes::Append(_, bytes) | Writes::Make(_, bytes) = writes {
                self.watch.seen().written += bytes.len() as u64;
            }
            return operation(&mut self.disk, &mut self.platter);
        }
        match self.fault {
            Fault::NoSpace => Err(io::ErrorKind::StorageFull.into()),
            Fault::Device | Fault::Rename => Err(io::Error::other("input/output error")),
            Fault::Late => {
                operation(&mut self.disk, &mut self.platter)?;
                Err(io::Error::other("input/output error"))
            }
            Fault::Short => {
                self.half(writes)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::Crash(moment) | Fault::PowerCut(moment, _) | Fault::Abort(moment) => {
                match moment {
                    Moment::Before => {}
                    Moment::Half => self.half(writes)?,
                    Moment::After => drop(operation(&mut self.disk, &mut self.platter)),
                }
                if matches!(self.fault, Fault::Abort(_)) {
                    (self.end)();
                }
                if let Fault::PowerCut(_, left) = self.fault {
                    self.platter.cut(&mut self.disk, left)?;
                }
                self.watch.seen().dead = true;
                Err(gone())
            }
        }
    }

    fn half(&mut self, writes: &Writes<'_>) -> io::Result<()> {
        match writes {
            Writes::Append(path, bytes) => self.disk.append(path, &bytes[..bytes.len() / 2]),
            Writes::Make(path, bytes) => {
                self.disk.make(path, &bytes[..bytes.len() / 2])?;
                self.platter.made(path);
                Ok(())
            }
            Writes::Nothing | Writes::Name => Ok(()),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the process has ended")
}

impl Platter {
    /// A file that was there before is durable as it is.
    fn met(&mut self, disk: &mut impl Disk, path: &Path) -> io::Result<()> {
        if self.met.insert(path.to_owned())
            && let Some(content) = disk.read(path)?
        {
            self.names.insert(path.to_owned(), self.files.len());
            self.durable.insert(path.to_owned(), self.files.len());
            self.files.push(content);
        }
        Ok(())
    }

    fn made(&mut self, path: &Path) {
        self.met.insert(path.to_owned());
        self.names.insert(path.to_owned(), self.files.len());
        self.files.push(Vec::new());
    }

    fn synced(&mut self, disk: &mut impl Disk, path: &Path) -> io::Result<()> {
        let content = disk.read(path)?.unwrap_or_default();
        if let Some(file) = self.names.get(path).and_then(|n| self.files.get_mut(*n)) {
            *file = content;
        }
        Ok(())
    }

    /// Leaves on the disk what the power cut leaves.
    fn cut(&self, disk: &mut impl Disk, left: Left) -> io::Result<()> {
        let mut now = BTreeMap::new();
        for (path, file) in &self.names {
            now.insert(*file, disk.read(path)?.unwrap_or_default());
        }
        let names = if left.names { &self.names } else { &self.durable };
        for path in &self.met {
            disk.remove(path)?;
        }
        for (path, file) in names {
            let durable = self.files.get(*file).map_or(&[][..], Vec::as_slice);
            let written = now.get(file).map_or(durable, Vec::as_slice);
            disk.make(path, &remains(durable, written, left.bytes))?;
        }
        Ok(())
    }
}

/// What is left of a file whose durable content is the first and whose last content was the second.
fn remains(durable: &[u8], written: &[u8], left: LeftBytes) -> Vec<u8> {
    // A cut that was not synced may be lost as well: the file is as long as it was.
    let Some(grown) = written.strip_prefix(durable) else {
        return if left == LeftBytes::Kept { written.to_vec() } else { durable.to_vec() };
    };
    let mut content = durable.to_vec();
    match left {
        LeftBytes::Lost => {}
        LeftBytes::Half => content.extend(&grown[..grown.len() / 2]),
        LeftBytes::Zeros => content.resize(written.len(), 0),
        LeftBytes::Hole => {
            content.resize(durable.len() + grown.len() / 2, 0);
            content.extend(&grown[grown.len() / 2..]);
        }
        LeftBytes::Kept => content.extend(grown),
    }
    content
}

impl<D: Disk> Disk for FaultyDisk<D> {
    fn read(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.run(&Writes::Nothing, |disk, _| disk.read(path))
    }

    fn beside(&mut self, path: &Path) -> io::Result<Vec<String>> {
        self.run(&Writes::Nothing, |disk, _| disk.beside(path))
    }

    fn lock(&mut self, path: &Path, holder: &[u8]) -> io::Result<bool> {
        self.run(&Writes::Nothing, |disk, _| disk.lock(path, holder))
    }

    fn open(&mut self, path: &Path) -> io::Result<u64> {
        self.run(&Writes::Nothing, |disk, platter| {
            platter.met(disk, path)?;
            disk.open(path)
        })
    }

    fn length(&mut self, path: &Path) -> io::Result<u64> {
        self.run(&Writes::Nothing, |disk, _| disk.length(path))
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(&Writes::Append(path, bytes), |disk, _| disk.append(path, bytes))
    }

    fn truncate(&mut self, path: &Path, length: u64) -> io::Result<()> {
        self.run(&Writes::Nothing, |disk, _| disk.truncate(path, length))
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        self.run(&Writes::Nothing, |disk, platter| {
            disk.sync(path)?;
            platter.synced(disk, path)
        })
    }

    fn make(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.run(&Writes::Make(path, bytes), |disk, platter| {
            platter.met(disk, path)?;
            disk.make(path, bytes)?;
            platter.made(path);
            Ok(())
        })
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(&Writes::Name, |disk, platter| {
            platter.met(disk, to)?;
            disk.rename(from, to)?;
            if let Some(file) = platter.names.remove(from) {
                platter.names.insert(to.to_owned(), file);
            }
            Ok(())
        })
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        self.run(&Writes::Nothing, |disk, platter| {
            disk.sync_folder(path)?;
            platter.durable.clone_from(&platter.names);
            Ok(())
        })
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.run(&Writes::Nothing, |disk, platter| {
            platter.met(disk, path)?;
            disk.remove(path)?;
            platter.names.remove(path);
            Ok(())
        })
    }
}
