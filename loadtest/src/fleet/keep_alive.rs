//! When connections say that they are still there.

use std::time::{Duration, Instant};

/// A round over all connections takes half a Keep Alive; who wrote nothing since the round before
/// says PINGREQ. So pings are spread over time, as those of a real fleet are.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// 0: none.
    seconds: u16,
    began: Instant,
    /// The next connection to look at.
    next: usize,
}

impl KeepAlive {
    pub(crate) fn new(seconds: u16) -> Self {
        Self { seconds, began: Instant::now(), next: 0 }
    }

    /// The broker asks for another one [MQTT-3.1.2-21]; the shortest is good for all.
    pub(crate) fn shorten(&mut self, server_s: Option<u16>) {
        let Some(server_s) = server_s.filter(|seconds| *seconds > 0) else { return };
        if self.seconds == 0 || server_s < self.seconds {
            *self = Self::new(server_s);
        }
    }

    /// The connections to look at now, of so many.
    pub(crate) fn due(&mut self, all: usize) -> std::ops::Range<usize> {
        if self.seconds == 0 {
            return 0..0;
        }
        let round = Duration::from_secs(u64::from(self.seconds)) / 2;
        let passed = self.began.elapsed().div_duration_f64(round);
        let end = ((passed * all as f64) as usize).min(all);
        let due = self.next.min(end)..end;
        self.next = end;
        if passed >= 1.0 {
            (self.began, self.next) = (Instant::now(), 0);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_meets_each_connection_once() {
        let mut keep_alive = KeepAlive::new(10);
        keep_alive.began -= Duration::from_secs(2);
        assert_eq!(keep_alive.due(100), 0..40);
        keep_alive.began -= Duration::from_secs(4);
        assert_eq!(keep_alive.due(100), 40..100);
        keep_alive.began -= Duration::from_secs(1);
        assert_eq!(keep_alive.due(100), 0..20);
        assert_eq!(KeepAlive::new(0).due(100), 0..0);
    }
}
