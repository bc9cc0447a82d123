//! Acknowledgements that wait for the disk.

use std::collections::VecDeque;

use flotilla_mqtt::{PacketId, ReasonCode};

use crate::durability::{Class, Reached};
use crate::id::Ticket;
use crate::rare::Rare;

/// What the broker owes one client, in the order in which it was asked ([MQTT-4.6.0-2],
/// [MQTT-4.6.0-3]). Nothing overtakes what waits.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Of a client that publishes nothing durable there is nothing.
    waiting: Rare<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<(Due, Acknowledgement)>,
    /// Of a SUBSCRIBE, among these.
    subacks: usize,
    /// What all of these hold in memory.
    owed_bytes: usize,
}

/// When an acknowledgement may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// As soon as those before it have left.
    Now,
    /// When this batch is as durable as that.
    Stored(Ticket, Class),
    /// When the session's record, which could not be written yet, is as durable as records are.
    Recorded,
}

impl Due {
    /// When this batch is as durable as that: for some classes at once.
    pub(crate) fn stored(ticket: Ticket, class: Class) -> Self {
        if class == Class::Memory { Self::Now } else { Self::Stored(ticket, class) }
    }
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

    /// What it holds in memory while it waits.
    fn bytes(&self) -> usize {
        let reason_codes = match self {
            Self::Suback(_, reason_codes) | Self::Unsuback(_, reason_codes) => reason_codes.len(),
            Self::Puback(..) | Self::Pubrec(..) | Self::Pubcomp(..) => 0,
        };
        size_of::<(Due, Self)>() + reason_codes * size_of::<ReasonCode>()
    }
}

impl Owed {
    pub(crate) fn push(&mut self, due: Due, acknowledgement: Acknowledgement) {
        let waiting = self.waiting.need();
        waiting.subacks += usize::from(matches!(acknowledgement, Acknowledgement::Suback(..)));
        waiting.owed_bytes += acknowledgement.bytes();
        waiting.queue.push_back((due, acknowledgement));
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.get().is_none_or(|waiting| waiting.queue.is_empty())
    }

    /// What waits, bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.get().map_or(0, |waiting| waiting.owed_bytes)
    }

    /// Whether a SUBACK waits. Messages could leave before it (section 3.8.4), but few clients
    /// expect them.
    pub(crate) fn has_suback(&self) -> bool {
        self.waiting.get().is_some_and(|waiting| waiting.subacks > 0)
    }

    /// The session's record is in this batch.
    pub(crate) fn recorded_in(&mut self, ticket: Ticket, class: Class) {
        for (due, _) in self.waiting.get_mut().into_iter().flat_map(|waiting| &mut waiting.queue) {
            if *due == Due::Recorded {
                *due = Due::Stored(ticket, class);
            }
        }
    }

    /// The next one that may leave now.
    pub(crate) fn pop(&mut self, reached: Reached) -> Option<Acknowledgement> {
        let waiting = self.waiting.get_mut()?;
        let &(due, _) = waiting.queue.front()?;
        let is_due = match due {
            Due::Now => true,
            Due::Stored(ticket, class) => reached.has(ticket, class),
            Due::Recorded => false,
        };
        if !is_due {
            return None;
        }
        let (_, acknowledgement) = waiting.queue.pop_front()?;
        waiting.owed_bytes -= acknowledgement.bytes();
        if let Acknowledgement::Suback(..) = acknowledgement {
            waiting.subacks -= 1;
            if waiting.queue.is_empty() {
                // Most clients subscribe once, and many of these publish nothing.
                self.waiting.drop();
            }
        }
        Some(acknowledgement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puback(id: u16) -> Acknowledgement {
        Acknowledgement::Puback(PacketId::new(id).expect("not 0"), ReasonCode::Success)
    }

    fn reached(committed: u64, synced: u64) -> Reached {
        Reached { committed: Ticket(committed), synced: Ticket(synced) }
    }

    #[test]
    fn keeps_the_order_whatever_is_committed_first() {
        let mut owed = Owed::default();
        owed.push(Due::stored(Ticket(2), Class::Os), puback(1));
        owed.push(Due::stored(Ticket(2), Class::Memory), puback(2));
        owed.push(Due::Recorded, puback(3));
        assert_eq!(owed.pop(reached(1, 1)), None);
        assert_eq!(owed.pop(reached(2, 0)), Some(puback(1)));
        assert_eq!(owed.pop(reached(2, 0)), Some(puback(2)));
        assert_eq!(owed.pop(reached(9, 9)), None, "the record is not written yet");
        owed.recorded_in(Ticket(10), Class::Fsync);
        assert_eq!(owed.pop(reached(10, 9)), None);
        assert_eq!(owed.pop(reached(10, 10)), Some(puback(3)));
        assert_eq!(owed.pop(reached(10, 10)), None);
    }

    #[test]
    fn a_weaker_class_waits_behind_a_stronger_one() {
        let mut owed = Owed::default();
        owed.push(Due::stored(Ticket(1), Class::Fsync), puback(1));
        owed.push(Due::stored(Ticket(2), Class::Os), puback(2));
        assert_eq!(owed.pop(reached(2, 0)), None, "[MQTT-4.6.0-2]");
        assert_eq!(owed.pop(reached(2, 1)), Some(puback(1)));
        assert_eq!(owed.pop(reached(2, 1)), Some(puback(2)));
    }
}
