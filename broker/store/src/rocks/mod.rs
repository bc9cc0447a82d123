//! The engine on RocksDB.

mod before;
mod copy;
mod lock;
mod mark;
mod open;
mod options;
mod rebuild;
mod replay;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use flotilla_core::id::Position;
use flotilla_core::turn::{Batch, Page, Replay};
use rocksdb::DB;

use crate::commit::Committer;
use crate::engine::{CommitSink, Counters, Engine, Recovered, UncleanStop};
use crate::error::Error;
use crate::progress::Phase;
use crate::quarantine::{Damage, Quarantine};
use crate::recover::{self, Found};

pub use copy::copy_closed;
pub use options::Options;

use mark::Mark;
use writer::Writer;

/// The engine of the broker: one directory, one RocksDB database, one commit thread.
pub struct Rocks {
    store: Arc<Store>,
    committer: Committer,
    is_closed: AtomicBool,
    dir: PathBuf,
    quarantine: Arc<Quarantine>,
    mark: Mark,
}

/// What the commit thread and the readers share.
struct Store {
    /// Whoever reads or writes holds it for as long as that takes; exclusively, whoever opens it anew.
    db: RwLock<DB>,
    /// The end of what is committed: the position the next append will get.
    end: AtomicU64,
}

impl Rocks {
    /// Opens the store in `dir`, which is made if it does not exist, and gives back what it holds.
    /// Nothing is committed, and `sink` not called, before the first [`Engine::submit`].
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
        let before = before::look(dir, &quarantine)?;
        let db = open::open(dir, options, before.skips_damage)?;
        let unusable = |error: io::Error| {
            let reason = format!("it cannot be marked as running: {error}");
            Error::Unusable { dir: dir.to_path_buf(), reason }
        };
        let mark = Mark::set(dir).map_err(unusable)?;
        let Found { mut recovered, unreadable } =
            recover::recover(&db, &quarantine, &options.progress)?;
        for name in unreadable {
            rebuild::rebuild(&db, options, name, &recovered)?;
        }
        recovered.unclean_stop =
            before.unclean.map(|unclean| UncleanStop { took: began.elapsed(), ..unclean });
        let end = AtomicU64::new(recovered.end.0);
        let store = Arc::new(Store { db: RwLock::new(db), end });
        let writer = Writer::new(Arc::clone(&store), recovered.end);
        let committer = Committer::start(writer, options.sync_interval, sink).map_err(|error| {
            Error::Unusable { dir: dir.to_path_buf(), reason: format!("no commit thread: {error}") }
        })?;
        let is_closed = AtomicBool::new(false);
        let rocks = Self { store, committer, is_closed, dir: dir.to_path_buf(), quarantine, mark };
        Ok((rocks, recovered))
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

    fn replay(&self, replay: &Replay) -> Result<Page, Error> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        replay::replay(&self.store, replay)
    }

    fn uncommitted_bytes(&self) -> usize {
        self.committer.uncommitted_bytes()
    }

    fn counters(&self) -> Counters {
        self.committer.counters()
    }

    fn damage(&self) -> Damage {
        self.quarantine.counts()
    }

    fn close(&self) -> Result<(), Error> {
        self.is_closed.store(true, Ordering::Release);
        self.committer.close()?;
        self.mark.clear().map_err(|error| Error::Poisoned { reason: error.to_string() })
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
    fn db(&self) -> RwLockReadGuard<'_, DB> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of what is committed.
    fn end(&self) -> Position {
        Position(self.end.load(Ordering::Acquire))
    }
}

/// What a failed read says.
pub(crate) fn unreadable(error: rocksdb::Error) -> Error {
    Error::Unreadable { reason: error.into_string() }
}
