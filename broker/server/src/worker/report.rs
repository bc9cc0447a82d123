//! What a worker has counted.

use std::ops::AddAssign;

use flotilla_core::{
    counters::Counters,
    histogram::{Histogram, Nanoseconds},
};

/// The sum over all workers is what the operations listener shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// What the core counted.
    pub(crate) core: Counters,
    /// TLS handshakes.
    pub(crate) handshakes: Handshakes,
    /// WebSockets.
    pub(crate) upgrades: Upgrades,
    /// From handing a batch to the engine to hearing that it is written.
    pub(crate) commits: Histogram<Nanoseconds>,
    /// Turns taken.
    pub(crate) turns: u64,
    /// Pages of the log that could not be read.
    pub(crate) unreadable_pages: u64,
}

/// TLS handshakes by outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handshakes {
    /// Done, new session or resumed.
    pub(crate) accepted: u64,
    /// The peer spoke something else, showed no valid certificate, or went away.
    pub(crate) failed: u64,
    /// Not done within `limits.connect_timeout`.
    pub(crate) timed_out: u64,
    /// How long those that were done took.
    pub(crate) durations: Histogram<Nanoseconds>,
}

/// WebSockets by outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Upgrades {
    /// Begun.
    pub(crate) accepted: u64,
    /// The request was none for MQTT here.
    pub(crate) refused: u64,
    /// No whole request within `limits.connect_timeout`.
    pub(crate) timed_out: u64,
    /// Ended because of a frame that must not be.
    pub(crate) violations: u64,
}

impl AddAssign<&Self> for Report {
    fn add_assign(&mut self, other: &Self) {
        self.core += &other.core;
        self.handshakes.accepted += other.handshakes.accepted;
        self.handshakes.failed += other.handshakes.failed;
        self.handshakes.timed_out += other.handshakes.timed_out;
        self.handshakes.durations += &other.handshakes.durations;
        self.upgrades.accepted += other.upgrades.accepted;
        self.upgrades.refused += other.upgrades.refused;
        self.upgrades.timed_out += other.upgrades.timed_out;
        self.upgrades.violations += other.upgrades.violations;
        self.commits += &other.commits;
        self.turns += other.turns;
        self.unreadable_pages += other.unreadable_pages;
    }
}
