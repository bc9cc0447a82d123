//! What can go wrong with a store, in sentences for the operator.

use std::path::PathBuf;

use flotilla_core::id::Position;

/// What can go wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the directory open.
    #[error(
        "the data directory '{}' is in use by another process: stop that broker, or give this \
         one a directory of its own",
        .dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory was written by a newer program.
    #[error(
        "the store in '{}' has format {found}, this program knows formats up to {known}: start \
         the newer program that wrote it, or use another directory",
        .dir.display()
    )]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// The directory was written by a program before the first release.
    #[error(
        "the store in '{}' has format {found}, which was never released, this program reads format \
         {known}: use another directory, or move this one away",
        .dir.display()
    )]
    OlderFormat {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The format this program reads.
        known: u32,
    },
    /// The path exists, as something else.
    #[error(
        "'{}' is not a directory: name a directory for the store, or move the file away",
        .path.display()
    )]
    NotADirectory {
        /// The path, or the part of it that is in the way.
        path: PathBuf,
    },
    /// The operating system does not let this process use the directory.
    #[error(
        "no permission to use the data directory '{}' ({reason}): let the user that runs the \
         broker own it, or name another directory",
        .dir.display()
    )]
    Denied {
        /// The directory.
        dir: PathBuf,
        /// What was refused.
        reason: String,
    },
    /// The directory cannot be opened for another reason.
    #[error(
        "the store in '{}' cannot be opened: {reason}; nothing was changed, see that the disk is \
         mounted, has room, and is free of faults",
        .dir.display()
    )]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What the operating system or RocksDB says.
        reason: String,
    },
    /// A file without which nothing can be read is not what was written.
    #[error(
        "the store in '{}' cannot be opened: the file {file} is damaged ({reason}); nothing was \
         changed. Restore the data directory from a snapshot; without one, move it away to begin \
         with an empty one",
        .dir.display()
    )]
    DamagedFile {
        /// The directory.
        dir: PathBuf,
        /// The file in it.
        file: String,
        /// What does not hold.
        reason: String,
    },
    /// Damaged records cannot be kept, so they are left where they are.
    #[error(
        "damaged records cannot be set aside in '{}': {reason}; nothing was changed, see that the \
         disk has room and the directory can be written",
        .dir.display()
    )]
    NoQuarantine {
        /// Where they should go.
        dir: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// A block of the log is not what was written.
    #[error(
        "the log is damaged at position {}: {reason}; check the disk, and restore the data \
         directory from a copy if the messages are needed",
        .position.0
    )]
    Damaged {
        /// The first position that cannot be read.
        position: Position,
        /// What does not hold.
        reason: String,
    },
    /// The write-ahead log is not what was written.
    #[error(
        "the write-ahead log is damaged in {file} at byte {offset}: {reason}; check the disk, then \
         start the broker again: it keeps what is behind the damage"
    )]
    DamagedWriteAhead {
        /// Which file of it.
        file: String,
        /// Where in it.
        offset: u64,
        /// What does not hold.
        reason: String,
    },
    /// A record is not what was written.
    #[error(
        "the {kind} record of '{key}' is damaged: {reason}; check the disk, and restore the data \
         directory from a copy"
    )]
    DamagedRecord {
        /// Which kind: session, cursor, inbound, outbound, retained.
        kind: &'static str,
        /// Client Identifier or Topic Name.
        key: String,
        /// What does not hold.
        reason: String,
    },
    /// Messages that should be in the log are not.
    #[error(
        "the log has no message at position {}, where one was committed; the next is at {}: \
         check the disk, and restore the data directory from a copy",
        .missing.0, .found.0
    )]
    Gap {
        /// The first position that is missing.
        missing: Position,
        /// The next that is there, or the end of the log.
        found: Position,
    },
    /// A replay was asked for from a position that no message had yet.
    #[error(
        "a session has read up to position {}, but the log ends at {}: the data directory is not \
         the one this broker wrote last, restore that one",
        .from.0, .end.0
    )]
    PastEnd {
        /// What was asked for.
        from: Position,
        /// The position the next append will get.
        end: Position,
    },
    /// Reading failed.
    #[error("the store cannot be read: {reason}; check the disk")]
    Unreadable {
        /// What RocksDB says.
        reason: String,
    },
    /// A write or a sync failed: what is on disk is not known until the store is opened again.
    #[error(
        "the store cannot be written: {reason}; see that the disk has room and is free of faults"
    )]
    Unwritable {
        /// What the operating system or RocksDB says.
        reason: String,
    },
    /// The log could not be cleaned. Nothing has changed.
    #[error(
        "the log cannot be cleaned: {reason}; it grows until that is mended, see that the disk has \
         room and is free of faults"
    )]
    NotCleaned {
        /// What the operating system or RocksDB says.
        reason: String,
    },
    /// There is nothing to look at.
    #[error("there is no store in '{}': name the data directory of a broker", .dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The store could not be copied.
    #[error(
        "the store cannot be copied to '{}': {reason}; see that there is room, and that the user \
         who runs the broker may write there",
        .to.display()
    )]
    NoCopy {
        /// Where it should go.
        to: PathBuf,
        /// What the operating system or RocksDB says.
        reason: String,
    },
    /// Whoever asked does not wait any more.
    #[error("whoever asked is gone")]
    GivenUp,
    /// The store was opened anew after a fault, and has less than before.
    #[error(
        "the store in '{}' has lost what it had: its last commit is {found}, it was {expected}; \
         check the disk, then start the broker again",
        .dir.display()
    )]
    WentBack {
        /// The directory.
        dir: PathBuf,
        /// The number of the last commit that is in it.
        found: u64,
        /// The number of the last one that was reported.
        expected: u64,
    },
    /// The engine was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Whether opening the store again cannot help.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::DamagedRecord { .. }
                | Self::DamagedWriteAhead { .. }
                | Self::Gap { .. }
                | Self::WentBack { .. }
                | Self::NewerFormat { .. }
        )
    }
}
