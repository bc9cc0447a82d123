//! AUTH: one step of an enhanced authentication.

use super::PacketType;
use super::ack::put_short;
use crate::property::{Place, Properties, Property, Section, put_option};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, ReasonCode, UserProperties};

/// An AUTH packet. [MQTT 5, section 3.15] MQTT 3.1.1 has none: it encodes to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate. [MQTT-3.15.2-1]
    pub reason_code: ReasonCode,
    /// The method of the CONNECT. [MQTT-4.12.0-5] Absent only in the two-byte form, which means
    /// success.
    pub authentication_method: Option<&'a str>,
    /// Whatever the method wants to say.
    pub authentication_data: Option<&'a [u8]>,
    /// What went wrong, for people.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    /// An AUTH without data.
    pub const fn new(reason_code: ReasonCode, authentication_method: &'a str) -> Self {
        Self {
            reason_code,
            authentication_method: Some(authentication_method),
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
        }
    }

    pub(crate) fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut auth = Self {
            reason_code: ReasonCode::Success,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
        };
        let mut reader = Reader::new(body);
        if reader.is_empty() {
            return Ok(auth);
        }
        auth.reason_code = reader.reason_code(PacketType::Auth)?;
        let mut properties = Properties::take(&mut reader, Place::AUTH)?;
        reader.end()?;
        let section = properties.rest();
        while let Some(property) = properties.next()? {
            match property {
                Property::AuthenticationMethod(name) => auth.authentication_method = Some(name),
                Property::AuthenticationData(bytes) => auth.authentication_data = Some(bytes),
                Property::ReasonString(reason) => auth.reason_string = Some(reason),
                Property::User(_) => {
                    auth.user_properties = UserProperties::of_section(section);
                }
                // `Place::AUTH` has no other.
                _ => {}
            }
        }
        if auth.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing);
        }
        Ok(auth)
    }

    pub(crate) fn put_body<S: Sink>(&self, sink: &mut S) {
        put_short(self.reason_code, self, sink);
    }
}

impl Section for Auth<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_option(self.authentication_method.map(Property::AuthenticationMethod), sink);
        put_option(self.authentication_data.map(Property::AuthenticationData), sink);
        put_option(self.reason_string.map(Property::ReasonString), sink);
        self.user_properties.put(sink);
    }
}
