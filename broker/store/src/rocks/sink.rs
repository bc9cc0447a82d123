//! A sink that several threads tell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::Batch;

use crate::engine::{Cleaned, CommitSink};
use crate::error::Error;
use crate::state::State;

/// One sink, told by one thread at a time.
pub(super) struct SharedSink<K>(Arc<Mutex<K>>);

impl<K: CommitSink> SharedSink<K> {
    pub(super) fn new(sink: K) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    fn lock(&self) -> MutexGuard<'_, K> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for SharedSink<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: CommitSink> CommitSink for SharedSink<K> {
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position) {
        self.lock().committed(group, end);
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        self.lock().synced(up_to);
    }

    fn refused(&mut self, batch: Batch) {
        self.lock().refused(batch);
    }

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        self.lock().cleaned(outcome);
    }

    fn state_changed(&mut self, state: &State) {
        self.lock().state_changed(state);
    }
}
