//! The contract of whatever keeps the broker's log.

use std::time::Duration;

use flotilla_core::histogram::{Bytes, Histogram, Nanoseconds, Pieces};
use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::mail::Overtaken;
use flotilla_core::message::Message;
use flotilla_core::record::StoredSession;
use flotilla_core::turn::{Batch, Page, Replay};

use crate::clean::plan::{Reason, Taken};
use crate::error::Error;
use crate::quarantine::Damage;
use crate::state::State;

/// Told of the fate of every batch, in the order of submission, one call at a time, from the
/// engine's threads. Must not call the engine's [`Engine::close`].
pub trait CommitSink: Send + 'static {
    /// These batches are written: they survive the end of the process. Each has the position of its
    /// first append (or the one the next append would have got). `end`: the position the next
    /// append will get. A replay that starts now sees them.
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position);

    /// These batches and all that were submitted before them are synced: they survive a power cut.
    /// All of them were reported committed. Of each shard it is the last one that asks for it
    /// ([`Batch::needs_sync`]).
    fn synced(&mut self, up_to: &[(ShardId, Ticket)]);

    /// Nothing of this batch is stored: it writes a session whose stored revision is not one less.
    /// Either two shards believe to own the session, or a later batch of the same owner followed a
    /// refused one. Every batch before it has been reported, later ones go on.
    fn refused(&mut self, batch: Batch);

    /// The log was cleaned: who lost messages by it. What was taken is gone from the disk, and the
    /// disk knows who was overtaken. Or it could not be cleaned; that is tried again.
    ///
    /// Does nothing unless it is implemented.
    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        drop(outcome);
    }

    /// The store can take what it is given, or not any more. While it fails nothing is reported;
    /// what was submitted is kept, and reported when the store has healed.
    fn state_changed(&mut self, state: &State);
}

/// A log with records beside it. The broker shares one engine among all its shards.
///
/// * Positions of the log start at 1 and grow by one a message, in the order of submission.
/// * A batch is committed whole or not at all; which of the two is always reported, unless the
///   process ends, or the engine is closed while the store fails.
/// * A write or a sync that fails is not an end: the store is opened anew until it works, and goes
///   on where it stopped ([`State`]).
/// * Records of a session live from its first [`PutSession`] to its [`EndSession`]; what is written
///   for a session that does not exist is never given back.
///
/// [`PutSession`]: flotilla_core::turn::Write::PutSession
/// [`EndSession`]: flotilla_core::turn::Write::EndSession
pub trait Engine: Send + Sync + 'static {
    /// Queues a batch and returns at once. Batches commit in the order of submission, each whole or
    /// not at all. After [`Engine::close`] the batch is dropped.
    fn submit(&self, batch: Batch);

    /// Reads a page of the log for each replay, in this order; complete up to [`Page::next`]. Blocks
    /// on the disk. Sees every batch that has been reported committed. What several of them want
    /// is read once, so ask for all that wait together.
    ///
    /// The work for one page is bounded, so a page may hold few messages or none although the end
    /// is not reached: [`Page::next`] has moved on, ask again from there.
    ///
    /// # Errors
    /// When the log cannot be read, or a message that may be wanted is damaged or missing.
    fn replay(&self, replays: &[Replay]) -> Vec<Result<Page, Error>>;

    /// Bytes submitted but not yet committed: messages and records, about what they hold in memory.
    fn uncommitted_bytes(&self) -> usize;

    /// How large the log is, as of a few seconds ago.
    fn log_size(&self) -> LogSize;

    /// Memory that it takes now, as far as it knows.
    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }

    /// Whether it can take what it is given.
    fn state(&self) -> State;

    /// What the engine has done since it was opened.
    fn counters(&self) -> Counters;

    /// What does not hold in what is stored, and was set aside since the engine was opened.
    fn damage(&self) -> Damage {
        Damage::new()
    }

    /// Commits what was submitted, then closes. Further submissions are lost, further replays
    /// refused. Closing again changes nothing.
    ///
    /// # Errors
    /// When the store failed at that time: what was not reported is lost.
    fn close(&self) -> Result<(), Error>;
}

/// What one cleaning has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// What went, by [`Reason`].
    pub taken: [Taken; Reason::ALL.len()],
    /// Who lost messages by it.
    pub overtaken: Vec<Overtaken>,
    /// Blocks that could not be read before they went: who has lost what was in them is not known.
    pub unread_blocks: u64,
    /// How long it took.
    pub took: Duration,
}

/// How large a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSize {
    /// Of all blocks, before they are compressed.
    pub bytes: u64,
    /// When about the oldest message came, Unix milliseconds; `None`: there is none.
    pub oldest_ms: Option<u64>,
    /// Partitions that have messages.
    pub partitions: usize,
    /// Segments that are sealed: only what is in these can be cleaned.
    pub segments: usize,
}

/// Memory of an engine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// What was read from the disk and may be wanted again: records, indexes. Not blocks of the
    /// log.
    pub read: u64,
    /// Writes that are not in tables yet, or that somebody reads.
    pub written: u64,
    /// Tables that are open, beside what is read of them.
    pub tables: u64,
}

/// What an engine gives back when it is opened. The backlog is not read.
#[derive(Debug)]
pub struct Recovered {
    /// Every stored session, by Client Identifier.
    pub sessions: Vec<StoredSession>,
    /// Every retained message, by topic.
    pub retained: Vec<Message>,
    /// The position the next append will get; 1 in an empty log.
    pub end: Position,
    /// What happened, if the engine was not closed.
    pub unclean_stop: Option<UncleanStop>,
}

impl Default for Recovered {
    fn default() -> Self {
        Self { sessions: Vec::new(), retained: Vec::new(), end: FIRST, unclean_stop: None }
    }
}

/// What was found after a stop that was not clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncleanStop {
    /// The machine stopped too, not only the process: what was not synced may be gone.
    pub machine_stopped: bool,
    /// Bytes of write-ahead log that were repeated.
    pub wal_bytes: u64,
    /// How long repeating them and reading the records took.
    pub took: Duration,
    /// Where a write was cut off that had not been acknowledged, or not been synced.
    pub cut_off: Option<String>,
    /// Where the write-ahead log is damaged although valid records follow.
    pub damaged_wal: Vec<String>,
}

/// The position of the first message of a log.
pub(crate) const FIRST: Position = Position(1);

/// What an engine has done since it was opened; all of it grows only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Groups of batches written.
    pub commits: u64,
    /// Batches committed.
    pub batches: u64,
    /// Batches refused because of a session's revision.
    pub refused: u64,
    /// Messages appended to the log.
    pub messages: u64,
    /// Bytes of those messages.
    pub message_bytes: u64,
    /// Bytes of the blocks that they went into: what the log grew by, before it is compressed.
    /// Without what was cleaned it is what the log holds ([`LogSize`]) beyond what it held when it
    /// was opened.
    pub block_bytes: u64,
    /// How often the index of the log could not be written, or was damaged or missing where it was
    /// needed, so that blocks were read that it would have spared. No message is lost by that.
    pub index_faults: u64,
    /// What cleaning took from the log, by [`Reason`].
    pub cleaned: [Taken; Reason::ALL.len()],
    /// Nanoseconds spent in writing commits.
    pub commit_ns: u64,
    /// Messages of each commit.
    pub commit_messages: Histogram<Pieces>,
    /// Bytes of the messages of each commit.
    pub commit_bytes: Histogram<Bytes>,
    /// How long each sync took.
    pub syncs: Histogram<Nanoseconds>,
}
