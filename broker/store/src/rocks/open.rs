//! Opens the database in a directory.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, DBRecoveryMode, WriteOptions};

use super::before::Before;
use super::options::{Families, Options};
use super::{heal, rebuild, unreadable};
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

/// Opens a store, or makes one.
pub(super) fn open(dir: &Path, options: &Options, before: &Before) -> Result<Opened, Error> {
    sync_write_ahead(dir)?;
    let database = database(options, before.skips_damage, before.flushes);
    let setup = options.families();
    let more = more_families(dir, &database);
    let families = families(&setup, &more);
    let db = DB::open_cf_descriptors(&database, dir, families)
        .map_err(|error| explain(dir, error.into_string()))?;
    check_format(&db, dir)?;
    rebuild::finish(&db, options)?;
    Ok(Opened { db, families: more, log: setup.log() })
}

/// Opens a store that nobody else has open, to look at it; nothing is written.
pub(crate) fn open_read_only(dir: &Path, skips_damage: bool) -> Result<DB, Error> {
    let options = Options::default();
    let database = database(&options, skips_damage, false);
    // None can be made, so one that is missing must not be asked for.
    let there = DB::list_cf(&database, dir).map_err(|error| explain(dir, error.into_string()))?;
    let mut families = families(&options.families(), &more_families(dir, &database));
    families.retain(|family| there.iter().any(|name| name == family.name()));
    let db = DB::open_cf_descriptors_read_only(&database, dir, families, false)
        .map_err(|error| explain(dir, error.into_string()))?;
    format(&db, dir)?;
    Ok(db)
}

/// As [`Before`] says.
fn database(options: &Options, skips_damage: bool, flushes: bool) -> rocksdb::Options {
    let mut database = options.database();
    if flushes {
        database = database
            .get_options_from_string("avoid_flush_during_recovery=false")
            .expect("RocksDB knows the option");
    }
    if skips_damage {
        database.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
    }
    database
}

/// Those of every store, and `more`. A newer program may have families that are not known here;
/// RocksDB opens all or nothing, and only an open store tells its format.
fn families(setup: &Families, more: &[String]) -> Vec<ColumnFamilyDescriptor> {
    let more = more.iter().map(|name| {
        let is_partition = partition::name_in(name).is_some();
        let options = if is_partition { setup.log() } else { rocksdb::Options::default() };
        ColumnFamilyDescriptor::new(name, options)
    });
    setup.of_every_store().into_iter().chain(more).collect()
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
            fs::File::open(&path).and_then(|file| file.sync_data()).map_err(|error| {
                heal::mark_unsynced(dir);
                failed(error)
            })?;
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
    if format(db, dir)?.is_some() {
        return Ok(());
    }
    let mut durably = WriteOptions::default();
    durably.set_sync(true);
    db.put_cf_opt(&family(db, keys::META), keys::FORMAT, FORMAT.to_be_bytes(), &durably)
        .map_err(|error| explain(dir, error.into_string()))
}

/// The format, which this program knows; `None`: a new store.
fn format(db: &DB, dir: &Path) -> Result<Option<u32>, Error> {
    // A new store that is only looked at may be without the family.
    let Some(meta) = db.cf_handle(keys::META) else { return Ok(None) };
    let Some(found) = db.get_pinned_cf(&meta, keys::FORMAT).map_err(unreadable)? else {
        return Ok(None);
    };
    let format = <[u8; 4]>::try_from(&*found).map(u32::from_be_bytes).map_err(|_| {
        let reason = "its format is not a number".into();
        Error::Unusable { dir: dir.to_path_buf(), reason }
    })?;
    let dir = dir.to_path_buf();
    match format.cmp(&FORMAT) {
        Ordering::Less => Err(Error::OlderFormat { dir, found: format, known: FORMAT }),
        Ordering::Equal => Ok(Some(format)),
        Ordering::Greater => Err(Error::NewerFormat { dir, found: format, known: FORMAT }),
    }
}
