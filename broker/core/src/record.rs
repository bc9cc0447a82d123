//! What a store keeps of a session.

use flotilla_mqtt::{PacketId, SubscriptionOptions};

use crate::id::{ClientId, Position};
use crate::message::Message;

/// A persistent session on disk: everything but its cursor and its QoS 2 exchanges, which change
/// per message and are written apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Client Identifier, the key.
    pub client_id: ClientId,
    /// 1 for a new session, one more with every write. A write whose revision is not one above the
    /// stored one is refused: that is what fences a former owner.
    pub revision: u64,
    /// Session Expiry Interval, seconds; `u32::MAX`: never.
    pub expiry_interval_s: u32,
    /// When the connection ended, Unix milliseconds; `None` while connected.
    pub disconnected_at_ms: Option<u64>,
    /// In no particular order.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// The Will that is still to be published, if any.
    pub will: Option<WillRecord>,
    /// QoS 1 messages that were sent, not acknowledged; written when the connection ends, so that
    /// a later one can resend them under the same Packet Identifiers.
    pub unacknowledged: Vec<(PacketId, Position)>,
    /// With that list: everything below is done for the session unless it is in it, or in an
    /// [`OutboundRecord`]. Zero while connected.
    pub sent_up_to: Position,
    /// With that list: QoS 1 messages from `sent_up_to` to below here may have been sent as well,
    /// before a crash, without a trace. Zero while connected.
    pub maybe_sent_below: Position,
}

impl SessionRecord {
    /// Makes every [`Start`] a [`Start::At`]. `first`: the first position of the record's batch.
    pub fn resolve(&mut self, first: Position) {
        for SubscriptionRecord { start, until, .. } in &mut self.subscriptions {
            for mark in [start].into_iter().chain(until) {
                *mark = Start::At(mark.resolve(first));
            }
        }
    }

    /// About what it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        let filters = self.subscriptions.iter().map(|s| size_of_val(s) + s.filter.len());
        let will = self.will.as_ref().map_or(0, |will| will.message.as_bytes().len());
        let unacknowledged = size_of_val(self.unacknowledged.as_slice());
        size_of::<Self>() + filters.sum::<usize>() + will + unacknowledged
    }
}

/// A subscription on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Topic Filter as the client wrote it.
    pub filter: Box<str>,
    /// QoS granted and options.
    pub options: SubscriptionOptions,
    /// Subscription Identifier.
    pub id: Option<u32>,
    /// Where in the log it starts.
    pub start: Start,
    /// Where in the log it ended, if another one has replaced it and this one is owed messages
    /// still; `None`: it stands.
    pub until: Option<Start>,
}

/// Where in the log a subscription starts, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this position.
    At(Position),
    /// So many messages after the first position of the batch that carries the record: only the
    /// engine knows that one. The engine stores the sum.
    InBatch(u64),
}

impl Start {
    /// The position, once the first position of the batch is known.
    pub fn resolve(self, first: Position) -> Position {
        match self {
            Self::At(position) => position,
            Self::InBatch(messages) => first.plus(messages),
        }
    }
}

/// A Will on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillRecord {
    /// The message to publish. Its expiry starts when it is published, so it carries none.
    pub message: Message,
    /// Will Delay Interval, seconds.
    pub delay_interval_s: u32,
    /// Message Expiry Interval, seconds.
    pub message_expiry_interval_s: Option<u32>,
}

/// A QoS 2 message on its way to a session: written before the PUBLISH leaves, again before the
/// PUBREL leaves, deleted when the cursor has passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundRecord {
    /// Where the message stands in the log; the key, with the Client Identifier.
    pub position: Position,
    /// Under which Packet Identifier it was sent.
    pub packet_id: PacketId,
    /// Whether PUBREC came, so that PUBREL is owed.
    pub released: bool,
}

/// Everything a store gives back about one session at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The record; every [`Start`] is [`Start::At`].
    pub record: SessionRecord,
    /// Everything below is done for this session.
    pub cursor: Position,
    /// QoS 2 messages from the client whose PUBREL has not come.
    pub inbound: Vec<PacketId>,
    /// QoS 2 messages to the client above the cursor, by position.
    pub outbound: Vec<OutboundRecord>,
    /// Messages that cleaning took from it, and of which it was not told.
    pub overtaken: u64,
}
