//! Files that are written once.

use std::{
    fs::{self, OpenOptions},
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
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    write_new(&temporary, text, PUBLIC)?;
    fs::rename(&temporary, path).map_err(|source| {
        // The rename's own error is the one to report.
        let _ = fs::remove_file(&temporary);
        Error::Write { path: path.to_owned(), source }
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(
        |source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
            _ => Error::Write { path: path.to_owned(), source },
        },
    )?;
    file.write_all(text.as_bytes()).map_err(|source| {
        // Half a key would be in the way of the next try.
        let _ = fs::remove_file(path);
        Error::Write { path: path.to_owned(), source }
    })
}
