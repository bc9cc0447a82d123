//! The retained messages, by topic.

use std::collections::BTreeSet;

use crate::message::Message;
use crate::router::tree::{NodeId, ROOT, Tree};

/// At most one message a topic ([MQTT-3.3.1-5]). A tree by Level, so that a filter visits only
/// what it can match.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    tree: Tree<Spot>,
    messages: usize,
    bytes: usize,
    /// Those that expire, the next one first: Unix milliseconds, where it is.
    expiring: BTreeSet<(u64, NodeId)>,
}

/// A node with its place among the children of its parent, which stand in a ring in the order in
/// which they came; the first one is marked.
#[derive(Debug, Default)]
struct Spot {
    message: Option<Message>,
    next: NodeId,
    previous: NodeId,
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
        self.tree.get(self.find(topic)?).message.as_ref()
    }

    /// When the next one expires, Unix milliseconds.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.expiring.first().map(|(at_ms, _)| *at_ms)
    }

    /// Forgets up to `messages_max` messages that have expired; gives their topics.
    pub(crate) fn forget_expired(&mut self, unix_ms: u64, messages_max: usize) -> Vec<Box<str>> {
        let mut expired = Vec::new();
        while let Some(&(at_ms, at)) = self.expiring.first()
            && at_ms <= unix_ms
            && expired.len() < messages_max
        {
            let former = self.take(at).expect("what expires is there");
            expired.push(former.topic().into());
        }
        expired
    }

    /// Keeps the message as that of its topic.
    pub(crate) fn put(&mut self, message: Message) {
        let mut at = ROOT;
        for level in message.topic_bytes().split(|&byte| byte == b'/') {
            let (child, is_new) = self.tree.child_or_new(at, level);
            if is_new {
                self.link(at, child);
            }
            at = child;
        }
        self.bytes += message.as_bytes().len();
        let expires_at_ms = message.expires_at_ms();
        match self.tree.get_mut(at).message.replace(message) {
            None => self.messages += 1,
            Some(former) => self.discount(at, &former),
        }
        self.expiring.extend(expires_at_ms.map(|at_ms| (at_ms, at)));
    }

    /// Forgets the topic's message; false: there was none.
    pub(crate) fn remove(&mut self, topic: &str) -> bool {
        self.find(topic).is_some_and(|at| self.take(at).is_some())
    }

    /// Calls `found` with each message whose topic the filter matches.
    pub(crate) fn for_each_match(&self, filter: &str, found: &mut impl FnMut(&Message)) {
        self.descend(ROOT, Some(filter), found);
    }

    fn find(&self, topic: &str) -> Option<NodeId> {
        let mut levels = topic.as_bytes().split(|&byte| byte == b'/');
        levels.try_fold(ROOT, |at, level| self.tree.child(at, level))
    }

    /// Takes a node's message, with the nodes that are there for nothing else.
    fn take(&mut self, mut at: NodeId) -> Option<Message> {
        let former = self.tree.get_mut(at).message.take()?;
        self.messages -= 1;
        self.discount(at, &former);
        while at != ROOT && self.tree.children(at) == 0 && self.tree.get(at).message.is_none() {
            let parent = self.tree.parent(at);
            self.unlink(parent, at);
            self.tree.remove(at);
            at = parent;
        }
        Some(former)
    }

    /// What is counted of a message goes with it.
    fn discount(&mut self, at: NodeId, former: &Message) {
        self.bytes -= former.as_bytes().len();
        if let Some(at_ms) = former.expires_at_ms() {
            self.expiring.remove(&(at_ms, at));
        }
    }

    /// Puts a new child behind the last one.
    fn link(&mut self, parent: NodeId, child: NodeId) {
        let first = match self.tree.marked(parent) {
            ROOT => child,
            first => first,
        };
        self.tree.mark(parent, first);
        let last = if first == child { child } else { self.tree.get(first).previous };
        let spot = self.tree.get_mut(child);
        (spot.next, spot.previous) = (first, last);
        self.tree.get_mut(last).next = child;
        self.tree.get_mut(first).previous = child;
    }

    fn unlink(&mut self, parent: NodeId, child: NodeId) {
        let &Spot { next, previous, .. } = self.tree.get(child);
        self.tree.get_mut(previous).next = next;
        self.tree.get_mut(next).previous = previous;
        if self.tree.marked(parent) == child {
            self.tree.mark(parent, if next == child { ROOT } else { next });
        }
    }

    /// `rest`: the levels of the filter below this node, `None` at its end.
    fn descend(&self, at: NodeId, rest: Option<&str>, found: &mut impl FnMut(&Message)) {
        let Some(rest) = rest else {
            return self.tree.get(at).message.iter().for_each(found);
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        match level {
            "#" => self.all(at, found),
            "+" => self.for_each_child(at, &mut |child| self.descend(child, rest, found)),
            level => {
                if let Some(child) = self.tree.child(at, level.as_bytes()) {
                    self.descend(child, rest, found);
                }
            }
        }
    }

    fn all(&self, at: NodeId, found: &mut impl FnMut(&Message)) {
        self.tree.get(at).message.iter().for_each(&mut *found);
        self.for_each_child(at, &mut |child| self.all(child, found));
    }

    /// Calls `found` with each child that a wildcard matches ([MQTT-4.7.2-1]: in front it does not
    /// match a `$` topic).
    fn for_each_child(&self, at: NodeId, found: &mut dyn FnMut(NodeId)) {
        let first = self.tree.marked(at);
        let mut child = first;
        while child != ROOT {
            if at != ROOT || !self.tree.level(child).starts_with(b"$") {
                found(child);
            }
            let next = self.tree.get(child).next;
            child = if next == first { ROOT } else { next };
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
        // From the middle, so that the neighbours must find each other.
        let mut left = topics.to_vec();
        while !left.is_empty() {
            let topic = left.remove(left.len() / 2);
            assert!(retained.get(topic).is_some());
            assert!(retained.remove(topic));
            assert!(!retained.remove(topic));
            assert!(retained.get(topic).is_none());
            let mut found = Vec::new();
            for filter in ["#", "$SYS/#"] {
                retained.for_each_match(filter, &mut |kept| found.push(kept.topic().to_owned()));
            }
            found.sort_unstable();
            let mut expected = left.clone();
            expected.sort_unstable();
            assert_eq!(found, expected, "without {topic}");
        }
        assert!(retained.tree.is_empty(), "nothing is left behind");
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
