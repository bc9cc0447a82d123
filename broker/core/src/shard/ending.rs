//! How connections and sessions end.

use flotilla_mqtt::ReasonCode;

use crate::connection::{Phase, deliver, leave};
use crate::counters::{ConnectOutcome, DropReason};
use crate::id::{ClientId, ConnectionKey, SessionKey};
use crate::mail::Mail;
use crate::message::Message;
use crate::notice::Notice;
use crate::session::Link;
use crate::shard::Shard;
use crate::shard::desk::Waiter;
use crate::shard::steps::{PublishStep, Step};
use crate::shard::timers::Timer;
use crate::turn::{Send, Turn, Write};

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending<'a> {
    /// For DISCONNECT; `None`: without one.
    disconnect: Option<ReasonCode>,
    /// For DISCONNECT, too.
    because: Option<&'a str>,
    publish_will: bool,
    /// Whether the socket is gone already.
    is_gone: bool,
    /// For a connection without a session.
    outcome: ConnectOutcome,
    /// For the log.
    reason: &'static str,
}

impl<'a> Ending<'a> {
    /// The socket broke or was closed by the peer.
    pub(super) const GONE: Self = Self {
        disconnect: None,
        because: None,
        publish_will: true,
        is_gone: true,
        outcome: ConnectOutcome::Abandoned,
        reason: "the connection was lost",
    };

    /// The broker ends it.
    pub(super) fn told(reason_code: ReasonCode, reason: &'static str) -> Self {
        Self { disconnect: Some(reason_code), is_gone: false, reason, ..Self::GONE }
    }

    /// The client is to read why.
    pub(super) fn because(self, reason: &'a str) -> Self {
        Self { because: Some(reason), ..self }
    }

    /// The client sent DISCONNECT.
    pub(super) fn left(publish_will: bool) -> Self {
        let reason = "it left";
        Self { disconnect: None, publish_will, is_gone: false, reason, ..Self::GONE }
    }

    /// It never got a session.
    pub(super) fn refused(outcome: ConnectOutcome) -> Self {
        Self { outcome, is_gone: false, reason: "it was refused", ..Self::GONE }
    }
}

impl Shard {
    /// Ends a connection. Its session goes on if it may.
    pub(super) fn end(&mut self, key: ConnectionKey, ending: Ending<'_>, out: &mut Turn) {
        let Some(mut connection) = self.connections.remove(key) else { return };
        self.desk.counters.connections_open -= 1;
        self.desk.held.remove(&key);
        self.desk.backlog.paused.remove(&key);
        let outbox = &mut connection.outbox;
        match &connection.phase {
            Phase::AwaitConnect | Phase::AwaitIdentity(_) | Phase::AwaitAuth(_) => {
                self.desk.counters.connect_ended(ending.outcome);
            }
            Phase::AwaitSession(waiting) => {
                self.desk.counters.connect_ended(ending.outcome);
                let (client_id, shard) = (waiting.request.client_id.clone(), self.desk.id);
                let home = client_id.home(self.desk.shards);
                self.desk.mail(home, Mail::Withdrawn { client_id, shard, connection: key }, out);
            }
            Phase::Connected(connected) => {
                // [MQTT-3.14.0-1]: not before CONNACK.
                let session = self.sessions.get(connected.session);
                let is_up = session.is_some_and(|session| session.connection() == Some(key));
                if let (Some(reason_code), true) = (ending.disconnect, is_up) {
                    leave::push_disconnect(
                        reason_code,
                        ending.because,
                        connected,
                        outbox,
                        &mut self.desk,
                    );
                }
                if !is_up {
                    self.desk.counters.connect_ended(ending.outcome);
                }
                self.detach(connected.session, ending, out);
            }
        }
        if ending.is_gone {
            return;
        }
        if !outbox.bytes.is_empty() {
            self.desk.counters.bytes_sent += outbox.bytes.len() as u64;
            out.sends.push(Send { connection: key, bytes: std::mem::take(&mut outbox.bytes) });
        }
        out.closes.push(key);
    }

    /// The session has no connection any more.
    fn detach(&mut self, key: SessionKey, ending: Ending<'_>, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.link = Link::Down;
        session.disconnected_at_ms = Some(self.desk.now.unix_ms);
        self.desk.counters.sessions_connected -= 1;
        self.desk.counters.sessions_disconnected += 1;
        let client_id = session.client_id.clone();
        out.notices.push(Notice::Disconnected { client_id, reason: ending.reason });
        if session.is_durable {
            deliver::write_cursor(session, &self.desk, out);
        }
        let shared = session.outbound.take_shared();
        let lost = session.outbound.suspend(self.desk.log_end);
        self.desk.counters.drop_deliveries(DropReason::SessionEnded, lost as u64);
        if !ending.publish_will {
            session.will = None;
        }
        if session.expiry_interval_s == 0 {
            self.end_session(key, out);
            for (message, group) in shared {
                let group = Some(group);
                self.desk.step(Step::PassOn { message, group, why: DropReason::SessionEnded });
            }
            return;
        }
        self.publish_due_will(key);
        self.set_session_timer(key);
        self.desk.step(Step::Relocate(key));
        self.mark_stale(key);
    }

    /// For a session without a connection.
    pub(super) fn set_session_timer(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(due_ms) = session.due_ms() else { return };
        // A client that comes and goes has one timer, not one for each time.
        if session.timer_due_ms.is_none_or(|known| due_ms < known) {
            session.timer_due_ms = Some(due_ms);
            self.desk.timers.set_unix(self.desk.now, due_ms, Timer::Session(key));
        }
    }

    /// Looks whether the time of a session has come, and of its Will.
    pub(super) fn check_session(&mut self, key: SessionKey, out: &mut Turn) {
        self.publish_due_will(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.timer_due_ms = None;
        if session.dissolving.is_some() {
            return;
        }
        if session.is_expired(self.desk.now) {
            self.desk.counters.sessions_expired += 1;
            self.end_session(key, out);
        } else {
            self.set_session_timer(key);
        }
    }

    /// Publishes the Will of a session that has been alone for its Will Delay Interval.
    fn publish_due_will(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(disconnected_at_ms) = session.disconnected_at_ms else { return };
        let now = self.desk.now;
        let Some(will) = &session.will else { return };
        if disconnected_at_ms + will.delay_ms() > now.unix_ms {
            return;
        }
        let message = will.publish(now, &mut self.desk.scratch);
        session.will = None;
        self.publish_will(message, Some(key));
        self.mark_stale(key);
    }

    /// Ends a session that has no connection: its Will is published now at the latest
    /// ([MQTT-3.1.2-8]), its subscriptions go. Who claims it hears of that when it is committed.
    pub(super) fn end_session(&mut self, key: SessionKey, out: &mut Turn) {
        if self.dissolve(key) {
            return;
        }
        let Some(session) = self.sessions.get(key) else { return };
        let (client_id, is_durable) = (session.client_id.clone(), session.is_durable);
        self.discard_session(key, out);
        if !is_durable {
            self.tell_home(client_id, out);
        }
    }

    /// The home shard need not remember the identifier. Of a durable session it is told when its
    /// end is as durable as it must be; until then whoever claims the identifier waits here, also
    /// when another session has begun and ended since.
    pub(super) fn tell_home(&mut self, client_id: ClientId, out: &mut Turn) {
        if self.sessions.find(&client_id).is_none() && !self.ending.contains_key(&client_id) {
            let (home, shard) = (client_id.home(self.desk.shards), self.desk.id);
            self.desk.mail(home, Mail::Ended { client_id, shard }, out);
        }
    }

    /// As [`Shard::end_session`], while the Client Identifier stays with this shard or is being
    /// given to another.
    pub(super) fn discard_session(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.remove(key) else { return };
        self.desk.counters.sessions_disconnected -= 1;
        self.desk.counters.subscriptions -= session.subscriptions.len() as u64;
        let unsent = session.outbound.unsent() as u64;
        self.desk.counters.drop_deliveries(DropReason::SessionEnded, unsent);
        if let Some(will) = &session.will {
            let message = will.publish(self.desk.now, &mut self.desk.scratch);
            self.publish_will(message, None);
        }
        if session.is_durable {
            out.batch.writes.push(Write::EndSession(session.client_id.clone()));
            self.ending.insert(session.client_id.clone(), self.desk.ticket);
            let class = self.desk.durability.of_ends();
            self.desk.wait(class, Waiter::Ended(session.client_id.clone()));
        }
        if let Some(subscriber) = session.subscriber {
            let filters = session.subscriptions.into_filters().collect();
            self.desk.step(Step::Forget { subscriber, filters });
        }
    }

    pub(super) fn publish_will(&mut self, message: Message, session: Option<SessionKey>) {
        self.desk.counters.messages_received[message.qos() as usize] += 1;
        self.desk.step(Step::Publish(PublishStep { message, session, acknowledge: None }));
    }
}
