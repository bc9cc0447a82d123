//! Keeps brokers away from a store that is looked at while it is closed.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::error::Error;

/// RocksDB's own lock. Shared, so that the store need not be writable: whoever opens it wants it
/// for itself alone, and is refused.
pub(crate) struct ClosedStore {
    /// The lock goes with the file. A copy of a store has none before it is first opened.
    _lock: Option<File>,
}

impl ClosedStore {
    /// Takes the lock.
    ///
    /// # Errors
    /// When there is no store in `dir`, it cannot be read, or is in use.
    pub(crate) fn hold(dir: &Path) -> Result<Self, Error> {
        if let Err(error) = File::open(dir.join("CURRENT")) {
            return Err(match error.kind() {
                ErrorKind::NotFound => Error::NoStore { dir: dir.to_path_buf() },
                _ => Error::Denied { dir: dir.to_path_buf(), reason: error.to_string() },
            });
        }
        let lock = match File::open(dir.join("LOCK")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { _lock: None }),
            Err(error) => {
                return Err(Error::Denied { dir: dir.to_path_buf(), reason: error.to_string() });
            }
        };
        match fcntl_lock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Self { _lock: Some(lock) }),
            Err(Errno::ACCESS | Errno::AGAIN) => Err(Error::InUse { dir: dir.to_path_buf() }),
            Err(error) => {
                Err(Error::Unusable { dir: dir.to_path_buf(), reason: error.to_string() })
            }
        }
    }
}
