//! The write-ahead log of a database as a whole: where it stops, and whether that is where it was
//! written to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::log::{self, Broken, LogFile};

/// All files, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wal {
    pub(crate) files: Vec<WalFile>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WalFile {
    pub(crate) path: PathBuf,
    pub(crate) log: LogFile,
    /// Sequence number of its first change.
    first: Option<u64>,
    /// The one that should follow.
    next: Option<u64>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault<'a> {
    /// The last write was cut off when the process or the machine stopped; nothing is behind it
    /// that should be there.
    CutOff(&'a WalFile, &'a Broken),
    /// Something that was written whole is not there any more.
    Damaged(&'a WalFile, &'a Broken),
}

impl Wal {
    /// Reads all files of the write-ahead log in `dir`.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if let Some(number) = number(&path) {
                paths.push((number, path));
            }
        }
        paths.sort_unstable();
        let mut files = Vec::new();
        for (_, path) in paths {
            let file = match File::open(&path) {
                // Written to tables since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let (mut first, mut next) = (None, None);
            let log = log::read(file, |batch| {
                let Some((sequence, count)) = changes(batch) else { return };
                first.get_or_insert(sequence);
                next = Some(sequence + u64::from(count));
            })?;
            files.push(WalFile { path, log, first, next });
        }
        Ok(Self { files })
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.log.bytes).sum()
    }

    /// What does not hold. A file that was cut off stays so when the next one is begun.
    pub(crate) fn faults(&self) -> Vec<Fault<'_>> {
        let mut faults = Vec::new();
        for (at, file) in self.files.iter().enumerate() {
            let Some(broken) = &file.log.broken else { continue };
            let behind = self.files[at + 1..].iter().find_map(|file| file.first);
            let next = self.files[..=at].iter().rev().find_map(|file| file.next);
            let is_gone_on = behind.zip(next).is_none_or(|(behind, next)| behind == next);
            if broken.valid_behind.is_none() && is_gone_on {
                faults.push(Fault::CutOff(file, broken));
            } else {
                faults.push(Fault::Damaged(file, broken));
            }
        }
        faults
    }
}

impl WalFile {
    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Of `000012.log`.
pub(crate) fn number(path: &Path) -> Option<u64> {
    if path.extension()? != "log" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Sequence number and how many changes of a batch; little endian at its beginning.
fn changes(batch: &[u8]) -> Option<(u64, u32)> {
    let (sequence, rest) = batch.split_first_chunk::<8>()?;
    let count = rest.first_chunk::<4>()?;
    Some((u64::from_le_bytes(*sequence), u32::from_le_bytes(*count)))
}
