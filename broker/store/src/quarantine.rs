//! Where damaged records are kept when they are taken out of the store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tracing::error;

use crate::error::Error;

/// The log tells of so many losses one by one; all are in the file.
const LINES_MAX: u64 = 100;

/// A directory of what did not hold: a file of lines for each start that found something, and
/// copies of damaged files.
#[derive(Debug)]
pub(crate) struct Quarantine {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<(PathBuf, File)>,
    counts: Damage,
}

/// What was set aside, by kind: session, cursor, inbound, outbound, retained, log, file, ….
pub type Damage = BTreeMap<&'static str, u64>;

/// Something that does not hold.
#[derive(Debug)]
pub(crate) struct Damaged<'a> {
    /// What it is.
    pub(crate) kind: &'static str,
    /// Under which key, or in which file.
    pub(crate) key: &'a [u8],
    /// What is there.
    pub(crate) bytes: &'a [u8],
    /// What does not hold.
    pub(crate) reason: String,
    /// What that means, a sentence for the operator.
    pub(crate) lost: String,
}

impl Quarantine {
    /// In a directory that is made when it is needed.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, state: Mutex::default() }
    }

    /// How many were set aside since the store was opened.
    pub(crate) fn counts(&self) -> Damage {
        self.lock().counts.clone()
    }

    /// Writes it down, says so, counts it. It is on the disk after [`Quarantine::sync`] only.
    ///
    /// # Errors
    /// When it cannot be written; it must stay where it is then.
    pub(crate) fn set_aside(&self, damaged: &Damaged<'_>) -> Result<(), Error> {
        let mut state = self.lock();
        let line = json!({
            "at": unix_s(),
            "kind": damaged.kind,
            "key": String::from_utf8_lossy(damaged.key),
            "key_hex": hex(damaged.key),
            "reason": damaged.reason,
            "lost": damaged.lost,
            "bytes_hex": hex(damaged.bytes),
        });
        let path = self
            .file(&mut state)
            .and_then(|(path, file)| {
                file.write_all(format!("{line}\n").as_bytes())?;
                Ok(path.clone())
            })
            .map_err(|error| self.refused(&error))?;
        *state.counts.entry(damaged.kind).or_default() += 1;
        match state.counts.values().sum::<u64>() {
            ..LINES_MAX => error!(
                "{} ({}); what is left of it is in '{}'",
                damaged.lost,
                damaged.reason,
                path.display()
            ),
            LINES_MAX => error!("more is damaged; all of it is listed in '{}'", path.display()),
            _ => {}
        }
        Ok(())
    }

    /// All that was set aside is on the disk: it may be removed from where it was.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        match &self.lock().file {
            Some((_, file)) => file.sync_all().map_err(|error| self.refused(&error)),
            None => Ok(()),
        }
    }

    /// Keeps a file as it is, a link where the file system allows.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn keep(&self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = self.dir.join(format!("{}-{name}", unix_s()));
        let keep = || {
            self.make()?;
            if !kept.exists() && fs::hard_link(path, &kept).is_err() {
                fs::copy(path, &kept)?;
            }
            File::open(&kept)?.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        keep().map_err(|error: io::Error| self.refused(&error))
    }

    fn file<'a>(&self, state: &'a mut State) -> io::Result<&'a mut (PathBuf, File)> {
        if state.file.is_none() {
            self.make()?;
            state.file = Some(self.create()?);
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(state.file.as_mut().expect("it was just made"))
    }

    fn create(&self) -> io::Result<(PathBuf, File)> {
        let now = unix_s();
        let mut number = 1;
        loop {
            let path = self.dir.join(format!("{now}-{number}.jsonl"));
            match File::create_new(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn make(&self) -> io::Result<()> {
        if !self.dir.is_dir() {
            fs::create_dir_all(&self.dir)?;
            File::open(self.dir.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn refused(&self, error: &io::Error) -> Error {
        Error::NoQuarantine { dir: self.dir.clone(), reason: error.to_string() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("quarantine");
        let quarantine = Quarantine::new(dir.clone());
        quarantine.sync().unwrap();
        assert!(!dir.exists(), "nothing is made before it is needed");
        for key in [b"a", b"b"] {
            let damaged = Damaged {
                kind: "session",
                key,
                bytes: &[0, 255],
                reason: "the checksum does not fit".into(),
                lost: "the session is lost".into(),
            };
            quarantine.set_aside(&damaged).unwrap();
        }
        quarantine.sync().unwrap();
        assert_eq!(quarantine.counts(), Damage::from([("session", 2)]));
        let kept = home.path().join("file");
        fs::write(&kept, "x").unwrap();
        quarantine.keep(&kept).unwrap();
        // Another one does not write over it.
        let other = Quarantine::new(dir.clone());
        other
            .set_aside(&Damaged {
                kind: "log",
                key: b"",
                bytes: b"",
                reason: String::new(),
                lost: String::new(),
            })
            .unwrap();
        let mut lines: Vec<usize> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap().lines().count())
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 1, 2]);
    }
}
