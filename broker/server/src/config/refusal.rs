//! Why a configuration cannot be used.

use std::{fmt, path::PathBuf};

/// What is wrong, where, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file; `None`: the command line, or no file at all.
    pub(crate) file: Option<PathBuf>,
    /// The line, counted from 1, where there is one.
    pub(crate) line: Option<usize>,
    /// The key, as in `limits.receive_max`; empty where the whole file is meant.
    pub(crate) key: String,
    /// A sentence.
    pub(crate) reason: String,
}

impl Refusal {
    /// Speaks of a key, wherever it was written.
    pub(crate) fn of_key(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: None, line: None, key: key.into(), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, _) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}
