//! Every byte of every file of a store.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;

use super::{Check, Lend};
use crate::error::Error;
use crate::files::log;
use crate::files::sums::{self, Sums};
use crate::files::table::{self, DamagedBlock, Part};
use crate::files::wal::{Fault, Wal};
use crate::recover::text;
use crate::rocks::{MARK, manifest_in, unreadable};

impl Check<'_> {
    /// Everything but tables. Whether the write-ahead log is damaged, so that whoever opens the
    /// store has to go on behind it.
    pub(super) fn logs(&self) -> Result<bool, Error> {
        self.current();
        self.small_files()?;
        let wal = Wal::read(self.dir).map_err(|error| self.failed(&error))?;
        for file in &wal.files {
            self.count_file("write-ahead log", file.log.bytes);
        }
        let mut is_damaged = false;
        for fault in wal.faults() {
            match fault {
                // It is being written to.
                Fault::CutOff(..) if self.is_open => {}
                Fault::CutOff(file, broken) if self.is_unclean() => self.note(format!(
                    "the last write was cut off in {} at byte {}, as a stop leaves it",
                    file.name(),
                    broken.offset
                )),
                // A store that was closed has nothing half written.
                Fault::CutOff(file, broken) | Fault::Damaged(file, broken) => {
                    is_damaged = true;
                    let reason = format!("{} at byte {}", broken.reason, broken.offset);
                    self.find("write-ahead log", None, Some(&file.name()), reason);
                }
            }
        }
        Ok(is_damaged)
    }

    fn current(&self) {
        let text = fs::read_to_string(self.dir.join("CURRENT")).unwrap_or_default();
        self.count_file("list of files", text.len() as u64);
        let Some(name) = manifest_in(&text).filter(|name| self.dir.join(name).is_file()) else {
            let reason = "it names no list of files".to_owned();
            return self.find("list of files", None, Some("CURRENT"), reason);
        };
        match File::open(self.dir.join(name)).and_then(|file| log::read(file, |_| {})) {
            Ok(found) => {
                self.count_file("list of files", found.bytes);
                let Some(broken) = found.broken else { return };
                if broken.valid_behind.is_none() && (self.is_open || self.is_unclean()) {
                    return;
                }
                let reason = format!("{} at byte {}", broken.reason, broken.offset);
                self.find("list of files", None, Some(name), reason);
            }
            Err(error) => self.find("list of files", None, Some(name), error.to_string()),
        }
    }

    fn is_unclean(&self) -> bool {
        self.dir.join(MARK).exists()
    }

    /// What RocksDB has no checksums for.
    fn small_files(&self) -> Result<(), Error> {
        if self.is_unclean() && !self.is_open {
            self.note("the last stop was not clean".to_owned());
        }
        let sums = match Sums::read(self.dir) {
            Ok(sums) => sums,
            Err(reason) => {
                self.find("file", None, Some(sums::NAME), reason);
                Sums::default()
            }
        };
        for entry in fs::read_dir(self.dir).map_err(|error| self.failed(&error))? {
            let path = entry.map_err(|error| self.failed(&error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == sums::NAME || sums::has_one(&name) {
                let bytes = match fs::read(&path) {
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        self.find("file", None, Some(&name), error.to_string());
                        continue;
                    }
                };
                self.count_file("settings", bytes.len() as u64);
                if let Err(reason) = sums.check(&name, &bytes) {
                    self.find("file", None, Some(&name), reason.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Every table that is in use; without a database, every one that is there.
    pub(super) fn tables(&self, lend: Option<Lend<'_>>) -> Result<(), Error> {
        let names: Vec<String> = match lend {
            Some(lend) => live(lend)?.into_iter().collect(),
            None => self.all_tables()?,
        };
        for (done, name) in names.iter().enumerate() {
            self.tell(|| format!("tables: {done} of {}", names.len()))?;
            match table::read(&self.dir.join(name)) {
                Ok(table) => {
                    self.count_file("table", table.bytes);
                    for block in table.damaged {
                        let DamagedBlock { offset, part, reason } = block;
                        let (key, what) = described(part);
                        let reason = format!("{what}: {reason}, at byte {offset}");
                        let family = Some(&table.family).filter(|family| !family.is_empty());
                        let kind = family.map_or("table".to_owned(), |it| format!("table of {it}"));
                        self.find(&kind, key, Some(name), reason);
                    }
                }
                // Compaction may have replaced it since.
                Err(_)
                    if lend.is_some_and(|lend| live(lend).is_ok_and(|it| !it.contains(name))) => {}
                Err(error) => self.find_once("table", name, error.to_string()),
            }
        }
        Ok(())
    }

    fn all_tables(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir).map_err(|error| self.failed(&error))? {
            let name = entry.map_err(|error| self.failed(&error))?.file_name();
            names.extend(name.into_string().ok().filter(|name| name.ends_with(".sst")));
        }
        names.sort();
        Ok(names)
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::Unreadable { reason: format!("'{}': {error}", self.dir.display()) }
    }
}

fn live(lend: Lend<'_>) -> Result<BTreeSet<String>, Error> {
    let mut files = Ok(Vec::new());
    lend(&mut |db| files = db.live_files().map_err(unreadable))?;
    Ok(files?.into_iter().map(|file| file.name.trim_start_matches('/').to_owned()).collect())
}

/// Which keys, and what they are part of.
fn described(part: Part) -> (Option<String>, &'static str) {
    match part {
        Part::Records(above, up_to) => {
            let above = above.map_or("the first".to_owned(), |key| format!("'{}'", text(&key)));
            (Some(format!("{above} to '{}'", text(&up_to))), "records")
        }
        Part::Index => (None, "the index"),
        Part::Filter => (None, "the filter"),
        Part::Frame => (None, "the frame"),
    }
}
