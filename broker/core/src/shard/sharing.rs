//! Messages of shared subscriptions: to one member of each group.

use flotilla_mqtt::QoS;
use slotmap::SlotMap;

use crate::connection::Connection;
use crate::counters::DropReason;
use crate::id::{ConnectionKey, GroupKey, SessionKey};
use crate::limits::Limits;
use crate::message::Message;
use crate::router::{GroupMatch, Router, Subscriber};
use crate::shard::Shard;
use crate::shard::fanout::{Receivers, mail_delivery};
use crate::shard::sessions::Sessions;
use crate::shard::steps::Step;
use crate::turn::{Append, Target, Turn};

impl Shard {
    /// Adds one member of each group that gets the message. Of members on other shards it is not
    /// known whether they keep up: these pass on what they cannot take.
    pub(super) fn choose_members(
        &mut self,
        message: &Message,
        router: &Router,
        receivers: &mut Receivers,
    ) {
        let Self { sessions, connections, desk, scratch, .. } = self;
        let has_room = |session, qos| {
            has_room(sessions, connections, session, message, qos, &desk.limits).is_ok()
        };
        let keeps_up = |subscriber: &Subscriber, qos| {
            subscriber.shard != desk.id || has_room(subscriber.session, qos)
        };
        router.route_to_groups(message, &mut scratch.rota, keeps_up, |found| {
            if found.member.terms.qos == QoS::AtMostOnce {
                receivers.matches.push(found.member);
            } else {
                receivers.shares.push(found);
            }
        });
    }

    /// Gives a message to a member of a group; in the log it is addressed to the member. Says
    /// whether it went into the log.
    pub(super) fn give(
        &mut self,
        message: &Message,
        found: GroupMatch,
        router: &Router,
        out: &mut Turn,
    ) -> bool {
        let subscriber = router.locate(&found.member);
        let session = subscriber.session;
        if subscriber.is_durable && found.member.terms.qos > QoS::AtMostOnce {
            let message = router.address(message, &found, &mut self.desk.scratch);
            let target = Target { session, terms: found.member.terms, group: None };
            let is_told = subscriber.is_connected;
            let targets = is_told.then(|| (subscriber.shard, vec![target])).into_iter().collect();
            out.batch.appends.push(Append { message, targets });
            self.desk.counters.messages_stored += 1;
            return true;
        }
        let target = Target { session, terms: found.member.terms, group: Some(found.group) };
        if !subscriber.is_connected {
            self.desk.counters.drop_deliveries(DropReason::Offline, 1);
        } else if subscriber.shard == self.desk.id {
            self.deliver(message, std::iter::once(target), out);
        } else {
            mail_delivery(message, subscriber.shard, target, &mut self.desk, out);
        }
        false
    }

    /// From another shard. Of members of groups it did not know whether they are there and keep up.
    pub(super) fn deliver_mailed(
        &mut self,
        message: &Message,
        mut targets: Vec<Target>,
        out: &mut Turn,
    ) {
        let Self { sessions, connections, desk, .. } = self;
        targets.retain(|target| {
            let (session, qos) = (target.session, target.terms.qos);
            let Some(group) = target.group else { return true };
            let room = has_room(sessions, connections, session, message, qos, &desk.limits);
            if let Err(why) = room {
                let message = message.clone();
                desk.step(Step::PassOn { message, group: Some(group), why });
            }
            room.is_ok()
        });
        self.deliver(message, targets.into_iter(), out);
    }

    /// A member has ended with the message, or has no room for it: another one gets it
    /// (section 4.8.2). One that has no room passes on within its shard only: else two shards
    /// could send it back and forth. `group`: `None`: that of the message's address in the log.
    pub(super) fn pass_on(
        &mut self,
        message: &Message,
        group: Option<GroupKey>,
        why: DropReason,
        router: &Router,
        out: &mut Turn,
    ) {
        let Self { sessions, connections, desk, scratch, .. } = self;
        let keeps_up = |subscriber: &Subscriber, qos| {
            if subscriber.shard != desk.id {
                return why != DropReason::QueueFull;
            }
            let session = subscriber.session;
            has_room(sessions, connections, session, message, qos, &desk.limits).is_ok()
        };
        // What is in the log already may be written once more, page by page.
        let may_store = group.is_none() || !desk.is_store_full;
        let group = group.or_else(|| router.group(message.share()));
        let rota = &mut scratch.rota;
        let found =
            group.and_then(|group| router.route_again(message, group, rota, keeps_up, may_store));
        match found {
            Some(found) => {
                self.give(message, found, router, out);
            }
            None => desk.counters.drop_deliveries(why, 1),
        }
    }
}

/// Whether a session of this shard keeps up, and why not.
fn has_room(
    sessions: &Sessions,
    connections: &SlotMap<ConnectionKey, Connection>,
    session: SessionKey,
    message: &Message,
    qos: QoS,
    limits: &Limits,
) -> Result<(), DropReason> {
    let session = sessions.get(session).ok_or(DropReason::SessionEnded)?;
    let connection = session.connection().and_then(|key| connections.get(key));
    let outbox = &connection.ok_or(DropReason::Offline)?.outbox;
    let outbound = &session.outbound;
    let is_full = outbox.backlog_bytes() > limits.unsent_bytes_max
        || (qos > QoS::AtMostOnce
            && !(outbound.keeps_up() && outbound.has_room(message, limits.queue())));
    if is_full { Err(DropReason::QueueFull) } else { Ok(()) }
}
