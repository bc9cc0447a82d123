//! A sink that several threads tell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::Batch;

use crate::engine::{Cleaned, CommitSink};
use crate::error::Error;

/// One sink, told by one thread at a time.
pub(super) struct SharedSink<K>(Arc<Mutex<Told<K>>>);

struct Told<K> {
    sink: K,
    /// Nothing more may be told.
    is_over: bool,
}

impl<K: CommitSink> SharedSink<K> {
    pub(super) fn new(sink: K) -> Self {
        Self(Arc::new(Mutex::new(Told { sink, is_over: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Told<K>> {
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
        self.lock().sink.committed(group, end);
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        self.lock().sink.synced(up_to);
    }

    fn refused(&mut self, batch: Batch) {
        self.lock().sink.refused(batch);
    }

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        let mut told = self.lock();
        if !told.is_over {
            told.sink.cleaned(outcome);
        }
    }

    fn poisoned(&mut self, error: Error) {
        let mut told = self.lock();
        told.is_over = true;
        told.sink.poisoned(error);
    }
}
