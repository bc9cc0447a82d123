//! What happens by itself when time passes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slotmap::Key;

use crate::id::{ConnectionKey, SessionKey};
use crate::time::Now;

/// Timers further ahead than a minute are set in steps.
const AHEAD_MS_MAX: u64 = 60 * 1_000;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// No whole CONNECT in time.
    Connect(ConnectionKey),
    /// One and a half Keep Alive intervals without a packet, perhaps ([MQTT-3.1.2-22]).
    KeepAlive(ConnectionKey),
    /// The Will Delay Interval ([MQTT-3.1.3-9]) or the Session Expiry Interval ([MQTT-4.1.0-2]) of
    /// a session is over, perhaps.
    Session(SessionKey),
    /// Cursors that moved are to be written.
    Cursors,
    /// Cursors of sessions that got nothing are to follow the log.
    IdleCursors,
    /// A retained message expires, perhaps ([MQTT-3.3.2-5]).
    Retained,
}

impl Timer {
    /// How far ahead it is set at most. Sessions differ: after a start there may be a million of
    /// them, whose steps must not fall together.
    fn step_ms(self) -> u64 {
        let Self::Session(key) = self else { return AHEAD_MS_MAX };
        let scattered = key.data().as_ffi().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        AHEAD_MS_MAX - scattered % (AHEAD_MS_MAX / 2)
    }
}

/// Timers are never cancelled: whoever is called looks whether the time has really come, and sets
/// another one if not. So a packet that arrives costs nothing here. No timer is set further ahead
/// than [`AHEAD_MS_MAX`], so what is set for connections and sessions that are no more goes soon.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Timer)>>,
}

impl Timers {
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// `due_ms`: on the monotonic clock.
    pub(crate) fn set(&mut self, now: Now, due_ms: u64, timer: Timer) {
        let due_ms = due_ms.min(now.monotonic_ms + timer.step_ms());
        self.heap.push(Reverse((due_ms, timer)));
    }

    /// As [`Timers::set`], for an instant on the Unix clock.
    pub(crate) fn set_unix(&mut self, now: Now, unix_ms: u64, timer: Timer) {
        self.set(now, now.monotonic_ms + unix_ms.saturating_sub(now.unix_ms), timer);
    }

    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((due_ms, _))| *due_ms)
    }

    /// A timer whose time has come.
    pub(crate) fn pop_due(&mut self, monotonic_ms: u64) -> Option<Timer> {
        if self.next_due_ms()? > monotonic_ms {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}
