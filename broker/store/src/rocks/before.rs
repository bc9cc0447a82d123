//! What is looked at in a store before RocksDB opens it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::lock::ClosedStore;
use super::mark::{self, Left};
use crate::engine::UncleanStop;
use crate::error::Error;
use crate::files::log;
use crate::files::wal::{Fault, Wal};
use crate::quarantine::{Damaged, Quarantine};

/// How to open, and what to tell afterwards.
pub(super) struct Before {
    /// `None`: the store was closed.
    pub(super) unclean: Option<UncleanStop>,
    /// Records of the write-ahead log are damaged, and valid ones follow: go on behind them.
    pub(super) skips_damage: bool,
}

/// Looks; nothing in the store is changed. What is damaged in the write-ahead log is in quarantine.
///
/// # Errors
/// When the store is in use, or cannot be opened because the list of its files is damaged.
pub(super) fn look(dir: &Path, quarantine: &Quarantine) -> Result<Before, Error> {
    let mut before = Before { unclean: None, skips_damage: false };
    let _closed = match ClosedStore::hold(dir) {
        Ok(closed) => closed,
        Err(Error::NoStore { .. }) => {
            // RocksDB would make a new one in its place.
            return if is_new(dir) {
                Ok(before)
            } else {
                Err(no_list(dir, "CURRENT", "it is missing"))
            };
        }
        Err(error) => return Err(error),
    };
    check_manifest(dir)?;
    let left = mark::left(dir);
    if left == Left::Clean {
        return Ok(before);
    }
    let unusable = |error: io::Error| Error::Unusable {
        dir: dir.to_path_buf(),
        reason: format!("its write-ahead log cannot be read: {error}"),
    };
    let wal = Wal::read(dir).map_err(unusable)?;
    let mut unclean = UncleanStop {
        machine_stopped: left == Left::Restarted,
        wal_bytes: wal.bytes(),
        took: Duration::ZERO,
        cut_off: None,
        damaged_wal: Vec::new(),
    };
    for fault in wal.faults() {
        match fault {
            Fault::CutOff(file, broken) => {
                unclean.cut_off = Some(format!("{} at byte {}", file.name(), broken.offset));
            }
            // Never synced, so never promised: everything before is a state that was.
            Fault::Damaged(file, broken) if unclean.machine_stopped && broken.has_hole => {
                unclean.cut_off = Some(format!("{} at byte {}", file.name(), broken.offset));
            }
            Fault::Damaged(file, broken) => {
                let place = format!("{} at byte {}", file.name(), broken.offset);
                quarantine.keep(&file.path)?;
                quarantine.set_aside(&Damaged {
                    kind: "wal",
                    key: file.name().as_bytes(),
                    bytes: &[],
                    reason: broken.reason.to_owned(),
                    lost: format!(
                        "some of the last writes before the stop are lost: the write-ahead log is \
                         damaged in {place}, and goes on behind"
                    ),
                })?;
                unclean.damaged_wal.push(place);
                before.skips_damage = true;
            }
        }
    }
    quarantine.sync()?;
    before.unclean = Some(unclean);
    Ok(before)
}

/// Whether nothing of a store is there.
fn is_new(dir: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(dir) else { return true };
    !entries.any(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("MANIFEST-") || name.ends_with(".sst")
        })
    })
}

/// The list of files: RocksDB takes a record that is cut off for the end of the list.
fn check_manifest(dir: &Path) -> Result<(), Error> {
    let current = fs::read_to_string(dir.join("CURRENT")).unwrap_or_default();
    let name = manifest_in(&current);
    let Some(name) = name.filter(|name| dir.join(name).is_file()) else {
        return Err(no_list(dir, "CURRENT", "it names no list of files"));
    };
    let read = File::open(dir.join(name)).and_then(|file| log::read(file, |_| {}));
    match read {
        Ok(found) => match found.broken {
            Some(broken) if broken.valid_behind.is_some() || mark::left(dir) == Left::Clean => {
                let reason = format!("{} at byte {}", broken.reason, broken.offset);
                Err(no_list(dir, name, &reason))
            }
            _ => Ok(()),
        },
        Err(error) => Err(no_list(dir, name, &error.to_string())),
    }
}

/// The list of files that `CURRENT` names.
pub(crate) fn manifest_in(current: &str) -> Option<&str> {
    let name = current.strip_suffix('\n')?;
    let number = name.strip_prefix("MANIFEST-")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
}

fn no_list(dir: &Path, file: &str, reason: &str) -> Error {
    Error::DamagedFile { dir: dir.to_path_buf(), file: file.to_owned(), reason: reason.to_owned() }
}
