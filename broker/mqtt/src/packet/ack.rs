//! PUBACK, PUBREC, PUBREL, PUBCOMP: one form for the four.

use super::PacketType;
use crate::property::{Place, Properties, Property, Section, put_option};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, PacketId, ReasonCode, UserProperties, Version};

/// One of the four acknowledgements of a PUBLISH. [MQTT 5, sections 3.4 to 3.7]
///
/// Which Reason Codes are legal differs by packet type; decoding checks it. MQTT 3.1.1 has no
/// Reason Code here: decoded it is success, encoded it is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// The identifier of the PUBLISH. [MQTT-2.2.1-5]
    pub packet_id: PacketId,
    /// Success, or why not.
    pub reason_code: ReasonCode,
    /// Reason String, User Properties.
    pub properties: AckProperties<'a>,
}

impl Ack<'_> {
    /// An acknowledgement without properties.
    pub const fn new(packet_id: PacketId, reason_code: ReasonCode) -> Self {
        Self { packet_id, reason_code, properties: AckProperties::EMPTY }
    }

    /// Whether it is only a Packet Identifier, in either version.
    pub(crate) fn is_plain(&self) -> bool {
        self.reason_code == ReasonCode::Success
            && self.properties.reason_string.is_none()
            && self.properties.user_properties.is_empty()
    }
}

/// The properties of all acknowledgements but CONNACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AckProperties<'a> {
    /// What went wrong, for people.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl AckProperties<'_> {
    /// No properties.
    pub const EMPTY: Self = Self { reason_string: None, user_properties: UserProperties::EMPTY };
}

impl<'a> Ack<'a> {
    pub(crate) fn read(
        packet_type: PacketType,
        version: Version,
        body: &'a [u8],
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut ack = Self::new(packet_id, ReasonCode::Success);
        // Without a Reason Code it is success, without a property length there are no properties.
        if version.has_properties() && !reader.is_empty() {
            ack.reason_code = reader.reason_code(packet_type)?;
            if !reader.is_empty() {
                ack.properties = AckProperties::take(&mut reader)?;
            }
        }
        reader.end()?;
        Ok(ack)
    }

    pub(crate) fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.put_u16(self.packet_id.get());
        if version.has_properties() {
            put_short(self.reason_code, &self.properties, sink);
        }
    }
}

/// Appends what ends an acknowledgement, DISCONNECT or AUTH, in the shortest of its three forms.
pub(super) fn put_short<S: Sink>(reason_code: ReasonCode, section: &impl Section, sink: &mut S) {
    if section.section_len() > 0 {
        sink.put_u8(reason_code.code());
        sink.put_section(section);
    } else if reason_code != ReasonCode::Success {
        sink.put_u8(reason_code.code());
    }
}

impl<'a> AckProperties<'a> {
    pub(super) fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::take(reader, Place::ACK)?;
        let mut ack = Self::EMPTY;
        let section = properties.rest();
        while let Some(property) = properties.next()? {
            match property {
                Property::ReasonString(reason) => ack.reason_string = Some(reason),
                Property::User(_) => {
                    ack.user_properties = UserProperties::of_section(section);
                }
                // `Place::ACK` has no other.
                _ => {}
            }
        }
        Ok(ack)
    }
}

impl Section for AckProperties<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_option(self.reason_string.map(Property::ReasonString), sink);
        self.user_properties.put(sink);
    }
}
