//! An engine that fails when told.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_core::id::{Position, ShardId, Ticket};
use flotilla_core::turn::{Batch, Page, Replay};

use crate::engine::{Cleaned, CommitSink, Counters, Engine, LogSize, MemoryUse};
use crate::error::Error;
use crate::state::State;

/// An engine around another one that fails when told: for tests and the simulator.
#[derive(Debug)]
pub struct Faulty<E> {
    inner: E,
    faults: Faults,
}

/// When a [`Faulty`] engine fails. Clones speak of the same engine.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    sink: Option<Box<dyn CommitSink>>,
    batches_until_failing: Option<u64>,
    failing_replay: Option<Error>,
    state: State,
    /// What the engine within has reported since it fails.
    held: Vec<Report>,
    held_bytes: usize,
}

enum Report {
    Committed(Vec<(Batch, Position)>, Position),
    Synced(Vec<(ShardId, Ticket)>),
    Refused(Batch),
}

impl Faults {
    /// None until told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports `batches` more batches, then fails until [`Faults::heal`]. Some of what comes after
    /// may stand in the store: that is what a failed sync means.
    pub fn fail_after(&self, batches: u64) {
        self.lock().batches_until_failing = Some(batches);
    }

    /// Fails no more: everything that was held back is reported.
    pub fn heal(&self) {
        let mut plan = self.lock();
        plan.batches_until_failing = None;
        plan.state = State::Healthy;
        plan.held_bytes = 0;
        for report in mem::take(&mut plan.held) {
            plan.tell(report);
        }
        plan.tell_state();
    }

    /// Fails every replay from now on with `error`; `None`: no more.
    pub fn fail_replays(&self, error: Option<Error>) {
        self.lock().failing_replay = error;
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn report(&mut self, report: Report) {
        if self.state != State::Healthy {
            self.hold(report);
            return;
        }
        let (left, mut group, end) = match (self.batches_until_failing, report) {
            (Some(left), Report::Committed(group, end)) => (left, group, end),
            (_, report) => return self.tell(report),
        };
        let reported = usize::try_from(left).unwrap_or(usize::MAX).min(group.len());
        self.batches_until_failing = Some(left - reported as u64);
        let held = group.split_off(reported);
        let until = held.first().map_or(end, |(_, first)| *first);
        if !group.is_empty() {
            self.tell(Report::Committed(group, until));
        }
        if !held.is_empty() {
            let error = Error::Unwritable { reason: "a fault was asked for".into() };
            self.state = State::Failing { reason: error.to_string(), is_full: false };
            self.tell_state();
            self.hold(Report::Committed(held, end));
        }
    }

    fn hold(&mut self, report: Report) {
        self.held_bytes += match &report {
            Report::Committed(group, _) => group.iter().map(|(batch, _)| batch.bytes()).sum(),
            Report::Synced(_) => 0,
            Report::Refused(batch) => batch.bytes(),
        };
        self.held.push(report);
    }

    fn tell(&mut self, report: Report) {
        let Some(sink) = &mut self.sink else { return };
        match report {
            Report::Committed(group, end) => sink.committed(group, end),
            Report::Synced(up_to) => sink.synced(&up_to),
            Report::Refused(batch) => sink.refused(batch),
        }
    }

    fn tell_state(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.state_changed(&self.state);
        }
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
        faults.lock().sink = Some(Box::new(sink));
        let (inner, rest) = open(Between { faults: faults.clone() })?;
        Ok((Self { inner, faults }, rest))
    }

    /// The engine within.
    pub fn inner(&self) -> &E {
        &self.inner
    }
}

impl<E: Engine> Engine for Faulty<E> {
    fn submit(&self, batch: Batch) {
        self.inner.submit(batch);
    }

    fn replay(&self, replays: &[Replay]) -> Vec<Result<Page, Error>> {
        let failing = self.faults.lock().failing_replay.clone();
        match failing {
            Some(error) => replays.iter().map(|_| Err(error.clone())).collect(),
            None => self.inner.replay(replays),
        }
    }

    fn uncommitted_bytes(&self) -> usize {
        self.inner.uncommitted_bytes() + self.faults.lock().held_bytes
    }

    fn state(&self) -> State {
        self.faults.lock().state.clone()
    }

    fn log_size(&self) -> LogSize {
        self.inner.log_size()
    }

    fn memory(&self) -> MemoryUse {
        self.inner.memory()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn close(&self) -> Result<(), Error> {
        let closed = self.inner.close();
        match self.state() {
            State::Failing { reason, .. } => Err(Error::Unwritable { reason }),
            State::Healthy | State::Full { .. } => closed,
        }
    }
}

/// The sink a [`Faulty`] engine gives to the engine within.
#[derive(Debug)]
pub struct Between {
    faults: Faults,
}

impl CommitSink for Between {
    fn committed(&mut self, group: Vec<(Batch, Position)>, end: Position) {
        self.faults.lock().report(Report::Committed(group, end));
    }

    fn synced(&mut self, up_to: &[(ShardId, Ticket)]) {
        self.faults.lock().report(Report::Synced(up_to.to_vec()));
    }

    fn refused(&mut self, batch: Batch) {
        self.faults.lock().report(Report::Refused(batch));
    }

    fn cleaned(&mut self, outcome: Result<Cleaned, Error>) {
        if let Some(sink) = &mut self.faults.lock().sink {
            sink.cleaned(outcome);
        }
    }

    fn state_changed(&mut self, state: &State) {
        let mut plan = self.faults.lock();
        if plan.state == State::Healthy
            && let Some(sink) = &mut plan.sink
        {
            sink.state_changed(state);
        }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        // Nothing can be reported any more; whoever listens hears that.
        self.faults.lock().sink = None;
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("state", &self.lock().state).finish_non_exhaustive()
    }
}
