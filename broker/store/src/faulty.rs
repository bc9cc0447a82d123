//! An engine that fails when told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::{Batch, Page, Replay};

use crate::engine::{Cleaned, CommitSink, Counters, Engine, LogSize};
use crate::error::Error;

/// An engine around another one that fails when told: for tests and the simulator.
#[derive(Debug)]
pub struct Faulty<E> {
    inner: E,
    faults: Faults,
}

/// When a [`Faulty`] engine fails. Clones speak of the same engine.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    batches_until_poisoned: Option<u64>,
    failing_replay: Option<Error>,
    poisoned: Option<Error>,
}

impl Faults {
    /// None until told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports `batches` more batches, then poisons the engine. What comes after is lost to the
    /// broker, yet some of it may stand in the store: that is what a failed sync means.
    pub fn poison_after(&self, batches: u64) {
        self.lock().batches_until_poisoned = Some(batches);
    }

    /// Fails every replay from now on with `error`; `None`: no more.
    pub fn fail_replays(&self, error: Option<Error>) {
        self.lock().failing_replay = error;
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine> Faulty<E> {
    /// Puts itself between the engine that `open` makes and `sink`.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn new<R>(
        faults: Faults,
        sink: impl CommitSink,
        open: impl FnOnce(Between) -> Result<(E, R), Error>,
    ) -> Result<(Self, R), Error> {
        let (inner, rest) = open(Between { faults: faults.clone(), sink: Box::new(sink) })?;
        Ok((Self { inner, faults }, rest))
    }

    /// The engine within.
    pub fn inner(&self) -> &E {
        &self.inner
    }
}

impl<E: Engine> Engine for Faulty<E> {
    fn submit(&self, batch: Batch) {
        if self.faults.lock().poisoned.is_none() {
            self.inner.submit(batch);
        }
    }

    fn replay(&self, replays: &[Replay]) -> Vec<Result<Page, Error>> {
        let failing = self.faults.lock().failing_replay.clone();
        match failing {
            Some(error) => replays.iter().map(|_| Err(error.clone())).collect(),
            None => self.inner.replay(replays),
        }
    }

    fn uncommitted_bytes(&self) -> usize {
        self.inner.uncommitted_bytes()
    }

    fn log_size(&self) -> LogSize {
        self.inner.log_size()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn close(&self) -> Result<(), Error> {
        let closed = self.inner.close();
        let poisoned = self.faults.lock().poisoned.clone();
        poisoned.map_or(closed, Err)
    }
}

/// The sink a [`Faulty`] engine gives to the engine within.
pub struct Between {
    faults: Faults,
    sink: Box<dyn CommitSink>,
}

impl Between {
    fn is_poisoned(&self) -> bool {
        self.faults.lock().poisoned.is_some()
    }
}

impl CommitSink for Between {
    fn committed(&mut self, mut group: Vec<(Batch, Position)>, end: Position) {
        if self.is_poisoned() {
            return;
        }
        let left = self.faults.lock().batches_until_poisoned;
        let Some(left) = left else { return self.sink.committed(group, end) };
        let reported = usize::try_from(left).unwrap_or(usize::MAX).min(group.len());
        let is_fatal = reported < group.len();
        let end = group.get(reported).map_or(end, |(_, first)| *first);
        group.truncate(reported);
        self.faults.lock().batches_until_poisoned = Some(left - reported as u64);
        if !group.is_empty() {
            self.sink.committed(group, end);
        }
        if is_fatal {
            self.poisoned(Error::Poisoned { reason: "a fault was asked for".into() });
        }
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        if !self.is_poisoned() {
            self.sink.synced(up_to);
        }
    }

    fn refused(&mut self, batch: Batch) {
        if !self.is_poisoned() {
            self.sink.refused(batch);
        }
    }

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        if !self.is_poisoned() {
            self.sink.cleaned(outcome);
        }
    }

    fn poisoned(&mut self, error: Error) {
        if self.is_poisoned() {
            return;
        }
        self.faults.lock().poisoned = Some(error.clone());
        self.sink.poisoned(error);
    }
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Between").field("faults", &self.faults).finish_non_exhaustive()
    }
}
