//! Which messages of the log are wanted, and by which of many replays.

use std::collections::HashMap;

use flotilla_core::id::Position;
use flotilla_core::turn::Replay;
use flotilla_mqtt::topic;

use crate::block::{MalformedBlock, text};
use crate::hash::{BySpread, literal_prefix};

/// So many answers are kept at most.
const KNOWN_MAX: usize = 256 * 1024;

/// Decides for each message which replays it is for. A session may have a thousand filters, and a
/// thousand sessions may read at once, so filters are found by the levels before their first
/// wildcard, each is matched once for all that have it, and the answer for a topic is kept for its
/// next message.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    filters: Vec<Filter<'a>>,
    by_filter: HashMap<&'a str, u32>,
    /// By the levels before the first wildcard.
    by_prefix: HashMap<&'a str, Vec<u32>>,
    /// Those that begin with a wildcard or are shared.
    unprefixed: Vec<u32>,
    /// By Client Identifier.
    addressees: HashMap<&'a str, Vec<u32>>,
    /// Those that want a position whatever its topic.
    positions: HashMap<u64, Vec<u32>, BySpread>,
    /// By hash: a topic and the filters that match it. One topic a hash; the one that comes later is
    /// matched each time.
    known: HashMap<u32, Known, BySpread>,
    /// The filters of all answers, those of one behind each other.
    matching: Vec<u32>,
}

#[derive(Debug)]
struct Filter<'a> {
    text: &'a str,
    /// The replays that have it, and from which position on it counts.
    wants: Vec<(u32, Position)>,
}

#[derive(Debug)]
struct Known {
    topic: Box<str>,
    start: u32,
    end: u32,
}

impl<'a> Wanted<'a> {
    /// Adds a replay: that with this number among those that are decided for together.
    pub(crate) fn add(&mut self, number: u32, replay: &'a Replay) {
        for (filter, start) in &replay.filters[..] {
            let at = self.filter(filter);
            self.filters[at as usize].wants.push((number, *start));
        }
        self.addressees.entry(replay.client_id.as_str()).or_default().push(number);
        for position in &replay.positions {
            self.positions.entry(position.0).or_default().push(number);
        }
    }

    fn filter(&mut self, filter: &'a str) -> u32 {
        let new = u32::try_from(self.filters.len()).expect("filters are bounded by their sessions");
        let at = *self.by_filter.entry(filter).or_insert(new);
        if at == new {
            self.filters.push(Filter { text: filter, wants: Vec::new() });
            match literal_prefix(filter) {
                Some(prefix) => self.by_prefix.entry(prefix).or_default().push(at),
                None => self.unprefixed.push(at),
            }
            self.known.clear();
            self.matching.clear();
        }
        at
    }

    /// Calls `take` with each replay that wants the message at `position`, perhaps more than once.
    /// `hash`: that of the topic.
    ///
    /// # Errors
    /// When the topic is no text.
    pub(crate) fn each(
        &mut self,
        position: Position,
        topic: &[u8],
        hash: u32,
        mut take: impl FnMut(u32),
    ) -> Result<(), MalformedBlock> {
        let (start, end) = self.matching(topic, hash)?;
        for &filter in &self.matching[start..end] {
            for &(replay, from) in &self.filters[filter as usize].wants {
                if from <= position {
                    take(replay);
                }
            }
        }
        if !self.positions.is_empty() {
            self.positions.get(&position.0).into_iter().flatten().copied().for_each(take);
        }
        Ok(())
    }

    /// The replays of the session of that name.
    pub(crate) fn addressed(&self, client_id: &str) -> &[u32] {
        self.addressees.get(client_id).map_or(&[], Vec::as_slice)
    }

    /// Where in `matching` the filters are that match a topic.
    fn matching(&mut self, topic: &[u8], hash: u32) -> Result<(usize, usize), MalformedBlock> {
        let known = self.known.get(&hash);
        if let Some(known) = known.filter(|known| *known.topic.as_bytes() == *topic) {
            return Ok((known.start as usize, known.end as usize));
        }
        let topic = text(topic)?;
        let is_new = known.is_none();
        if self.known.len() + self.matching.len() > KNOWN_MAX {
            self.known.clear();
            self.matching.clear();
        }
        let start = self.matching.len();
        let ends = topic.match_indices('/').map(|(at, _)| at).chain([topic.len()]);
        let found = ends
            .filter_map(|end| self.by_prefix.get(&topic[..end]))
            .flatten()
            .chain(&self.unprefixed)
            .filter(|filter| topic::matches(self.filters[**filter as usize].text, topic));
        self.matching.extend(found);
        let end = self.matching.len();
        if is_new {
            let short = |at: usize| u32::try_from(at).expect("bounded");
            let (start, end) = (short(start), short(end));
            self.known.insert(hash, Known { topic: Box::from(topic), start, end });
        }
        Ok((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::topic_hash;
    use flotilla_core::id::{ClientId, SessionKey};

    fn replay(filters: &[(&str, u64)], positions: &[u64]) -> Replay {
        Replay {
            session: SessionKey::default(),
            number: 0,
            client_id: ClientId::from("me"),
            from: Position(1),
            filters: filters.iter().map(|&(f, at)| (f.into(), Position(at))).collect(),
            positions: positions.iter().copied().map(Position).collect(),
            messages_max: 10,
            bytes_max: 1000,
        }
    }

    fn wanted(replays: &[Replay]) -> Wanted<'_> {
        let mut wanted = Wanted::default();
        for (number, replay) in (0..).zip(replays) {
            wanted.add(number, replay);
        }
        wanted
    }

    /// By whom, each once.
    fn by(wanted: &mut Wanted<'_>, position: u64, topic: &str, hash: u32) -> Vec<u32> {
        let mut replays = Vec::new();
        let topic = topic.as_bytes();
        wanted.each(Position(position), topic, hash, |replay| replays.push(replay)).unwrap();
        replays.sort_unstable();
        replays.dedup();
        replays
    }

    #[test]
    fn answers_are_those_of_matches() {
        let filters = [
            "#", "+", "a", "a/#", "a/b", "a/+/c", "/+", "/", "//#", "+/b", "$SYS/#", "é/#", "a//b",
            "a",
        ];
        let topics = [
            "a", "a/b", "a/b/c", "/", "/a", "//", "//a", "b", "x/b", "$SYS", "$SYS/a", "é", "é/b",
            "a//b", "aa/b",
        ];
        let replays = filters.map(|filter| replay(&[(filter, 3)], &[]));
        let mut wanted = wanted(&replays);
        for name in topics {
            let matching: Vec<u32> = (0..)
                .zip(filters)
                .filter(|(_, filter)| topic::matches(filter, name))
                .map(|(number, _)| number)
                .collect();
            for _ in 0..2 {
                assert_eq!(by(&mut wanted, 2, name, topic_hash(name)), [0_u32; 0]);
                assert_eq!(by(&mut wanted, 3, name, topic_hash(name)), matching, "{name}");
            }
        }
    }

    #[test]
    fn a_topic_that_is_no_text_is_told() {
        let replays = [replay(&[("#", 1)], &[])];
        let mut wanted = wanted(&replays);
        let found = wanted.each(Position(1), b"\xff", 7, |_| unreachable!("it matches nothing"));
        assert!(found.is_err());
    }

    #[test]
    fn topics_of_one_hash_are_told_apart() {
        let replays = [replay(&[("a", 1)], &[])];
        let mut wanted = wanted(&replays);
        for _ in 0..2 {
            assert_eq!(by(&mut wanted, 1, "a", 7), [0]);
            assert_eq!(by(&mut wanted, 1, "b", 7), [0_u32; 0]);
        }
    }

    #[test]
    fn the_lowest_start_counts() {
        let replays = [replay(&[("a/b", 9), ("a/#", 4), ("#", 6)], &[2])];
        let mut wanted = wanted(&replays);
        let hash = topic_hash("a/b");
        let found: Vec<u64> =
            (1..=9).filter(|&at| !by(&mut wanted, at, "a/b", hash).is_empty()).collect();
        assert_eq!(found, [2, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn many_answers_are_not_kept_for_ever() {
        let replays = [replay(&[("+/x", 1), ("#", 1), ("7/#", 1)], &[])];
        let mut wanted = wanted(&replays);
        for round in 0..2 {
            for n in 0..KNOWN_MAX as u32 {
                assert_eq!(by(&mut wanted, 1, &format!("{n}/x"), n), [0], "{round}");
            }
            assert!(wanted.known.len() + wanted.matching.len() <= KNOWN_MAX + 4);
        }
    }

    #[test]
    fn an_addressed_message_is_for_its_addressee() {
        let replays = [replay(&[], &[]), replay(&[], &[])];
        let wanted = wanted(&replays);
        assert_eq!(wanted.addressed("me"), [0, 1]);
        assert_eq!(wanted.addressed("you"), [0_u32; 0]);
    }
}
