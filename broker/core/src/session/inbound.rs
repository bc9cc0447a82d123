//! QoS 2 messages on their way from the client.

use std::collections::BTreeSet;

use flotilla_mqtt::PacketId;

/// Packet Identifiers the client chose for QoS 2 messages that were taken, and not released yet.
/// A PUBLISH under one of them is the same message again ([MQTT-4.3.3-10]).
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    taken: BTreeSet<PacketId>,
}

impl Inbound {
    pub(crate) fn recovered(taken: impl IntoIterator<Item = PacketId>) -> Self {
        Self { taken: taken.into_iter().collect() }
    }

    /// Whether a PUBLISH under this identifier is a repetition.
    pub(crate) fn has(&self, packet_id: PacketId) -> bool {
        self.taken.contains(&packet_id)
    }

    /// A PUBLISH was accepted.
    pub(crate) fn take(&mut self, packet_id: PacketId) {
        self.taken.insert(packet_id);
    }

    /// A PUBREL came; false: nothing was taken under this identifier.
    pub(crate) fn release(&mut self, packet_id: PacketId) -> bool {
        self.taken.remove(&packet_id)
    }
}
