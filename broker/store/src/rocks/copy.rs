//! Copies a store to another directory, from where it can be opened.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;

use super::Rocks;
use super::lock::ClosedStore;
use crate::error::Error;
use crate::files::sums;

/// RocksDB writes no tables for a copy, it copies its write-ahead log instead: that is bounded, does
/// not disturb those who write, and works when this disk is full.
const NO_FLUSH: u64 = u64::MAX;

impl Rocks {
    /// Copies the store to `to`, which must not exist, while it is in use. Tables are hard links
    /// where the file system allows. Everything that was reported committed before is in the copy;
    /// when this returns, it is on the disk.
    ///
    /// # Errors
    /// When something cannot be read or written. What was written so far is left in `to`.
    pub fn copy(&self, to: &Path) -> Result<(), Error> {
        let db = self.store.db()?;
        Checkpoint::new(&*db)
            .and_then(|checkpoint| checkpoint.create_checkpoint_with_log_size(to, NO_FLUSH))
            .map_err(|error| Error::NoCopy { to: to.to_path_buf(), reason: error.into_string() })?;
        drop(db);
        sums::write(to).and_then(|()| sync(to)).map_err(|error| no_copy(to, to, &error))
    }
}

/// Copies a store that no broker has open to `to`, which must not exist; otherwise as [`Rocks::copy`].
/// The store itself is not changed.
///
/// # Errors
/// When there is no store, when a broker uses it, or when something cannot be read or written.
pub fn copy_closed(dir: &Path, to: &Path) -> Result<(), Error> {
    let _closed = ClosedStore::hold(dir)?;
    let entries = fs::read_dir(dir).map_err(|error| no_copy(to, dir, &error))?;
    fs::create_dir(to).map_err(|error| no_copy(to, to, &error))?;
    for entry in entries {
        let from = entry.map_err(|error| no_copy(to, dir, &error))?.path();
        let Some(name) = from.file_name().filter(|_| from.is_file()) else { continue };
        if belongs_to_a_copy(&name.to_string_lossy()) {
            take(&from, &to.join(name)).map_err(|error| no_copy(to, &from, &error))?;
        }
    }
    sums::write(to).and_then(|()| sync(to)).map_err(|error| no_copy(to, to, &error))
}

/// Everything that says what is stored; not locks, marks and texts for people.
fn belongs_to_a_copy(name: &str) -> bool {
    name == "CURRENT"
        || name == "IDENTITY"
        || [".sst", ".log", ".blob"].iter().any(|end| name.ends_with(end))
        || ["MANIFEST-", "OPTIONS-"].iter().any(|start| name.starts_with(start))
}

/// A table is never written again, so a link will do; anything else may be.
fn take(from: &Path, to: &Path) -> io::Result<()> {
    let is_link =
        from.extension().is_some_and(|end| end == "sst") && fs::hard_link(from, to).is_ok();
    if is_link { Ok(()) } else { fs::copy(from, to).map(|_| ()) }
}

fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

fn no_copy(to: &Path, at: &Path, error: &io::Error) -> Error {
    Error::NoCopy { to: PathBuf::from(to), reason: format!("{}: {error}", at.display()) }
}
