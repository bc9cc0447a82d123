//! The database as it is shared, and how it is opened anew after a fault.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Duration;

use rocksdb::perf::get_memory_usage_stats;
use rocksdb::{DB, properties};

use super::before::{Before, check_manifest};
use super::options::Options;
use super::{open, unreadable, unwritable};
use crate::engine::MemoryUse;
use crate::error::Error;
use crate::files::sums;
use crate::files::wal::{Fault, Wal};
use crate::keys;
use crate::recover::family;
use crate::state::Space;

/// There while a sync has failed: what was written since the last good one may be in the memory of
/// the operating system only, which says of such pages that they are on the disk. Whoever opens the
/// store writes all of it again, to tables.
const UNSYNCED: &str = "UNSYNCED";
/// How often whoever wants to read looks again, while the database could not be opened anew.
const LOOKS_AGAIN: Duration = Duration::from_millis(50);
/// The reserve is at most the twentieth part of the disk.
const RESERVE_PARTS: u64 = 20;

/// A database that may be closed and opened again while others want to read.
pub(super) struct Database {
    /// Whoever reads or writes holds it for as long as that takes; exclusively, whoever opens it
    /// anew. `None`: that failed, and is tried again.
    db: RwLock<Option<DB>>,
    /// Somebody waits to open it anew: who would hold it for long gives up.
    is_wanted: AtomicBool,
    /// Nobody must wait for it any more.
    is_closing: AtomicBool,
    dir: PathBuf,
    options: Options,
}

/// The database, open.
pub(super) struct Opened<'a>(RwLockReadGuard<'a, Option<DB>>);

impl Deref for Opened<'_> {
    type Target = DB;

    fn deref(&self) -> &DB {
        self.0.as_ref().expect("it is given out while it is open")
    }
}

impl Database {
    pub(super) fn new(db: DB, dir: &Path, options: &Options) -> Self {
        let (dir, options) = (dir.to_path_buf(), options.clone());
        let (is_wanted, is_closing) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { db: RwLock::new(Some(db)), is_wanted, is_closing, dir, options }
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The database; waits while it is opened anew.
    ///
    /// # Errors
    /// When it is closed instead.
    pub(super) fn get(&self) -> Result<Opened<'_>, Error> {
        loop {
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            if db.is_some() {
                return Ok(Opened(db));
            }
            drop(db);
            if self.is_closing.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            thread::sleep(LOOKS_AGAIN);
        }
    }

    /// The database, for the thread that opens it anew: it does nothing else before that succeeds.
    pub(super) fn own(&self) -> Opened<'_> {
        Opened(self.db.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether somebody waits to open it anew.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Whoever waits for it while it cannot be opened waits no longer.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Forces all that was written to the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.get()?.flush_wal(true).map_err(|error| {
            mark_unsynced(&self.dir);
            unwritable(error)
        })
    }

    /// Opens the database anew. What is in it then is on the disk: whatever was said of the pages
    /// of the write-ahead log, what they hold is written again, to tables.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        self.is_wanted.store(true, Ordering::Relaxed);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        self.is_wanted.store(false, Ordering::Relaxed);
        // The old one must be closed before; one that fails to open is tried again.
        *db = None;
        // In place of one that is gone RocksDB would make a new one.
        check_manifest(&self.dir)?;
        self.check_write_ahead()?;
        let before = Before { unclean: None, skips_damage: false, flushes: true };
        *db = Some(open::open(&self.dir, &self.options, &before)?.db);
        // Without this its settings are only not checked.
        let _ = sums::write(&self.dir);
        clear_unsynced(&self.dir)
    }

    /// Behind damage RocksDB would throw away what is whole, and then the files. The next start sets
    /// the damage aside first.
    fn check_write_ahead(&self) -> Result<(), Error> {
        let wal = Wal::read(&self.dir).map_err(|error| Error::Unwritable {
            reason: format!("its write-ahead log cannot be read: {error}"),
        })?;
        for fault in wal.faults() {
            if let Fault::Damaged(file, broken) = fault {
                let (file, reason) = (file.name(), broken.reason.to_owned());
                return Err(Error::DamagedWriteAhead { file, offset: broken.offset, reason });
            }
        }
        Ok(())
    }

    /// Memory of the database; none while it is opened anew.
    pub(super) fn memory(&self) -> MemoryUse {
        let Ok(db) = self.db.try_read() else { return MemoryUse::default() };
        let Some(db) = db.as_ref() else { return MemoryUse::default() };
        // All families share one cache.
        let read = db.property_int_value_cf(&family(db, keys::LOG), properties::BLOCK_CACHE_USAGE);
        let read = read.ok().flatten().unwrap_or(0);
        let Ok(of) = get_memory_usage_stats(Some(&[db]), None) else {
            return MemoryUse { read, ..MemoryUse::default() };
        };
        MemoryUse { read, written: of.mem_table_total, tables: of.mem_table_readers_total }
    }

    /// Room on the disk.
    pub(super) fn space(&self) -> Option<Space> {
        let disk = rustix::fs::statvfs(&self.dir).ok()?;
        let reserve_bytes =
            self.options.disk_reserve_bytes.min(disk.f_blocks * disk.f_frsize / RESERVE_PARTS);
        Some(Space { free_bytes: disk.f_bavail * disk.f_frsize, reserve_bytes })
    }
}

/// A sync has failed: for another process, that may come after this one has ended without healing.
/// If this cannot be written, this process still knows.
pub(super) fn mark_unsynced(dir: &Path) {
    let _ = File::create(dir.join(UNSYNCED));
}

/// Whether a sync has failed before.
pub(super) fn is_unsynced(dir: &Path) -> bool {
    dir.join(UNSYNCED).exists()
}

/// Everything was written again.
pub(super) fn clear_unsynced(dir: &Path) -> Result<(), Error> {
    match fs::remove_file(dir.join(UNSYNCED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Unwritable { reason: format!("'{UNSYNCED}' cannot be removed: {error}") })
        }
        _ => Ok(()),
    }
}

/// The number of the last commit that is in a database.
pub(super) fn last_commit(db: &DB) -> Result<u64, Error> {
    let number = db.get_pinned_cf(&family(db, keys::META), keys::COMMIT).map_err(unreadable)?;
    let Some(number) = number else { return Ok(0) };
    let number = <[u8; 8]>::try_from(&*number).map(u64::from_be_bytes);
    number.map_err(|_| Error::DamagedRecord {
        kind: keys::META,
        key: "commit".into(),
        reason: "it is not a number".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(dir: &Path) -> Database {
        let options = Options::default();
        let before = Before { unclean: None, skips_damage: false, flushes: false };
        let opened = open::open(dir, &options, &before).unwrap();
        Database::new(opened.db, dir, &options)
    }

    #[test]
    fn nobody_waits_for_a_database_that_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        let (current, away) = (dir.path().join("CURRENT"), dir.path().join("away"));
        fs::rename(&current, &away).unwrap();
        assert!(database.reopen().is_err());
        assert!(!current.exists(), "no new store in its place");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| database.get().map(|_| ()));
            database.close();
            assert_eq!(waiting.join().unwrap(), Err(Error::Closed));
        });
        fs::rename(away, current).unwrap();
        database.reopen().unwrap();
        assert!(database.get().is_ok());
    }

    #[test]
    fn a_damaged_write_ahead_log_is_left_to_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        for number in 0..100 {
            let db = database.own();
            db.put_cf(&family(&db, keys::META), format!("key-{number}"), [7; 100]).unwrap();
        }
        let wal = Wal::read(dir.path()).unwrap();
        let path = wal.files.into_iter().max_by_key(|file| file.log.bytes).unwrap().path;
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = database.reopen().unwrap_err();
        assert!(error.is_damage(), "{error}");
        assert!(fs::read(&path).unwrap() == bytes, "nothing was changed");
    }
}
