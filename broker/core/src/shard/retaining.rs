//! Retained messages: kept within limits, forgotten when they expire.

use std::sync::Arc;

use flotilla_mqtt::{PacketId, QoS, ReasonCode};

use crate::connection::Connection;
use crate::connection::owed::{Acknowledgement, Due};
use crate::connection::refusal::Refusal;
use crate::counters::DropReason;
use crate::id::{ConnectionKey, SessionKey};
use crate::message::Message;
use crate::router::Router;
use crate::shard::Shard;
use crate::shard::timers::Timer;
use crate::turn::{Turn, Write};

/// Retained messages that are forgotten in one turn, which holds the router's lock.
const SWEPT_A_TURN: usize = 1024;
/// From one turn that forgets some to the next: while more are due, and else.
const SWEEP_PAUSE_MS: (u64, u64) = (10, 1_000);

impl Shard {
    /// Makes the message that of its topic; false: a limit is reached, or the disk is full. Then a publisher who waits
    /// for an acknowledgement is told, and for others the topic has no retained message: the old
    /// one is not its last value any more.
    pub(super) fn retain(
        &mut self,
        message: &Message,
        can_be_told: bool,
        router: &mut Router,
        out: &mut Turn,
    ) -> bool {
        let limits = Arc::clone(&self.desk.limits);
        if !router.has_room_for(message, &limits) {
            // In place of those that nobody gets any more.
            self.forget_expired(router, out);
        }
        // Who waits for an acknowledgement has been told before, if that is possible.
        let is_too_late = self.desk.is_store_full && !can_be_told && !message.payload().is_empty();
        let is_kept = !is_too_late
            && message.payload().len() <= limits.retained_payload_max
            && router.retain(message, &limits);
        let topic = message.topic();
        if is_kept && !message.payload().is_empty() {
            out.batch.writes.push(Write::PutRetained(message.clone()));
        } else if is_kept || !can_be_told && router.remove_retained(topic) {
            out.batch.writes.push(Write::DeleteRetained(topic.into()));
        }
        if let (true, Some(_)) = (is_kept, message.expires_at_ms()) {
            self.watch_expiry(router);
        }
        if !is_kept {
            self.desk.counters.drop_deliveries(DropReason::NotRetained, 1);
        }
        is_kept
    }

    /// Tells the publisher of a message that cannot be kept: it goes to nobody.
    pub(super) fn refuse_publish(
        &mut self,
        message: &Message,
        session: Option<SessionKey>,
        key: ConnectionKey,
        packet_id: PacketId,
        reason: &'static str,
    ) {
        let is_exactly_once = message.qos() == QoS::ExactlyOnce;
        // Whether the client can be told or not: when it sends the message again, that is no repetition.
        if is_exactly_once && let Some(session) = session.and_then(|key| self.sessions.get_mut(key))
        {
            session.inbound.release(packet_id);
        }
        let connection = self.connections.get_mut(key);
        let Some((connected, outbox)) = connection.and_then(Connection::connected) else { return };
        if !connected.negotiated.can_be_told {
            self.desk.refused.push((key, Refusal::new(ReasonCode::QuotaExceeded, reason)));
            return;
        }
        let acknowledgement = match is_exactly_once {
            true => Acknowledgement::Pubrec(packet_id, ReasonCode::QuotaExceeded),
            false => Acknowledgement::Puback(packet_id, ReasonCode::QuotaExceeded),
        };
        connected.owe(Due::Now, acknowledgement, outbox, &mut self.desk);
    }

    pub(super) fn can_be_told(&mut self, key: ConnectionKey) -> bool {
        let connection = self.connections.get_mut(key).and_then(Connection::connected);
        connection.is_some_and(|(connected, _)| connected.negotiated.can_be_told)
    }

    /// Forgets retained messages that have expired, and looks when there will be more.
    pub(super) fn sweep_retained(&mut self, router: &mut Router, out: &mut Turn) {
        if router.sweeper.is_some_and(|sweeper| sweeper != self.desk.id) {
            return;
        }
        router.sweeper = None;
        self.forget_expired(router, out);
        self.watch_expiry(router);
    }

    /// Of all shards one has a timer.
    fn watch_expiry(&mut self, router: &mut Router) {
        let Some(expires_at_ms) = router.retained_expiry_ms() else { return };
        if router.sweeper.is_some() {
            return;
        }
        router.sweeper = Some(self.desk.id);
        let now = self.desk.now;
        let (more, none) = SWEEP_PAUSE_MS;
        let pause_ms = if expires_at_ms <= now.unix_ms { more } else { none };
        let at_ms = expires_at_ms.max(now.unix_ms + pause_ms);
        self.desk.timers.set_unix(now, at_ms, Timer::Retained);
    }

    fn forget_expired(&mut self, router: &mut Router, out: &mut Turn) {
        let expired = router.forget_expired(self.desk.now.unix_ms, SWEPT_A_TURN);
        self.desk.counters.retained_expired += expired.len() as u64;
        out.batch.writes.extend(expired.into_iter().map(Write::DeleteRetained));
    }
}
