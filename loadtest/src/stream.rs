//! The messages of one publisher as one receiver sees them: which came, which twice, which late.

use std::collections::VecDeque;

const WORD: u64 = u64::BITS as u64;

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Behind all that came before.
    InOrder,
    /// For the first time, but after one that was sent later.
    Late,
    /// Again.
    Duplicate,
}

/// Which messages of a publisher have come.
///
/// In order it is a counter; while there are gaps, one bit a message between the first gap and the
/// last arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// All below have come.
    next: u64,
    /// One more than the highest that has come.
    end: u64,
    /// Bit `n % 64` of word `n / 64 - next / 64`: whether `n` has come. Empty while there is no gap.
    seen: VecDeque<u64>,
}

impl Stream {
    /// A message came.
    pub(crate) fn received(&mut self, sequence: u64) -> Arrival {
        if sequence == self.next && self.seen.is_empty() {
            self.next += 1;
            self.end = self.next;
            return Arrival::InOrder;
        }
        if sequence < self.next || self.has(sequence) {
            return Arrival::Duplicate;
        }
        let arrival = if sequence < self.end { Arrival::Late } else { Arrival::InOrder };
        let word = self.word(sequence);
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        self.seen[word] |= 1 << (sequence % WORD);
        self.end = self.end.max(sequence + 1);
        self.close_gap();
        arrival
    }

    fn close_gap(&mut self) {
        while self.has(self.next) {
            self.next += 1;
            if self.next.is_multiple_of(WORD) {
                self.seen.pop_front();
            }
        }
        if self.next == self.end {
            self.seen.clear();
        }
    }

    fn has(&self, sequence: u64) -> bool {
        let word = self.seen.get(self.word(sequence)).copied().unwrap_or(0);
        word >> (sequence % WORD) & 1 == 1
    }

    fn word(&self, sequence: u64) -> usize {
        usize::try_from(sequence / WORD - self.next / WORD).expect("memory ends before")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_a_counter() {
        let mut stream = Stream::default();
        for sequence in 0..1_000 {
            assert_eq!(stream.received(sequence), Arrival::InOrder);
        }
        assert!(stream.seen.is_empty());
    }

    #[test]
    fn behind_a_gap_is_late_then_duplicate() {
        let mut stream = Stream::default();
        assert_eq!(stream.received(0), Arrival::InOrder);
        assert_eq!(stream.received(300), Arrival::InOrder);
        assert_eq!(stream.received(200), Arrival::Late);
        assert_eq!(stream.received(200), Arrival::Duplicate);
        assert_eq!(stream.received(0), Arrival::Duplicate);
        assert_eq!(stream.received(300), Arrival::Duplicate);
        assert_eq!(stream.received(301), Arrival::InOrder);
    }

    #[test]
    fn closed_gaps_leave_nothing_behind() {
        let mut stream = Stream::default();
        for sequence in (0..640).rev() {
            stream.received(sequence);
        }
        assert!(stream.seen.is_empty());
        assert_eq!(stream.received(640), Arrival::InOrder);
        assert_eq!(stream.received(639), Arrival::Duplicate);
    }

    #[test]
    fn any_order_counts_each_once() {
        let mut stream = Stream::default();
        // 7 has no divisor in common with 1,000, so this is each number once.
        for step in 0..1_000_u64 {
            assert_ne!(stream.received(step * 7 % 1_000), Arrival::Duplicate);
        }
        assert_eq!(stream.next, 1_000);
    }
}
