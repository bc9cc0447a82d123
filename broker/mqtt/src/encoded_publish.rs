//! A PUBLISH whose Packet Identifier can be changed after it was encoded.

use crate::fixed_header::put_fixed_header;
use crate::wire::Measure;
use crate::{EncodeError, PacketType, Publish, Version};

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
