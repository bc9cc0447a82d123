//! Where all clients of a test look: is there a broker, what is to be done now.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Clock, Serial};
use crate::{Broker, Endpoint, Transport};

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Whatever they like, while the broker comes and goes.
    Rounds,
    /// Those who subscribe bring that to an end; the broker stays from now on.
    Settling,
    /// Those who publish bring that to an end.
    Closing,
    /// Those who subscribe take in what is left.
    Draining,
    /// They leave at once.
    Over,
}

const PHASES: [Phase; 5] =
    [Phase::Rounds, Phase::Settling, Phase::Closing, Phase::Draining, Phase::Over];

/// Shared by all clients of a test.
#[derive(Debug)]
pub struct Stage {
    /// Gives events their time.
    pub clock: Clock,
    /// How long a client waits for an answer from a broker that is there.
    pub patience: Duration,
    broker: Mutex<Option<[Endpoint; 2]>>,
    phase: AtomicU8,
    round: AtomicU64,
    era: AtomicU64,
    settled: AtomicUsize,
    has_failed: AtomicBool,
    finals: Mutex<Vec<(Arc<str>, Serial)>>,
}

impl Stage {
    /// Without a broker, in the first phase.
    pub fn new(patience: Duration) -> Self {
        Self {
            clock: Clock::default(),
            patience,
            broker: Mutex::new(None),
            phase: AtomicU8::new(0),
            round: AtomicU64::new(0),
            era: AtomicU64::new(0),
            settled: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
            finals: Mutex::new(Vec::new()),
        }
    }

    /// The broker is there.
    pub fn offer(&self, broker: &Broker) {
        let endpoints = [Transport::Tcp, Transport::Tls].map(|it| broker.endpoint(it));
        *locked(&self.broker) = Some(endpoints);
    }

    /// The broker is about to go: nobody connects any more.
    pub fn withdraw(&self) {
        *locked(&self.broker) = None;
    }

    /// Where the broker listens, while there is one.
    pub fn endpoint(&self, transport: Transport) -> Option<Endpoint> {
        let at = usize::from(transport == Transport::Tls);
        locked(&self.broker).as_ref().map(|endpoints| endpoints[at].clone())
    }

    /// What is to be done.
    pub fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::SeqCst))]
    }

    /// What is to be done from now on.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
    }

    /// How often the broker was there again.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::SeqCst)
    }

    /// The broker is there again; whether it may have lost what was not synced.
    pub fn next_round(&self, loses: bool) {
        self.round.fetch_add(1, Ordering::SeqCst);
        self.era.fetch_add(u64::from(loses), Ordering::SeqCst);
    }

    /// How often the broker may have lost something that it had acknowledged.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    /// One client more has no SUBSCRIBE or UNSUBSCRIBE under way, and will send none.
    pub fn settle(&self) {
        self.settled.fetch_add(1, Ordering::SeqCst);
    }

    /// The last message of a topic.
    pub fn finish(&self, topic: &Arc<str>, last: Serial) {
        locked(&self.finals).push((Arc::clone(topic), last));
    }

    /// The last messages of all topics.
    pub fn finals(&self) -> Vec<(Arc<str>, Serial)> {
        locked(&self.finals).clone()
    }

    /// Waits until so many clients have settled.
    ///
    /// # Panics
    /// When one has failed, or they have not at the deadline.
    pub fn await_settled(&self, number: usize, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let settled = self.settled.load(Ordering::SeqCst);
            if settled >= number {
                return;
            }
            self.assert_nobody_failed();
            assert!(Instant::now() < until, "{settled} of {number} subscribers have settled");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the clients do their work for so long.
    ///
    /// # Panics
    /// When one has failed.
    pub fn watch(&self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.assert_nobody_failed();
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    fn assert_nobody_failed(&self) {
        assert!(!self.has_failed.load(Ordering::SeqCst), "a client has failed, see above");
    }

    /// Ends the whole test when whoever holds this panics.
    pub fn alarm(&self) -> Alarm<'_> {
        Alarm(self)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics holding it")
}

/// Dropped in a panic, it ends the test.
#[derive(Debug)]
pub struct Alarm<'a>(&'a Stage);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_failed.store(true, Ordering::SeqCst);
            self.0.set_phase(Phase::Over);
        }
    }
}
