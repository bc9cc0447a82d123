//! SUBACK, UNSUBACK: one Reason Code a Topic Filter.

use std::fmt;

use super::PacketType;
use crate::wire::{Reader, Sink};
use crate::{AckProperties, DecodeError, PacketId, ReasonCode, Version};

/// A SUBACK or UNSUBACK packet. [MQTT 5, sections 3.9 and 3.11]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suback<'a> {
    /// The identifier of the SUBSCRIBE or UNSUBSCRIBE. [MQTT-2.2.1-6]
    pub packet_id: PacketId,
    /// Reason String, User Properties.
    pub properties: AckProperties<'a>,
    /// In the order of the Topic Filters. [MQTT-3.9.3-1] Empty in an UNSUBACK of MQTT 3.1.1, which
    /// has none.
    pub reason_codes: ReasonCodes<'a>,
}

impl<'a> Suback<'a> {
    pub(crate) fn read(
        packet_type: PacketType,
        version: Version,
        body: &'a [u8],
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut properties = AckProperties::EMPTY;
        if version.has_properties() {
            properties = AckProperties::take(&mut reader)?;
        } else if packet_type == PacketType::Unsuback {
            reader.end()?;
            return Ok(Self { packet_id, properties, reason_codes: ReasonCodes::EMPTY });
        }
        if reader.is_empty() {
            return Err(DecodeError::SubackEmpty);
        }
        let encoded = reader.rest();
        while !reader.is_empty() {
            let reason_code = reader.reason_code(packet_type)?;
            // MQTT 3.1.1 has one failure. [MQTT-3.9.3-2] of MQTT 3.1.1
            if !version.has_properties() && reason_code.suback_code(version) != reason_code.code() {
                return Err(DecodeError::InvalidReasonCode);
            }
        }
        Ok(Self { packet_id, properties, reason_codes: ReasonCodes(Source::Encoded(encoded)) })
    }

    pub(crate) fn put_body<S: Sink>(
        &self,
        packet_type: PacketType,
        version: Version,
        sink: &mut S,
    ) {
        sink.put_u16(self.packet_id.get());
        if version.has_properties() {
            sink.put_section(&self.properties);
            for reason_code in self.reason_codes.iter() {
                sink.put_u8(reason_code.code());
            }
        } else if packet_type == PacketType::Suback {
            for reason_code in self.reason_codes.iter() {
                sink.put_u8(reason_code.suback_code(version));
            }
        }
    }
}

/// The Reason Codes of a SUBACK or UNSUBACK: read from one, or a list to be sent.
#[derive(Clone, Copy)]
pub struct ReasonCodes<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Encoded(&'a [u8]),
    List(&'a [ReasonCode]),
}

impl<'a> ReasonCodes<'a> {
    /// None.
    pub const EMPTY: Self = Self(Source::List(&[]));

    /// To be sent, in this order.
    pub const fn from_slice(reason_codes: &'a [ReasonCode]) -> Self {
        Self(Source::List(reason_codes))
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        let (encoded, list) = match self.0 {
            Source::Encoded(encoded) => (encoded, &[][..]),
            Source::List(list) => (&[][..], list),
        };
        let decoded = encoded.iter().filter_map(|code| ReasonCode::from_u8(*code));
        decoded.chain(list.iter().copied())
    }

    /// How many.
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Encoded(encoded) => encoded.len(),
            Source::List(list) => list.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for ReasonCodes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReasonCodes<'_> {}

impl fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
