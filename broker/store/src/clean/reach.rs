//! Which partitions a filter can match.

use std::collections::HashMap;
use std::rc::Rc;

use flotilla_mqtt::topic;

use crate::partition;

/// So many answers are kept at most.
const KNOWN_MAX: usize = 64 * 1024;

/// Answers for a million sessions. Only the first levels of a filter matter, as many as the names of
/// partitions have, and most filters begin alike; so an answer is kept for the next one.
#[derive(Debug)]
pub(crate) struct Reach {
    /// In the order of the partitions.
    names: Vec<Option<Box<str>>>,
    levels: usize,
    known: HashMap<Box<str>, Rc<[usize]>>,
}

impl Reach {
    /// Of the partitions with these names.
    pub(crate) fn new(names: Vec<Option<Box<str>>>) -> Self {
        let levels = names.iter().flatten().map(|name| topic::levels(name).count());
        Self { levels: levels.max().unwrap_or(1), names, known: HashMap::new() }
    }

    /// The numbers of the partitions in which something can match.
    pub(crate) fn of(&mut self, filter: &str) -> Rc<[usize]> {
        let filter = topic::parse_filter(filter).map_or(filter, |filter| filter.filter());
        let mut ends = filter.match_indices('/').map(|(at, _)| at);
        let front = &filter[..ends.nth(self.levels - 1).unwrap_or(filter.len())];
        if let Some(known) = self.known.get(front) {
            return Rc::clone(known);
        }
        let all = self.names.iter().enumerate();
        let can = all.filter(|(_, name)| partition::can_match(front, name.as_deref()));
        let found: Rc<[usize]> = can.map(|(at, _)| at).collect();
        if self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(front.into(), Rc::clone(&found));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_front_of_a_filter_decides(
            names in prop::collection::vec(prop::option::of("[ab]?(/[ab]){0,2}"), 1..5),
            filters in prop::collection::vec(r"(\$share/g/)?([ab+]/){0,3}([ab+]|#)", 1..20),
        ) {
            let names: Vec<Option<Box<str>>> =
                names.into_iter().map(|name| name.map(Box::from)).collect();
            let mut reach = Reach::new(names.clone());
            for filter in filters {
                let expected: Vec<_> = (0..names.len())
                    .filter(|&at| partition::can_match(&filter, names[at].as_deref()))
                    .collect();
                prop_assert_eq!(&*reach.of(&filter), &*expected, "{}", filter);
            }
        }
    }

    #[test]
    fn many_answers_are_not_kept_for_ever() {
        let mut reach = Reach::new(vec![None, Some("5".into())]);
        for number in 0..2 * KNOWN_MAX {
            reach.of(&format!("{number}/x"));
        }
        assert!(reach.known.len() <= KNOWN_MAX);
        assert_eq!(*reach.of("5/#"), [0, 1]);
        assert_eq!(*reach.of("#"), [0, 1]);
        assert_eq!(*reach.of("6/#"), [0]);
    }
}
