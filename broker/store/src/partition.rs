//! Which partition of the log a topic lies in.
//!
//! A partition is named by the first levels of its topics and is a column family of its own,
//! `log/<name>`; what has no partition of its own lies in the family `log`.

use flotilla_mqtt::topic;

use crate::keys;

/// A name has at most so many bytes: longer ones never name a partition.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// The name of the partition a topic belongs to, if it can have one: its first `levels` levels.
pub(crate) fn name_of(topic: &str, levels: usize) -> Option<&str> {
    let window = &topic.as_bytes()[..topic.len().min(NAME_BYTES_MAX + 1)];
    let separators = window.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = separators.map(|(at, _)| at).nth(levels.max(1) - 1).unwrap_or(topic.len());
    (end <= NAME_BYTES_MAX).then(|| &topic[..end])
}

/// The column family of the partition of that name.
pub(crate) fn family(name: &str) -> String {
    format!("{}/{name}", keys::LOG)
}

/// The name of the partition in this column family: `Some(None)` is the one without a name, `None`
/// no partition at all.
pub(crate) fn name_in(family: &str) -> Option<Option<&str>> {
    let rest = family.strip_prefix(keys::LOG)?;
    if rest.is_empty() { Some(None) } else { rest.strip_prefix('/').map(Some) }
}

/// Whether a filter can match a topic in the partition of this name, or without a name. Partitions
/// stay when the number of levels that names them changes, so a topic may have more levels.
pub(crate) fn can_match(filter: &str, name: Option<&str>) -> bool {
    let Some(name) = name else { return true };
    let filter = topic::parse_filter(filter).map_or(filter, |filter| filter.filter());
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut filter_levels = topic::levels(filter);
    for level in topic::levels(name) {
        match filter_levels.next() {
            Some("#") => return true,
            Some("+") => {}
            Some(literal) if literal == level => {}
            // `a/#` also matches `a`, so a filter that ends here matches nothing with more levels.
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_partition_is_named_by_the_first_levels() {
        for (topic, levels, name) in [
            ("a/b/c", 1, Some("a")),
            ("a/b/c", 2, Some("a/b")),
            ("a", 2, Some("a")),
            ("/a", 1, Some("")),
            ("/a/b", 2, Some("/a")),
            ("é/b", 1, Some("é")),
            ("a/b", 0, Some("a")),
        ] {
            assert_eq!(name_of(topic, levels), name, "{topic} {levels}");
        }
        let longest = "x".repeat(NAME_BYTES_MAX);
        assert_eq!(name_of(&format!("{longest}/a"), 1), Some(&*longest));
        assert_eq!(name_of(&format!("{longest}/a"), 2), None);
        assert_eq!(name_of(&format!("{longest}x/a"), 1), None);
        assert_eq!(name_of(&format!("{longest}é"), 1), None);
    }

    #[test]
    fn a_family_tells_its_partition() {
        assert_eq!(name_in(&family("a/b")), Some(Some("a/b")));
        assert_eq!(name_in(&family("")), Some(Some("")));
        assert_eq!(name_in("log"), Some(None));
        assert_eq!(name_in("sessions"), None);
        assert_eq!(name_in("logs"), None);
    }

    #[test]
    fn a_filter_tells_which_partitions_it_can_match() {
        for (filter, name, can) in [
            ("#", "a", true),
            ("+/b", "a", true),
            ("+", "a/b", false),
            ("a", "a", true),
            ("a/#", "a", true),
            ("a/b/#", "a", true),
            ("a/#", "a/b", true),
            ("a", "a/b", false),
            ("b/#", "a", false),
            ("/+", "", true),
            ("#", "$SYS", false),
            ("$SYS/#", "$SYS", true),
            ("$share/g/a/#", "a", true),
            ("$share/g/b/#", "a", false),
        ] {
            assert_eq!(can_match(filter, Some(name)), can, "{filter} {name}");
            assert!(can_match(filter, None));
        }
    }

    proptest! {
        #[test]
        fn what_matches_a_topic_can_match_its_partition(
            filter in "([ab+]?/){0,3}([ab+]?|#)",
            topic in "[ab]?(/[ab]?){0,3}",
            levels in 1..4_usize,
        ) {
            let matches = !topic.is_empty() && topic::matches(&filter, &topic);
            if let Some(name) = name_of(&topic, levels) && matches {
                prop_assert!(can_match(&filter, Some(name)));
            }
        }
    }
}
