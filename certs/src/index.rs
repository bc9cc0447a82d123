//! The record of what an authority issued.
//!
//! A text file of lines that are only ever added, fields separated by tabs:
//! `issued SERIAL KIND NAME EXPIRES` or `revoked SERIAL TIME`, times in seconds since 1970.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{Error, Issued, Serial};

/// The record's name in the authority's directory.
pub const INDEX_FILE: &str = "issued.tsv";

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server that listens.
    Server,
    /// A device that connects.
    Device,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Device => "device",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        [Self::Server, Self::Device].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What identifies it in a revocation list.
    pub serial: Serial,
    /// Whose it is.
    pub kind: Kind,
    /// The name under which its files were saved.
    pub name: String,
    /// The end of its validity.
    pub expires: SystemTime,
    /// When it was revoked, if it was.
    pub revoked: Option<SystemTime>,
}

impl Entry {
    /// The entry of a certificate that was just issued.
    #[must_use]
    pub fn new(issued: &Issued, kind: Kind, name: &str) -> Self {
        Self {
            serial: issued.serial.clone(),
            kind,
            name: name.to_owned(),
            expires: issued.expires,
            revoked: None,
        }
    }
}

/// The record, open and locked against other programs.
pub struct Index {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Index {
    /// Opens the record in the authority's directory, or begins it. Waits while another program has
    /// it open.
    ///
    /// # Errors
    /// [`Error::Write`] when it cannot be opened, locked or read; [`Error::BadIndex`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(INDEX_FILE);
        let failed = |source| Error::Write { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let entries = parse(&text).map_err(|(line, reason)| Error::BadIndex {
            path: path.clone(),
            line,
            reason,
        })?;
        Ok(Self { path, file, entries })
    }

    /// Where the record is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every certificate, in the order in which they were issued.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds certificates. Called before their files are saved, so that none is in use that could
    /// not be revoked.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn issue(&mut self, issued: Vec<Entry>) -> Result<(), Error> {
        let lines = issued.iter().map(|entry| {
            let (kind, expires) = (entry.kind.as_str(), seconds(entry.expires));
            format!("issued\t{}\t{kind}\t{}\t{expires}\n", entry.serial, entry.name)
        });
        self.append(&lines.collect::<String>())?;
        self.entries.extend(issued);
        Ok(())
    }

    /// Marks every certificate of `name` that is not revoked yet. Returns how many there were.
    ///
    /// # Errors
    /// [`Error::NeverIssued`] when there is none of that name at all; [`Error::Write`].
    pub fn revoke(&mut self, name: &str, time: SystemTime) -> Result<usize, Error> {
        if !self.entries.iter().any(|entry| entry.name == name) {
            return Err(Error::NeverIssued { name: name.to_owned(), path: self.path.clone() });
        }
        // Whole seconds, as they will be read back.
        let time = from_seconds(seconds(time));
        let live = |entry: &&mut Entry| entry.name == name && entry.revoked.is_none();
        let mut lines = String::new();
        let mut count = 0;
        for entry in self.entries.iter_mut().filter(live) {
            entry.revoked = Some(time);
            lines.push_str(&format!("revoked\t{}\t{}\n", entry.serial, seconds(time)));
            count += 1;
        }
        self.append(&lines)?;
        Ok(count)
    }

    fn append(&mut self, lines: &str) -> Result<(), Error> {
        self.file
            .write_all(lines.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

/// Reads the whole text; an error names the line.
fn parse(text: &str) -> Result<Vec<Entry>, (usize, &'static str)> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut by_serial = std::collections::HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |reason| (at + 1, reason);
        let serial = |text| Serial::from_hex(text).ok_or(wrong("a serial number is hexadecimal"));
        let time = |text: &str| {
            text.parse().map(from_seconds).map_err(|_| wrong("a time is a number of seconds"))
        };
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["issued", number, kind, name, expires] => {
                let serial = serial(number)?;
                by_serial.insert(serial.clone(), entries.len());
                entries.push(Entry {
                    serial,
                    kind: Kind::from_text(kind).ok_or(wrong("a kind is 'server' or 'device'"))?,
                    name: name.to_owned(),
                    expires: time(expires)?,
                    revoked: None,
                });
            }
            ["revoked", number, when] => {
                let known = by_serial.get(&serial(number)?);
                let known = known.ok_or(wrong("this serial number was not issued above"))?;
                entries[*known].revoked = Some(time(when)?);
            }
            _ => return Err(wrong("a line is 'issued' with 4 fields or 'revoked' with 2")),
        }
    }
    Ok(entries)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn from_seconds(seconds: u64) -> SystemTime {
    // A time that cannot be expressed is as good as 1970: it only shows when something ended.
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry {
            serial: Serial::new(&[7; 20]),
            kind: Kind::Device,
            name: "pump 7".to_owned(),
            expires: from_seconds(2_000_000_000),
            revoked: None,
        };
        let other = Entry { serial: Serial::new(&[8; 20]), name: "other".into(), ..entry.clone() };
        let mut index = Index::open(dir.path()).unwrap();
        index.issue(vec![entry.clone(), other.clone()]).unwrap();
        assert_eq!(index.revoke("pump 7", from_seconds(1_900_000_000)).unwrap(), 1);
        assert_eq!(index.revoke("pump 7", from_seconds(1_900_000_001)).unwrap(), 0);
        assert!(matches!(index.revoke("pump", UNIX_EPOCH), Err(Error::NeverIssued { .. })));
        let expected = [Entry { revoked: Some(from_seconds(1_900_000_000)), ..entry }, other];
        assert_eq!(index.entries(), expected);
        drop(index);
        assert_eq!(Index::open(dir.path()).unwrap().entries(), expected);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let good = "issued\t0a\tdevice\tx\t5\n";
        for (text, line) in [
            ("hello\n".to_owned(), 1),
            (format!("{good}\n"), 2),
            (format!("{good}issued\t0b\trobot\tx\t5\n"), 2),
            (format!("{good}issued\t0\tdevice\tx\t5\n"), 2),
            (format!("{good}{good}revoked\t0c\t5\n"), 3),
            (format!("{good}revoked\t0a\tx\n"), 2),
        ] {
            assert_eq!(parse(&text).map_err(|(line, _)| line), Err(line), "{text}");
        }
    }
}
