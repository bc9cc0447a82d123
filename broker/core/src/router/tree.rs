//! A tree by Level: one table of nodes, one of edges.

use std::hash::BuildHasher;

use smallvec::SmallVec;

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::HashTable;

use crate::router::level::Level;

/// Topics or filters, Level by Level; each node holds a `T`. An edge is the number of the node it
/// leads to, found by the hash of where it starts and of its Level, so that one step costs two
/// looks at memory however many nodes there are, and one where there is only one way to go. The hash is seeded: clients choose the Levels.
#[derive(Debug)]
pub(crate) struct Tree<T> {
    nodes: Vec<Node<T>>,
    edges: HashTable<NodeId>,
    hash_builder: DefaultHashBuilder,
    free: Vec<NodeId>,
}

/// The Levels of a topic with their hashes: a topic is cut once, and each Level hashed once, however
/// many filters begin with wildcards.
pub(crate) type Levels<'a> = SmallVec<[HashedLevel<'a>; 8]>;

#[derive(Clone, Copy)]
pub(crate) struct HashedLevel<'a> {
    text: &'a [u8],
    hash: u64,
}

pub(crate) type NodeId = u32;

pub(crate) const ROOT: NodeId = 0;

/// A line of the cache for `T`s of up to 32 bytes: a walk among many nodes waits for one line each.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Node<T> {
    parent: NodeId,
    /// How many edges start here.
    children: u32,
    /// A child that has no edge in the table: most nodes have no other. `ROOT`: none.
    near: NodeId,
    /// A child that is marked. `ROOT`: none.
    marked: NodeId,
    /// The end of its name.
    level: Level,
    value: T,
}

impl<T: Default> Default for Tree<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            edges: HashTable::new(),
            hash_builder: DefaultHashBuilder::default(),
            free: Vec::new(),
        }
    }
}

impl<T: Default> Tree<T> {
    pub(crate) fn get(&self, at: NodeId) -> &T {
        &self.nodes[at as usize].value
    }

    pub(crate) fn get_mut(&mut self, at: NodeId) -> &mut T {
        &mut self.nodes[at as usize].value
    }

    pub(crate) fn children(&self, at: NodeId) -> u32 {
        self.nodes[at as usize].children
    }

    /// The child that was marked with [`Tree::mark`]; `ROOT`: none.
    pub(crate) fn marked(&self, at: NodeId) -> NodeId {
        self.nodes[at as usize].marked
    }

    /// Marks one of the node's children, or with `ROOT` none.
    pub(crate) fn mark(&mut self, at: NodeId, child: NodeId) {
        self.nodes[at as usize].marked = child;
    }

    /// The last Level of the node's name.
    pub(crate) fn level(&self, at: NodeId) -> &[u8] {
        self.nodes[at as usize].level.as_bytes()
    }

    pub(crate) fn parent(&self, at: NodeId) -> NodeId {
        self.nodes[at as usize].parent
    }

    pub(crate) fn levels<'a>(&self, topic: &'a [u8]) -> Levels<'a> {
        topic.split(|&byte| byte == b'/').map(|level| self.hashed(level)).collect()
    }

    pub(crate) fn child(&self, at: NodeId, level: &[u8]) -> Option<NodeId> {
        self.child_by(at, self.hashed(level))
    }

    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        self.hash_builder.hash_one(text)
    }

    fn hashed<'a>(&self, text: &'a [u8]) -> HashedLevel<'a> {
        HashedLevel { text, hash: self.hash(text) }
    }

    pub(crate) fn child_by(&self, at: NodeId, level: HashedLevel<'_>) -> Option<NodeId> {
        let Node { near, children, .. } = self.nodes[at as usize];
        let is_it = |&id: &NodeId| self.nodes[id as usize].is(at, level.text);
        // Where there are many, the one is seldom the one; it need not be looked at.
        let is_alone = children == u32::from(near != ROOT);
        let far = if is_alone { None } else { self.edges.find(edge_hash(at, level.hash), is_it) };
        far.copied().or_else(|| Some(near).filter(|near| *near != ROOT && is_it(near)))
    }

    /// The child, and whether it is new.
    pub(crate) fn child_or_new(&mut self, at: NodeId, level: &[u8]) -> (NodeId, bool) {
        let hashed = self.hashed(level);
        if let Some(child) = self.child_by(at, hashed) {
            return (child, false);
        }
        let Self { nodes, edges, hash_builder, free } = self;
        let child = free.pop().unwrap_or_else(|| {
            NodeId::try_from(nodes.len()).expect("memory ends before 2^32 nodes")
        });
        let node = Node { parent: at, level: level.into(), ..Node::default() };
        match nodes.get_mut(child as usize) {
            Some(free) => *free = node,
            None => nodes.push(node),
        }
        let parent = &mut nodes[at as usize];
        parent.children += 1;
        if parent.near == ROOT {
            parent.near = child;
        } else {
            let rehash = |&id: &NodeId| nodes[id as usize].hash(hash_builder);
            edges.insert_unique(edge_hash(at, hashed.hash), child, rehash);
        }
        (child, true)
    }

    /// Removes a node that has no children.
    pub(crate) fn remove(&mut self, at: NodeId) {
        let node = std::mem::take(&mut self.nodes[at as usize]);
        let parent = &mut self.nodes[node.parent as usize];
        parent.children -= 1;
        if parent.near == at {
            // The next one that comes takes its place.
            parent.near = ROOT;
        } else {
            let edge = self.edges.find_entry(node.hash(&self.hash_builder), |&id| id == at);
            edge.expect("an edge leads to each child but the near one").remove();
        }
        self.free.push(at);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.free.len() + 1 == self.nodes.len()
    }
}

/// `level`: the seeded hash of the Level. The parents of one Level differ in the lower bits, which
/// choose the place in the table, and through the odd factor in the upper ones, which tell its
/// neighbours apart.
fn edge_hash(parent: NodeId, level: u64) -> u64 {
    u64::from(parent).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ level
}

impl<T> Node<T> {
    fn is(&self, parent: NodeId, level: &[u8]) -> bool {
        self.parent == parent && self.level.as_bytes() == level
    }

    fn hash(&self, hash_builder: &DefaultHashBuilder) -> u64 {
        edge_hash(self.parent, hash_builder.hash_one(self.level.as_bytes()))
    }
}
