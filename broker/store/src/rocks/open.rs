//! Opens the database in a directory.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, DBRecoveryMode, WriteOptions};

use super::options::Options;
use super::{rebuild, unreadable};
use crate::error::Error;
use crate::keys;
use crate::partition;
use crate::recover::family;

/// The format this program writes, and the only one it reads.
const FORMAT: u32 = 2;

/// A database that was opened.
pub(super) struct Opened {
    pub(super) db: DB,
    /// The families it has that are not in every store: partitions, and those of a newer program.
    pub(super) families: Vec<String>,
    /// How a new partition is set up.
    pub(super) log: rocksdb::Options,
}

/// `skips_damage`: goes on behind damaged records of the write-ahead log, and writes what is left of
/// it to tables, so that the damage is met once.
pub(super) fn open(dir: &Path, options: &Options, skips_damage: bool) -> Result<Opened, Error> {
    sync_write_ahead(dir)?;
    let mut database = options.database();
    if skips_damage {
        database = database
            .get_options_from_string("avoid_flush_during_recovery=false")
            .expect("RocksDB knows the option");
        database.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
    }
    let setup = options.families();
    let mut families = setup.of_every_store();
    // A newer program may have families that are not known here; RocksDB opens all or nothing, and
    // only an open store tells its format.
    let more = more_families(dir, &database);
    families.extend(more.iter().map(|name| {
        let is_partition = partition::name_in(name).is_some();
        let options = if is_partition { setup.log() } else { rocksdb::Options::default() };
        ColumnFamilyDescriptor::new(name, options)
    }));
    let db = DB::open_cf_descriptors(&database, dir, families)
        .map_err(|error| explain(dir, error.into_string()))?;
    check_format(&db, dir)?;
    rebuild::finish(&db, options)?;
    Ok(Opened { db, families: more, log: setup.log() })
}

/// Makes the directory, or says why it cannot be used.
pub(super) fn prepare(dir: &Path) -> Result<(), Error> {
    let refused = |error: std::io::Error| {
        let reason = error.to_string();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Error::Denied { dir: dir.to_path_buf(), reason }
            }
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                let in_the_way = dir.ancestors().find(|path| path.is_file()).unwrap_or(dir);
                Error::NotADirectory { path: in_the_way.to_path_buf() }
            }
            _ => Error::Unusable { dir: dir.to_path_buf(), reason },
        }
    };
    fs::create_dir_all(dir).map_err(refused)?;
    fs::read_dir(dir).map_err(refused)?;
    Ok(())
}

/// After an unclean end RocksDB goes on behind what it finds in the write-ahead log, in a new file.
/// What the old files hold was read, but may never have been synced: a power cut would then leave a
/// hole in front of what is synced from now on, and recovery ends at the first hole.
fn sync_write_ahead(dir: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        let reason = format!("its write-ahead log cannot be synced: {error}");
        Error::Unusable { dir: dir.to_path_buf(), reason }
    };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "log") {
            fs::File::open(&path).and_then(|file| file.sync_data()).map_err(failed)?;
        }
    }
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn more_families(dir: &Path, database: &rocksdb::Options) -> Vec<String> {
    // There is no list in a new directory, and a damaged one is reported by the open that follows.
    let found = DB::list_cf(database, dir).unwrap_or_default();
    let known: BTreeSet<&str> = keys::FAMILIES.into_iter().chain(["default"]).collect();
    found.into_iter().filter(|name| !known.contains(name.as_str())).collect()
}

/// RocksDB says what happened in the text of its error only.
fn explain(dir: &Path, reason: String) -> Error {
    let dir = dir.to_path_buf();
    let says = |text| reason.contains(text);
    let is_locked = says("While lock file") && says("Resource temporarily unavailable");
    if is_locked || says("lock hold by current process") {
        Error::InUse { dir }
    } else if says("Permission denied") || says("Read-only file system") {
        Error::Denied { dir, reason }
    } else if says("Corruption") || says("No such file") {
        Error::DamagedFile { dir, file: named_in(&reason), reason }
    } else {
        Error::Unusable { dir, reason }
    }
}

/// The first file that RocksDB's sentence names.
fn named_in(reason: &str) -> String {
    let is_name = |word: &&str| {
        ["MANIFEST-", "CURRENT", "OPTIONS-"].iter().any(|start| word.starts_with(start))
            || [".sst", ".log", ".ldb"].iter().any(|end| word.ends_with(end))
    };
    let mut words = reason.split(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c)));
    words
        .find(|word| is_name(&word.trim_end_matches('.')))
        .map_or_else(|| "list".to_owned(), |name| name.trim_end_matches('.').to_owned())
}

fn check_format(db: &DB, dir: &Path) -> Result<(), Error> {
    let meta = family(db, keys::META);
    let Some(found) = db.get_pinned_cf(&meta, keys::FORMAT).map_err(unreadable)? else {
        let mut durably = WriteOptions::default();
        durably.set_sync(true);
        return db
            .put_cf_opt(&meta, keys::FORMAT, FORMAT.to_be_bytes(), &durably)
            .map_err(|error| explain(dir, error.into_string()));
    };
    let format = <[u8; 4]>::try_from(&*found).map(u32::from_be_bytes).map_err(|_| {
        let reason = "its format is not a number".into();
        Error::Unusable { dir: dir.to_path_buf(), reason }
    })?;
    let dir = dir.to_path_buf();
    match format.cmp(&FORMAT) {
        Ordering::Less => Err(Error::OlderFormat { dir, found: format, known: FORMAT }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::NewerFormat { dir, found: format, known: FORMAT }),
    }
}
