//! Sockets that have the same time for something.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::attached::SocketKey;

/// Begun in order, so due in order.
pub(super) struct Deadlines {
    time: Duration,
    due: VecDeque<(Instant, SocketKey)>,
}

impl Deadlines {
    /// Nobody yet; each will have so much `time`.
    pub(super) fn new(time: Duration) -> Self {
        Self { time, due: VecDeque::new() }
    }

    /// The time of one begins.
    pub(super) fn begin(&mut self, socket: SocketKey) {
        self.due.push_back((Instant::now() + self.time, socket));
    }

    /// When the first one is due; it may be done already.
    pub(super) fn next(&self) -> Option<Instant> {
        Some(self.due.front()?.0)
    }

    /// The first one that is due, of those that are not done.
    pub(super) fn pop_due(&mut self, is_done: impl Fn(SocketKey) -> bool) -> Option<SocketKey> {
        while let Some((due, socket)) = self.due.front().copied() {
            let is_done = is_done(socket);
            if !is_done && due > Instant::now() {
                return None;
            }
            self.due.pop_front();
            if self.due.is_empty() {
                // A storm is over.
                self.due = VecDeque::new();
            }
            if !is_done {
                return Some(socket);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::KeyData;

    #[test]
    fn in_order_without_those_that_are_done() {
        let [one, two, three] =
            [1, 2, 3].map(|number| SocketKey::from(KeyData::from_ffi(1 << 32 | number)));
        let mut deadlines = Deadlines::new(Duration::ZERO);
        for socket in [one, two, three] {
            deadlines.begin(socket);
        }
        let mut next = |done: &[SocketKey]| deadlines.pop_due(|socket| done.contains(&socket));
        assert_eq!([next(&[two]), next(&[two]), next(&[two])], [Some(one), Some(three), None]);

        let mut deadlines = Deadlines::new(Duration::from_secs(3600));
        deadlines.begin(one);
        deadlines.begin(two);
        let first = deadlines.next();
        assert_eq!(deadlines.pop_due(|socket| socket == one), None);
        assert!(deadlines.next() > first);
        assert_eq!(deadlines.pop_due(|_| true), None);
        assert_eq!(deadlines.next(), None);
    }
}
