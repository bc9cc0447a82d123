//! What the outside must do at the end of a turn.

use std::sync::Arc;

use crate::id::{ClientId, ConnectionKey, GroupKey, Position, SessionKey, ShardId, Ticket};
use crate::mail::Mail;
use crate::message::Message;
use crate::notice::Notice;
use crate::record::{OutboundRecord, SessionRecord};
use crate::spare::Spare;
use crate::subscription::Terms;
use flotilla_mqtt::PacketId;

/// Everything the outside must now do, as plain values. One `Turn` serves a shard for good: whoever
/// carries it out drains the lists, their capacity stays.
#[derive(Debug, Default)]
pub struct Turn {
    /// Bytes for sockets, at most one entry per connection. A socket's bytes leave in this order.
    pub sends: Vec<Send>,
    /// Connections to close once all their bytes are written. The core has forgotten them already.
    pub closes: Vec<ConnectionKey>,
    /// Mail for other shards, in order per shard.
    pub mail: Vec<(ShardId, Mail)>,
    /// What to store. When [`Batch::is_empty`] is false it must be submitted before the router's
    /// lock is let go: so commit order is routing order.
    pub batch: Batch,
    /// Pages of the log to read now: a session asks when all that it depends on is committed.
    pub replays: Vec<Replay>,
    /// Who is this? To be answered with `Shard::identified`.
    pub questions: Vec<Question>,
    /// Connections whose socket must not be read until they are resumed.
    pub paused: Vec<ConnectionKey>,
    /// Connections to be read again; first come bytes that were read but not consumed.
    pub resumed: Vec<ConnectionKey>,
    /// What an operator may want to read.
    pub notices: Vec<Notice>,
    pub(crate) spare: Spare,
}

impl Turn {
    /// Gives a written buffer back for later turns.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.spare.put(buffer);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.closes.is_empty()
            && self.mail.is_empty()
            && self.batch.is_empty()
            && self.replays.is_empty()
            && self.questions.is_empty()
            && self.paused.is_empty()
            && self.resumed.is_empty()
            && self.notices.is_empty()
    }
}

/// Bytes for one socket.
#[derive(Debug)]
pub struct Send {
    /// Whose socket.
    pub connection: ConnectionKey,
    /// Whole packets. Report with `Shard::written` once the socket has taken them.
    pub bytes: Vec<u8>,
}

/// Who is behind a connection that sent CONNECT, or AUTH?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The connection that waits.
    pub connection: ConnectionKey,
    /// Client Identifier as sent; may be empty.
    pub client_id: String,
    /// User Name of CONNECT.
    pub username: Option<String>,
    /// Password of CONNECT.
    pub password: Option<Vec<u8>>,
    /// An enhanced authentication, which then decides alone.
    pub exchange: Option<Box<Exchange>>,
}

impl Question {
    /// About a step that came in AUTH.
    pub(crate) fn of_exchange(
        connection: ConnectionKey,
        client_id: String,
        exchange: Exchange,
    ) -> Self {
        let exchange = Some(Box::new(exchange));
        Self { connection, client_id, username: None, password: None, exchange }
    }
}

/// A step of an enhanced authentication, as the client took it (section 4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Authentication Method of CONNECT.
    pub method: String,
    /// Authentication Data, if there was any.
    pub data: Option<Vec<u8>>,
    /// From the answer to the step before; `None`: this is the first.
    pub kept: Option<Vec<u8>>,
}

/// What one turn of one shard wants stored: all of it or nothing. Its appends get consecutive
/// positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Whose turn.
    pub shard: ShardId,
    /// Which of that shard's batches.
    pub ticket: Ticket,
    /// Messages for the log, in order.
    pub appends: Vec<Append>,
    /// Changes of records, in order.
    pub writes: Vec<Write>,
    /// Asks for a commit although there is nothing to write: the ticket then says that all that
    /// was submitted before is committed.
    pub barrier: bool,
    /// Whether somebody waits until it is synced, not only committed. A batch that nobody waits for
    /// costs no sync.
    pub needs_sync: bool,
}

impl Batch {
    /// Whether the engine need not hear of it.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.writes.is_empty() && !self.barrier
    }

    /// About what it holds in memory until it is committed. Never 0.
    pub fn bytes(&self) -> usize {
        let appends = self.appends.len() * size_of::<Append>() + self.message_bytes();
        size_of::<Self>() + appends + self.writes.iter().map(Write::bytes).sum::<usize>()
    }

    /// What its messages add to the log.
    pub fn message_bytes(&self) -> usize {
        self.appends.iter().map(|append| append.message.as_bytes().len()).sum()
    }
}

/// A message for the log with the sessions that were found to want it.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The message.
    pub message: Message,
    /// The persistent sessions that want it, by shard.
    pub targets: Vec<(ShardId, Vec<Target>)>,
}

/// A session that gets a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Within its shard.
    pub session: SessionKey,
    /// How it gets it.
    pub terms: Terms,
    /// The group as whose member it gets it without the log; `None`: for itself, or from the log.
    pub group: Option<GroupKey>,
}

/// A change of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Writes a session's record: refused, with its whole batch, unless the stored revision is one
    /// less (0 when there is none).
    PutSession(Box<SessionRecord>),
    /// Removes a session: record, cursor, inbound, outbound, overtaken.
    EndSession(ClientId),
    /// Everything below `cursor` is done for the session. Never goes back.
    PutCursor(ClientId, Position),
    /// A QoS 2 PUBLISH from the client was taken.
    PutInbound(ClientId, PacketId),
    /// Its PUBREL came.
    DeleteInbound(ClientId, PacketId),
    /// A QoS 2 message is about to be sent or released.
    PutOutbound(ClientId, OutboundRecord),
    /// The cursor has passed it.
    DeleteOutbound(ClientId, Position),
    /// A client was told that cleaning took so many messages from its session.
    ClearOvertaken(ClientId, u64),
    /// The retained message of its topic ([MQTT-3.3.1-5]).
    PutRetained(Message),
    /// The topic has no retained message any more ([MQTT-3.3.1-6]).
    DeleteRetained(Box<str>),
}

impl Write {
    fn bytes(&self) -> usize {
        let held = match self {
            Self::PutSession(record) => record.bytes(),
            Self::PutRetained(message) => message.as_bytes().len(),
            Self::DeleteRetained(topic) => topic.len(),
            // The identifier is shared with the session.
            Self::EndSession(_)
            | Self::PutCursor(..)
            | Self::PutInbound(..)
            | Self::DeleteInbound(..)
            | Self::PutOutbound(..)
            | Self::DeleteOutbound(..)
            | Self::ClearOvertaken(..) => 0,
        };
        size_of::<Self>() + held
    }
}

/// Topic Filters, each with the position from which on it counts; shared by the pages of a session.
pub type ReplayFilters = Arc<[(Box<str>, Position)]>;

/// A request for a page of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// For whom; comes back with the page.
    pub session: SessionKey,
    /// Which of its requests; comes back with the page.
    pub number: u64,
    /// Client Identifier: addressed messages of others are left out.
    pub client_id: ClientId,
    /// The first position to look at.
    pub from: Position,
    /// Which messages: those a filter matches from its position on…
    pub filters: ReplayFilters,
    /// …and those at these positions, whatever their topic; ascending.
    pub positions: Vec<Position>,
    /// The page ends after so many messages…
    pub messages_max: usize,
    /// …or when they hold so many bytes, at least one.
    pub bytes_max: usize,
}

/// A page of the log, for one session.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// From the request.
    pub session: SessionKey,
    /// From the request.
    pub number: u64,
    /// Ascending.
    pub messages: Vec<(Position, Message)>,
    /// Where the next page begins: everything wanted below is in this page or in earlier ones.
    pub next: Position,
    /// Whether `next` was the end of the log when the page was read.
    pub reached_end: bool,
}
