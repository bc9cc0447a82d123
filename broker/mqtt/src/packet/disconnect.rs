//! DISCONNECT: the last packet of a connection.

use super::PacketType;
use super::ack::put_short;
use crate::property::{Place, Properties, Property, Section, put_option};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, ReasonCode, UserProperties, Version};

/// A DISCONNECT packet. [MQTT 5, section 3.14]
///
/// MQTT 3.1.1 knows it from client to server only, without any of the fields: decoded it is
/// success. Not to send one to a 3.1.1 client is up to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disconnect<'a> {
    /// Why. Only 0x00 drops the Will. [MQTT-3.14.4-3]
    pub reason_code: ReasonCode,
    /// Seconds; a client changes its mind. A server may not send it. [MQTT-3.14.2-2]
    pub session_expiry_interval_s: Option<u32>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// What went wrong, for people.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl Disconnect<'_> {
    /// A DISCONNECT without properties.
    pub const fn new(reason_code: ReasonCode) -> Self {
        Self {
            reason_code,
            session_expiry_interval_s: None,
            server_reference: None,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
        }
    }
}

impl<'a> Disconnect<'a> {
    pub(crate) fn read(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut disconnect = Self::new(ReasonCode::Success);
        // Without a Reason Code it is success, without a property length there are no properties.
        if version.has_properties() && !reader.is_empty() {
            disconnect.reason_code = reader.reason_code(PacketType::Disconnect)?;
            if !reader.is_empty() {
                disconnect.take_properties(&mut reader)?;
            }
        }
        reader.end()?;
        Ok(disconnect)
    }

    fn take_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::take(reader, Place::DISCONNECT)?;
        let section = properties.rest();
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiryInterval(s) => self.session_expiry_interval_s = Some(s),
                Property::ServerReference(server) => self.server_reference = Some(server),
                Property::ReasonString(reason) => self.reason_string = Some(reason),
                Property::User(_) => {
                    self.user_properties = UserProperties::of_section(section);
                }
                // `Place::DISCONNECT` has no other.
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        if version.has_properties() {
            put_short(self.reason_code, self, sink);
        }
    }
}

impl Section for Disconnect<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_option(self.session_expiry_interval_s.map(Property::SessionExpiryInterval), sink);
        put_option(self.server_reference.map(Property::ServerReference), sink);
        put_option(self.reason_string.map(Property::ReasonString), sink);
        self.user_properties.put(sink);
    }
}
