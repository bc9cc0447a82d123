//! The engine on RocksDB.

mod appends;
mod background;
mod before;
mod blocks;
mod cleaner;
mod closed;
mod copy;
mod heal;
mod lock;
mod lost;
mod mark;
mod open;
mod options;
mod partitions;
mod plan;
mod reader;
mod rebuild;
mod replay;
mod segments;
mod sink;
mod sweep;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use flotilla_core::id::Position;
use flotilla_core::turn::{Batch, Page, Replay};
use rocksdb::DB;

use crate::clean::backlog::Backlog;
use crate::commit::Committer;
use crate::engine::{CommitSink, Counters, Engine, LogSize, MemoryUse, Recovered, UncleanStop};
use crate::error::Error;
use crate::files::sums;
use crate::progress::Phase;
use crate::quarantine::{Damage, Quarantine};
use crate::recover::{self, Found};
use crate::state::State;

pub use closed::backlog_closed;
pub use copy::copy_closed;
pub use options::Options;
pub use segments::SegmentLimits;

pub(crate) use before::manifest_in;
pub(crate) use lock::ClosedStore;
pub(crate) use mark::NAME as MARK;
pub(crate) use open::open_read_only;

use background::Background;
use cleaner::{Cleaning, Rules};
use heal::Database;
use mark::Mark;
use open::Opened;
use partitions::Partitions;
use segments::Tail;
use sink::SharedSink;
use writer::Writer;

/// The engine of the broker: one directory, one RocksDB database, one commit thread, one thread that
/// follows it and keeps the index, one that cleans.
pub struct Rocks {
    store: Arc<Store>,
    committer: Committer,
    follower: Background,
    cleaner: Background,
    rules: Rules,
    is_closed: AtomicBool,
    dir: PathBuf,
    quarantine: Arc<Quarantine>,
    mark: Mark,
}

/// What the threads of the engine share.
struct Store {
    database: Database,
    /// The end of what is committed: the position the next append will get.
    end: AtomicU64,
    partitions: Partitions,
    tail: Tail,
    /// Bytes of the blocks that were committed since it was opened.
    block_bytes: AtomicU64,
    /// How often the index could not be used or written.
    index_faults: AtomicU64,
    cleaning: Cleaning,
}

impl Rocks {
    /// Opens the store in `dir`, which is made if it does not exist, and gives back what it holds.
    /// Nothing is committed before the first [`Engine::submit`]; `sink` may hear before that the
    /// disk is full.
    ///
    /// Takes as long as it takes to read the records of all sessions and retained messages; the log
    /// is not read. After an unclean end RocksDB also repeats its last writes, a bounded number.
    ///
    /// # Errors
    /// When the directory cannot be used, is in use by another process, was written by a newer
    /// program, or the list of its files is damaged. Damaged records are set aside instead, see
    /// [`Engine::damage`].
    pub fn open(
        dir: &Path,
        options: &Options,
        sink: impl CommitSink,
    ) -> Result<(Self, Recovered), Error> {
        options.progress.begin(Phase::Opening, 0);
        let began = Instant::now();
        open::prepare(dir)?;
        let quarantine = options.quarantine_dir.clone().unwrap_or_else(|| dir.join("quarantine"));
        let quarantine = Arc::new(Quarantine::new(quarantine));
        let mut before = before::look(dir, &quarantine)?;
        before.flushes |= heal::is_unsynced(dir);
        let Opened { db, families, log } = open::open(dir, options, &before)?;
        let unusable = |error: io::Error| {
            let reason = format!("it cannot be marked as running: {error}");
            Error::Unusable { dir: dir.to_path_buf(), reason }
        };
        let mark = Mark::set(dir).map_err(unusable)?;
        let (partitions, log_end) = Partitions::take_up(&db, &families, log, &quarantine)?;
        let tail = Tail::take_up(&db, options.segment);
        // The last blocks may have been cleaned.
        let log_end = log_end.max(tail.first());
        let Found { mut recovered, unreadable } =
            recover::recover(&db, log_end, &quarantine, &options.progress)?;
        for name in unreadable {
            rebuild::rebuild(&db, options, name, &recovered)?;
        }
        recovered.unclean_stop =
            before.unclean.map(|unclean| UncleanStop { took: began.elapsed(), ..unclean });
        sums::write(dir).map_err(unusable)?;
        heal::clear_unsynced(dir)?;
        let store = Arc::new(Store {
            database: Database::new(db, dir, options),
            end: AtomicU64::new(recovered.end.0),
            partitions,
            tail,
            block_bytes: AtomicU64::new(0),
            index_faults: AtomicU64::new(0),
            cleaning: Cleaning::default(),
        });
        let no_thread = |error| {
            let reason = format!("no thread can be started: {error}");
            Error::Unusable { dir: dir.to_path_buf(), reason }
        };
        let writer = Writer::new(Arc::clone(&store), options)?;
        let sink = SharedSink::new(sink);
        let committer =
            Committer::start(writer, options.sync_interval, sink.clone()).map_err(no_thread)?;
        let follower = segments::start_follower(&store).map_err(no_thread)?;
        let rules = options.rules();
        let cleaner = cleaner::start(&store, rules, sink).map_err(no_thread)?;
        let is_closed = AtomicBool::new(false);
        let dir = dir.to_path_buf();
        let rocks =
            Self { store, committer, follower, cleaner, rules, is_closed, dir, quarantine, mark };
        Ok((rocks, recovered))
    }

    /// Lends the open database. Whoever wants to open it anew waits meanwhile, so be short.
    ///
    /// # Errors
    /// When it is closed.
    pub(crate) fn with_db<T>(&self, with: impl FnOnce(&DB) -> T) -> Result<T, Error> {
        Ok(with(&*self.store.db()?))
    }

    /// What lies in the log, and who holds it. `most`: also what would go next, and for whom: so
    /// many of those who would lose most are named. Reads all sessions, and with `most` what would
    /// go.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn backlog(&self, most: Option<usize>) -> Result<Backlog, Error> {
        cleaner::backlog(&self.store, self.rules, most)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Engine for Rocks {
    fn submit(&self, batch: Batch) {
        self.committer.submit(batch);
    }

    fn replay(&self, replays: &[Replay]) -> Vec<Result<Page, Error>> {
        if self.is_closed.load(Ordering::Acquire) {
            return replays.iter().map(|_| Err(Error::Closed)).collect();
        }
        replay::replay(&self.store, replays)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.committer.uncommitted_bytes()
    }

    fn state(&self) -> State {
        self.committer.state()
    }

    fn counters(&self) -> Counters {
        let index_faults = self.store.index_faults.load(Ordering::Relaxed);
        let block_bytes = self.store.block_bytes.load(Ordering::Relaxed);
        let cleaned = self.store.cleaning.cleaned();
        Counters { block_bytes, index_faults, cleaned, ..self.committer.counters() }
    }

    fn log_size(&self) -> LogSize {
        self.store.cleaning.size()
    }

    fn memory(&self) -> MemoryUse {
        self.store.database.memory()
    }

    fn damage(&self) -> Damage {
        self.quarantine.counts()
    }

    fn close(&self) -> Result<(), Error> {
        self.is_closed.store(true, Ordering::Release);
        self.store.database.close();
        self.cleaner.close();
        // Its writes are synced with the last commits.
        self.follower.close();
        self.committer.close()?;
        // Families may have been added; what is missing there is only not checked.
        let _ = sums::write(&self.dir);
        self.mark.clear().map_err(|error| Error::Unwritable { reason: error.to_string() })
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // Whoever wants to know the outcome closes before.
        let _ = self.close();
    }
}

impl fmt::Debug for Rocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rocks")
            .field("dir", &self.dir)
            .field("end", &self.store.end())
            .finish_non_exhaustive()
    }
}

impl Store {
    fn db(&self) -> Result<heal::Opened<'_>, Error> {
        self.database.get()
    }

    /// For the commit thread.
    fn own_db(&self) -> heal::Opened<'_> {
        self.database.own()
    }

    /// The end of what is committed.
    fn end(&self) -> Position {
        Position(self.end.load(Ordering::Acquire))
    }
}

/// What a failed write says.
fn unwritable(error: rocksdb::Error) -> Error {
    Error::Unwritable { reason: error.into_string() }
}

/// What a failed read says.
pub(crate) fn unreadable(error: rocksdb::Error) -> Error {
    Error::Unreadable { reason: error.into_string() }
}
