//! The retained messages, by topic.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::Message;

/// At most one message a topic ([MQTT-3.3.1-5]). A tree by Level, so that a filter visits only
/// what it can match.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    root: Node,
    messages: usize,
    bytes: usize,
    /// Those that expire, the next one first: Unix milliseconds, topic.
    expiring: BTreeSet<(u64, Box<str>)>,
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

    /// Bytes of all messages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The retained message of a topic, expired or not.
    pub(crate) fn get(&self, topic: &str) -> Option<&Message> {
        let node = topic.split('/').try_fold(&self.root, |node, level| node.below.get(level));
        node?.message.as_ref()
    }

    /// When the next one expires, Unix milliseconds.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.expiring.first().map(|(at_ms, _)| *at_ms)
    }

    /// Forgets up to `messages_max` messages that have expired; gives their topics.
    pub(crate) fn forget_expired(&mut self, unix_ms: u64, messages_max: usize) -> Vec<Box<str>> {
        let mut expired = Vec::new();
        while expired.len() < messages_max && self.next_expiry_ms().is_some_and(|at| at <= unix_ms)
        {
            let Some((_, topic)) = self.expiring.pop_first() else { break };
            self.remove(&topic);
            expired.push(topic);
        }
        expired
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
        self.bytes += message.as_bytes().len();
        let expiry = expiry(&message);
        match node.message.replace(message) {
            None => self.messages += 1,
            Some(former) => self.left(&former),
        }
        self.expiring.extend(expiry);
    }

    /// What is counted of a message goes with it.
    fn left(&mut self, former: &Message) {
        self.bytes -= former.as_bytes().len();
        if let Some(expiry) = expiry(former) {
            self.expiring.remove(&expiry);
        }
    }

    /// Forgets the topic's message; false: there was none.
    pub(crate) fn remove(&mut self, topic: &str) -> bool {
        let Some(former) = self.root.remove(topic.split('/')) else { return false };
        self.messages -= 1;
        self.left(&former);
        true
    }

    /// Calls `found` with each message whose topic the filter matches, in the order of topics.
    pub(crate) fn for_each_match(&self, filter: &str, found: &mut impl FnMut(&Message)) {
        self.root.descend(Some(filter), true, found);
    }
}

/// Its place among those that expire.
fn expiry(message: &Message) -> Option<(u64, Box<str>)> {
    Some((message.expires_at_ms()?, message.topic().into()))
}

impl Node {
    fn remove<'a>(&mut self, mut levels: impl Iterator<Item = &'a str>) -> Option<Message> {
        let Some(level) = levels.next() else { return self.message.take() };
        let node = self.below.get_mut(level)?;
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
    use crate::message::MessageParts;
    use crate::message::tests::{message, parts};

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
            assert!(retained.get(topic).is_some());
            assert!(retained.remove(topic));
            assert!(!retained.remove(topic));
            assert!(retained.get(topic).is_none());
        }
        assert!(retained.root.below.is_empty(), "nothing is left behind");
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }

    #[test]
    fn forgets_what_has_expired_some_at_a_time() {
        let expiring = |topic: &str, at_ms| {
            let parts = MessageParts { expires_at_ms: at_ms, ..parts(topic, b"1") };
            Message::new(&parts, &mut Vec::new())
        };
        let mut retained = Retained::default();
        for (topic, at_ms) in [("a", Some(5)), ("b", Some(5)), ("c/d", Some(7)), ("e", None)] {
            retained.put(expiring(topic, at_ms));
        }
        retained.put(expiring("b", Some(9)));
        retained.put(expiring("e", Some(8)));
        retained.put(expiring("e", None));
        assert_eq!(retained.next_expiry_ms(), Some(5));
        assert!(retained.forget_expired(4, 9).is_empty());
        assert_eq!(retained.forget_expired(8, 1), [Box::from("a")]);
        assert_eq!(retained.forget_expired(8, 9), [Box::from("c/d")]);
        assert_eq!(retained.next_expiry_ms(), Some(9));
        assert!(retained.remove("b"));
        assert_eq!((retained.next_expiry_ms(), retained.len()), (None, 1));
        let left = retained.get("e").map(|message| message.as_bytes().len());
        assert_eq!(left, Some(retained.bytes()));
    }
}
