//! The filters of all subscriptions, so that a topic finds those that match.

use flotilla_mqtt::topic;

use crate::id::SubscriberKey;
use crate::router::subscribers::{Entry, Subscribers};
use crate::router::tree::{HashedLevel, NodeId, ROOT, Tree};

/// A node of the tree is the front of some filter. `#` is no edge but has a place in the node, and
/// `+` is the child that is marked, since every match looks there.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    tree: Tree<Front>,
}

#[derive(Debug, Default)]
struct Front {
    /// Filters that end here.
    here: Subscribers,
    /// Filters that end here with a further `#`.
    below: Subscribers,
}

impl Trie {
    /// Adds a subscription, or replaces the subscriber's earlier one to the same filter.
    pub(crate) fn insert(&mut self, filter: &str, entry: Entry) {
        let mut at = ROOT;
        for level in topic::levels(filter) {
            if level == "#" {
                self.tree.get_mut(at).below.insert(entry);
                return;
            }
            let (child, _) = self.tree.child_or_new(at, level.as_bytes());
            if level == "+" {
                self.tree.mark(at, child);
            }
            at = child;
        }
        self.tree.get_mut(at).here.insert(entry);
    }

    /// Removes a subscription with what nobody needs any more; false: there was none.
    pub(crate) fn remove(&mut self, filter: &str, subscriber: SubscriberKey) -> bool {
        let mut at = ROOT;
        let mut is_below = false;
        for level in topic::levels(filter) {
            if level == "#" {
                is_below = true;
                break;
            }
            let Some(child) = self.tree.child(at, level.as_bytes()) else { return false };
            at = child;
        }
        let front = self.tree.get_mut(at);
        let list = if is_below { &mut front.below } else { &mut front.here };
        let was_there = list.remove(subscriber);
        while at != ROOT && self.tree.children(at) == 0 && self.tree.get(at).is_unused() {
            let parent = self.tree.parent(at);
            if self.tree.marked(parent) == at {
                self.tree.mark(parent, ROOT);
            }
            self.tree.remove(at);
            at = parent;
        }
        was_there
    }

    /// Calls `found` with the entries of each filter that matches ([MQTT-4.7.1-2], [-3]).
    pub(crate) fn for_each_match<'a>(
        &'a self,
        topic: &[u8],
        found: &mut impl FnMut(&'a Subscribers),
    ) {
        // [MQTT-4.7.2-1]: a filter that starts with a wildcard does not match a `$` topic.
        let is_dollar = topic.first() == Some(&b'$');
        self.descend(ROOT, &self.tree.levels(topic), is_dollar, found);
    }

    /// Seeded.
    pub(crate) fn hash(&self, topic: &[u8]) -> u64 {
        self.tree.hash(topic)
    }

    /// `rest`: the levels below this node.
    fn descend<'a>(
        &'a self,
        at: NodeId,
        rest: &[HashedLevel<'_>],
        no_wildcard: bool,
        found: &mut impl FnMut(&'a Subscribers),
    ) {
        let front = self.tree.get(at);
        if !no_wildcard && !front.below.is_empty() {
            found(&front.below);
        }
        let Some((&level, rest)) = rest.split_first() else {
            if !front.here.is_empty() {
                found(&front.here);
            }
            return;
        };
        let plus = self.tree.marked(at);
        if plus != ROOT && !no_wildcard {
            self.descend(plus, rest, false, found);
        }
        let exact = self.tree.children(at) - u32::from(plus != ROOT);
        if exact > 0
            && let Some(child) = self.tree.child_by(at, level)
        {
            self.descend(child, rest, false, found);
        }
    }
}

impl Front {
    fn is_unused(&self) -> bool {
        self.here.is_empty() && self.below.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use slotmap::SlotMap;

    use super::*;
    use crate::router::subscribers::entry;

    /// A small generator, so that a failure can be repeated.
    fn random(state: &mut u64, below: usize) -> usize {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 33) as usize) % below
    }

    fn path(state: &mut u64, levels: &[&str]) -> String {
        let depth = 1 + random(state, 4);
        (0..depth).map(|_| levels[random(state, levels.len())]).collect::<Vec<_>>().join("/")
    }

    fn found(trie: &Trie, topic: &str) -> BTreeSet<SubscriberKey> {
        let mut keys = BTreeSet::new();
        trie.for_each_match(topic.as_bytes(), &mut |list| {
            keys.extend(list.iter().map(|e| e.subscriber));
        });
        keys
    }

    #[test]
    fn matches_what_the_definition_says_under_insertions_and_removals() {
        let mut state = 7;
        let mut keys = SlotMap::<SubscriberKey, ()>::with_key();
        let mut trie = Trie::default();
        let mut model: Vec<(String, SubscriberKey)> = Vec::new();
        for round in 0..20_000 {
            if random(&mut state, 3) > 0 || model.is_empty() {
                let filter = path(&mut state, &["a", "b", "é", "", "$x", "+", "#"]);
                if !topic::is_valid_filter(&filter) {
                    continue;
                }
                let subscriber = keys.insert(());
                trie.insert(&filter, entry(subscriber, None));
                model.push((filter, subscriber));
            } else {
                let at = random(&mut state, model.len());
                let (filter, subscriber) = model.swap_remove(at);
                assert!(trie.remove(&filter, subscriber), "{filter} was there");
                assert!(!trie.remove(&filter, subscriber), "{filter} is gone");
            }
            if round % 10 == 0 {
                let topic = path(&mut state, &["a", "b", "é", "", "$x"]);
                let expected: BTreeSet<_> = model
                    .iter()
                    .filter(|(filter, _)| topic::matches(filter, &topic))
                    .map(|&(_, subscriber)| subscriber)
                    .collect();
                assert_eq!(found(&trie, &topic), expected, "topic {topic:?}");
            }
            if model.len() > 300 {
                for (filter, subscriber) in model.drain(..) {
                    assert!(trie.remove(&filter, subscriber));
                }
                assert!(trie.tree.is_empty(), "nothing is left behind");
            }
        }
    }

    #[test]
    fn replaces_a_subscription_to_the_same_filter() {
        let mut keys = SlotMap::<SubscriberKey, ()>::with_key();
        let subscriber = keys.insert(());
        let mut trie = Trie::default();
        trie.insert("a/#", entry(subscriber, Some(1)));
        trie.insert("a/#", entry(subscriber, Some(2)));
        let mut ids = Vec::new();
        trie.for_each_match(b"a", &mut |list| ids.extend(list.iter().map(Entry::id)));
        assert_eq!(ids, [Some(2)]);
    }
}
