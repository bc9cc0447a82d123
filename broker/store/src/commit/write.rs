//! The commit thread: writes groups, heals the storage.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flotilla_core::id::Position;
use flotilla_core::turn::Batch;

use super::{Queue, Shared, Storage, lock};
use crate::engine::CommitSink;
use crate::error::Error;
use crate::state::State;

/// A group holds at most so many bytes, or one batch: it bounds how long the first batch of a group
/// waits for the last one.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A group holds at most so many batches.
pub(super) const GROUP_BATCHES_MAX: usize = 8192;
/// How often it is looked whether the disk has room, and whether a storage that fails works again…
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// …and after so many bytes of messages.
const LOOKS_AFTER_BYTES: usize = 1024 * 1024;

/// What the commit thread owns.
pub(super) struct CommitThread<S, K> {
    shared: Arc<Shared>,
    storage: S,
    sink: Arc<Mutex<K>>,
    /// Taken off the queue, in order.
    taken: VecDeque<Batch>,
    /// The batches that were staged, each with its first position.
    group: Vec<(Batch, Position)>,
    /// Whether the disk has less than its reserve left.
    is_full: bool,
    /// When that was looked at last; `None`: it was not.
    looked: Option<Instant>,
    written_since: usize,
    /// Why the storage fails; `None`: it does not.
    fault: Option<Error>,
    /// When it was last opened anew.
    healed: Option<Instant>,
}

/// What to do next.
enum Step {
    Commit,
    Heal(Error),
    Look,
    End,
}

impl<S: Storage, K: CommitSink> CommitThread<S, K> {
    pub(super) fn new(shared: Arc<Shared>, storage: S, sink: Arc<Mutex<K>>) -> Self {
        Self {
            shared,
            storage,
            sink,
            taken: VecDeque::new(),
            group: Vec::new(),
            is_full: false,
            looked: None,
            written_since: 0,
            fault: None,
            healed: None,
        }
    }

    pub(super) fn run(mut self) {
        let outcome = loop {
            self.look_in_time();
            let healed = match self.next_step() {
                Step::Commit => match self.commit() {
                    Ok(()) => Ok(()),
                    Err(error) => self.heal(error),
                },
                Step::Heal(error) => self.heal(error),
                Step::Look => Ok(()),
                Step::End => break Ok(()),
            };
            if healed.is_err() {
                break healed;
            }
        };
        let mut queue = self.shared.lock();
        queue.is_done = true;
        if let Err(error) = outcome {
            queue.given_up = Some(error);
            queue.batches.clear();
            queue.uncommitted_bytes = 0;
        }
        drop(queue);
        self.shared.written.notify_one();
    }

    /// Waits until there is something to do.
    fn next_step(&mut self) -> Step {
        let mut queue = self.shared.lock();
        loop {
            if let Some(error) = &queue.sync_failed {
                return Step::Heal(error.clone());
            }
            if self.taken.is_empty() {
                mem::swap(&mut queue.batches, &mut self.taken);
            }
            if !self.taken.is_empty() {
                return Step::Commit;
            }
            if queue.is_closed {
                return Step::End;
            }
            let looked = self.looked.map_or(Duration::MAX, |looked| looked.elapsed());
            let left = LOOKS_EVERY.saturating_sub(looked);
            if left.is_zero() {
                return Step::Look;
            }
            let waited = self.shared.queued.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Commits one group of those taken, reports it, and then the batch refused behind it, if any.
    fn commit(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let mut bytes = 0;
        let mut refused = None;
        while let Some(batch) = self.taken.pop_front() {
            let batch_bytes = batch.bytes();
            let is_full =
                bytes + batch_bytes > GROUP_BYTES_MAX || self.group.len() == GROUP_BATCHES_MAX;
            if is_full && !self.group.is_empty() {
                self.taken.push_front(batch);
                break;
            }
            bytes += batch_bytes;
            match self.storage.stage(&batch) {
                Ok(Some(first)) => self.group.push((batch, first)),
                Ok(None) => {
                    refused = Some(batch);
                    break;
                }
                Err(error) => {
                    self.taken.push_front(batch);
                    return Err(error);
                }
            }
        }
        if !self.group.is_empty() {
            match self.storage.commit() {
                Ok(end) => self.report(end, began),
                Err(error) => {
                    if let Some(refused) = refused {
                        self.taken.push_front(refused);
                    }
                    return Err(error);
                }
            }
        }
        if let Some(batch) = refused {
            let mut queue = self.shared.lock();
            queue.uncommitted_bytes -= batch.bytes();
            queue.counters.refused += 1;
            drop(queue);
            lock(&self.sink).refused(batch);
        }
        Ok(())
    }

    /// The group is written.
    fn report(&mut self, end: Position, began: Instant) {
        let group = mem::take(&mut self.group);
        // Whoever holds it reports: what is synced from here on is reported behind this group.
        let mut sink = lock(&self.sink);
        let mut queue = self.shared.lock();
        let bytes = count(&mut queue, &group, began);
        let must_look = queue.unsynced.since.is_none() || !queue.unsynced.waiting.is_empty();
        queue.unsynced.since.get_or_insert(began);
        drop(queue);
        if must_look {
            self.shared.written.notify_one();
        }
        self.written_since += bytes;
        sink.committed(group, end);
    }

    /// Opens the storage anew, again and again, until what failed is in it.
    ///
    /// # Errors
    /// When the engine is closed first.
    fn heal(&mut self, error: Error) -> Result<(), Error> {
        let mut is_first = self.healed.is_none_or(|healed| healed.elapsed() >= LOOKS_EVERY);
        self.shared.lock().is_healing = true;
        self.fail(error);
        loop {
            let is_closing =
                if is_first { self.shared.lock().is_closed } else { self.wait_to_retry() };
            is_first = false;
            self.look();
            if self.is_full && !is_closing {
                continue;
            }
            let Err(error) = self.try_to_heal() else { break };
            self.fail(error.clone());
            if is_closing {
                return Err(error);
            }
        }
        let mut queue = self.shared.lock();
        queue.is_healing = false;
        queue.sync_failed = None;
        drop(queue);
        self.shared.written.notify_one();
        self.fault = None;
        self.healed = Some(Instant::now());
        self.tell_state();
        Ok(())
    }

    fn try_to_heal(&mut self) -> Result<(), Error> {
        // What is damaged is so after opening it again.
        if let Some(damage) = self.fault.as_ref().filter(|fault| fault.is_damage()) {
            return Err(damage.clone());
        }
        match self.storage.heal()? {
            Some(end) => self.report(end, Instant::now()),
            None => {
                for (batch, _) in self.group.drain(..).rev() {
                    self.taken.push_front(batch);
                }
            }
        }
        // It works when what failed is written.
        if self.taken.is_empty() { Ok(()) } else { self.commit() }
    }

    /// Waits until it is time to try again; true: the engine is being closed.
    fn wait_to_retry(&self) -> bool {
        let began = Instant::now();
        let mut queue = self.shared.lock();
        loop {
            let left = LOOKS_EVERY.saturating_sub(began.elapsed());
            if queue.is_closed || left.is_zero() {
                return queue.is_closed;
            }
            let waited = self.shared.queued.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn fail(&mut self, error: Error) {
        self.fault = Some(error);
        self.tell_state();
    }

    fn look_in_time(&mut self) {
        let is_time = self.looked.is_none_or(|looked| looked.elapsed() >= LOOKS_EVERY);
        if is_time || self.written_since >= LOOKS_AFTER_BYTES {
            self.look();
        }
    }

    /// Looks whether the disk has room.
    fn look(&mut self) {
        self.looked = Some(Instant::now());
        self.written_since = 0;
        if let Some(space) = self.storage.space() {
            self.is_full = space.is_full(self.is_full);
        }
        self.tell_state();
    }

    fn tell_state(&self) {
        let state = match (&self.fault, self.storage.space()) {
            (Some(fault), _) => State::Failing { reason: fault.to_string(), is_full: self.is_full },
            (None, Some(space)) if self.is_full => {
                State::Full { free_bytes: space.free_bytes, reserve_bytes: space.reserve_bytes }
            }
            (None, _) => State::Healthy,
        };
        let mut queue = self.shared.lock();
        let is_news = !state.is_as(&queue.state);
        queue.state = state.clone();
        drop(queue);
        if is_news {
            lock(&self.sink).state_changed(&state);
        }
    }
}

/// What was written counts no more as waiting, and its syncs are asked for. Bytes of its messages.
fn count(queue: &mut Queue, group: &[(Batch, Position)], began: Instant) -> usize {
    let (mut messages, mut message_bytes) = (0, 0);
    for (batch, _) in group {
        queue.uncommitted_bytes -= batch.bytes();
        messages += batch.appends.len() as u64;
        message_bytes += batch.message_bytes();
        if batch.needs_sync {
            queue.unsynced.wait(batch.shard, batch.ticket);
        }
    }
    let counters = &mut queue.counters;
    counters.commits += 1;
    counters.batches += group.len() as u64;
    counters.messages += messages;
    counters.message_bytes += message_bytes as u64;
    counters.commit_messages.add(messages);
    counters.commit_bytes.add(message_bytes as u64);
    counters.commit_ns += u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    message_bytes
}
