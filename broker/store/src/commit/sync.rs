//! The sync thread: syncs what is written, when somebody waits for it.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Shared, Syncer, Unsynced, lock};
use crate::engine::CommitSink;

/// What the sync thread owns.
pub(super) struct SyncThread<Y, K> {
    pub(super) shared: Arc<Shared>,
    pub(super) syncer: Y,
    pub(super) sink: Arc<Mutex<K>>,
    pub(super) interval: Option<Duration>,
}

impl<Y: Syncer, K: CommitSink> SyncThread<Y, K> {
    pub(super) fn run(mut self) {
        while let Some(unsynced) = self.take() {
            let began = Instant::now();
            if let Err(error) = self.syncer.sync() {
                let mut queue = self.shared.lock();
                queue.unsynced.put_back(unsynced);
                queue.sync_failed = Some(error);
                drop(queue);
                self.shared.queued.notify_one();
                continue;
            }
            let took = began.elapsed();
            let mut queue = self.shared.lock();
            if queue.is_healing {
                // Nobody knows yet whether the storage that was synced has it.
                queue.unsynced.put_back(unsynced);
                continue;
            }
            queue.counters.syncs.add_duration(took);
            drop(queue);
            if !unsynced.waiting.is_empty() {
                lock(&self.sink).synced(&unsynced.waiting);
            }
        }
    }

    /// Waits until there is something to sync; `None`: never again.
    fn take(&mut self) -> Option<Unsynced> {
        let mut queue = self.shared.lock();
        loop {
            let mut left = None;
            if queue.sync_failed.is_some() || queue.is_healing {
                // The commit thread heals the storage, and says so; unless it has ended.
                if queue.is_done {
                    let error = queue.sync_failed.take();
                    queue.given_up = queue.given_up.take().or(error);
                    return None;
                }
            } else {
                left = match (self.interval, queue.unsynced.since) {
                    (Some(interval), Some(since)) => Some(interval.saturating_sub(since.elapsed())),
                    _ => None,
                };
                let is_due = !queue.unsynced.waiting.is_empty() || left == Some(Duration::ZERO);
                if is_due || queue.is_done && queue.unsynced.since.is_some() {
                    return Some(mem::take(&mut queue.unsynced));
                }
                if queue.is_done {
                    return None;
                }
            }
            let written = &self.shared.written;
            queue = match left {
                None => written.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    written.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
