//! Subscriptions that begin, end, or move with their session.

use flotilla_mqtt::{QoS, ReasonCode, RetainHandling, topic};

use crate::connection::deliver;
use crate::connection::owed::{Acknowledgement, Due};
use crate::counters::DropReason;
use crate::id::{ClientId, SessionKey};
use crate::limits::{Limits, Room};
use crate::message::{Message, MessageParts, has_room_for_share};
use crate::router::Router;
use crate::shard::Shard;
use crate::shard::steps::{SubscribeStep, UnsubscribeStep};
use crate::subscription::{SubscribedFrom, Terms};
use crate::turn::{Append, Target, Turn, Write};

impl Shard {
    pub(super) fn subscribe(&mut self, step: SubscribeStep, router: &mut Router, out: &mut Turn) {
        let session = self.sessions.get_mut(step.session);
        let Some(session) = session.filter(|session| session.dissolving.is_none()) else { return };
        let subscriber = session.subscriber_in(self.desk.id, step.session);
        let key = *session.subscriber.get_or_insert_with(|| router.add(subscriber));
        let mut reason_codes = Vec::with_capacity(step.filters.len());
        let (mut retained, mut expired) = (Vec::new(), Vec::new());
        let mut room = self.desk.limits.queue();
        for (filter, options) in &step.filters {
            let known = session.subscriptions.get(filter).copied();
            let most = self.desk.limits.subscriptions_max;
            let is_full = match known {
                None => session.subscriptions.len() >= most,
                Some(_) => session.replaced() >= most,
            };
            if let Some(reason_code) =
                refuse_filter(filter, &session.client_id, is_full, &self.desk.limits)
            {
                reason_codes.push(reason_code);
                continue;
            }
            // [MQTT-3.3.1-9], [-10], [-11].
            let wants_retained = match options.retain_handling {
                // Section 4.8: not when it is shared.
                _ if topic::shared_filter(filter).is_some() => false,
                RetainHandling::SendAlways => true,
                RetainHandling::SendIfNew => known.is_none(),
                RetainHandling::DoNotSend => false,
            };
            let mut found = Vec::new();
            if wants_retained {
                router.for_each_retained(filter, &mut |message| {
                    if message.is_expired(self.desk.now.unix_ms) {
                        expired.push(message.clone());
                        return;
                    }
                    let qos = message.qos().min(options.qos);
                    let ids = step.id.into();
                    found.push((message.clone(), Terms { qos, retain: true, ids }));
                });
            }
            let is_owed = |(_, terms): &(Message, Terms)| terms.qos > QoS::AtMostOnce;
            if self.desk.is_store_full && session.is_durable && found.iter().any(is_owed) {
                // They would go through the log.
                reason_codes.push(ReasonCode::QuotaExceeded);
                continue;
            }
            room.messages = room.messages.max(found.len());
            let bytes = found.iter().map(|(message, _)| message.as_bytes().len());
            room.bytes = room.bytes.max(bytes.sum());
            retained.append(&mut found);
            let unwritten = SubscribedFrom::Unwritten(out.batch.appends.len() as u64);
            let subscription = session.subscribe(filter, *options, step.id, unwritten);
            router.subscribe(key, &session.client_id, filter, &subscription);
            self.desk.counters.subscriptions += u64::from(known.is_none());
            reason_codes.push(match options.qos {
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
            });
        }
        for message in expired {
            if router.remove_retained(message.topic()) {
                self.desk.counters.retained_expired += 1;
                out.batch.writes.push(Write::DeleteRetained(message.topic().into()));
            }
        }
        let due = if self.is_durable(step.session) {
            self.mark_stale(step.session);
            Due::Recorded
        } else {
            Due::Now
        };
        self.owe(step.connection, due, Acknowledgement::Suback(step.packet_id, reason_codes));
        for (message, terms) in retained {
            self.deliver_retained(step.session, &message, terms, room, out);
        }
        self.pump(step.session, out);
    }

    /// Sends what waits for a session.
    fn pump(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let connection = session.connection().and_then(|key| self.connections.get_mut(key));
        if let Some((connected, outbox)) = connection.and_then(|c| c.connected()) {
            deliver::pump(session, connected, outbox, &mut self.desk, out);
        }
    }

    /// A retained message goes to one session because it subscribed. For a durable session it goes
    /// through the log like any other, so that it is sent again when it was not acknowledged.
    fn deliver_retained(
        &mut self,
        key: SessionKey,
        message: &Message,
        terms: Terms,
        room: Room,
        out: &mut Turn,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.is_durable && terms.qos > QoS::AtMostOnce {
            let target = Target { session: key, terms, group: None };
            let parts = MessageParts { addressee: session.client_id.as_str(), ..message.parts() };
            let message = Message::new(&parts, &mut self.desk.scratch);
            let targets = vec![(self.desk.id, vec![target])];
            out.batch.appends.push(Append { message, targets });
            self.desk.counters.messages_stored += 1;
        } else if session.outbound.has_room(message, room) {
            // There may be many: they leave as the socket takes them, whatever their QoS.
            session.outbound.offer(message.clone(), terms, None);
        } else {
            self.desk.counters.drop_deliveries(DropReason::QueueFull, 1);
        }
    }

    pub(super) fn unsubscribe(&mut self, step: UnsubscribeStep, router: &mut Router) {
        let session = self.sessions.get_mut(step.session);
        let Some(session) = session.filter(|session| session.dissolving.is_none()) else { return };
        let mut reason_codes = Vec::with_capacity(step.filters.len());
        for filter in &step.filters {
            let was_there = session.unsubscribe(filter);
            if let (true, Some(key)) = (was_there, session.subscriber) {
                router.unsubscribe(key, filter);
                self.desk.counters.subscriptions -= 1;
            }
            reason_codes.push(match was_there {
                true => ReasonCode::Success,
                false => ReasonCode::NoSubscriptionExisted,
            });
        }
        let due = if self.is_durable(step.session) {
            self.mark_stale(step.session);
            Due::Recorded
        } else {
            Due::Now
        };
        self.owe(step.connection, due, Acknowledgement::Unsuback(step.packet_id, reason_codes));
    }

    fn is_durable(&self, key: SessionKey) -> bool {
        self.sessions.get(key).is_some_and(|session| session.is_durable)
    }

    pub(super) fn relocate(&mut self, key: SessionKey, router: &mut Router) {
        let Some(session) = self.sessions.get(key) else { return };
        if let Some(subscriber) = session.subscriber {
            router.relocate(subscriber, session.subscriber_in(self.desk.id, key));
        }
    }
}

/// Why a filter is refused; `None`: it is granted.
fn refuse_filter(
    filter: &str,
    client_id: &ClientId,
    is_full: bool,
    limits: &Limits,
) -> Option<ReasonCode> {
    let shared = topic::shared_filter(filter);
    let is_too_long = shared.is_some() && !has_room_for_share(client_id, filter);
    if is_too_long || limits.has_too_many_levels(shared.unwrap_or(filter)) {
        return Some(ReasonCode::TopicFilterInvalid);
    }
    is_full.then_some(ReasonCode::QuotaExceeded)
}
