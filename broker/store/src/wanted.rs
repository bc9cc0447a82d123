//! Which messages of the log a replay is for.

use std::collections::HashMap;

use flotilla_core::id::Position;
use flotilla_core::turn::Replay;
use flotilla_mqtt::topic;
use twox_hash::XxHash3_64;

/// The hash by which topics are compared first.
pub(crate) fn topic_hash(topic: &str) -> u32 {
    XxHash3_64::oneshot(topic.as_bytes()) as u32
}

/// A filter and the position from which on it counts.
type From<'a> = (&'a str, Position);

/// Decides for each message of a replay. A session may have a thousand filters and the log a
/// million messages, so filters are found by the levels before their first wildcard, and the answer
/// for a topic is kept for its next message.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    client_id: &'a str,
    /// Ascending.
    positions: &'a [Position],
    /// By the levels before the first wildcard.
    by_prefix: HashMap<&'a str, Vec<From<'a>>>,
    /// Those that begin with a wildcard or are shared.
    unprefixed: Vec<From<'a>>,
    /// By hash: a topic, and the lowest position from which on a filter matches it. One topic a
    /// hash; the one that comes later is computed each time. As large as the page's scan at most.
    known: HashMap<u32, (Box<str>, Option<Position>)>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(replay: &'a Replay) -> Self {
        let mut by_prefix: HashMap<&str, Vec<From<'_>>> = HashMap::new();
        let mut unprefixed = Vec::new();
        for (filter, start) in &replay.filters {
            match literal_prefix(filter) {
                Some(prefix) => by_prefix.entry(prefix).or_default().push((filter, *start)),
                None => unprefixed.push((&**filter, *start)),
            }
        }
        Self {
            client_id: replay.client_id.as_str(),
            positions: &replay.positions,
            by_prefix,
            unprefixed,
            known: HashMap::new(),
        }
    }

    /// Whether the message at `position` is wanted. `addressee`: empty if it is for whoever
    /// subscribes; `hash`: that of the topic.
    pub(crate) fn is_wanted(
        &mut self,
        position: Position,
        topic: &str,
        hash: u32,
        addressee: &str,
    ) -> bool {
        if !addressee.is_empty() {
            return addressee == self.client_id;
        }
        self.start_of(topic, hash).is_some_and(|start| start <= position)
            || self.positions.binary_search(&position).is_ok()
    }

    fn start_of(&mut self, topic: &str, hash: u32) -> Option<Position> {
        if let Some((known, start)) = self.known.get(&hash) {
            if **known == *topic {
                return *start;
            }
            return self.lowest_start(topic);
        }
        let start = self.lowest_start(topic);
        self.known.insert(hash, (Box::from(topic), start));
        start
    }

    fn lowest_start(&self, topic: &str) -> Option<Position> {
        let ends = topic.match_indices('/').map(|(at, _)| at).chain([topic.len()]);
        ends.filter_map(|end| self.by_prefix.get(&topic[..end]))
            .flatten()
            .chain(&self.unprefixed)
            .filter(|(filter, _)| topic::matches(filter, topic))
            .map(|&(_, start)| start)
            .min()
    }
}

/// The levels before the first wildcard: only topics that begin with them can match. `None` if there
/// are none, or if the filter is matched by a part of it.
fn literal_prefix(filter: &str) -> Option<&str> {
    if filter.starts_with("$share/") {
        return None;
    }
    let mut end = None;
    for level in topic::levels(filter) {
        if level == "+" || level == "#" {
            break;
        }
        end = Some(end.map_or(0, |end| end + 1) + level.len());
    }
    end.map(|end| &filter[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_filter_is_found_by_its_literal_levels() {
        for (filter, prefix) in [
            ("a/b/c", Some("a/b/c")),
            ("a/b/#", Some("a/b")),
            ("a/+/c", Some("a")),
            ("/+", Some("")),
            ("/", Some("/")),
            ("//#", Some("/")),
            ("é/+", Some("é")),
            ("#", None),
            ("+/a", None),
            ("$share/g/a/b", None),
        ] {
            assert_eq!(literal_prefix(filter), prefix, "{filter}");
        }
    }

    #[test]
    fn answers_are_those_of_matches() {
        let filters = [
            "#", "+", "a", "a/#", "a/b", "a/+/c", "/+", "/", "//#", "+/b", "$SYS/#", "é/#", "a//b",
        ];
        let topics = [
            "a", "a/b", "a/b/c", "/", "/a", "//", "//a", "b", "x/b", "$SYS", "$SYS/a", "é", "é/b",
            "a//b", "aa/b",
        ];
        for filter in filters {
            let replay = replay(&[(filter, 3)], &[]);
            let mut wanted = Wanted::new(&replay);
            for name in topics {
                let hash = topic_hash(name);
                let matches = topic::matches(filter, name);
                for _ in 0..2 {
                    assert!(!wanted.is_wanted(Position(2), name, hash, ""), "{filter} {name}");
                    let is_wanted = wanted.is_wanted(Position(3), name, hash, "");
                    assert_eq!(is_wanted, matches, "{filter} {name}");
                }
            }
        }
    }

    #[test]
    fn topics_of_one_hash_are_told_apart() {
        let replay = replay(&[("a", 1)], &[]);
        let mut wanted = Wanted::new(&replay);
        assert!(wanted.is_wanted(Position(1), "a", 7, ""));
        assert!(!wanted.is_wanted(Position(1), "b", 7, ""));
        assert!(wanted.is_wanted(Position(1), "a", 7, ""));
    }

    #[test]
    fn the_lowest_start_counts() {
        let replay = replay(&[("a/b", 9), ("a/#", 4), ("#", 6)], &[2]);
        let mut wanted = Wanted::new(&replay);
        let hash = topic_hash("a/b");
        let found: Vec<u64> =
            (1..=9).filter(|&at| wanted.is_wanted(Position(at), "a/b", hash, "")).collect();
        assert_eq!(found, [2, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn an_addressed_message_is_for_its_addressee() {
        let replay = replay(&[("a", 1)], &[5]);
        let mut wanted = Wanted::new(&replay);
        assert!(wanted.is_wanted(Position(1), "z", topic_hash("z"), "me"));
        assert!(!wanted.is_wanted(Position(1), "a", topic_hash("a"), "you"));
        assert!(!wanted.is_wanted(Position(5), "z", topic_hash("z"), "you"));
    }
}
