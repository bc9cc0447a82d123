//! The fixed header: packet type, flags, Remaining Length.

use crate::wire::{Sink, VariableByteInteger};
use crate::{DecodeError, EncodeError, PacketType, Version};

/// The longest fixed header, in bytes.
pub const FIXED_HEADER_LEN_MAX: usize = 5;

/// The largest number that Remaining Length can say, in bytes. [MQTT 5, section 2.1.4]
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;

/// The fixed header of a packet whose type, flags and size are acceptable.
pub(crate) struct FixedHeader {
    pub(crate) packet_type: PacketType,
    /// The low four bits; anything but what [`reserved_flags`] says only in a PUBLISH.
    pub(crate) flags: u8,
    /// Bytes of the header itself.
    pub(crate) len: usize,
    /// Bytes behind it.
    pub(crate) remaining: usize,
    is_minimal: bool,
}

impl FixedHeader {
    /// `None`: the header goes on behind the end of `bytes`. The first byte is judged even then.
    pub(crate) fn read(
        bytes: &[u8],
        version: Version,
        packet_size_max: u32,
    ) -> Result<Option<Self>, DecodeError> {
        let Some((first, length)) = bytes.split_first() else { return Ok(None) };
        let flags = first & 0x0F;
        let packet_type =
            PacketType::from_number(first >> 4).ok_or(DecodeError::ReservedPacketType)?;
        if reserved_flags(packet_type).is_some_and(|reserved| !is_legal(flags, reserved, version)) {
            return Err(DecodeError::ReservedFlags);
        }
        let Some(length) = VariableByteInteger::read(length)? else { return Ok(None) };
        let len = 1 + length.len;
        let remaining = length.value as usize;
        if len + remaining > packet_size_max as usize {
            return Err(DecodeError::PacketTooLarge);
        }
        let is_minimal = length.is_minimal();
        Ok(Some(Self { packet_type, flags, len, remaining, is_minimal }))
    }

    /// MQTT 5 asks for the shortest form of Remaining Length, MQTT 3.1.1 does not. [MQTT-1.5.5-1]
    pub(crate) const fn validate_length(&self, version: Version) -> Result<(), DecodeError> {
        match version {
            Version::V5 if !self.is_minimal => Err(DecodeError::VariableByteIntegerNotMinimal),
            _ => Ok(()),
        }
    }

    /// The bytes behind the header; `None`: not all are there.
    pub(crate) fn body<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.len..)?.get(..self.remaining)
    }

    /// As much of the body as is there.
    pub(crate) fn visible_body<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let behind = bytes.get(self.len..).unwrap_or_default();
        behind.get(..self.remaining).unwrap_or(behind)
    }

    /// The bytes of header plus body.
    pub(crate) const fn packet_len(&self) -> usize {
        self.len + self.remaining
    }
}

/// What the four flag bits must be; `None` for PUBLISH, which uses them. [MQTT-2.1.3-1]
pub(crate) const fn reserved_flags(packet_type: PacketType) -> Option<u8> {
    match packet_type {
        PacketType::Publish => None,
        PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => Some(0b0010),
        _ => Some(0b0000),
    }
}

/// Whether a packet other than PUBLISH may have these flags. In MQTT 3.1 SUBSCRIBE, UNSUBSCRIBE and
/// PUBREL are sent at QoS 1, and again with DUP.
const fn is_legal(flags: u8, reserved: u8, version: Version) -> bool {
    let is_repeated = matches!(version, Version::V3_1) && reserved == 0b0010 && flags == 0b1010;
    flags == reserved || is_repeated
}

/// Appends a fixed header for a body of `remaining` bytes; makes room for the body.
pub(crate) fn put_fixed_header(
    packet_type: PacketType,
    flags: u8,
    remaining: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let length = u32::try_from(remaining).ok().filter(|length| *length <= REMAINING_LENGTH_MAX);
    let length = length.ok_or(EncodeError::PacketTooLong(remaining))?;
    out.reserve(FIXED_HEADER_LEN_MAX + remaining);
    out.put_u8((packet_type as u8) << 4 | flags);
    out.put_variable_byte_integer(length);
    Ok(())
}
