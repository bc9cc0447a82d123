//! The instant at which something happened, as an argument.

/// What the clocks said when a turn began. The core reads no clock of its own, so a test or a
/// simulator decides what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds since some fixed start, never going back: for intervals.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970-01-01T00:00Z: for what must survive a restart.
    pub unix_ms: u64,
}

impl Now {
    /// Both clocks moved on by `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self { monotonic_ms: self.monotonic_ms + ms, unix_ms: self.unix_ms + ms }
    }
}
