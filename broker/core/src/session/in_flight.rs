//! One message on its way to the client, under a Packet Identifier.

use flotilla_mqtt::{PacketId, QoS};

use crate::id::{GroupKey, Position, Ticket};
use crate::message::Message;
use crate::subscription::{Ids, Terms};

/// A message under a Packet Identifier.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) packet_id: PacketId,
    pub(crate) position: Option<Position>,
    pub(crate) state: State,
    /// Whether it ever left, so that the next time is a repetition ([MQTT-3.3.1-1]).
    pub(crate) was_sent: bool,
    pub(super) is_on_wire: bool,
    /// What there is to do with the message, if there is something.
    pub(super) next: Option<Box<Next>>,
}

/// What is to be done with a message under a Packet Identifier.
#[derive(Debug)]
pub(crate) enum Next {
    /// It leaves as soon as the identifier is stored.
    Send(Message, Terms),
    /// Another member of the group gets it when this one ends without PUBACK (section 4.8.2).
    PassOn(Message, GroupKey),
}

/// How far the exchange of one message got.
///
/// ```text
/// QoS 1:             Sent ── PUBACK ──▶ done
/// QoS 2: Storing ──▶ Sent ── PUBREC ──▶ Releasing ──▶ Released ── PUBCOMP ──▶ done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// QoS 2: PUBLISH leaves when the batch is as durable as exchanges are.
    Storing(Ticket),
    /// PUBLISH left (or has to leave again).
    Sent(QoS),
    /// PUBREL leaves when the batch is as durable as exchanges are.
    Releasing(Ticket),
    /// PUBREL left (or has to leave again).
    Released,
}

/// What a client's acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// No such message is in flight.
    Unknown,
    /// Nothing is owed.
    Done,
    /// PUBREL is owed, once that is stored.
    Release(Option<Position>),
    /// PUBREL is owed once more.
    ReleaseAgain,
    /// The client does not want it.
    Refused(Option<Position>),
}

/// A message that was in flight when its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    /// Its Packet Identifier, and whether it left before.
    Under(PacketId, bool),
    /// Its exchange went on meanwhile.
    NoMore,
}

/// What waited for the engine.
#[derive(Debug)]
pub(crate) enum Stored {
    Publish(PacketId, Message, Terms),
    Pubrel(PacketId),
}

impl InFlight {
    /// Whether its PUBLISH has to leave on this connection and has not.
    pub(super) fn must_be_sent(&self) -> bool {
        !self.is_on_wire && matches!(self.state, State::Sent(_))
    }

    /// How it is sent again: at the QoS at which its exchange began, whatever was subscribed since.
    pub(super) fn terms(&self, now: Option<Terms>, message: &Message) -> Terms {
        let State::Sent(qos) = self.state else { unreachable!("only what was sent is sent again") };
        // What is addressed by no group is a retained message ([MQTT-3.3.1-8]).
        let retain = !message.addressee().is_empty() && !message.is_shared();
        let mut terms = now.unwrap_or(Terms { qos, retain, ids: Ids::None });
        terms.qos = qos;
        terms
    }
}
