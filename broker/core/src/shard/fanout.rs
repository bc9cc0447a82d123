//! The end of a turn: what needs the router, in the order in which it was asked.

use flotilla_mqtt::{PacketId, QoS, ReasonCode, RetainHandling, SubscriptionOptions, topic};

use crate::connection::Connection;
use crate::connection::deliver::{self, Frames};
use crate::connection::owed::{Acknowledgement, Due};
use crate::connection::refusal::Refusal;
use crate::counters::DropReason;
use crate::id::{ConnectionKey, SessionKey, ShardId, SubscriberKey};
use crate::limits::Limits;
use crate::mail::Mail;
use crate::message::{Message, MessageParts};
use crate::router::{Match, Router, Subscriber};
use crate::shard::Shard;
use crate::shard::backlog::mail_bytes;
use crate::shard::desk::{Desk, Waiter};
use crate::subscription::{SubscribedFrom, Subscription, Terms};
use crate::turn::{Append, Target, Turn, Write};

/// Something for the end of the turn.
#[derive(Debug)]
pub(crate) enum Step {
    Publish(PublishStep),
    Subscribe(SubscribeStep),
    Unsubscribe(UnsubscribeStep),
    /// A PUBREL from a client.
    Release {
        session: SessionKey,
        connection: ConnectionKey,
        packet_id: PacketId,
    },
    /// An acknowledgement that must not overtake those of the steps before.
    Acknowledge(ConnectionKey, Acknowledgement),
    /// A session is no more.
    Forget {
        subscriber: SubscriberKey,
        filters: Vec<Box<str>>,
    },
    /// A session has come from another shard.
    Relocate(SessionKey),
}

/// A message that was accepted.
#[derive(Debug)]
pub(crate) struct PublishStep {
    pub(crate) message: Message,
    /// Whose, for No Local and for QoS 2; `None`: a session that is no more.
    pub(crate) session: Option<SessionKey>,
    pub(crate) acknowledge: Option<(ConnectionKey, PacketId)>,
}

/// Subscriptions that are asked for.
#[derive(Debug)]
pub(crate) struct SubscribeStep {
    pub(crate) session: SessionKey,
    pub(crate) connection: ConnectionKey,
    pub(crate) packet_id: PacketId,
    pub(crate) id: Option<u32>,
    pub(crate) filters: Vec<(Box<str>, SubscriptionOptions)>,
}

/// Subscriptions that are to go.
#[derive(Debug)]
pub(crate) struct UnsubscribeStep {
    pub(crate) session: SessionKey,
    pub(crate) connection: ConnectionKey,
    pub(crate) packet_id: PacketId,
    pub(crate) filters: Vec<Box<str>>,
}

/// The router as the caller has locked it.
pub(crate) enum RouterAccess<'r> {
    Shared(&'r Router),
    Exclusive(&'r mut Router),
}

/// Buffers that keep their capacity from turn to turn.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    matches: Vec<Match>,
    own: Vec<Target>,
    frames: Frames,
}

impl Step {
    pub(crate) fn changes_router(&self) -> bool {
        match self {
            Self::Publish(publish) => publish.message.retain(),
            Self::Release { .. } | Self::Acknowledge(..) => false,
            Self::Subscribe(_) | Self::Unsubscribe(_) | Self::Forget { .. } | Self::Relocate(_) => {
                true
            }
        }
    }
}

impl RouterAccess<'_> {
    fn shared(&self) -> &Router {
        match self {
            Self::Shared(router) => router,
            Self::Exclusive(router) => router,
        }
    }

    fn exclusive(&mut self) -> &mut Router {
        match self {
            Self::Shared(_) => panic!("a turn that changes the router ended with end_turn"),
            Self::Exclusive(router) => router,
        }
    }
}

impl Shard {
    pub(crate) fn take_steps(&mut self, router: &mut RouterAccess<'_>, out: &mut Turn) {
        let mut steps = std::mem::take(&mut self.desk.steps);
        for step in steps.drain(..) {
            match step {
                Step::Publish(step) => self.publish(&step, router, out),
                Step::Subscribe(step) => self.subscribe(step, router.exclusive(), out),
                Step::Unsubscribe(step) => self.unsubscribe(step, router.exclusive()),
                Step::Release { session, connection, packet_id } => {
                    self.release(session, connection, packet_id, out);
                }
                Step::Acknowledge(connection, acknowledgement) => {
                    self.owe(connection, Due::Now, acknowledgement);
                }
                Step::Forget { subscriber, filters } => {
                    router.exclusive().forget(subscriber, filters.iter().map(|filter| &**filter));
                }
                Step::Relocate(session) => self.relocate(session, router.exclusive()),
            }
        }
        assert!(self.desk.steps.is_empty(), "a step makes no further steps");
        self.desk.steps = steps;
        self.desk.changes_router = false;
    }

    fn publish(&mut self, step: &PublishStep, router: &mut RouterAccess<'_>, out: &mut Turn) {
        let PublishStep { message, session, acknowledge } = step;
        let mut waits = false;
        if message.retain() {
            let is_kept = self.retain(message, acknowledge.is_some(), router.exclusive(), out);
            if let (false, &Some((connection, packet_id))) = (is_kept, acknowledge) {
                self.refuse_retained(message, *session, connection, packet_id);
                return;
            }
            waits = true;
        }
        let session = session.and_then(|key| self.sessions.get_mut(key));
        let publisher = session.as_ref().and_then(|session| session.subscriber);
        if let (Some(session), Some((_, packet_id)), QoS::ExactlyOnce) =
            (session, acknowledge, message.qos())
            && session.is_durable
        {
            out.batch.writes.push(Write::PutInbound(session.client_id.clone(), *packet_id));
            session.last_ticket = self.desk.ticket;
            waits = true;
        }
        let router = router.shared();
        let mut matches = std::mem::take(&mut self.scratch.matches);
        router.route(message, publisher, &mut matches);
        let is_matched = !matches.is_empty();
        waits |= self.spread(message, &mut matches, router, out);
        self.scratch.matches = matches;
        if !is_matched {
            self.desk.counters.messages_unmatched += 1;
        }
        if let &Some((connection, packet_id)) = acknowledge {
            let reason_code = match is_matched {
                true => ReasonCode::Success,
                false => ReasonCode::NoMatchingSubscribers,
            };
            let acknowledgement = match message.qos() {
                QoS::ExactlyOnce => Acknowledgement::Pubrec(packet_id, reason_code),
                _ => Acknowledgement::Puback(packet_id, reason_code),
            };
            let due = if waits { Due::Committed(self.desk.ticket) } else { Due::Now };
            self.owe(connection, due, acknowledgement);
        }
    }

    /// PUBCOMP frees the Packet Identifier, so it must not leave before the disk has forgotten it:
    /// else a new message under it would be taken for the old one after a restart.
    fn release(
        &mut self,
        key: SessionKey,
        connection: ConnectionKey,
        packet_id: PacketId,
        out: &mut Turn,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (due, reason_code) = match session.inbound.release(packet_id) {
            true if session.is_durable => {
                let client_id = session.client_id.clone();
                out.batch.writes.push(Write::DeleteInbound(client_id, packet_id));
                session.last_ticket = self.desk.ticket;
                (Due::Committed(self.desk.ticket), ReasonCode::Success)
            }
            true => (Due::Now, ReasonCode::Success),
            false => (Due::Now, ReasonCode::PacketIdentifierNotFound),
        };
        self.owe(connection, due, Acknowledgement::Pubcomp(packet_id, reason_code));
    }

    /// Gives the message to those who get it now, and to the log for those who get it from there.
    /// Says whether it went into the log.
    fn spread(
        &mut self,
        message: &Message,
        matches: &mut Vec<Match>,
        router: &Router,
        out: &mut Turn,
    ) -> bool {
        let mut logged: Vec<(ShardId, Vec<Target>)> = Vec::new();
        for found in matches.drain(..) {
            let subscriber = router.locate(&found);
            let target = Target { session: subscriber.session, terms: found.terms };
            if subscriber.is_durable && target.terms.qos > QoS::AtMostOnce {
                match logged.iter_mut().find(|(shard, _)| *shard == subscriber.shard) {
                    Some((_, targets)) => targets.push(target),
                    None => logged.push((subscriber.shard, vec![target])),
                }
            } else if subscriber.shard == self.desk.id {
                self.scratch.own.push(target);
            } else {
                mail_delivery(message, subscriber.shard, target, &mut self.desk, out);
            }
        }
        let mut own = std::mem::take(&mut self.scratch.own);
        self.deliver(message, own.drain(..), out);
        self.scratch.own = own;
        if logged.is_empty() {
            return false;
        }
        out.batch.appends.push(Append { message: message.clone(), targets: logged });
        self.desk.counters.messages_stored += 1;
        true
    }

    /// Delivers to sessions of this shard what does not come from the log.
    pub(crate) fn deliver(
        &mut self,
        message: &Message,
        targets: impl Iterator<Item = Target>,
        out: &mut Turn,
    ) {
        self.scratch.frames.clear();
        for Target { session, terms } in targets {
            let Some(session) = self.sessions.get_mut(session) else {
                self.desk.counters.drop_deliveries(DropReason::SessionEnded, 1);
                continue;
            };
            let connection = session.connection().and_then(|key| self.connections.get_mut(key));
            let Some((connected, outbox)) = connection.and_then(|c| c.connected()) else {
                self.desk.counters.drop_deliveries(DropReason::Offline, 1);
                continue;
            };
            let desk = &mut self.desk;
            if terms.qos == QoS::AtMostOnce {
                let frames = &mut self.scratch.frames;
                deliver::push_qos0(message, &terms, connected, outbox, frames, desk);
            } else if session.outbound.has_room(desk.limits.queue_messages_max) {
                session.outbound.offer(message.clone(), terms);
                deliver::pump(session, connected, outbox, desk, out);
            } else {
                desk.counters.drop_deliveries(DropReason::QueueFull, 1);
            }
        }
    }

    /// Makes the message that of its topic; false: a limit is reached. Then a publisher who waits
    /// for an acknowledgement is told, and for others the topic has no retained message: the old
    /// one is not its last value any more.
    fn retain(
        &mut self,
        message: &Message,
        can_be_told: bool,
        router: &mut Router,
        out: &mut Turn,
    ) -> bool {
        let Limits { retained_messages_max, retained_payload_max, .. } = *self.desk.limits;
        if router.retained_messages() >= retained_messages_max {
            for topic in router.sweep_retained(self.desk.now) {
                out.batch.writes.push(Write::DeleteRetained(topic));
            }
        }
        let is_kept = message.payload().len() <= retained_payload_max
            && router.retain(message, retained_messages_max);
        let topic = message.topic();
        if is_kept && !message.payload().is_empty() {
            out.batch.writes.push(Write::PutRetained(message.clone()));
        } else if is_kept || !can_be_told && router.remove_retained(topic) {
            out.batch.writes.push(Write::DeleteRetained(topic.into()));
        }
        if !is_kept {
            self.desk.counters.drop_deliveries(DropReason::NotRetained, 1);
        }
        is_kept
    }

    /// Tells the publisher of a message that cannot be retained: it goes to nobody.
    fn refuse_retained(
        &mut self,
        message: &Message,
        session: Option<SessionKey>,
        key: ConnectionKey,
        packet_id: PacketId,
    ) {
        let connection = self.connections.get_mut(key);
        let Some((connected, outbox)) = connection.and_then(Connection::connected) else { return };
        if !connected.negotiated.can_be_told {
            let reason = "a retained message is too large, or one too many";
            self.desk.refused.push((key, Refusal::new(ReasonCode::QuotaExceeded, reason)));
            return;
        }
        let acknowledgement = if message.qos() == QoS::ExactlyOnce {
            if let Some(session) = session.and_then(|key| self.sessions.get_mut(key)) {
                session.inbound.release(packet_id);
            }
            Acknowledgement::Pubrec(packet_id, ReasonCode::QuotaExceeded)
        } else {
            Acknowledgement::Puback(packet_id, ReasonCode::QuotaExceeded)
        };
        connected.owe(Due::Now, acknowledgement, outbox, &mut self.desk);
    }

    fn subscribe(&mut self, step: SubscribeStep, router: &mut Router, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(step.session) else { return };
        let key = *session.subscriber.get_or_insert_with(|| {
            router.add(Subscriber {
                shard: self.desk.id,
                session: step.session,
                is_durable: session.is_durable,
            })
        });
        let mut reason_codes = Vec::with_capacity(step.filters.len());
        let (mut retained, mut expired) = (Vec::new(), Vec::new());
        for (filter, options) in &step.filters {
            let known = session.subscriptions.get(filter).map(|known| known.start);
            let is_full = known.is_none()
                && session.subscriptions.len() >= self.desk.limits.subscriptions_max;
            if let Some(reason_code) = refuse_filter(filter, is_full, &self.desk.limits) {
                reason_codes.push(reason_code);
                continue;
            }
            let unwritten = SubscribedFrom::Unwritten(out.batch.appends.len() as u64);
            // [MQTT-3.8.4-3]: replaced without a gap, so it starts where it started.
            let start = known.unwrap_or(unwritten);
            let subscription = Subscription { options: *options, id: step.id, start };
            router.subscribe(key, filter, &subscription);
            session.subscriptions.insert(filter.clone(), subscription);
            self.desk.counters.subscriptions += u64::from(known.is_none());
            reason_codes.push(match options.qos {
                QoS::AtMostOnce => ReasonCode::Success,
                QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
            });
            // [MQTT-3.3.1-9], [-10], [-11].
            let wants_retained = match options.retain_handling {
                RetainHandling::SendAlways => true,
                RetainHandling::SendIfNew => known.is_none(),
                RetainHandling::DoNotSend => false,
            };
            if wants_retained {
                router.for_each_retained(filter, &mut |message| {
                    if message.is_expired(self.desk.now.unix_ms) {
                        expired.push(message.clone());
                        return;
                    }
                    let qos = message.qos().min(options.qos);
                    let ids = step.id.into_iter().collect();
                    retained.push((message.clone(), Terms { qos, retain: true, ids }));
                });
            }
        }
        for message in expired {
            if router.remove_retained(message.topic()) {
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
            self.deliver_retained(step.session, &message, terms, out);
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
        out: &mut Turn,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.is_durable && terms.qos > QoS::AtMostOnce {
            let target = Target { session: key, terms };
            let parts = MessageParts { addressee: session.client_id.as_str(), ..message.parts() };
            let message = Message::new(&parts, &mut self.desk.scratch);
            let targets = vec![(self.desk.id, vec![target])];
            out.batch.appends.push(Append { message, targets });
            self.desk.counters.messages_stored += 1;
        } else if session.outbound.has_room(self.desk.limits.queue_messages_max) {
            // There may be many: they leave as the socket takes them, whatever their QoS.
            session.outbound.offer(message.clone(), terms);
        } else {
            self.desk.counters.drop_deliveries(DropReason::QueueFull, 1);
        }
    }

    fn unsubscribe(&mut self, step: UnsubscribeStep, router: &mut Router) {
        let Some(session) = self.sessions.get_mut(step.session) else { return };
        let mut reason_codes = Vec::with_capacity(step.filters.len());
        for filter in &step.filters {
            let was_there = session.subscriptions.remove(filter).is_some();
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

    fn relocate(&mut self, key: SessionKey, router: &mut Router) {
        let Some(session) = self.sessions.get(key) else { return };
        if let Some(subscriber) = session.subscriber {
            let is_durable = session.is_durable;
            router
                .relocate(subscriber, Subscriber { shard: self.desk.id, session: key, is_durable });
        }
    }

    pub(crate) fn owe(
        &mut self,
        connection: ConnectionKey,
        due: Due,
        acknowledgement: Acknowledgement,
    ) {
        let connection = self.connections.get_mut(connection);
        if let Some((connected, outbox)) = connection.and_then(|c| c.connected()) {
            connected.owe(due, acknowledgement, outbox, &mut self.desk);
        }
    }

    /// The session's record is written at the end of this turn, or as soon as the one before it is
    /// committed.
    pub(crate) fn mark_stale(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.record.is_stale = true;
            if self.desk.stale_records.last() != Some(&key) {
                self.desk.stale_records.push(key);
            }
        }
    }

    /// Writes the records of sessions that changed in this turn, one write each.
    pub(crate) fn write_records(&mut self, out: &mut Turn) {
        let mut stale = std::mem::take(&mut self.desk.stale_records);
        for key in stale.drain(..) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if !session.record.is_stale {
                continue;
            }
            if session.record.ticket > self.desk.committed {
                // Its commit comes back here.
                session.postpone_record();
                continue;
            }
            let record = session.next_record(self.desk.ticket);
            out.batch.writes.push(Write::PutSession(Box::new(record)));
            self.desk.wait(Waiter::Session(key));
            let Some(connection) = session.connection() else { continue };
            let connection = self.connections.get_mut(connection);
            if let Some((connected, _)) = connection.and_then(|c| c.connected()) {
                connected.owed.recorded_in(self.desk.ticket);
                self.desk.wait(Waiter::Connection(connected.key));
            }
        }
        self.desk.stale_records = stale;
    }
}

/// Why a filter is refused; `None`: it is granted.
fn refuse_filter(filter: &str, is_full: bool, limits: &Limits) -> Option<ReasonCode> {
    if matches!(topic::parse_filter(filter), Ok(topic::Filter::Shared { .. })) {
        return Some(ReasonCode::SharedSubscriptionsNotSupported);
    }
    if limits.has_too_many_levels(filter) {
        return Some(ReasonCode::TopicFilterInvalid);
    }
    is_full.then_some(ReasonCode::QuotaExceeded)
}

/// One mail a shard and turn.
fn mail_delivery(
    message: &Message,
    shard: ShardId,
    target: Target,
    desk: &mut Desk,
    out: &mut Turn,
) {
    desk.backlog.mailed(shard, mail_bytes(message, 1));
    let deliveries = out.mail.iter_mut().rev().find_map(|(to, mail)| match mail {
        Mail::Deliver { deliveries, .. } if *to == shard => Some(deliveries),
        _ => None,
    });
    match deliveries {
        Some(deliveries) => match deliveries.last_mut() {
            Some((last, targets)) if last.is_same(message) => targets.push(target),
            _ => deliveries.push((message.clone(), vec![target])),
        },
        None => {
            let deliveries = vec![(message.clone(), vec![target])];
            out.mail.push((shard, Mail::Deliver { from: desk.id, deliveries }));
        }
    }
}
