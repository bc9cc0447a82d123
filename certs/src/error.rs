//! What can go wrong, in sentences for the person at the keyboard.

use std::{io, path::PathBuf};

/// Why a certificate, key or revocation list could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is already there, and keys are never overwritten.
    #[error(
        "{path} exists already, nothing was written: certificates and keys are never overwritten. \
         Move it away, or choose another name or directory."
    )]
    Exists {
        /// The file that is in the way.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}. {advice}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A file or directory could not be written.
    #[error(
        "cannot write {path}: {source}. Check the directory's owner and the space on the disk."
    )]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not what its name promises.
    #[error("{path} cannot be used: {reason}.")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with what to do.
        reason: String,
    },
    /// The authority was made by somebody else.
    #[error(
        "{path} was not made by flotilla-certs, and it issues nothing in the name of another \
         authority. Use the tool that made it, or another directory for a development authority \
         ('flotilla-certs ca --dir DIRECTORY')."
    )]
    Foreign {
        /// The certificate of that authority.
        path: PathBuf,
    },
    /// A name cannot stand in a certificate or be a file name.
    #[error("the name '{name}' cannot be used: {reason}.")]
    BadName {
        /// The name as it was given.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A server certificate without a name would be refused by every client.
    #[error(
        "a server certificate needs at least one DNS name or IP address under which clients reach the server."
    )]
    NoNames,
    /// The validity is zero, or ends in a year that a certificate cannot express.
    #[error("a validity of {days} days is not possible: it must be between 1 and 36500.")]
    BadValidity {
        /// The days as they were given.
        days: u32,
    },
    /// No certificate was issued under this name.
    #[error("no certificate was issued to '{name}' according to {path}; nothing was revoked.")]
    NeverIssued {
        /// The name as it was given.
        name: String,
        /// The index of issued certificates.
        path: PathBuf,
    },
    /// A line of the index cannot be understood.
    #[error(
        "{path} line {line} cannot be understood: {reason}. Repair or remove that line; \
         a serial number that is not in the file can no longer be revoked."
    )]
    BadIndex {
        /// The index.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What was expected there.
        reason: &'static str,
    },
    /// The cryptographic library failed; with checked names and dates it has no reason to.
    #[error("could not make {what}: {source}")]
    Make {
        /// What was being made.
        what: &'static str,
        /// What the library said.
        source: rcgen::Error,
    },
}
