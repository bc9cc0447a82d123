//! Opens the database in a directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, WriteOptions};

use super::options::Options;
use super::unreadable;
use crate::error::Error;
use crate::keys;
use crate::recover::family;

/// The format this program writes, and the newest it reads.
const FORMAT: u32 = 1;

pub(super) fn open(dir: &Path, options: &Options) -> Result<DB, Error> {
    prepare(dir)?;
    sync_write_ahead(dir)?;
    let database = options.database();
    let mut families = options.families();
    // A newer program may have families that are not known here; RocksDB opens all or nothing, and
    // only an open store tells its format.
    families.extend(
        unknown_families(dir, &database)
            .into_iter()
            .map(|name| ColumnFamilyDescriptor::new(name, rocksdb::Options::default())),
    );
    let db = DB::open_cf_descriptors(&database, dir, families)
        .map_err(|error| explain(dir, error.into_string()))?;
    check_format(&db, dir)?;
    Ok(db)
}

/// Makes the directory, or says why it cannot be used.
fn prepare(dir: &Path) -> Result<(), Error> {
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

fn unknown_families(dir: &Path, database: &rocksdb::Options) -> Vec<String> {
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
    } else {
        Error::Unusable { dir, reason }
    }
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
    if format > FORMAT {
        return Err(Error::NewerFormat { dir: dir.to_path_buf(), found: format, known: FORMAT });
    }
    Ok(())
}
