//! CONNACK: whether a connection is accepted, with what limits.

use super::PacketType;
use crate::property::{Place, Properties, Property, Section, put_option};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, QoS, ReasonCode, UserProperties, Version};

/// A CONNACK packet. [MQTT 5, section 3.2]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connack<'a> {
    /// Whether the server goes on with a Session it had. [MQTT-3.2.2-3]
    pub session_present: bool,
    /// Success, or why not. [MQTT-3.2.2-8]
    pub reason_code: ReasonCode,
    /// All that MQTT 5 adds; MQTT 3.1.1 leaves it out.
    pub properties: ConnackProperties<'a>,
}

impl Connack<'_> {
    /// A CONNACK without properties.
    pub fn new(session_present: bool, reason_code: ReasonCode) -> Self {
        Self { session_present, reason_code, properties: ConnackProperties::default() }
    }
}

/// The properties of a CONNACK. [MQTT 5, section 3.2.2.3]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnackProperties<'a> {
    /// Seconds, if other than the client asked for.
    pub session_expiry_interval_s: Option<u32>,
    /// How many QoS 1 or QoS 2 PUBLISH packets the server takes unacknowledged; absent: 65,535.
    pub receive_maximum: Option<u16>,
    /// The highest QoS the server takes; absent: 2, which is also how 2 is sent. [MQTT-3.2.2-9]
    pub maximum_qos: Option<QoS>,
    /// Whether the server takes retained messages; absent: yes. [MQTT-3.2.2-14]
    pub retain_available: Option<bool>,
    /// The largest packet the server takes, in bytes. [MQTT-3.2.2-15]
    pub maximum_packet_size: Option<u32>,
    /// The Client Identifier for a client that came with an empty one. [MQTT-3.2.2-16]
    pub assigned_client_id: Option<&'a str>,
    /// The largest Topic Alias the server takes; absent: none. [MQTT-3.2.2-17]
    pub topic_alias_maximum: Option<u16>,
    /// What went wrong, for people.
    pub reason_string: Option<&'a str>,
    /// User Properties.
    pub user_properties: UserProperties<'a>,
    /// Whether filters may have wildcards; absent: yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether Subscription Identifiers are supported; absent: yes.
    pub subscription_ids_available: Option<bool>,
    /// Whether shared subscriptions are supported; absent: yes.
    pub shared_subscription_available: Option<bool>,
    /// Seconds that replace the client's Keep Alive. [MQTT-3.2.2-21]
    pub server_keep_alive_s: Option<u16>,
    /// A base for Response Topics.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// The name of the enhanced authentication in use. [MQTT-4.12.0-5]
    pub authentication_method: Option<&'a str>,
    /// Its last data; only beside a method.
    pub authentication_data: Option<&'a [u8]>,
}

impl<'a> Connack<'a> {
    pub(crate) fn read(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let session_present = match (version, reader.u8()?) {
            // There that byte is not used.
            (Version::V3_1, _) | (_, 0) => false,
            (_, 1) => true,
            _ => return Err(DecodeError::ConnackReservedFlags),
        };
        let reason_code = match version {
            Version::V5 => reader.reason_code(PacketType::Connack)?,
            Version::V3_1 | Version::V3_1_1 => ReasonCode::from_connect_return_code(reader.u8()?)
                .ok_or(DecodeError::InvalidReasonCode)?,
        };
        if session_present && reason_code != ReasonCode::Success {
            return Err(DecodeError::SessionPresentWithError);
        }
        let mut properties = ConnackProperties::default();
        if version.has_properties() {
            properties = ConnackProperties::take(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { session_present, reason_code, properties })
    }

    pub(crate) fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        // [MQTT-3.2.2-6]
        let is_accepted = self.reason_code == ReasonCode::Success;
        // In MQTT 3.1 that byte is not used.
        let may_say = is_accepted && version != Version::V3_1;
        sink.put_u8(u8::from(self.session_present && may_say));
        match version {
            Version::V5 => {
                sink.put_u8(self.reason_code.code());
                sink.put_section(&self.properties);
            }
            Version::V3_1 | Version::V3_1_1 => sink.put_u8(self.reason_code.connect_return_code()),
        }
    }
}

impl<'a> ConnackProperties<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::take(reader, Place::CONNACK)?;
        let section = properties.rest();
        let mut all = Self::default();
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiryInterval(s) => all.session_expiry_interval_s = Some(s),
                Property::ReceiveMaximum(count) => all.receive_maximum = Some(count),
                Property::MaximumQos(bits) => all.maximum_qos = QoS::from_bits(bits),
                Property::RetainAvailable(is) => all.retain_available = Some(is),
                Property::MaximumPacketSize(bytes) => all.maximum_packet_size = Some(bytes),
                Property::AssignedClientIdentifier(id) => all.assigned_client_id = Some(id),
                Property::TopicAliasMaximum(alias) => all.topic_alias_maximum = Some(alias),
                Property::ReasonString(reason) => all.reason_string = Some(reason),
                Property::User(_) => {
                    all.user_properties = UserProperties::of_section(section);
                }
                Property::WildcardSubscriptionAvailable(is) => {
                    all.wildcard_subscription_available = Some(is);
                }
                Property::SubscriptionIdentifiersAvailable(is) => {
                    all.subscription_ids_available = Some(is);
                }
                Property::SharedSubscriptionAvailable(is) => {
                    all.shared_subscription_available = Some(is);
                }
                Property::ServerKeepAlive(s) => all.server_keep_alive_s = Some(s),
                Property::ResponseInformation(base) => all.response_information = Some(base),
                Property::ServerReference(server) => all.server_reference = Some(server),
                Property::AuthenticationMethod(name) => all.authentication_method = Some(name),
                Property::AuthenticationData(bytes) => all.authentication_data = Some(bytes),
                // `Place::CONNACK` has no other.
                _ => {}
            }
        }
        if all.authentication_data.is_some() && all.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(all)
    }
}

impl Section for ConnackProperties<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        // QoS 2 is said by saying nothing. [MQTT 5, section 3.2.2.3.4]
        let maximum_qos = self.maximum_qos.filter(|qos| *qos < QoS::ExactlyOnce).map(QoS::bits);
        for property in [
            self.session_expiry_interval_s.map(Property::SessionExpiryInterval),
            self.receive_maximum.map(Property::ReceiveMaximum),
            maximum_qos.map(Property::MaximumQos),
            self.retain_available.map(Property::RetainAvailable),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            self.assigned_client_id.map(Property::AssignedClientIdentifier),
            self.topic_alias_maximum.map(Property::TopicAliasMaximum),
            self.wildcard_subscription_available.map(Property::WildcardSubscriptionAvailable),
            self.subscription_ids_available.map(Property::SubscriptionIdentifiersAvailable),
            self.shared_subscription_available.map(Property::SharedSubscriptionAvailable),
            self.server_keep_alive_s.map(Property::ServerKeepAlive),
            self.response_information.map(Property::ResponseInformation),
            self.server_reference.map(Property::ServerReference),
            self.authentication_method.map(Property::AuthenticationMethod),
            self.authentication_data.map(Property::AuthenticationData),
            self.reason_string.map(Property::ReasonString),
        ] {
            put_option(property, sink);
        }
        self.user_properties.put(sink);
    }
}
