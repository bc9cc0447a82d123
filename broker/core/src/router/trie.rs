//! Topic Filters as a flat trie: one table of edges, one of nodes.

use std::hash::{Hash, Hasher};

use flotilla_mqtt::topic;
use hashbrown::{Equivalent, HashMap};

use crate::id::SubscriberKey;
use crate::router::subscribers::{Entry, Subscribers};

/// The filters of all subscriptions. A node is the front of some filter; an edge leads from it by
/// one more Level. `+` and `#` have no edge but a place in the node, since every match looks there.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    edges: HashMap<Edge, NodeId>,
    free: Vec<NodeId>,
}

type NodeId = u32;

const ROOT: NodeId = 0;

#[derive(Debug, Default)]
struct Node {
    /// Filters that end here.
    here: Subscribers,
    /// Filters that end here with a further `#`.
    below: Subscribers,
    /// The edge `+`; `ROOT`: none.
    plus: NodeId,
    /// Edges in the table that start here.
    edges: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Edge {
    parent: NodeId,
    level: Box<str>,
}

struct EdgeRef<'a> {
    parent: NodeId,
    level: &'a str,
}

impl Hash for Edge {
    fn hash<H: Hasher>(&self, state: &mut H) {
        EdgeRef { parent: self.parent, level: &self.level }.hash(state);
    }
}

impl Hash for EdgeRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parent.hash(state);
        self.level.hash(state);
    }
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, edge: &Edge) -> bool {
        self.parent == edge.parent && self.level == &*edge.level
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], edges: HashMap::new(), free: Vec::new() }
    }
}

impl Trie {
    /// Adds a subscription, or replaces the subscriber's earlier one to the same filter.
    pub(crate) fn insert(&mut self, filter: &str, entry: Entry) {
        let mut at = ROOT;
        for level in topic::levels(filter) {
            if level == "#" {
                self.nodes[at as usize].below.insert(entry);
                return;
            }
            at = self.child_or_new(at, level);
        }
        self.nodes[at as usize].here.insert(entry);
    }

    /// Removes a subscription with the nodes that nobody needs any more; false: there was none.
    pub(crate) fn remove(&mut self, filter: &str, subscriber: SubscriberKey) -> bool {
        let mut path = Vec::new();
        let mut at = ROOT;
        let mut is_below = false;
        for level in topic::levels(filter) {
            if level == "#" {
                is_below = true;
                break;
            }
            let Some(child) = self.child(at, level) else { return false };
            path.push((at, level));
            at = child;
        }
        let node = &mut self.nodes[at as usize];
        let list = if is_below { &mut node.below } else { &mut node.here };
        let was_there = list.remove(subscriber);
        for (parent, level) in path.into_iter().rev() {
            if !self.nodes[at as usize].is_unused() {
                break;
            }
            self.unlink(parent, level);
            at = parent;
        }
        was_there
    }

    /// Calls `found` with the entries of each filter that matches ([MQTT-4.7.1-2], [-3]).
    pub(crate) fn for_each_match<'a>(
        &'a self,
        topic: &str,
        found: &mut impl FnMut(&'a Subscribers),
    ) {
        // [MQTT-4.7.2-1]: a filter that starts with a wildcard does not match a `$` topic.
        let is_dollar = topic.starts_with('$');
        self.descend(ROOT, Some(topic), is_dollar, found);
    }

    /// `rest`: the levels below this node, `None` at the end of the topic.
    fn descend<'a>(
        &'a self,
        at: NodeId,
        rest: Option<&str>,
        no_wildcard: bool,
        found: &mut impl FnMut(&'a Subscribers),
    ) {
        let node = &self.nodes[at as usize];
        if !no_wildcard && !node.below.is_empty() {
            found(&node.below);
        }
        let Some(rest) = rest else {
            if !node.here.is_empty() {
                found(&node.here);
            }
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if node.plus != ROOT && !no_wildcard {
            self.descend(node.plus, rest, false, found);
        }
        if node.edges > 0
            && let Some(&child) = self.edges.get(&EdgeRef { parent: at, level })
        {
            self.descend(child, rest, false, found);
        }
    }

    fn child(&self, at: NodeId, level: &str) -> Option<NodeId> {
        if level == "+" {
            return Some(self.nodes[at as usize].plus).filter(|&plus| plus != ROOT);
        }
        self.edges.get(&EdgeRef { parent: at, level }).copied()
    }

    fn child_or_new(&mut self, at: NodeId, level: &str) -> NodeId {
        if let Some(child) = self.child(at, level) {
            return child;
        }
        let child = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            NodeId::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes")
        });
        let node = &mut self.nodes[at as usize];
        if level == "+" {
            node.plus = child;
        } else {
            node.edges += 1;
            self.edges.insert(Edge { parent: at, level: level.into() }, child);
        }
        child
    }

    fn unlink(&mut self, parent: NodeId, level: &str) {
        let child = if level == "+" {
            std::mem::replace(&mut self.nodes[parent as usize].plus, ROOT)
        } else {
            self.nodes[parent as usize].edges -= 1;
            let edge = EdgeRef { parent, level };
            self.edges.remove(&edge).expect("the path was walked along this edge")
        };
        self.nodes[child as usize] = Node::default();
        self.free.push(child);
    }
}

impl Node {
    fn is_unused(&self) -> bool {
        self.here.is_empty() && self.below.is_empty() && self.plus == ROOT && self.edges == 0
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
        trie.for_each_match(topic, &mut |list| keys.extend(list.iter().map(|e| e.subscriber)));
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
                trie.insert(&filter, entry(subscriber));
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
                assert!(trie.edges.is_empty(), "nothing is left behind");
                assert_eq!(trie.free.len() + 1, trie.nodes.len());
            }
        }
    }

    #[test]
    fn replaces_a_subscription_to_the_same_filter() {
        let mut keys = SlotMap::<SubscriberKey, ()>::with_key();
        let subscriber = keys.insert(());
        let mut trie = Trie::default();
        trie.insert("a/#", Entry { id: Some(1), ..entry(subscriber) });
        trie.insert("a/#", Entry { id: Some(2), ..entry(subscriber) });
        let mut ids = Vec::new();
        trie.for_each_match("a", &mut |list| ids.extend(list.iter().map(|e| e.id)));
        assert_eq!(ids, [Some(2)]);
    }
}
