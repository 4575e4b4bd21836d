//! The file operations that a state is kept with, few enough to fail one at a time.

// The only file besides the command line that reads and writes files: what is durable is decided here.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Largest file that is read, bytes.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// File operations. Each is done when it returns, and durable only after the sync that is said.
///
/// Every operation returns the error of the operating system; what it had done by then is not known.
pub trait Disk: Send {
    /// A whole file; `None` if it is not there.
    ///
    /// # Errors
    /// Also if it is no file, or larger than [`MAX_BYTES`].
    fn read(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// The names of the files in the folder of a file that begin as its own does, with a dot behind it; none where the folder is not there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn beside(&mut self, path: &Path) -> io::Result<Vec<String>>;

    /// Takes the lock that a file stands for, makes the file if it is not there, and writes `holder` into it. `false` if another
    /// process has it. It is held until the disk is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// Those of the operating system.
    fn lock(&mut self, path: &Path, holder: &[u8]) -> io::Result<bool>;

    /// Makes a file ready to be appended to, and says how many bytes it has. It stays ready until it is replaced.
    ///
    /// # Errors
    /// Also if it is not there: a file that is appended to was made as a whole before.
    fn open(&mut self, path: &Path) -> io::Result<u64>;

    /// The length of a file that is ready, bytes.
    ///
    /// # Errors
    /// Also if it is not ready.
    fn length(&mut self, path: &Path) -> io::Result<u64>;

    /// Appends to a file that is ready; durable after [`Disk::sync`].
    ///
    /// # Errors
    /// Some of the bytes may be there.
    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file that is ready to a length in bytes; durable after [`Disk::sync`].
    ///
    /// # Errors
    /// Also if it is not ready.
    fn truncate(&mut self, path: &Path, length: u64) -> io::Result<()>;

    /// Makes the content of a file durable that is ready or was just made.
    ///
    /// # Errors
    /// It is not known what is durable of what was written since the last one.
    fn sync(&mut self, path: &Path) -> io::Result<()>;

    /// Makes a file anew with this content, readable by its owner only; durable after [`Disk::sync`] and [`Disk::sync_folder`].
    ///
    /// # Errors
    /// Some of it may be there.
    fn make(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Lets a file take the place of another in the same folder, in one step; durable after [`Disk::sync_folder`].
    ///
    /// # Errors
    /// It is not known whether it has.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in the folder of a file durable.
    ///
    /// # Errors
    /// It is not known which are.
    fn sync_folder(&mut self, path: &Path) -> io::Result<()>;

    /// Removes a file; it is no error if it is not there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// The disk of the operating system.
#[derive(Debug, Default)]
pub struct RealDisk {
    /// Files that are ready to be appended to. Kept open: a file that is opened again after a failed write does not report it.
    ready: BTreeMap<PathBuf, File>,
    /// Files made and not yet in their place.
    made: BTreeMap<PathBuf, File>,
    /// Locked as long as they are open.
    locks: Vec<File>,
}

impl RealDisk {
    /// With nothing open.
    pub fn new() -> Self {
        RealDisk::default()
    }

    fn ready(&mut self, path: &Path) -> io::Result<&mut File> {
        self.ready.get_mut(path).ok_or_else(|| io::Error::other("the file was not opened"))
    }
}

impl Drop for RealDisk {
    /// A process that was started meanwhile may hold a copy of the open file for a moment: closing this one would not free the lock.
    fn drop(&mut self) {
        for lock in &self.locks {
            let _ = lock.unlock();
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How files are made: theirs to read and write who made them, nobody else's.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

impl Disk for RealDisk {
    fn read(&mut self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let metadata = match std::fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES / 1024 / 1024)));
        }
        match std::fs::read(path) {
            // Another process may have removed it since.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn beside(&mut self, path: &Path) -> io::Result<Vec<String>> {
        let own = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
        let mut names = Vec::new();
        let entries = match std::fs::read_dir(folder_of(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&own) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn lock(&mut self, path: &Path, holder: &[u8]) -> io::Result<bool> {
        let mut file = private().create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
            Ok(()) => {}
        }
        file.set_len(0)?;
        file.write_all(holder)?;
        self.locks.push(file);
        Ok(true)
    }

    fn open(&mut self, path: &Path) -> io::Result<u64> {
        let file = OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        self.ready.insert(path.to_owned(), file);
        Ok(length)
    }

    fn length(&mut self, path: &Path) -> io::Result<u64> {
        Ok(self.ready(path)?.metadata()?.len())
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.ready(path)?.write_all(bytes)
    }

    fn truncate(&mut self, path: &Path, length: u64) -> io::Result<()> {
        self.ready(path)?.set_len(length)
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        match self.made.get(path) {
            // Its length and its permissions count too.
            Some(made) => made.sync_all(),
            None => self.ready(path)?.sync_data(),
        }
    }

    fn make(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // What an interrupted one left may be a link to elsewhere, or readable by others.
        self.remove(path)?;
        let mut file = private().create_new(true).open(path)?;
        file.write_all(bytes)?;
        self.made.insert(path.to_owned(), file);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        // Closed first, which some systems ask for, and so that nothing is appended to a file without a name.
        self.made.remove(from);
        self.ready.remove(to);
        std::fs::rename(from, to)
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened, and names are durable with the files.
        #[cfg(unix)]
        File::open(folder_of(path))?.sync_all()?;
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.made.remove(path);
        match std::fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
