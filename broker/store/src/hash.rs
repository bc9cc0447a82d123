//! The hashes by which topics are compared first, and under which the index lists them.

use std::hash::{BuildHasherDefault, Hasher};

use flotilla_mqtt::topic;
use twox_hash::XxHash3_64;

/// A topic is listed under so many of its leading levels, each a hash.
const LEVELS_MAX: usize = 8;
/// Keeps addressees apart from topics.
const ADDRESSEE_SEED: u64 = 1;

/// The hash of a topic or of its leading levels.
pub(crate) fn topic_hash(topic: &str) -> u32 {
    XxHash3_64::oneshot(topic.as_bytes()) as u32
}

/// The hash under which the index lists what is addressed to a session.
pub(crate) fn addressee_hash(client_id: &str) -> u32 {
    XxHash3_64::oneshot_with_seed(ADDRESSEE_SEED, client_id.as_bytes()) as u32
}

/// The hashes under which the index lists a topic: of its first level, its first two, … and of the
/// whole.
pub(crate) fn topic_hashes(topic: &str) -> impl Iterator<Item = u32> {
    let ends = topic.match_indices('/').map(|(at, _)| at).take(LEVELS_MAX).chain([topic.len()]);
    ends.map(|end| topic_hash(&topic[..end]))
}

/// The hash under which everything is listed that a filter can match. `None`: it begins with a
/// wildcard.
pub(crate) fn filter_hash(filter: &str) -> Option<u32> {
    let prefix = literal_prefix(filter)?;
    if prefix.len() == filter.len() {
        return Some(topic_hash(filter));
    }
    let mut ends = prefix.match_indices('/').map(|(at, _)| at);
    let end = ends.nth(LEVELS_MAX - 1).unwrap_or(prefix.len());
    Some(topic_hash(&prefix[..end]))
}

/// The levels before the first wildcard: only topics that begin with them can match. `None` if there
/// are none, or if the filter is matched by a part of it.
pub(crate) fn literal_prefix(filter: &str) -> Option<&str> {
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

/// For tables whose keys are numbers or hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread(u64);

/// Builds [`Spread`].
pub(crate) type BySpread = BuildHasherDefault<Spread>;

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        // A table looks at the highest bits, too.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn a_topic_has_at_most_nine_hashes() {
        assert_eq!(topic_hashes("a").collect::<Vec<_>>(), [topic_hash("a")]);
        assert_eq!(topic_hashes("/a").collect::<Vec<_>>(), [topic_hash(""), topic_hash("/a")]);
        assert_eq!(topic_hashes("1/2/3/4/5/6/7/8/9/10").count(), 9);
        assert_eq!(topic_hashes(&"/".repeat(1000)).count(), 9);
        assert_ne!(addressee_hash("a"), topic_hash("a"));
    }

    proptest! {
        #[test]
        fn a_topic_is_listed_where_its_filters_look(
            topic in "[ab]?(/[ab]?){0,11}",
            wildcards in prop::collection::vec(any::<bool>(), 12),
            cut in 0..13_usize,
        ) {
            prop_assume!(!topic.is_empty());
            let mut levels: Vec<&str> = topic::levels(&topic).collect();
            for (level, is_wildcard) in levels.iter_mut().zip(wildcards) {
                if is_wildcard {
                    *level = "+";
                }
            }
            if cut < levels.len() {
                levels.truncate(cut);
                levels.push("#");
            }
            for filter in [levels.join("/"), topic.clone()] {
                if topic::matches(&filter, &topic) && let Some(hash) = filter_hash(&filter) {
                    prop_assert!(topic_hashes(&topic).any(|listed| listed == hash), "{filter}");
                }
            }
        }
    }
}
