//! What cleaning takes from the log: where each partition will begin.
//!
//! Only whole sealed segments go, from the beginning of a partition on:
//!
//! * *consumed*: what lies below everything that some session still wants in the partition;
//! * *age*: what is older than the limit, whoever wants it;
//! * *bytes*: what is too much, whoever wants it. The largest partition gives first, so a flood does
//!   not push a quiet one out.

use std::ops::AddAssign;

use flotilla_core::id::Position;

/// Nobody wants anything.
pub(crate) const NOBODY: Position = Position(u64::MAX);

/// Why messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody wants them any more.
    Consumed,
    /// They are too old.
    Age,
    /// They are too many.
    Bytes,
}

impl Reason {
    /// All, in the order of [`Cut::taken`].
    pub const ALL: [Self; 3] = [Self::Consumed, Self::Age, Self::Bytes];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consumed => "consumed",
            Self::Age => "age",
            Self::Bytes => "bytes",
        }
    }
}

/// What a partition holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// What is below was cleaned.
    pub(crate) begin: Position,
    /// Its shares of sealed segments that end above, ascending.
    pub(crate) parts: Vec<Part>,
    /// Bytes of what is not sealed yet.
    pub(crate) open_bytes: u64,
}

/// What a sealed segment has in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where the segment ends.
    pub(crate) end: Position,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// When the newest message came, Unix milliseconds.
    pub(crate) newest_ms: u64,
}

/// What the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// From this time on, Unix milliseconds.
    pub(crate) since_ms: u64,
    /// All partitions together; `None`: no limit.
    pub(crate) bytes_max: Option<u64>,
}

/// What goes from a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Where the partition will begin.
    pub(crate) begin: Position,
    /// By [`Reason`].
    pub(crate) taken: [Taken; Reason::ALL.len()],
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages of the log, however many sessions wanted them.
    pub messages: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
}

impl Cut {
    fn take(&mut self, part: &Part, reason: Reason) {
        self.begin = part.end;
        self.taken[reason as usize] += Taken { messages: part.messages, bytes: part.bytes };
    }
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl Holding {
    /// Bytes of everything in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.open_bytes + self.parts.iter().map(|part| part.bytes).sum::<u64>()
    }
}

/// Plans for each partition. `floors`: for each partition the lowest position that some session
/// still wants, or [`NOBODY`].
pub(crate) fn plan(holdings: &[Holding], floors: &[Position], allowed: Allowed) -> Vec<Cut> {
    let mut cuts = Vec::with_capacity(holdings.len());
    // Of each partition: how many parts go, and how many bytes stay.
    let mut left = Vec::with_capacity(holdings.len());
    for (holding, &floor) in holdings.iter().zip(floors) {
        let mut cut = Cut { begin: holding.begin, ..Cut::default() };
        let mut gone = 0;
        for part in &holding.parts {
            let reason = match part {
                part if part.end <= floor => Reason::Consumed,
                part if part.newest_ms < allowed.since_ms => Reason::Age,
                _ => break,
            };
            cut.take(part, reason);
            gone += 1;
        }
        let bytes = holding.bytes() - cut.taken.iter().map(|taken| taken.bytes).sum::<u64>();
        cuts.push(cut);
        left.push((gone, bytes));
    }
    if let Some(bytes_max) = allowed.bytes_max {
        shrink(holdings, bytes_max, &mut cuts, &mut left);
    }
    cuts
}

fn shrink(holdings: &[Holding], bytes_max: u64, cuts: &mut [Cut], left: &mut [(usize, u64)]) {
    let mut total: u64 = left.iter().map(|(_, bytes)| bytes).sum();
    while total > bytes_max {
        let can_give = |at: &usize| left[*at].0 < holdings[*at].parts.len();
        let largest = (0..left.len()).filter(can_give).max_by_key(|&at| left[at].1);
        // All that is left is not sealed yet.
        let Some(at) = largest else { return };
        let (gone, bytes) = &mut left[at];
        let part = &holdings[at].parts[*gone];
        cuts[at].take(part, Reason::Bytes);
        *gone += 1;
        *bytes -= part.bytes;
        total -= part.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(end: u64, bytes: u64, newest_ms: u64) -> Part {
        Part { end: Position(end), messages: bytes / 10, bytes, newest_ms }
    }

    fn holding(parts: &[Part]) -> Holding {
        Holding { begin: Position(1), parts: parts.to_vec(), open_bytes: 5 }
    }

    fn begins(cuts: &[Cut]) -> Vec<u64> {
        cuts.iter().map(|cut| cut.begin.0).collect()
    }

    #[test]
    fn what_everybody_has_had_goes() {
        let parts = [part(10, 100, 1), part(20, 100, 2), part(30, 100, 3)];
        let holdings = [holding(&parts), holding(&parts), holding(&parts[1..])];
        let floors = [Position(20), Position(19), NOBODY];
        let cuts = plan(&holdings, &floors, Allowed::default());
        assert_eq!(begins(&cuts), [20, 10, 30]);
        let consumed = cuts.iter().map(|cut| cut.taken[Reason::Consumed as usize].messages);
        assert_eq!(consumed.collect::<Vec<_>>(), [20, 10, 20]);
    }

    #[test]
    fn what_is_too_old_goes_whoever_wants_it() {
        // A clock that went back does not make a hole.
        let holdings = [holding(&[part(10, 100, 5), part(20, 100, 9), part(30, 100, 4)])];
        let allowed = Allowed { since_ms: 6, bytes_max: None };
        let cuts = plan(&holdings, &[Position(1)], allowed);
        assert_eq!(begins(&cuts), [10]);
        assert_eq!(cuts[0].taken[Reason::Age as usize], Taken { messages: 10, bytes: 100 });
    }

    #[test]
    fn the_largest_partition_gives_first() {
        let flood = holding(&[part(10, 400, 1), part(20, 400, 2), part(30, 400, 3)]);
        let quiet = holding(&[part(10, 100, 1), part(20, 100, 1)]);
        let holdings = [quiet.clone(), flood.clone()];
        let at = |bytes_max| {
            let allowed = Allowed { since_ms: 0, bytes_max: Some(bytes_max) };
            begins(&plan(&holdings, &[Position(1), Position(1)], allowed))
        };
        assert_eq!(at(1_410), [1, 1]);
        assert_eq!(at(1_409), [1, 10]);
        assert_eq!(at(610), [1, 20]);
        assert_eq!(at(609), [1, 30]);
        assert_eq!(at(209), [10, 30]);
        assert_eq!(at(0), [20, 30], "what is not sealed stays");
    }

    fn holdings() -> impl Strategy<Value = Vec<(Holding, Position)>> {
        let parts = prop::collection::vec((1..20_u64, 0..500_u64, 0..100_u64), 0..8);
        let one = (parts, 0..120_u64, 0..50_u64).prop_map(|(parts, floor, open_bytes)| {
            let mut end = 1;
            let parts = parts.into_iter().map(|(len, bytes, newest_ms)| {
                end += len;
                part(end, bytes, newest_ms)
            });
            let holding = Holding { begin: Position(1), parts: parts.collect(), open_bytes };
            (holding, Position(if floor > 110 { u64::MAX } else { floor }))
        });
        prop::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn no_more_goes_than_must(
            holdings in holdings(),
            since_ms in 0..100_u64,
            bytes_max in prop::option::of(0..4000_u64),
        ) {
            let (holdings, floors): (Vec<_>, Vec<_>) = holdings.into_iter().unzip();
            let allowed = Allowed { since_ms, bytes_max };
            let cuts = plan(&holdings, &floors, allowed);
            let stays = |holding: &Holding, begin: Position| {
                let parts = holding.parts.iter().filter(|part| part.end > begin);
                holding.open_bytes + parts.map(|part| part.bytes).sum::<u64>()
            };
            let mut total = 0;
            for (holding, cut) in holdings.iter().zip(&cuts) {
                total += stays(holding, cut.begin);
            }
            for ((holding, &floor), cut) in holdings.iter().zip(&floors).zip(&cuts) {
                let (gone, kept): (Vec<Part>, Vec<Part>) =
                    holding.parts.iter().partition(|part| part.end <= cut.begin);
                // Whole segments, from the beginning on.
                prop_assert_eq!(cut.begin, gone.last().map_or(holding.begin, |part| part.end));
                // Each is counted once, under one reason.
                let bytes: u64 = gone.iter().map(|part| part.bytes).sum();
                prop_assert_eq!(cut.taken.iter().map(|taken| taken.bytes).sum::<u64>(), bytes);
                let messages: u64 = gone.iter().map(|part| part.messages).sum();
                let taken: u64 = cut.taken.iter().map(|taken| taken.messages).sum();
                prop_assert_eq!(taken, messages);
                // What must go has gone; what comes behind what was taken for its bytes goes next
                // time.
                if let Some(first) = kept.first() {
                    let is_next = cut.taken[Reason::Bytes as usize] == Taken::default();
                    prop_assert!(!is_next || first.end > floor && first.newest_ms >= since_ms);
                    prop_assert!(bytes_max.is_none_or(|max| total <= max));
                }
                // What went had to: without the last one taken for its bytes it was too much.
                if cut.taken[Reason::Bytes as usize] != Taken::default() {
                    let last = gone.last().expect("something was taken");
                    prop_assert!(last.end > floor, "others gave what nobody wants");
                    prop_assert!(bytes_max.is_some());
                } else {
                    let must = |part: &Part| part.end <= floor || part.newest_ms < since_ms;
                    prop_assert!(gone.iter().all(must));
                }
            }
            // The largest gives first: what a partition gave for its bytes, it gave while no other
            // that could give was larger.
            if let Some(max) = bytes_max {
                for (holding, cut) in holdings.iter().zip(&cuts) {
                    if cut.taken[Reason::Bytes as usize].bytes == 0 {
                        continue;
                    }
                    let last = holding.parts.iter().rfind(|part| part.end == cut.begin);
                    let before = stays(holding, cut.begin) + last.map_or(0, |part| part.bytes);
                    for (other, its) in holdings.iter().zip(&cuts) {
                        let could = other.parts.iter().any(|part| part.end > its.begin);
                        prop_assert!(!could || stays(other, its.begin) <= before);
                    }
                    let is_empty = |(holding, cut): (&Holding, &Cut)| {
                        holding.parts.iter().all(|part| part.end <= cut.begin)
                    };
                    prop_assert!(total <= max || holdings.iter().zip(&cuts).all(is_empty));
                }
            }
        }
    }
}
