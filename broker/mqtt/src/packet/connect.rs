//! CONNECT: who a client is, what it can take, its Will.

use crate::property::{Place, Properties, Property, Section, put_option};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, EncodeError, Forwarded, QoS, UserProperties, Version, topic};

/// The protocol names with their lengths in front. [MQTT-3.1.2-1]
const PROTOCOL_NAMES: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];

/// The Connect Flags. [MQTT 5, section 3.1.2.3]
mod flag {
    pub(super) const RESERVED: u8 = 1 << 0;
    pub(super) const CLEAN_START: u8 = 1 << 1;
    pub(super) const WILL: u8 = 1 << 2;
    pub(super) const WILL_QOS_SHIFT: u8 = 3;
    pub(super) const WILL_RETAIN: u8 = 1 << 5;
    pub(super) const PASSWORD: u8 = 1 << 6;
    pub(super) const USERNAME: u8 = 1 << 7;
}

/// A CONNECT packet. [MQTT 5, section 3.1]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect<'a> {
    /// The version that the whole connection speaks.
    pub version: Version,
    /// Whether an existing Session is discarded. [MQTT-3.1.2-4] Before MQTT 5: Clean Session.
    pub clean_start: bool,
    /// Seconds within which one and a half times something must arrive; 0: no limit.
    /// [MQTT-3.1.2-22]
    pub keep_alive_s: u16,
    /// The Client Identifier. May be empty: the server assigns one. [MQTT-3.1.3-6] A 3.1.1 client
    /// with an empty one and Clean Session 0 is refused, and a 3.1 client with an empty one. One of
    /// more than the 23 characters that MQTT 3.1 allows is taken.
    pub client_id: &'a str,
    /// What is published when the connection ends without a proper DISCONNECT.
    pub will: Option<Will<'a>>,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password: any bytes.
    pub password: Option<&'a [u8]>,
    /// Seconds for which the Session outlives the connection; `u32::MAX`: for ever. Before MQTT 5 that
    /// is Clean Session 0, while Clean Session 1 is 0 seconds.
    pub session_expiry_interval_s: u32,
    /// How many QoS 1 or QoS 2 PUBLISH packets the client takes unacknowledged, never 0. 65,535 if
    /// it does not say.
    pub receive_maximum: u16,
    /// The largest packet the client takes, in bytes, never 0. [MQTT-3.1.2-24]
    pub maximum_packet_size: Option<u32>,
    /// The largest Topic Alias the client takes; 0: none. [MQTT-3.1.2-26]
    pub topic_alias_maximum: u16,
    /// Whether the client asks for Response Information. [MQTT-3.1.2-28]
    pub request_response_information: bool,
    /// Whether the client wants Reason Strings and User Properties on more than PUBLISH, CONNACK
    /// or DISCONNECT. [MQTT-3.1.2-29]
    pub request_problem_information: bool,
    /// The name of the enhanced authentication to use. [MQTT-3.1.2-30]
    pub authentication_method: Option<&'a str>,
    /// Its first data; only beside a method.
    pub authentication_data: Option<&'a [u8]>,
    /// User Properties of the CONNECT itself.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Connect<'a> {
    /// A CONNECT with Clean Start, no Keep Alive, no Will, no credentials: a start for those who
    /// send one.
    pub const fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive_s: 0,
            client_id,
            will: None,
            username: None,
            password: None,
            session_expiry_interval_s: 0,
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user_properties: UserProperties::EMPTY,
        }
    }
}

/// The Will of a CONNECT. [MQTT 5, section 3.1.3.2]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Will<'a> {
    /// The QoS it is published with.
    pub qos: QoS,
    /// Whether it is published as a retained message. [MQTT-3.1.2-15]
    pub retain: bool,
    /// The Topic Name, valid.
    pub topic: &'a str,
    /// The payload: any bytes, at most 65,535.
    pub payload: &'a [u8],
    /// Seconds between the end of the connection or Session and the Will.
    pub delay_interval_s: u32,
    /// Seconds after which the published Will expires; `None`: never.
    pub message_expiry_interval_s: Option<u32>,
    /// The properties that are sent on with the Will. The delay is not one of them.
    pub forwarded: Forwarded<'a>,
}

/// What the protocol name and level, at the front of the body, say.
pub(crate) enum Protocol {
    /// Too few bytes; right so far.
    Unfinished,
    /// One that this crate speaks.
    Supported(Version),
    /// Another level of MQTT.
    OtherLevel(u8),
    /// No MQTT.
    OtherName,
}

impl Protocol {
    /// Judges a body of which not all bytes need be there.
    pub(crate) fn of(body: &[u8]) -> Self {
        for name in PROTOCOL_NAMES {
            let Some(rest) = body.strip_prefix(name) else { continue };
            let Some(level) = rest.first() else { return Self::Unfinished };
            let version = Version::from_level(*level)
                .filter(|version| name.ends_with(version.protocol_name().as_bytes()));
            return version.map_or(Self::OtherLevel(*level), Self::Supported);
        }
        let may_become_one = PROTOCOL_NAMES.iter().any(|name| name.starts_with(body));
        if may_become_one { Self::Unfinished } else { Self::OtherName }
    }

    /// The version, `None` if more bytes are needed to tell.
    pub(crate) const fn supported(self) -> Result<Option<Version>, DecodeError> {
        match self {
            Self::Unfinished => Ok(None),
            Self::Supported(version) => Ok(Some(version)),
            Self::OtherLevel(_) => Err(DecodeError::UnsupportedProtocolVersion),
            Self::OtherName => Err(DecodeError::UnsupportedProtocolName),
        }
    }
}

impl<'a> Connect<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let version = Protocol::of(body).supported()?.ok_or(DecodeError::Truncated)?;
        let mut reader = Reader::new(body);
        reader.take(2 + version.protocol_name().len() + 1)?;
        let flags = ConnectFlags::from_byte(reader.u8()?, version)?;
        let mut connect = Self::new(version, "");
        connect.clean_start = flags.clean_start;
        connect.keep_alive_s = reader.u16()?;
        match version {
            Version::V5 => connect.take_properties(&mut reader)?,
            // What Clean Session 0 means in the words of MQTT 5. [MQTT 5, section 3.1.2.11.2]
            Version::V3_1 | Version::V3_1_1 if !flags.clean_start => {
                connect.session_expiry_interval_s = u32::MAX;
            }
            Version::V3_1 | Version::V3_1_1 => {}
        }
        connect.client_id = reader.string()?;
        match version {
            Version::V3_1_1 if connect.client_id.is_empty() && !flags.clean_start => {
                return Err(DecodeError::EmptyClientIdWithSession);
            }
            Version::V3_1 if connect.client_id.is_empty() => {
                return Err(DecodeError::EmptyClientId);
            }
            _ => {}
        }
        if let Some((qos, retain)) = flags.will {
            connect.will = Some(Will::take(qos, retain, version, &mut reader)?);
        }
        // In MQTT 3.1 the length of the packet counts for more than these flags.
        let may_be_missing = version == Version::V3_1;
        if flags.has_username && !(may_be_missing && reader.is_empty()) {
            connect.username = Some(reader.string()?);
        }
        if flags.has_password && !(may_be_missing && reader.is_empty()) {
            connect.password = Some(reader.binary()?);
        }
        reader.end()?;
        Ok(connect)
    }

    fn take_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::take(reader, Place::CONNECT)?;
        let section = properties.rest();
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiryInterval(s) => self.session_expiry_interval_s = s,
                Property::ReceiveMaximum(count) => self.receive_maximum = count,
                Property::MaximumPacketSize(bytes) => self.maximum_packet_size = Some(bytes),
                Property::TopicAliasMaximum(alias) => self.topic_alias_maximum = alias,
                Property::RequestResponseInformation(is) => self.request_response_information = is,
                Property::RequestProblemInformation(is) => self.request_problem_information = is,
                Property::AuthenticationMethod(name) => self.authentication_method = Some(name),
                Property::AuthenticationData(bytes) => self.authentication_data = Some(bytes),
                Property::User(_) => {
                    self.user_properties = UserProperties::of_section(section);
                }
                // `Place::CONNECT` has no other.
                _ => {}
            }
        }
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(())
    }

    pub(crate) fn put_body<S: Sink>(&self, sink: &mut S) {
        let version = self.version;
        if !version.has_properties() && self.password.is_some() && self.username.is_none() {
            sink.refuse(EncodeError::PasswordWithoutUsername);
        }
        sink.put_string(version.protocol_name());
        sink.put_u8(version.level());
        let flags = ConnectFlags {
            clean_start: self.clean_start,
            will: self.will.map(|will| (will.qos, will.retain)),
            has_username: self.username.is_some(),
            has_password: self.password.is_some(),
        };
        sink.put_u8(flags.to_byte());
        sink.put_u16(self.keep_alive_s);
        if version.has_properties() {
            sink.put_section(self);
        }
        sink.put_string(self.client_id);
        if let Some(will) = self.will {
            if version.has_properties() {
                sink.put_section(&will);
            }
            sink.put_string(will.topic);
            sink.put_binary(will.payload);
        }
        if let Some(username) = self.username {
            sink.put_string(username);
        }
        if let Some(password) = self.password {
            sink.put_binary(password);
        }
    }
}

/// Leaves out what has its default value.
impl Section for Connect<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        let session_expiry_interval_s = Some(self.session_expiry_interval_s).filter(|s| *s != 0);
        let receive_maximum = Some(self.receive_maximum).filter(|count| *count != u16::MAX);
        let topic_alias_maximum = Some(self.topic_alias_maximum).filter(|alias| *alias != 0);
        let request_response = Some(self.request_response_information).filter(|is| *is);
        let request_problem = Some(self.request_problem_information).filter(|is| !*is);
        for property in [
            session_expiry_interval_s.map(Property::SessionExpiryInterval),
            receive_maximum.map(Property::ReceiveMaximum),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            topic_alias_maximum.map(Property::TopicAliasMaximum),
            request_response.map(Property::RequestResponseInformation),
            request_problem.map(Property::RequestProblemInformation),
            self.authentication_method.map(Property::AuthenticationMethod),
            self.authentication_data.map(Property::AuthenticationData),
        ] {
            put_option(property, sink);
        }
        self.user_properties.put(sink);
    }
}

impl<'a> Will<'a> {
    /// A Will without properties.
    pub const fn new(topic: &'a str, payload: &'a [u8], qos: QoS, retain: bool) -> Self {
        Self {
            qos,
            retain,
            topic,
            payload,
            delay_interval_s: 0,
            message_expiry_interval_s: None,
            forwarded: Forwarded::EMPTY,
        }
    }

    fn take(
        qos: QoS,
        retain: bool,
        version: Version,
        reader: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let mut will = Self::new("", &[], qos, retain);
        if version.has_properties() {
            will.take_properties(reader)?;
        }
        will.topic = reader.string()?;
        if !topic::is_valid_name(will.topic) {
            return Err(DecodeError::WillTopicInvalid);
        }
        will.payload = reader.binary()?;
        Ok(will)
    }

    fn take_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::take(reader, Place::WILL)?;
        let section = properties.rest();
        let mut others_len = 0;
        loop {
            let before = properties.rest().len();
            let Some(property) = properties.next()? else { break };
            match property {
                Property::WillDelayInterval(s) => self.delay_interval_s = s,
                Property::MessageExpiryInterval(s) => self.message_expiry_interval_s = Some(s),
                // The others are forwarded.
                _ => continue,
            }
            others_len += before - properties.rest().len();
        }
        self.forwarded = Forwarded::of_section(section, section.len() - others_len);
        Ok(())
    }
}

impl Section for Will<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        let delay_interval_s = Some(self.delay_interval_s).filter(|s| *s != 0);
        put_option(delay_interval_s.map(Property::WillDelayInterval), sink);
        put_option(self.message_expiry_interval_s.map(Property::MessageExpiryInterval), sink);
        self.forwarded.put(sink);
    }
}

/// The Connect Flags, legal.
struct ConnectFlags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    has_username: bool,
    has_password: bool,
}

impl ConnectFlags {
    fn from_byte(byte: u8, version: Version) -> Result<Self, DecodeError> {
        // MQTT 3.1 says of it that it is not used.
        if byte & flag::RESERVED != 0 && version != Version::V3_1 {
            return Err(DecodeError::ConnectReservedFlag);
        }
        let will_qos = QoS::from_bits(byte >> flag::WILL_QOS_SHIFT & 0b11)
            .ok_or(DecodeError::WillQosReserved)?;
        let will_retain = byte & flag::WILL_RETAIN != 0;
        let will = if byte & flag::WILL != 0 {
            Some((will_qos, will_retain))
        } else if will_qos != QoS::AtMostOnce {
            return Err(DecodeError::WillQosWithoutWill);
        } else if will_retain {
            return Err(DecodeError::WillRetainWithoutWill);
        } else {
            None
        };
        let has_username = byte & flag::USERNAME != 0;
        let has_password = byte & flag::PASSWORD != 0;
        if !version.has_properties() && has_password && !has_username {
            return Err(DecodeError::PasswordWithoutUsername);
        }
        let clean_start = byte & flag::CLEAN_START != 0;
        Ok(Self { clean_start, will, has_username, has_password })
    }

    const fn to_byte(&self) -> u8 {
        let mut byte = 0;
        if self.clean_start {
            byte |= flag::CLEAN_START;
        }
        if let Some((qos, retain)) = self.will {
            byte |= flag::WILL | qos.bits() << flag::WILL_QOS_SHIFT;
            if retain {
                byte |= flag::WILL_RETAIN;
            }
        }
        if self.has_username {
            byte |= flag::USERNAME;
        }
        if self.has_password {
            byte |= flag::PASSWORD;
        }
        byte
    }
}
