//! What a shard holds, for whoever checks it from outside.

use crate::connection::Connection;
use crate::id::ClientId;
use crate::shard::Shard;

/// What a shard holds at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Connections in whatever phase.
    pub connections: usize,
    /// The sessions that it owns.
    pub sessions: Vec<HeldSession>,
    /// Client Identifiers whose home it is and that somebody has or claims.
    pub directory: usize,
    /// Whoever waits for the disk.
    pub waiters: usize,
    /// Sessions that have ended and are still on the disk.
    pub ending: usize,
    /// Connections that are not read for the sake of the disk or of other shards.
    pub held: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Bytes that are submitted, not committed.
    pub uncommitted_bytes: usize,
}

/// What a shard holds of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSession {
    /// Client Identifier.
    pub client_id: ClientId,
    /// Whether it outlives its connection.
    pub is_durable: bool,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Messages that wait in memory.
    pub waiting: usize,
    /// Bytes of these.
    pub waiting_bytes: usize,
    /// Messages that were sent on this connection and not acknowledged.
    pub on_wire: usize,
    /// How many it may be; `None`: there is no connection.
    pub send_quota: Option<usize>,
    /// Bytes that wait for the socket.
    pub unsent_bytes: usize,
}

impl Shard {
    /// Looks at everything; not for the hot path.
    pub fn census(&self) -> Census {
        let desk = &self.desk;
        let mut sessions: Vec<_> = self.sessions.keys().map(|key| self.look_at(key)).collect();
        sessions.sort_by(|one, other| one.client_id.cmp(&other.client_id));
        Census {
            connections: self.connections.len(),
            sessions,
            directory: self.directory.len(),
            waiters: desk.commit_waiters.len() + desk.sync_waiters.len(),
            ending: self.ending.len(),
            held: desk.held.len() + desk.backlog.paused.len(),
            timers: desk.timers.len(),
            uncommitted_bytes: desk.backlog.uncommitted_bytes(),
        }
    }

    fn look_at(&self, key: crate::id::SessionKey) -> HeldSession {
        let session = &self.sessions[key];
        let connection = session.connection().and_then(|key| self.connections.get(key));
        let (waiting, waiting_bytes, on_wire) = session.outbound.waits();
        HeldSession {
            client_id: session.client_id.clone(),
            is_durable: session.is_durable,
            subscriptions: session.subscriptions.len(),
            waiting,
            waiting_bytes,
            on_wire,
            send_quota: connection.and_then(Connection::send_quota),
            unsent_bytes: connection.map_or(0, |connection| connection.outbox.backlog_bytes()),
        }
    }
}
