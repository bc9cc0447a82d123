//! One message on its way to the client, under a Packet Identifier.

use flotilla_mqtt::{PacketId, QoS};

use crate::id::{Position, Ticket};

use crate::message::Message;
use crate::session::outbound::Source;
use crate::subscription::{Ids, Terms};

/// A message under a Packet Identifier.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) packet_id: PacketId,
    pub(crate) source: Source,
    pub(crate) state: State,
    /// Whether it ever left, so that the next time is a repetition ([MQTT-3.3.1-1]).
    pub(crate) was_sent: bool,
    pub(super) is_on_wire: bool,
    /// What leaves as soon as the identifier is stored; of a group's QoS 1 message that is not in
    /// the log, what another member gets when this one ends without PUBACK (section 4.8.2).
    pub(super) message: Option<Message>,
    /// How it leaves then.
    pub(super) terms: Option<Box<Terms>>,
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
    /// Its exchange went on meanwhile, or ended: the client acknowledges on this connection what it
    /// got on the one before.
    NoMore,
}

/// What waited for the engine.
#[derive(Debug)]
pub(crate) enum Stored {
    Publish(PacketId, Message, Box<Terms>),
    Pubrel(PacketId),
}

impl InFlight {
    /// Where it stands in the log; `None`: nowhere.
    pub(crate) fn position(&self) -> Option<Position> {
        self.source.position()
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_line_of_the_cache() {
        assert_eq!(size_of::<InFlight>(), 64, "docs/durability.md says so, too");
    }
}
