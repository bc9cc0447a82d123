//! The two clocks, read together.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flotilla_core::time::Now;

/// Monotonic time counts from the start of the broker, for all workers alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at 0.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// What both clocks say.
    pub(crate) fn now(self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_ms: milliseconds(self.start.elapsed()), unix_ms: milliseconds(unix) }
    }

    /// When the monotonic clock will say so.
    pub(crate) fn at(self, monotonic_ms: u64) -> Instant {
        self.start + Duration::from_millis(monotonic_ms)
    }

    /// Since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.start.elapsed()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
