//! How the run goes: on a line of standard error while a person looks, over time for later.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::{desk::Desk, report::Latency, timeline::Timeline};

/// How often the line changes.
const EACH: Duration = Duration::from_millis(500);

/// The line.
pub(crate) struct Progress {
    is_shown: bool,
    last: Instant,
    delivered: u64,
    sent: u64,
    pub(crate) timeline: Timeline,
}

impl Progress {
    /// Nothing is shown when standard error is no terminal.
    pub(crate) fn new(is_quiet: bool) -> Self {
        let is_shown = !is_quiet && io::stderr().is_terminal();
        Self {
            is_shown,
            last: Instant::now(),
            delivered: 0,
            sent: 0,
            timeline: Timeline::new(EACH),
        }
    }

    /// Shows how things stand, if it is time.
    pub(crate) fn show(&mut self, desk: &mut Desk) {
        let seconds = self.last.elapsed();
        if seconds < EACH {
            return;
        }
        self.last = Instant::now();
        let tally = &mut desk.tally;
        if self.is_shown {
            let rate = |now: u64, before: u64| (now - before) as f64 / seconds.as_secs_f64();
            let sent = rate(tally.sent, self.sent);
            let delivered = rate(tally.delivered, self.delivered);
            let latency = Latency::of(&tally.lately)
                .map(|it| format!(", p50 {:.0} µs, p99 {:.0} µs", it.p50, it.p99))
                .unwrap_or_default();
            // A terminal that has gone is no reason to end.
            let _ = write!(
                io::stderr(),
                "\r\x1b[K{sent:.0} sent, {delivered:.0} delivered a second{latency}"
            );
        }
        self.timeline.add(&tally.lately);
        tally.lately.reset();
        (self.sent, self.delivered) = (tally.sent, tally.delivered);
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
