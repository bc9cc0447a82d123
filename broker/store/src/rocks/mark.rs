//! The mark of a store that is open: whoever finds it knows that the last stop was not clean.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;

/// Name of the file. A copy of the store does not have it.
pub(crate) const NAME: &str = "RUNNING";

/// The mark, set.
#[derive(Debug)]
pub(super) struct Mark {
    dir: PathBuf,
}

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Closed, or never opened.
    Clean,
    /// The process ended without closing it; what it wrote is with the operating system.
    Killed,
    /// The machine stopped, too: what was not synced may be gone.
    Restarted,
}

/// How the store in `dir` was left.
pub(super) fn left(dir: &Path) -> Left {
    match fs::read_to_string(dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Left::Clean,
        Ok(text) if text == text_of(&boot()) => Left::Killed,
        // Cut off in the middle, or damaged: nothing is known of the machine.
        Ok(_) | Err(_) => Left::Restarted,
    }
}

impl Mark {
    /// Sets the mark of a store that is locked; it is on the disk when this returns, before
    /// anything is written.
    pub(super) fn set(dir: &Path) -> io::Result<Self> {
        let mut file = File::create(dir.join(NAME))?;
        file.write_all(text_of(&boot()).as_bytes())?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// Takes it away: everything is on the disk, and nothing more will be written. Again, it
    /// changes nothing.
    pub(super) fn clear(&self) -> io::Result<()> {
        match fs::remove_file(self.dir.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.dir)?.sync_all()
    }
}

/// Which start of the machine this is; empty where the operating system does not say.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn text_of(boot: &str) -> String {
    format!("{boot} {:016x}\n", XxHash3_64::oneshot(boot.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_a_store_was_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(left(dir.path()), Left::Clean);
        let mark = Mark::set(dir.path()).unwrap();
        assert_eq!(left(dir.path()), Left::Killed);
        fs::write(dir.path().join(NAME), text_of("another boot")).unwrap();
        assert_eq!(left(dir.path()), Left::Restarted);
        fs::write(dir.path().join(NAME), "").unwrap();
        assert_eq!(left(dir.path()), Left::Restarted);
        mark.clear().unwrap();
        mark.clear().unwrap();
        assert_eq!(left(dir.path()), Left::Clean);
    }
}
