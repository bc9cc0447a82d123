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

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::Batch;

use crate::engine::{CommitSink, Counters};
use crate::error::Error;

/// A group holds at most so many bytes, or one batch: it bounds how long the first batch of a group
/// waits for the last one.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A group holds at most so many batches.
const GROUP_BATCHES_MAX: usize = 8192;

/// Where the commit thread writes to.
pub(crate) trait Storage: Send + 'static {
    /// What the sync thread works with.
    type Syncer: Syncer;

    /// Adds a batch to the group that is being built; its appends begin at the position given back.
    /// `None`: refused, nothing was added.
    fn stage(&mut self, batch: &Batch) -> Result<Option<Position>, Error>;

    /// Writes the group, all of it or nothing, and makes it visible to replays. Gives back the
    /// position that the next append will get.
    fn commit(&mut self) -> Result<Position, Error>;

    /// The other side of the same storage.
    fn syncer(&self) -> Self::Syncer;
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
    state: Mutex<State>,
    /// For the commit thread: something was queued, or the queue was closed.
    queued: Condvar,
    /// For the sync thread: something was written that it must look at.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    uncommitted_bytes: usize,
    is_closed: bool,
    /// Nothing more will be written.
    is_done: bool,
    poisoned: Option<Error>,
    unsynced: Unsynced,
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
        let teller = Arc::new(Mutex::new(Teller { sink, is_over: false }));
        let sync = SyncThread {
            shared: Arc::clone(&shared),
            syncer: storage.syncer(),
            teller: Arc::clone(&teller),
            interval,
        };
        let commit =
            CommitThread { shared: Arc::clone(&shared), storage, teller, taken: VecDeque::new() };
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
        let mut state = self.shared.lock();
        if state.is_closed {
            return;
        }
        state.uncommitted_bytes += batch.bytes();
        state.batches.push_back(batch);
        drop(state);
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

    /// Commits what was submitted, syncs, ends the threads.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.shared.lock().is_closed = true;
        self.shared.queued.notify_one();
        self.shared.written.notify_one();
        for thread in self.threads().drain(..) {
            thread
                .join()
                .map_err(|_| Error::Poisoned { reason: "the commit sink panicked".into() })?;
        }
        self.shared.lock().poisoned.clone().map_or(Ok(()), Err)
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
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write or a sync failed.
    fn poison<K: CommitSink>(&self, error: Error, teller: &Mutex<Teller<K>>) {
        let mut teller = lock(teller);
        let mut state = self.lock();
        state.is_closed = true;
        state.is_done = true;
        state.poisoned.get_or_insert_with(|| error.clone());
        state.batches.clear();
        state.uncommitted_bytes = 0;
        drop(state);
        self.queued.notify_one();
        self.written.notify_one();
        if !mem::replace(&mut teller.is_over, true) {
            teller.sink.poisoned(error);
        }
    }
}

/// The sink, as both threads use it.
struct Teller<K> {
    sink: K,
    /// Nothing more may be told.
    is_over: bool,
}

fn lock<K>(teller: &Mutex<Teller<K>>) -> MutexGuard<'_, Teller<K>> {
    teller.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the commit thread owns.
struct CommitThread<S, K> {
    shared: Arc<Shared>,
    storage: S,
    teller: Arc<Mutex<Teller<K>>>,
    /// Taken off the queue, in order.
    taken: VecDeque<Batch>,
}

impl<S: Storage, K: CommitSink> CommitThread<S, K> {
    fn run(mut self) {
        while self.take() {
            if let Err(error) = self.commit() {
                return self.shared.poison(error, &self.teller);
            }
        }
        self.shared.lock().is_done = true;
        self.shared.written.notify_one();
    }

    /// Waits until there is something to commit; false: never again.
    fn take(&mut self) -> bool {
        let mut state = self.shared.lock();
        loop {
            if state.poisoned.is_some() {
                return false;
            }
            if self.taken.is_empty() {
                mem::swap(&mut state.batches, &mut self.taken);
            }
            if !self.taken.is_empty() {
                return true;
            }
            if state.is_closed {
                return false;
            }
            state = self.shared.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Commits one group of those taken, reports it, and then the batch refused behind it, if any.
    fn commit(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut refused = None;
        while let Some(batch) = self.taken.pop_front() {
            let batch_bytes = batch.bytes();
            let is_full = bytes + batch_bytes > GROUP_BYTES_MAX || group.len() == GROUP_BATCHES_MAX;
            if is_full && !group.is_empty() {
                self.taken.push_front(batch);
                break;
            }
            bytes += batch_bytes;
            match self.storage.stage(&batch)? {
                Some(first) => group.push((batch, first)),
                None => {
                    refused = Some(batch);
                    break;
                }
            }
        }
        let end = if group.is_empty() { None } else { Some(self.storage.commit()?) };
        // Whoever holds it reports: what is synced from here on is reported behind this group.
        let mut teller = lock(&self.teller);
        self.count(&group, bytes, refused.is_some(), began);
        if teller.is_over {
            return Ok(());
        }
        if let Some(end) = end {
            teller.sink.committed(group, end);
        }
        if let Some(batch) = refused {
            teller.sink.refused(batch);
        }
        Ok(())
    }

    fn count(&self, group: &[(Batch, Position)], bytes: usize, refused: bool, began: Instant) {
        let mut state = self.shared.lock();
        let State { uncommitted_bytes, unsynced, counters, .. } = &mut *state;
        *uncommitted_bytes = uncommitted_bytes.saturating_sub(bytes);
        counters.refused += u64::from(refused);
        if group.is_empty() {
            return;
        }
        let (mut messages, mut message_bytes) = (0, 0);
        for (batch, _) in group {
            messages += batch.appends.len() as u64;
            message_bytes += batch.message_bytes() as u64;
            if batch.needs_sync {
                unsynced.wait(batch.shard, batch.ticket);
            }
        }
        counters.commits += 1;
        counters.batches += group.len() as u64;
        counters.messages += messages;
        counters.message_bytes += message_bytes;
        counters.commit_messages.add(messages);
        counters.commit_bytes.add(message_bytes);
        counters.commit_ns += u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let is_first = unsynced.since.is_none();
        unsynced.since.get_or_insert(began);
        let must_look = is_first || !unsynced.waiting.is_empty();
        drop(state);
        if must_look {
            self.shared.written.notify_one();
        }
    }
}

impl Unsynced {
    fn wait(&mut self, shard: ShardId, ticket: Ticket) {
        match self.waiting.iter_mut().find(|(waiting, _)| *waiting == shard) {
            Some((_, last)) => *last = ticket,
            None => self.waiting.push((shard, ticket)),
        }
    }
}

/// What the sync thread owns.
struct SyncThread<Y, K> {
    shared: Arc<Shared>,
    syncer: Y,
    teller: Arc<Mutex<Teller<K>>>,
    interval: Option<Duration>,
}

impl<Y: Syncer, K: CommitSink> SyncThread<Y, K> {
    fn run(mut self) {
        while let Some(waiting) = self.take() {
            let began = Instant::now();
            if let Err(error) = self.syncer.sync() {
                return self.shared.poison(error, &self.teller);
            }
            let took = began.elapsed();
            self.shared.lock().counters.syncs.add_duration(took);
            let mut teller = lock(&self.teller);
            if !waiting.is_empty() && !teller.is_over {
                teller.sink.synced(&waiting);
            }
        }
    }

    /// Waits until there is something to sync. Whom to tell; `None`: never again.
    fn take(&mut self) -> Option<Vec<(ShardId, Ticket)>> {
        let mut state = self.shared.lock();
        loop {
            if state.poisoned.is_some() {
                return None;
            }
            let left = match (self.interval, state.unsynced.since) {
                (Some(interval), Some(since)) => Some(interval.saturating_sub(since.elapsed())),
                _ => None,
            };
            let is_due = !state.unsynced.waiting.is_empty() || left == Some(Duration::ZERO);
            if is_due || state.is_done && state.unsynced.since.is_some() {
                return Some(mem::take(&mut state.unsynced).waiting);
            }
            if state.is_done {
                return None;
            }
            let written = &self.shared.written;
            state = match left {
                None => written.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests;
