//! Checksums of small files that RocksDB writes and never checks: its settings, its identity.
//!
//! The file `sums` has a line for each, `XXH3 LENGTH NAME`, and at the end one for itself. It is
//! written when the store is opened, when families are added, when it is closed and when it is
//! copied. A file that is newer than that has no line.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use twox_hash::XxHash3_64;

/// Name of the file.
pub(crate) const NAME: &str = "sums";

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    by_name: BTreeMap<String, (u64, u64)>,
}

/// Whether a file of this name has a checksum there.
pub(crate) fn has_one(name: &str) -> bool {
    name == "IDENTITY" || name.starts_with("OPTIONS-") && !name.ends_with(".dbtmp")
}

/// Writes the checksums of what is there.
pub(crate) fn write(dir: &Path) -> io::Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if has_one(&name) {
            match fs::read(entry.path()) {
                Ok(bytes) => lines.push(line(&bytes, &name)),
                // RocksDB removes old ones.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    lines.sort();
    let text = lines.concat();
    let text = format!("{text}{}", line(text.as_bytes(), NAME));
    // Never half written: a rename is whole.
    let next = dir.join(format!("{NAME}.next"));
    let mut file = File::create(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(next, dir.join(NAME))
}

fn line(bytes: &[u8], name: &str) -> String {
    format!("{:016x} {} {name}\n", XxHash3_64::oneshot(bytes), bytes.len())
}

impl Sums {
    /// Reads the file; empty where there is none.
    ///
    /// # Errors
    /// What does not hold in the file itself.
    pub(crate) fn read(dir: &Path) -> Result<Self, String> {
        let text = match fs::read_to_string(dir.join(NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.to_string()),
        };
        let damaged = || "its checksum does not fit".to_owned();
        let end = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let (lines, own) = text.split_at(end);
        if own != line(lines.as_bytes(), NAME) {
            return Err(damaged());
        }
        let mut sums = Self::default();
        for line in lines.lines() {
            let mut words = line.splitn(3, ' ');
            let sum = words.next().and_then(|sum| u64::from_str_radix(sum, 16).ok());
            let len = words.next().and_then(|len| len.parse().ok());
            let (Some(sum), Some(len), Some(name)) = (sum, len, words.next()) else {
                return Err(damaged());
            };
            sums.by_name.insert(name.to_owned(), (sum, len));
        }
        Ok(sums)
    }

    /// Whether these are the bytes that the file had; of a newer one nothing is known.
    ///
    /// # Errors
    /// What does not hold.
    pub(crate) fn check(&self, name: &str, bytes: &[u8]) -> Result<(), &'static str> {
        match self.by_name.get(name) {
            Some(&(sum, len)) if len != bytes.len() as u64 || sum != XxHash3_64::oneshot(bytes) => {
                Err("it is not what was written")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Sums::read(dir.path()).unwrap().check("IDENTITY", b"x").is_ok());
        fs::write(dir.path().join("IDENTITY"), "identity").unwrap();
        fs::write(dir.path().join("OPTIONS-000007"), "options").unwrap();
        fs::write(dir.path().join("000001.sst"), "other").unwrap();
        write(dir.path()).unwrap();
        let sums = Sums::read(dir.path()).unwrap();
        assert!(sums.check("IDENTITY", b"identity").is_ok());
        assert!(sums.check("IDENTITY", b"identitz").is_err());
        assert!(sums.check("OPTIONS-000007", b"option").is_err());
        assert!(sums.check("OPTIONS-000008", b"newer").is_ok());
        let text = fs::read(dir.path().join(NAME)).unwrap();
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            fs::write(dir.path().join(NAME), damaged).unwrap();
            assert!(Sums::read(dir.path()).is_err(), "byte {at}");
        }
    }
}
