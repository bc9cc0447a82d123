//! The commit thread: group commit over a [`Storage`].

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flotilla_core::id::Position;
use flotilla_core::turn::Batch;

use crate::engine::{CommitSink, Counters};
use crate::error::Error;

/// A group holds at most so many bytes, or one batch: it bounds how long the first batch of a group
/// waits for the last one.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A group holds at most so many batches.
const GROUP_BATCHES_MAX: usize = 8192;

/// When commits are forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before each group is reported committed: survives a power cut.
    #[default]
    Always,
    /// At this interval, and when the engine is closed. Groups are reported once they are written:
    /// that survives the end of the process; a power cut takes at most this much.
    Every(Duration),
    /// When the operating system likes, and when the engine is closed. Groups are reported once
    /// they are written: that survives the end of the process.
    Never,
}

/// Where the commit thread writes to.
pub(crate) trait Storage: Send + 'static {
    /// Adds a batch to the group that is being built; its appends begin at the position given back.
    /// `None`: refused, nothing was added.
    fn stage(&mut self, batch: &Batch) -> Result<Option<Position>, Error>;

    /// Writes the group, all of it or nothing, and makes it visible to replays. Gives back the
    /// position that the next append will get.
    fn commit(&mut self, sync: bool) -> Result<Position, Error>;

    /// Forces all that was written to the disk.
    fn sync(&mut self) -> Result<(), Error>;
}

/// The queue to the commit thread.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something was queued, or the queue was closed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    uncommitted_bytes: usize,
    is_closed: bool,
    poisoned: Option<Error>,
    counters: Counters,
}

impl Committer {
    /// Starts the thread.
    pub(crate) fn start(
        storage: impl Storage,
        sync: Sync,
        sink: impl CommitSink,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            shared: Arc::clone(&shared),
            storage,
            sink,
            sync,
            taken: VecDeque::new(),
            unsynced_since: None,
        };
        let thread =
            thread::Builder::new().name("store-commit".into()).spawn(move || worker.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
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
        self.shared.changed.notify_one();
    }

    /// See [`Engine::uncommitted_bytes`](crate::Engine::uncommitted_bytes).
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.shared.lock().uncommitted_bytes
    }

    /// See [`Engine::counters`](crate::Engine::counters).
    pub(crate) fn counters(&self) -> Counters {
        self.shared.lock().counters
    }

    /// Commits what was submitted, syncs, ends the thread.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_one();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            thread
                .join()
                .map_err(|_| Error::Poisoned { reason: "the commit sink panicked".into() })?;
        }
        self.shared.lock().poisoned.clone().map_or(Ok(()), Err)
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
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread owns.
struct Worker<S, K> {
    shared: Arc<Shared>,
    storage: S,
    sink: K,
    sync: Sync,
    /// Taken off the queue, in order.
    taken: VecDeque<Batch>,
    /// When the oldest write that was not forced to the disk was made.
    unsynced_since: Option<Instant>,
}

/// What to do next.
enum Step {
    Commit,
    Sync,
    End,
}

impl<S: Storage, K: CommitSink> Worker<S, K> {
    fn run(mut self) {
        let outcome = loop {
            let done = match self.next_step() {
                Step::Commit => self.commit(),
                Step::Sync => self.force(),
                Step::End => break self.force(),
            };
            if done.is_err() {
                break done;
            }
        };
        if let Err(error) = outcome {
            let mut queue = self.shared.lock();
            queue.is_closed = true;
            queue.poisoned = Some(error.clone());
            queue.batches.clear();
            queue.uncommitted_bytes = 0;
            drop(queue);
            self.sink.poisoned(error);
        }
    }

    /// Waits until there is something to do.
    fn next_step(&mut self) -> Step {
        if !self.taken.is_empty() {
            return if self.left_until_sync() == Some(Duration::ZERO) {
                Step::Sync
            } else {
                Step::Commit
            };
        }
        let mut queue = self.shared.lock();
        loop {
            let left = self.left_until_sync();
            if left == Some(Duration::ZERO) {
                return Step::Sync;
            }
            if !queue.batches.is_empty() {
                mem::swap(&mut queue.batches, &mut self.taken);
                return Step::Commit;
            }
            if queue.is_closed {
                return Step::End;
            }
            let changed = &self.shared.changed;
            queue = match left {
                None => changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// How long a write may still stay unsynced; `None`: for ever.
    fn left_until_sync(&self) -> Option<Duration> {
        match (self.sync, self.unsynced_since) {
            (Sync::Every(interval), Some(since)) => Some(interval.saturating_sub(since.elapsed())),
            _ => None,
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
        let end = if group.is_empty() { None } else { Some(self.write()?) };
        self.count(&group, bytes, refused.is_some(), began.elapsed());
        if let Some(end) = end {
            self.sink.committed(group, end);
        }
        if let Some(batch) = refused {
            self.sink.refused(batch);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<Position, Error> {
        let end = self.storage.commit(self.sync == Sync::Always)?;
        if self.sync != Sync::Always {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        Ok(end)
    }

    fn force(&mut self) -> Result<(), Error> {
        if self.unsynced_since.take().is_some() {
            self.storage.sync()?;
        }
        Ok(())
    }

    fn count(&self, group: &[(Batch, Position)], bytes: usize, refused: bool, took: Duration) {
        let mut queue = self.shared.lock();
        queue.uncommitted_bytes -= bytes;
        let counters = &mut queue.counters;
        counters.refused += u64::from(refused);
        if group.is_empty() {
            return;
        }
        counters.commits += 1;
        counters.batches += group.len() as u64;
        for (batch, _) in group {
            counters.messages += batch.appends.len() as u64;
            counters.message_bytes += batch.message_bytes() as u64;
        }
        counters.commit_ns += u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests;
