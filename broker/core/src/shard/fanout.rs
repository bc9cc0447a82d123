//! A message on its way to those who want it.

use flotilla_mqtt::{PacketId, QoS, ReasonCode};

use crate::connection::deliver::{self, Frames};
use crate::connection::owed::{Acknowledgement, Due};
use crate::counters::DropReason;
use crate::id::{ConnectionKey, SessionKey, ShardId};
use crate::mail::Mail;
use crate::message::Message;
use crate::router::share::Rota;
use crate::router::{GroupMatch, Match, Recent, Router};
use crate::shard::Shard;
use crate::shard::backlog::mail_bytes;
use crate::shard::desk::Desk;
use crate::shard::steps::{PublishStep, RouterAccess};
use crate::turn::{Append, Target, Turn, Write};

/// Buffers that keep their capacity from turn to turn.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    receivers: Receivers,
    recent: Recent,
    own: Vec<Target>,
    frames: Frames,
    pub(super) rota: Rota,
}

/// Who gets a message.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    pub(super) matches: Vec<Match>,
    /// What groups give to their members at QoS 1 and 2.
    pub(super) shares: Vec<GroupMatch>,
}

impl Shard {
    pub(super) fn publish(
        &mut self,
        step: &PublishStep,
        router: &mut RouterAccess<'_>,
        out: &mut Turn,
    ) {
        let mut receivers = std::mem::take(&mut self.scratch.receivers);
        self.find(step, router.shared(), &mut receivers);
        self.publish_to(step, &mut receivers, router, out);
        receivers.matches.clear();
        receivers.shares.clear();
        self.scratch.receivers = receivers;
    }

    /// Says something of the broker's own: who subscribes to it gets it now, others when they
    /// subscribe. Nothing of it is stored.
    pub(super) fn announce(
        &mut self,
        step: &PublishStep,
        router: &mut RouterAccess<'_>,
        out: &mut Turn,
    ) {
        router.exclusive().announce(step.message.clone());
        let mut receivers = std::mem::take(&mut self.scratch.receivers);
        self.find(step, router.shared(), &mut receivers);
        self.spread(&step.message, &mut receivers, router.shared(), out);
        receivers.matches.clear();
        receivers.shares.clear();
        self.scratch.receivers = receivers;
    }

    fn find(&mut self, step: &PublishStep, router: &Router, receivers: &mut Receivers) {
        let session = step.session.and_then(|key| self.sessions.get(key));
        let publisher = session.and_then(|session| session.subscriber);
        let (recent, matches) = (&mut self.scratch.recent, &mut receivers.matches);
        router.route(&step.message, publisher, recent, matches);
        if router.has_groups() {
            self.choose_members(&step.message, router, receivers);
        }
    }

    fn publish_to(
        &mut self,
        step: &PublishStep,
        receivers: &mut Receivers,
        router: &mut RouterAccess<'_>,
        out: &mut Turn,
    ) {
        let &PublishStep { ref message, session: session_key, ref acknowledge } = step;
        if let &Some((connection, packet_id)) = acknowledge
            && self.desk.is_store_full
            && must_be_stored(message, receivers, router.shared())
            && self.can_be_told(connection)
        {
            self.desk.counters.drop_deliveries(DropReason::StoreFull, 1);
            let reason = "the disk is full";
            return self.refuse_publish(message, session_key, connection, packet_id, reason);
        }
        let mut waits = false;
        if message.retain() {
            let is_kept = self.retain(message, acknowledge.is_some(), router.exclusive(), out);
            if let (false, &Some((connection, packet_id))) = (is_kept, acknowledge) {
                let reason = "a retained message is too large, or one too many";
                return self.refuse_publish(message, session_key, connection, packet_id, reason);
            }
            waits = true;
        }
        if let (Some(session), Some((_, packet_id)), QoS::ExactlyOnce) =
            (session_key.and_then(|key| self.sessions.get_mut(key)), acknowledge, message.qos())
            && session.is_durable
        {
            out.batch.writes.push(Write::PutInbound(session.client_id.clone(), *packet_id));
            session.wrote(self.desk.ticket, self.desk.durability.class_of(message.topic()));
            waits = true;
        }
        let router = router.shared();
        let is_matched = !receivers.is_empty();
        waits |= self.spread(message, receivers, router, out);
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
            let due = match waits {
                true => {
                    Due::stored(self.desk.ticket, self.desk.durability.class_of(message.topic()))
                }
                false => Due::Now,
            };
            self.owe(connection, due, acknowledgement);
        }
    }

    /// PUBCOMP frees the Packet Identifier, so it must not leave before the disk has forgotten it:
    /// else a new message under it would be taken for the old one after a restart.
    pub(super) fn release(
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
                let class = self.desk.durability.of_exchanges();
                session.wrote(self.desk.ticket, class);
                (Due::stored(self.desk.ticket, class), ReasonCode::Success)
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
        receivers: &mut Receivers,
        router: &Router,
        out: &mut Turn,
    ) -> bool {
        let mut logged: Vec<(ShardId, Vec<Target>)> = Vec::new();
        let mut is_logged = false;
        let mut is_given = false;
        for found in receivers.shares.drain(..) {
            is_given |= self.give(message, found, router, out);
        }
        for found in receivers.matches.drain(..) {
            let subscriber = router.locate(&found);
            let target = Target { session: subscriber.session, terms: found.terms, group: None };
            if subscriber.is_durable && target.terms.qos > QoS::AtMostOnce {
                is_logged = true;
                // A session that is away reads the log when it comes back.
                if subscriber.is_connected {
                    match logged.iter_mut().find(|(shard, _)| *shard == subscriber.shard) {
                        Some((_, targets)) => targets.push(target),
                        None => logged.push((subscriber.shard, vec![target])),
                    }
                }
            } else if !subscriber.is_connected {
                self.desk.counters.drop_deliveries(DropReason::Offline, 1);
            } else if subscriber.shard == self.desk.id {
                self.scratch.own.push(target);
            } else {
                mail_delivery(message, subscriber.shard, target, &mut self.desk, out);
            }
        }
        let mut own = std::mem::take(&mut self.scratch.own);
        self.deliver(message, own.drain(..), out);
        self.scratch.own = own;
        if !is_logged {
            return is_given;
        }
        out.batch.appends.push(Append { message: message.clone(), targets: logged });
        self.desk.counters.messages_stored += 1;
        true
    }

    /// Delivers to sessions of this shard what does not come from the log.
    pub(crate) fn deliver(
        &mut self,
        message: &Message,
        targets: impl ExactSizeIterator<Item = Target>,
        out: &mut Turn,
    ) {
        // What only one gets is encoded where it leaves from, without a copy.
        let is_one = targets.len() == 1;
        self.scratch.frames.clear();
        for Target { session, terms, group } in targets {
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
                let frames = Some(&mut self.scratch.frames).filter(|_| !is_one);
                deliver::push_qos0(message, &terms, connected, outbox, frames, desk);
            } else if session.outbound.has_room(message, desk.limits.queue()) {
                session.outbound.offer(message.clone(), terms, group);
                deliver::pump(session, connected, outbox, desk, out);
            } else {
                desk.counters.drop_deliveries(DropReason::QueueFull, 1);
            }
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
}

impl Receivers {
    fn is_empty(&self) -> bool {
        self.matches.is_empty() && self.shares.is_empty()
    }
}

/// Whether somebody is owed the message after this process has ended.
fn must_be_stored(message: &Message, receivers: &Receivers, router: &Router) -> bool {
    let is_owed =
        |found: &Match| found.terms.qos > QoS::AtMostOnce && router.locate(found).is_durable;
    message.retain() && !message.payload().is_empty()
        || receivers.matches.iter().any(is_owed)
        || receivers.shares.iter().any(|share| is_owed(&share.member))
}

/// One mail a shard and turn.
pub(super) fn mail_delivery(
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
