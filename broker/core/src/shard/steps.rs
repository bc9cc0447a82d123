//! The end of a turn: what needs the router, in the order in which it was asked.

use flotilla_mqtt::{PacketId, SubscriptionOptions};

use crate::connection::owed::{Acknowledgement, Due};
use crate::counters::DropReason;
use crate::id::{ConnectionKey, GroupKey, SessionKey, SubscriberKey};
use crate::message::Message;
use crate::router::Router;
use crate::shard::Shard;
use crate::turn::Turn;

/// Something for the end of the turn.
#[derive(Debug)]
pub(crate) enum Step {
    Publish(PublishStep),
    /// A message of the broker's own.
    Announce(PublishStep),
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
    /// A message that a group gave to a member did not arrive there.
    PassOn {
        message: Message,
        /// `None`: that of its address in the log.
        group: Option<GroupKey>,
        why: DropReason,
    },
    /// A session is no more.
    Forget {
        subscriber: SubscriberKey,
        filters: Vec<Box<str>>,
    },
    /// A session has come to this shard, or has lost its connection.
    Relocate(SessionKey),
    /// Retained messages that have expired are to go.
    SweepRetained,
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

impl Step {
    pub(crate) fn changes_router(&self) -> bool {
        match self {
            Self::Publish(publish) => publish.message.retain(),
            Self::Release { .. } | Self::Acknowledge(..) | Self::PassOn { .. } => false,
            Self::Announce(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::Forget { .. }
            | Self::Relocate(_)
            | Self::SweepRetained => true,
        }
    }
}

impl RouterAccess<'_> {
    pub(super) fn shared(&self) -> &Router {
        match self {
            Self::Shared(router) => router,
            Self::Exclusive(router) => router,
        }
    }

    pub(super) fn exclusive(&mut self) -> &mut Router {
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
                Step::Announce(step) => self.announce(&step, router, out),
                Step::Subscribe(step) => self.subscribe(step, router.exclusive(), out),
                Step::Unsubscribe(step) => self.unsubscribe(step, router.exclusive()),
                Step::Release { session, connection, packet_id } => {
                    self.release(session, connection, packet_id, out);
                }
                Step::Acknowledge(connection, acknowledgement) => {
                    self.owe(connection, Due::Now, acknowledgement);
                }
                Step::PassOn { message, group, why } => {
                    self.pass_on(&message, group, why, router.shared(), out);
                }
                Step::Forget { subscriber, filters } => {
                    router.exclusive().forget(subscriber, filters.iter().map(|filter| &**filter));
                }
                Step::Relocate(session) => self.relocate(session, router.exclusive()),
                Step::SweepRetained => self.sweep_retained(router.exclusive(), out),
            }
        }
        assert!(self.desk.steps.is_empty(), "a step makes no further steps");
        self.desk.steps = steps;
        self.desk.changes_router = false;
    }
}
