//! The names by which the parts of a broker know each other.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use slotmap::new_key_type;

new_key_type! {
    /// A connection within its shard. Never reused for another connection.
    pub struct ConnectionKey;
    /// A session within the shard that owns it. Never reused for another session.
    pub struct SessionKey;
    /// A session as the router knows it, wherever it lives.
    pub struct SubscriberKey;
}

/// A group of a shared subscription. It stands in a trie as a subscriber does.
pub type GroupKey = SubscriberKey;

/// Client Identifier, at most 65,535 bytes of UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The identifier as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of `shards` shards answers for this identifier in the directory. FNV-1a: the same in
    /// every run, so that a replayed seed gives the same history.
    pub fn home(&self, shards: u16) -> ShardId {
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        ShardId(((hash >> 32) % u64::from(shards.max(1))) as u16)
    }
}

impl From<&str> for ClientId {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl Borrow<str> for ClientId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the broker's shards, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A place in the log. Positions grow by one a message in the order of commit; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Before every message.
    pub const ZERO: Self = Self(0);

    /// The place `messages` further on.
    #[must_use]
    pub fn plus(self, messages: u64) -> Self {
        Self(self.0 + messages)
    }
}

/// Names one shard's batch. Tickets of a shard grow by one a batch and commit in that order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
