//! Disks for tests: one in memory, and ones that are wrong in a known way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rhumb::state::disk::Disk;

/// Files that stay when the disk that wrote them is dropped.
#[derive(Clone, Default)]
pub struct Folder(Arc<Mutex<Files>>);

#[derive(Default)]
struct Files {
    content: BTreeMap<PathBuf, Vec<u8>>,
    locked: BTreeSet<PathBuf>,
    /// After every operation that changed something, if that is wanted.
    seen: Option<Vec<BTreeMap<PathBuf, Vec<u8>>>>,
}

impl Folder {
    /// What files there are.
    pub fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.0.lock().unwrap().content.clone()
    }

    /// One that remembers what files there were after every operation.
    pub fn watched() -> Self {
        let folder = Folder::default();
        folder.0.lock().unwrap().seen = Some(Vec::new());
        folder
    }

    /// What files there were after every operation that changed something.
    pub fn seen(&self) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
        self.0.lock().unwrap().seen.clone().unwrap()
    }

    /// A process that works on it.
    pub fn disk(&self) -> MemoryDisk {
        MemoryDisk { folder: self.clone(), locks: BTreeSet::new() }
    }
}

/// A disk in memory.
pub struct MemoryDisk {
    folder: Folder,
    locks: BTreeSet<PathBuf>,
}

impl MemoryDisk {
    fn change<T>(&mut self, change: impl FnOnce(&mut Files) -> T) -> T {
        let mut files = self.folder.0.lock().unwrap();
        let done = change(&mut files);
        if let Some(mut seen) = files.seen.take() {
            seen.push(files.content.clone());
            files.seen = Some(seen);
        }
        done
    }

    fn at(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.change(|f| f.content.get_mut(path).map(change)).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        let mut files = self.folder.0.lock().unwrap();
        files.locked.retain(|path| !self.locks.contains(path));
    }
}

impl Disk for MemoryDisk {
    fn read(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.folder.0.lock().unwrap().content.get(path).cloned())
    }
    fn beside(&mut self, path: &Path) -> io::Result<Vec<String>> {
        let own = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
        let name = |p: &PathBuf| Some(p.file_name()?.to_string_lossy().into_owned());
        let all = self.folder.content();
        let here = all.keys().filter(|p| p.parent() == path.parent());
        Ok(here.filter_map(name).filter(|name| name.starts_with(&own)).collect())
    }
    fn lock(&mut self, path: &Path, _holder: &[u8]) -> io::Result<bool> {
        self.locks.insert(path.to_owned());
        Ok(self.folder.0.lock().unwrap().locked.insert(path.to_owned()))
    }
    fn open(&mut self, path: &Path) -> io::Result<u64> {
        self.length(path)
    }
    fn length(&mut self, path: &Path) -> io::Result<u64> {
        let bytes = self.read(path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.len() as u64)
    }
    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.at(path, |content| content.extend(bytes))
    }
    fn truncate(&mut self, path: &Path, length: u64) -> io::Result<()> {
        self.at(path, |content| content.truncate(length as usize))
    }
    fn sync(&mut self, path: &Path) -> io::Result<()> {
        self.length(path).map(drop)
    }
    fn make(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.change(|f| f.content.insert(path.to_owned(), bytes.to_owned()));
        Ok(())
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|f| {
            let content = f.content.remove(from).ok_or(io::ErrorKind::NotFound)?;
            f.content.insert(to.to_owned(), content);
            Ok(())
        })
    }
    fn sync_folder(&mut self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.change(|f| f.content.remove(path));
        Ok(())
    }
}

/// What a [`WrongDisk`] leaves out and reports as done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Omits {
    /// Nothing.
    Nothing,
    /// To make content durable.
    Sync,
    /// To make names durable.
    SyncFolder,
    /// To cut files.
    Truncate,
}

/// A disk that leaves something out.
pub struct WrongDisk(pub Box<dyn Disk>, pub Omits);

impl Disk for WrongDisk {
    fn read(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }
    fn beside(&mut self, path: &Path) -> io::Result<Vec<String>> {
        self.0.beside(path)
    }
    fn lock(&mut self, path: &Path, holder: &[u8]) -> io::Result<bool> {
        self.0.lock(path, holder)
    }
    fn open(&mut self, path: &Path) -> io::Result<u64> {
        self.0.open(path)
    }
    fn length(&mut self, path: &Path) -> io::Result<u64> {
        self.0.length(path)
    }
    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.append(path, bytes)
    }
    fn truncate(&mut self, path: &Path, length: u64) -> io::Result<()> {
        if self.1 == Omits::Truncate { Ok(()) } else { self.0.truncate(path, length) }
    }
    fn sync(&mut self, path: &Path) -> io::Result<()> {
        if self.1 == Omits::Sync { Ok(()) } else { self.0.sync(path) }
    }
    fn make(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.make(path, bytes)
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        if self.1 == Omits::SyncFolder { Ok(()) } else { self.0.sync_folder(path) }
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
}

/// Files that are read while they change: each read sees them at the next of some moments, over and over.
pub struct MovingDisk<'a> {
    /// What there was, from moment to moment.
    pub seen: &'a [BTreeMap<PathBuf, Vec<u8>>],
    /// The moments of the reads.
    pub times: &'a [usize],
    /// Reads so far.
    pub reads: usize,
}

impl Disk for MovingDisk<'_> {
    fn read(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let time = self.times[self.reads % self.times.len()];
        self.reads += 1;
        Ok(self.seen[time].get(path).cloned())
    }
    fn beside(&mut self, _path: &Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn lock(&mut self, _path: &Path, _holder: &[u8]) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn open(&mut self, _path: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn length(&mut self, _path: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn append(&mut self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn truncate(&mut self, _path: &Path, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&mut self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn make(&mut self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn rename(&mut self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync_folder(&mut self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&mut self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
