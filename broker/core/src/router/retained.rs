//! The retained messages, by topic.

use std::collections::BTreeMap;

use crate::message::Message;

/// At most one message a topic ([MQTT-3.3.1-5]). A tree by Level, so that a filter visits only
/// what it can match.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    root: Node,
    messages: usize,
}

#[derive(Debug, Default)]
struct Node {
    message: Option<Message>,
    below: BTreeMap<Box<str>, Self>,
}

impl Retained {
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// Whether the topic has a retained message, expired or not.
    pub(crate) fn contains(&self, topic: &str) -> bool {
        let node = topic.split('/').try_fold(&self.root, |node, level| node.below.get(level));
        node.is_some_and(|node| node.message.is_some())
    }

    /// Keeps the message as that of its topic.
    pub(crate) fn put(&mut self, message: Message) {
        let mut node = &mut self.root;
        for level in message.topic().split('/') {
            // Two look-ups, so that the level is copied for a new node only.
            if !node.below.contains_key(level) {
                node.below.insert(level.into(), Node::default());
            }
            node = node.below.get_mut(level).expect("it was put there");
        }
        if node.message.replace(message).is_none() {
            self.messages += 1;
        }
    }

    /// Forgets the topic's message; false: there was none.
    pub(crate) fn remove(&mut self, topic: &str) -> bool {
        let removed = self.root.remove(topic.split('/'));
        self.messages -= usize::from(removed);
        removed
    }

    /// Calls `found` with each message whose topic the filter matches, in the order of topics.
    pub(crate) fn for_each_match(&self, filter: &str, found: &mut impl FnMut(&Message)) {
        self.root.descend(Some(filter), true, found);
    }
}

impl Node {
    fn remove<'a>(&mut self, mut levels: impl Iterator<Item = &'a str>) -> bool {
        let Some(level) = levels.next() else { return self.message.take().is_some() };
        let Some(node) = self.below.get_mut(level) else { return false };
        let removed = node.remove(levels);
        if node.message.is_none() && node.below.is_empty() {
            self.below.remove(level);
        }
        removed
    }

    /// `rest`: the levels of the filter below this node, `None` at its end.
    fn descend(&self, rest: Option<&str>, is_root: bool, found: &mut impl FnMut(&Message)) {
        let Some(rest) = rest else {
            return self.message.iter().for_each(found);
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        // [MQTT-4.7.2-1]: a wildcard in front does not match a `$` topic.
        let visible = |name: &str| !is_root || !name.starts_with('$');
        match level {
            "#" => self.all(&visible, found),
            "+" => {
                for (_, node) in self.below.iter().filter(|(name, _)| visible(name)) {
                    node.descend(rest, false, found);
                }
            }
            level => {
                if let Some(node) = self.below.get(level) {
                    node.descend(rest, false, found);
                }
            }
        }
    }

    fn all(&self, visible: &dyn Fn(&str) -> bool, found: &mut impl FnMut(&Message)) {
        self.message.iter().for_each(&mut *found);
        for (_, node) in self.below.iter().filter(|(name, _)| visible(name)) {
            node.all(&|_| true, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_mqtt::topic;

    use super::*;
    use crate::message::tests::message;

    #[test]
    fn finds_what_the_definition_says() {
        let topics = ["a", "a/b", "a/b/c", "a//c", "/", "$SYS/a", "$SYS", "b/c", "é/b"];
        let filters = [
            "#", "a/#", "a/+", "+/b", "+", "+/+", "/+", "a/b/c", "$SYS/#", "$SYS/+", "+/a",
            "a/+/c", "+/#", "é/+", "nothing",
        ];
        let mut retained = Retained::default();
        for topic in topics {
            retained.put(message(topic, b"1"));
            retained.put(message(topic, b"2"));
        }
        assert_eq!(retained.len(), topics.len());
        for filter in filters {
            let mut found = Vec::new();
            retained.for_each_match(filter, &mut |message| {
                assert_eq!(message.payload(), b"2");
                found.push(message.topic().to_owned());
            });
            let mut expected: Vec<_> =
                topics.iter().filter(|t| topic::matches(filter, t)).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "filter {filter}");
        }
        for topic in topics {
            assert!(retained.contains(topic));
            assert!(retained.remove(topic));
            assert!(!retained.remove(topic));
            assert!(!retained.contains(topic));
        }
        assert!(retained.root.below.is_empty(), "nothing is left behind");
        assert_eq!(retained.len(), 0);
    }
}
