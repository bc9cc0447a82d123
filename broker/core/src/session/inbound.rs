//! QoS 2 messages on their way from the client.

use std::collections::BTreeSet;

use flotilla_mqtt::PacketId;

use crate::rare::Rare;

/// Packet Identifiers the client chose for QoS 2 messages that were taken, and not released yet.
/// A PUBLISH under one of them is the same message again ([MQTT-4.3.3-10]).
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    taken: Rare<BTreeSet<PacketId>>,
}

impl Inbound {
    pub(crate) fn recovered(taken: impl IntoIterator<Item = PacketId>) -> Self {
        let mut taken = taken.into_iter().peekable();
        let is_empty = taken.peek().is_none();
        Self {
            taken: if is_empty {
                Rare::default()
            } else {
                Rare::from(taken.collect::<BTreeSet<_>>())
            },
        }
    }

    /// Whether a PUBLISH under this identifier is a repetition.
    pub(crate) fn has(&self, packet_id: PacketId) -> bool {
        self.taken.get().is_some_and(|taken| taken.contains(&packet_id))
    }

    /// A PUBLISH was accepted.
    pub(crate) fn take(&mut self, packet_id: PacketId) {
        self.taken.need().insert(packet_id);
    }

    /// A PUBREL came; false: nothing was taken under this identifier.
    pub(crate) fn release(&mut self, packet_id: PacketId) -> bool {
        self.taken.get_mut().is_some_and(|taken| taken.remove(&packet_id))
    }
}
