//! What is looked at in a store before RocksDB opens it.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use super::lock::ClosedStore;
use super::mark::{self, Left};
use crate::engine::UncleanStop;
use crate::error::Error;
use crate::files::log;
use crate::files::salvage::salvage;
use crate::files::sums::{self, Sums};
use crate::files::wal::{Fault, Wal};
use crate::quarantine::{Damaged, Quarantine};

/// How to open, and what to tell afterwards.
pub(super) struct Before {
    /// `None`: the store was closed.
    pub(super) unclean: Option<UncleanStop>,
    /// Records of the write-ahead log are damaged: go on behind them.
    pub(super) skips_damage: bool,
    /// The write-ahead log does not end where it should: write what is left of it to tables, so that
    /// this is met once.
    pub(super) flushes: bool,
}

/// Looks. What is damaged in the write-ahead log is in quarantine, and the log is without it.
///
/// # Errors
/// When the store is in use, or cannot be opened because the list of its files is damaged.
pub(super) fn look(dir: &Path, quarantine: &Quarantine) -> Result<Before, Error> {
    let mut before = Before { unclean: None, skips_damage: false, flushes: false };
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
    check_small_files(dir, quarantine)?;
    let left = mark::left(dir);
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
    let mut damaged = Vec::new();
    for fault in wal.faults() {
        let (Fault::CutOff(file, broken) | Fault::Damaged(file, broken)) = fault;
        let place = format!("{} at byte {}", file.name(), broken.offset);
        let is_normal = match fault {
            // A store that was closed has nothing half written.
            Fault::CutOff(..) => left != Left::Clean,
            // Never synced, so never promised: everything before is a state that was.
            Fault::Damaged(..) => left == Left::Restarted && broken.has_hole,
        };
        before.flushes = true;
        if is_normal {
            unclean.cut_off = Some(place);
            continue;
        }
        quarantine.keep(&file.path)?;
        quarantine.set_aside(&Damaged {
            kind: "wal",
            key: file.name().as_bytes(),
            bytes: &[],
            reason: broken.reason.to_owned(),
            lost: format!(
                "some of the last writes before the stop are lost: the write-ahead log is damaged \
                 in {place}; what is behind it is kept"
            ),
        })?;
        unclean.damaged_wal.push(place);
        before.skips_damage = true;
        damaged.push(&file.path);
    }
    quarantine.sync()?;
    for path in damaged {
        write_anew(path).map_err(unusable)?;
    }
    before.unclean = (left != Left::Clean).then_some(unclean);
    Ok(before)
}

/// Takes out of a file of the write-ahead log what is damaged; as it was it is in quarantine. Killed
/// in between, the next start does it again.
fn write_anew(path: &Path) -> io::Result<()> {
    let anew = path.with_extension("anew");
    let (file, out) = (File::open(path)?, File::create(&anew)?);
    salvage(&file, BufWriter::new(&out))?;
    // The list of files says how long a file is that is no longer written to.
    out.set_len(file.metadata()?.len())?;
    out.sync_all()?;
    fs::rename(&anew, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Files that hold nothing of what is stored; RocksDB writes them anew.
fn check_small_files(dir: &Path, quarantine: &Quarantine) -> Result<(), Error> {
    let sums = Sums::read(dir);
    let mut damaged = Vec::new();
    if let Err(reason) = &sums {
        damaged.push((sums::NAME.to_owned(), reason.clone()));
    }
    let sums = sums.unwrap_or_default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if sums::has_one(&name)
            && let Ok(bytes) = fs::read(entry.path())
            && let Err(reason) = sums.check(&name, &bytes)
        {
            damaged.push((name, reason.to_owned()));
        }
    }
    for (name, reason) in &damaged {
        quarantine.keep(&dir.join(name))?;
        quarantine.set_aside(&Damaged {
            kind: "file",
            key: name.as_bytes(),
            bytes: &[],
            reason: reason.clone(),
            lost: format!("the file {name} is damaged; nothing is lost, it is written anew"),
        })?;
    }
    quarantine.sync()?;
    for (name, _) in damaged {
        fs::remove_file(dir.join(name)).map_err(|error| Error::Unusable {
            dir: dir.to_path_buf(),
            reason: error.to_string(),
        })?;
    }
    Ok(())
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
pub(super) fn check_manifest(dir: &Path) -> Result<(), Error> {
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
