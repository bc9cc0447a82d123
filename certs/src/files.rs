//! Files that are written once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::Error;

/// Permissions of a private key: its owner alone.
const SECRET: u32 = 0o600;
/// Permissions of what may be shown to everybody.
const PUBLIC: u32 = 0o644;

/// Makes the directory and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Writes a private key that must not be there yet.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    write_new(path, text, SECRET)
}

/// Writes a certificate that must not be there yet.
pub(crate) fn write_public(path: &Path, text: &str) -> Result<(), Error> {
    write_new(path, text, PUBLIC)
}

/// Puts `text` in the place of the file, so that a reader finds the old or the new one, whole.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    write_beside(path, text, PUBLIC, |temporary| fs::rename(temporary, path))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    // A link, unlike a rename, never takes the place of a file.
    write_beside(path, text, mode, |temporary| fs::hard_link(temporary, path))
}

/// Writes a file beside `path`, whole and on the disk, then lets `publish` give it its name: after a
/// kill or a power cut there is all of it, or nothing.
fn write_beside(
    path: &Path,
    text: &str,
    mode: u32,
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    // Of an earlier process with this number, which did not come to its end.
    let _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        publish(&temporary)
    })();
    // After a rename there is nothing to remove; what went wrong first is what matters.
    let _ = fs::remove_file(&temporary);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let written = written.and_then(|()| File::open(parent.unwrap_or(Path::new(".")))?.sync_all());
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Write { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_stays_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_public(&path, "first").unwrap();
        assert!(
            matches!(write_secret(&path, "second"), Err(Error::Exists { path: p }) if p == path)
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        replace(&path, "third").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
