//! Acknowledgements that wait for the disk.

use std::collections::VecDeque;

use flotilla_mqtt::{PacketId, ReasonCode};

use crate::id::Ticket;

/// What the broker owes one client, in the order in which it was asked ([MQTT-4.6.0-2],
/// [MQTT-4.6.0-3]). Nothing overtakes what waits.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    queue: VecDeque<(Due, Acknowledgement)>,
}

/// When an acknowledgement may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// As soon as those before it have left.
    Now,
    /// When this batch is committed.
    Committed(Ticket),
    /// When the session's record, which could not be written yet, is committed.
    Recorded,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// Of a QoS 1 PUBLISH.
    Puback(PacketId, ReasonCode),
    /// Of a QoS 2 PUBLISH.
    Pubrec(PacketId, ReasonCode),
    /// Of a PUBREL.
    Pubcomp(PacketId, ReasonCode),
    /// Of a SUBSCRIBE: a Reason Code for each filter.
    Suback(PacketId, Vec<ReasonCode>),
    /// Of an UNSUBSCRIBE: a Reason Code for each filter.
    Unsuback(PacketId, Vec<ReasonCode>),
}

impl Acknowledgement {
    /// Whether the client may count one message less against Receive Maximum ([MQTT-4.9.0-2]).
    pub(crate) fn ends_publish(&self) -> bool {
        match self {
            Self::Puback(..) | Self::Pubcomp(..) => true,
            Self::Pubrec(_, reason_code) => reason_code.is_error(),
            Self::Suback(..) | Self::Unsuback(..) => false,
        }
    }
}

impl Owed {
    pub(crate) fn push(&mut self, due: Due, acknowledgement: Acknowledgement) {
        self.queue.push_back((due, acknowledgement));
    }

    /// The session's record is in this batch.
    pub(crate) fn recorded_in(&mut self, ticket: Ticket) {
        for (due, _) in &mut self.queue {
            if *due == Due::Recorded {
                *due = Due::Committed(ticket);
            }
        }
    }

    /// The next one that may leave now.
    pub(crate) fn pop(&mut self, committed: Ticket) -> Option<Acknowledgement> {
        let &(due, _) = self.queue.front()?;
        let is_due = match due {
            Due::Now => true,
            Due::Committed(ticket) => ticket <= committed,
            Due::Recorded => false,
        };
        if !is_due {
            return None;
        }
        self.queue.pop_front().map(|(_, acknowledgement)| acknowledgement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puback(id: u16) -> Acknowledgement {
        Acknowledgement::Puback(PacketId::new(id).expect("not 0"), ReasonCode::Success)
    }

    #[test]
    fn keeps_the_order_whatever_is_committed_first() {
        let mut owed = Owed::default();
        owed.push(Due::Committed(Ticket(2)), puback(1));
        owed.push(Due::Now, puback(2));
        owed.push(Due::Recorded, puback(3));
        assert_eq!(owed.pop(Ticket(1)), None);
        assert_eq!(owed.pop(Ticket(2)), Some(puback(1)));
        assert_eq!(owed.pop(Ticket(2)), Some(puback(2)));
        assert_eq!(owed.pop(Ticket(9)), None, "the record is not written yet");
        owed.recorded_in(Ticket(10));
        assert_eq!(owed.pop(Ticket(9)), None);
        assert_eq!(owed.pop(Ticket(10)), Some(puback(3)));
        assert_eq!(owed.pop(Ticket(10)), None);
    }
}
