//! Group commit over a [`Storage`], in two stages: written, then synced.
//!
//! ```text
//! submit ─▶ queue ─▶ commit thread: write a group ─▶ committed
//!                          │ somebody waits for a sync, or the interval is over
//!                          ▼
//!                    sync thread: sync what is written ─▶ synced
//! ```
//!
//! While one group is synced the next ones are written, so that nobody waits for a sync who did not
//! ask for it, and one sync serves all that was written until it began.
//!
//! When either fails, nothing more is reported. The commit thread opens the storage anew, looks
//! whether the group that failed is in it, writes it again if not, and goes on.

mod sync;
mod write;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::Batch;

use crate::engine::{CommitSink, Counters};
use crate::error::Error;
use crate::state::{Space, State};
use sync::SyncThread;
use write::CommitThread;

/// Where the commit thread writes to.
pub(crate) trait Storage: Send + 'static {
    /// What the sync thread works with.
    type Syncer: Syncer;

    /// Adds a batch to the group that is being built; its appends begin at the position given back.
    /// `None`: refused, nothing was added.
    fn stage(&mut self, batch: &Batch) -> Result<Option<Position>, Error>;

    /// Writes the group, all of it or nothing, and makes it visible to replays. Gives back the
    /// position that the next append will get. After an error it is not known which of the two it
    /// was.
    fn commit(&mut self) -> Result<Position, Error>;

    /// Opens the storage anew after one of the others, or a sync, failed. When this succeeds, all
    /// that is in it is as if it had been synced, whatever syncs said before. A position: the group
    /// that failed to commit is in it, and the next append will get this position. `None`: nothing
    /// of what was staged is.
    fn heal(&mut self) -> Result<Option<Position>, Error>;

    /// The other side of the same storage.
    fn syncer(&self) -> Self::Syncer;

    /// Room on the disk; `None`: it cannot be told.
    fn space(&self) -> Option<Space>;
}

/// What the sync thread syncs with, while the commit thread writes.
pub(crate) trait Syncer: Send + 'static {
    /// Forces all that was written before the call to the disk.
    fn sync(&mut self) -> Result<(), Error>;
}

/// The queue to the commit thread, with both threads.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// For the commit thread: something was queued, the queue was closed, or a sync failed.
    queued: Condvar,
    /// For the sync thread: something was written that it must look at, or the storage was healed.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    uncommitted_bytes: usize,
    is_closed: bool,
    /// Nothing more will be written.
    is_done: bool,
    /// Why something was given up.
    given_up: Option<Error>,
    /// The last sync failed: nothing must be synced until the storage was healed.
    sync_failed: Option<Error>,
    /// The storage is being opened anew: no sync may begin.
    is_healing: bool,
    unsynced: Unsynced,
    state: State,
    counters: Counters,
}

/// What was written and not synced.
#[derive(Debug, Default)]
struct Unsynced {
    /// When the oldest write was made; `None`: there is none.
    since: Option<Instant>,
    /// Who waits for it: of each shard the last batch that asks for it.
    waiting: Vec<(ShardId, Ticket)>,
}

impl Committer {
    /// Starts the threads. `interval`: what nobody waits for is synced at least so often; `None`:
    /// when the operating system likes, and when the engine is closed.
    pub(crate) fn start<S: Storage>(
        storage: S,
        interval: Option<Duration>,
        sink: impl CommitSink,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let sink = Arc::new(Mutex::new(sink));
        let sync = SyncThread {
            shared: Arc::clone(&shared),
            syncer: storage.syncer(),
            sink: Arc::clone(&sink),
            interval,
        };
        let commit = CommitThread::new(Arc::clone(&shared), storage, sink);
        let spawn = |name: &str| thread::Builder::new().name(name.into());
        // Made first, so that it also ends when there is no thread for the other.
        let this = Self { shared, threads: Mutex::default() };
        this.threads().push(spawn("store-sync").spawn(move || sync.run())?);
        match spawn("store-commit").spawn(move || commit.run()) {
            Ok(thread) => this.threads().push(thread),
            Err(error) => {
                this.shared.lock().is_done = true;
                return Err(error);
            }
        }
        Ok(this)
    }

    /// See [`Engine::submit`](crate::Engine::submit).
    pub(crate) fn submit(&self, batch: Batch) {
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return;
        }
        queue.uncommitted_bytes += batch.bytes();
        queue.batches.push_back(batch);
        drop(queue);
        self.shared.queued.notify_one();
    }

    /// See [`Engine::uncommitted_bytes`](crate::Engine::uncommitted_bytes).
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.shared.lock().uncommitted_bytes
    }

    /// See [`Engine::counters`](crate::Engine::counters).
    pub(crate) fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// See [`Engine::state`](crate::Engine::state).
    pub(crate) fn state(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// Commits what was submitted, syncs, ends the threads.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.shared.lock().is_closed = true;
        self.shared.queued.notify_one();
        self.shared.written.notify_one();
        for thread in self.threads().drain(..) {
            thread
                .join()
                .map_err(|_| Error::Unwritable { reason: "the commit sink panicked".into() })?;
        }
        self.shared.lock().given_up.clone().map_or(Ok(()), Err)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Whoever wants to know the outcome closes before.
        let _ = self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Unsynced {
    /// Another batch asks for a sync.
    fn wait(&mut self, shard: ShardId, ticket: Ticket) {
        match self.waiting.iter_mut().find(|(waiting, _)| *waiting == shard) {
            Some((_, last)) => *last = ticket.max(*last),
            None => self.waiting.push((shard, ticket)),
        }
    }

    /// What was taken to be synced could not be.
    fn put_back(&mut self, earlier: Self) {
        self.since = earlier.since.or(self.since);
        for (shard, ticket) in earlier.waiting {
            self.wait(shard, ticket);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
