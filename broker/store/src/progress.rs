//! How far opening a store has come, for whoever waits for it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Written by the thread that opens, read by any other.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    expected: AtomicU64,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing yet.
    #[default]
    Waiting,
    /// The database is opened; after an unclean end its last writes are repeated.
    Opening,
    /// Records of sessions are read.
    ReadingSessions,
    /// Retained messages are read.
    ReadingRetained,
    /// Sessions are put into their shards, their subscriptions into the router.
    Restoring,
    /// All is there.
    Done,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Opening,
        Self::ReadingSessions,
        Self::ReadingRetained,
        Self::Restoring,
        Self::Done,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Opening => "opening the database",
            Self::ReadingSessions => "reading sessions",
            Self::ReadingRetained => "reading retained messages",
            Self::Restoring => "restoring sessions",
            Self::Done => "done",
        }
    }
}

impl Progress {
    /// A phase begins, of about so many steps; 0: nobody knows.
    pub fn begin(&self, phase: Phase, expected: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.expected.store(expected, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// One more step of the phase is done.
    pub fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// What is being done.
    pub fn phase(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Acquire));
        Phase::ALL.get(phase).copied().unwrap_or_default()
    }

    /// Steps done in this phase.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// About how many there will be; 0: nobody knows.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed).max(self.done())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_begins_anew() {
        let progress = Progress::default();
        assert_eq!(progress.phase(), Phase::Waiting);
        for phase in Phase::ALL {
            progress.begin(phase, 2);
            assert_eq!((progress.phase(), progress.done(), progress.expected()), (phase, 0, 2));
            for _ in 0..3 {
                progress.step();
            }
            assert_eq!((progress.done(), progress.expected()), (3, 3), "an estimate may be low");
        }
    }
}
