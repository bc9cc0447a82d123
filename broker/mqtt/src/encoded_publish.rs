//! A PUBLISH encoded once for many receivers.

use crate::fixed_header::put_fixed_header;
use crate::wire::Measure;
use crate::{EncodeError, PacketId, PacketType, Publish, Version};

/// Appends a PUBLISH to `out`; says where in `out` its Packet Identifier stands (two bytes), `None`
/// at QoS 0.
///
/// # Errors
/// As [`Packet::encode`](crate::Packet::encode).
pub fn encode_publish(
    publish: &Publish<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<Option<usize>, EncodeError> {
    let mut measure = Measure::default();
    publish.put_body(version, &mut measure);
    put_fixed_header(PacketType::Publish, publish.flags(), measure.finish()?, out)?;
    let packet_id_at = publish.packet_id_offset().map(|offset| out.len() + offset);
    publish.put_body(version, out);
    Ok(packet_id_at)
}

/// A PUBLISH as bytes, to be copied for each receiver with a Packet Identifier of its own.
///
/// All receivers of a copy share version, QoS, RETAIN, DUP, properties.
#[derive(Clone, Debug, Default)]
pub struct EncodedPublish {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
}

impl EncodedPublish {
    /// Holds nothing until [`encode`](Self::encode).
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), packet_id_at: None }
    }

    /// Replaces what it holds, keeping its memory. Above QoS 0 `publish` needs some Packet
    /// Identifier, for instance [`PacketId::MIN`].
    ///
    /// # Errors
    /// As [`Packet::encode`](crate::Packet::encode); it then holds nothing.
    pub fn encode(&mut self, publish: &Publish<'_>, version: Version) -> Result<(), EncodeError> {
        self.bytes.clear();
        self.packet_id_at = None;
        self.packet_id_at = encode_publish(publish, version, &mut self.bytes)?;
        Ok(())
    }

    /// The bytes, with the Packet Identifier of the PUBLISH that was encoded. At QoS 0 they are the
    /// same for every receiver.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of a copy.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a copy under this Packet Identifier, which at QoS 0 is left out. [MQTT-2.2.1-2]
    pub fn copy_into(&self, packet_id: PacketId, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let slot = self.packet_id_at.and_then(|at| out.get_mut(start + at..start + at + 2));
        if let Some(slot) = slot {
            slot.copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }
}
