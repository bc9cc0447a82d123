//! Bytes that a connection has for its socket.

use flotilla_mqtt::{Packet, PacketType, Version};

use crate::counters::Counters;

/// Packets encoded in this turn, and how much of earlier turns the socket has not taken.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    /// Given out, not reported written.
    pub(crate) unsent_bytes: usize,
    /// Whether the shard knows that there is something.
    pub(crate) is_touched: bool,
}

impl Outbox {
    /// Bytes that wait for the socket.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.bytes.len() + self.unsent_bytes
    }

    /// Encodes a packet that the broker made itself.
    pub(crate) fn push(&mut self, packet: &Packet<'_>, version: Version, counters: &mut Counters) {
        packet
            .encode(version, &mut self.bytes)
            .expect("the broker's own packets hold strings that came in packets or are short");
        self.count(packet.packet_type(), counters);
    }

    pub(crate) fn count(&self, packet_type: PacketType, counters: &mut Counters) {
        counters.packets_sent[packet_type as usize] += 1;
    }
}
