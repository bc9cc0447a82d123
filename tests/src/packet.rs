//! Packets as the tests see them: owned, comparable, written apart from the broker's own crate.

use crate::{
    Version,
    property::{Property, Reader, put_binary, put_properties, put_var, take_properties},
};

/// PINGREQ.
pub const PINGREQ: &[u8] = &[0xC0, 0x00];
/// The DISCONNECT without a Reason Code, legal in both versions.
pub const DISCONNECT: &[u8] = &[0xE0, 0x00];

/// First byte, Remaining Length, the rest.
pub fn frame(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    put_var(rest.len(), &mut bytes);
    bytes.extend(rest);
    bytes
}

/// A field of two length bytes and its bytes.
pub fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_binary(bytes.as_ref(), &mut out);
    out
}

/// The message that the broker publishes when a connection ends badly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// Topic Name.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// 0, 1, 2.
    pub qos: u8,
    /// Whether it is to be retained.
    pub retain: bool,
    /// MQTT 5 only; left out in MQTT 3.1.1.
    pub properties: Vec<Property>,
}

impl Will {
    /// A Will with QoS 0, not retained.
    pub fn new(topic: impl Into<String>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            properties: Vec::new(),
        }
    }

    /// With this QoS.
    #[must_use]
    pub fn qos(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    /// To be retained.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

/// A CONNECT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connect {
    /// Client Identifier.
    pub client_id: String,
    /// Clean Session, Clean Start.
    pub clean: bool,
    /// Seconds; 0: none.
    pub keep_alive_s: u16,
    /// The Will.
    pub will: Option<Will>,
    /// User Name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// MQTT 5 only; left out in MQTT 3.1.1.
    pub properties: Vec<Property>,
}

impl Connect {
    /// For a session that ends with the connection; no Keep Alive.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            clean: true,
            keep_alive_s: 0,
            will: None,
            user: None,
            password: None,
            properties: Vec::new(),
        }
    }

    /// For a session that stays: Clean Session 0; in MQTT 5 Clean Start 0 and an hour's expiry.
    pub fn persistent(client_id: impl Into<String>) -> Self {
        Self { clean: false, ..Self::new(client_id) }.with(Property::SessionExpiry(3600))
    }

    /// With Clean Session, Clean Start as given.
    #[must_use]
    pub fn clean(self, clean: bool) -> Self {
        Self { clean, ..self }
    }

    /// With a Keep Alive in seconds.
    #[must_use]
    pub fn keep_alive(self, keep_alive_s: u16) -> Self {
        Self { keep_alive_s, ..self }
    }

    /// With a Will.
    #[must_use]
    pub fn will(self, will: Will) -> Self {
        Self { will: Some(will), ..self }
    }

    /// With a User Name and a Password.
    #[must_use]
    pub fn login(self, user: &str, password: &str) -> Self {
        Self { user: Some(user.to_owned()), password: Some(password.into()), ..self }
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The packet.
    pub fn bytes(&self, version: Version) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut payload = field(&self.client_id);
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
            if version == Version::V5 {
                put_properties(&will.properties, &mut payload);
            }
            put_binary(will.topic.as_bytes(), &mut payload);
            put_binary(&will.payload, &mut payload);
        }
        if let Some(user) = &self.user {
            flags |= 0x80;
            put_binary(user.as_bytes(), &mut payload);
        }
        if let Some(password) = &self.password {
            flags |= 0x40;
            put_binary(password, &mut payload);
        }
        let mut rest = field(version.name());
        rest.extend([version.level(), flags]);
        rest.extend(self.keep_alive_s.to_be_bytes());
        if version == Version::V5 {
            put_properties(&self.properties, &mut rest);
        }
        rest.extend(payload);
        frame(0x10, &rest)
    }
}

/// A PUBLISH, in either direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Sent before, perhaps.
    pub dup: bool,
    /// 0, 1, 2.
    pub qos: u8,
    /// The RETAIN flag.
    pub retain: bool,
    /// Topic Name.
    pub topic: String,
    /// Packet Identifier; 0 at QoS 0.
    pub id: u16,
    /// MQTT 5 only; left out in MQTT 3.1.1.
    pub properties: Vec<Property>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Publish {
    /// With QoS 0, not retained.
    pub fn new(topic: impl Into<String>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            dup: false,
            qos: 0,
            retain: false,
            topic: topic.into(),
            id: 0,
            properties: Vec::new(),
            payload: payload.as_ref().to_vec(),
        }
    }

    /// With a QoS above 0 and its Packet Identifier.
    #[must_use]
    pub fn qos(self, qos: u8, id: u16) -> Self {
        Self { qos, id, ..self }
    }

    /// With the RETAIN flag.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// With the DUP flag.
    #[must_use]
    pub fn dup(self) -> Self {
        Self { dup: true, ..self }
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("the payload is text")
    }

    /// Every Subscription Identifier in it, ascending.
    pub fn subscription_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self
            .properties
            .iter()
            .filter_map(|property| match property {
                Property::SubscriptionId(id) => Some(*id),
                _ => None,
            })
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The Message Expiry Interval in seconds.
    pub fn expiry_s(&self) -> Option<u32> {
        self.properties.iter().find_map(|property| match property {
            Property::MessageExpiry(seconds) => Some(*seconds),
            _ => None,
        })
    }

    /// The packet.
    pub fn bytes(&self, version: Version) -> Vec<u8> {
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut rest = field(&self.topic);
        if self.qos > 0 {
            rest.extend(self.id.to_be_bytes());
        }
        if version == Version::V5 {
            put_properties(&self.properties, &mut rest);
        }
        rest.extend(&self.payload);
        frame(0x30 | flags, &rest)
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// Packet Identifier.
    pub id: u16,
    /// Reason Code; 0 in MQTT 3.1.1.
    pub code: u8,
    /// MQTT 5 only.
    pub properties: Vec<Property>,
}

/// PUBACK.
pub fn puback(id: u16) -> Vec<u8> {
    frame(0x40, &id.to_be_bytes())
}

/// With a Reason Code.
pub fn puback_with(id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    frame(0x40, &[high, low, code])
}

/// PUBREC.
pub fn pubrec(id: u16) -> Vec<u8> {
    frame(0x50, &id.to_be_bytes())
}

/// PUBREC with a Reason Code (MQTT 5).
pub fn pubrec_with(id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    frame(0x50, &[high, low, code])
}

/// PUBREL.
pub fn pubrel(id: u16) -> Vec<u8> {
    frame(0x62, &id.to_be_bytes())
}

/// PUBCOMP.
pub fn pubcomp(id: u16) -> Vec<u8> {
    frame(0x70, &id.to_be_bytes())
}

/// SUBSCRIBE with filters and their options byte.
pub fn subscribe(
    version: Version,
    id: u16,
    filters: &[(&str, u8)],
    properties: &[Property],
) -> Vec<u8> {
    let mut rest = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        put_properties(properties, &mut rest);
    }
    for (filter, options) in filters {
        put_binary(filter.as_bytes(), &mut rest);
        rest.push(*options);
    }
    frame(0x82, &rest)
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut rest = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        rest.push(0);
    }
    for filter in filters {
        put_binary(filter.as_bytes(), &mut rest);
    }
    frame(0xA2, &rest)
}

/// DISCONNECT of MQTT 5 with a Reason Code and properties.
pub fn disconnect_with(code: u8, properties: &[Property]) -> Vec<u8> {
    let mut rest = vec![code];
    put_properties(properties, &mut rest);
    frame(0xE0, &rest)
}

/// AUTH of MQTT 5 with a Reason Code and properties.
pub fn auth(code: u8, properties: &[Property]) -> Vec<u8> {
    let mut rest = vec![code];
    put_properties(properties, &mut rest);
    frame(0xF0, &rest)
}

/// A packet that the broker sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// Answer to CONNECT: Session Present, Reason Code (return code in MQTT 3.1.1), properties.
    Connack(bool, u8, Vec<Property>),
    /// A message.
    Publish(Publish),
    /// Ends QoS 1.
    Puback(Ack),
    /// First answer at QoS 2.
    Pubrec(Ack),
    /// Second step at QoS 2.
    Pubrel(Ack),
    /// Ends QoS 2.
    Pubcomp(Ack),
    /// Packet Identifier, a code a filter, properties.
    Suback(u16, Vec<u8>, Vec<Property>),
    /// Packet Identifier, a code a filter (none in MQTT 3.1.1), properties.
    Unsuback(u16, Vec<u8>, Vec<Property>),
    /// Answer to PINGREQ.
    Pingresp,
    /// The broker ends the connection (MQTT 5): Reason Code, properties.
    Disconnect(u8, Vec<Property>),
    /// A step of an enhanced authentication (MQTT 5): Reason Code, properties.
    Auth(u8, Vec<Property>),
}

impl Packet {
    /// Reads what follows the Remaining Length.
    ///
    /// # Panics
    /// When a broker may not send this.
    pub(crate) fn decode(version: Version, first: u8, rest: &[u8]) -> Self {
        let mut from = Reader::new(rest);
        let packet = Self::take(version, first, &mut from);
        assert!(from.is_empty(), "bytes are left behind {packet:?}: {rest:02X?}");
        packet
    }

    fn take(version: Version, first: u8, from: &mut Reader<'_>) -> Self {
        let v5 = version == Version::V5;
        let properties = |from: &mut Reader<'_>| if v5 { take_properties(from) } else { vec![] };
        if first >> 4 != 3 {
            let flags = if first >> 4 == 6 { 2 } else { 0 };
            assert_eq!(first & 0x0F, flags, "[MQTT-2.1.3-1] flags of a packet 0x{first:02X}");
        }
        match first >> 4 {
            2 => {
                let flags = from.u8();
                assert_eq!(flags & 0xFE, 0, "[MQTT-3.2.2-1] reserved flags of CONNACK");
                let code = from.u8();
                // A broker that does not know the version asked for refuses in one it knows.
                let is_older = if v5 { code == 1 } else { code != 0x84 };
                let properties = if is_older { vec![] } else { take_properties(from) };
                Self::Connack(flags == 1, code, properties)
            }
            3 => Self::Publish(take_publish(first, from, properties)),
            4 => Self::Puback(take_ack(v5, from)),
            5 => Self::Pubrec(take_ack(v5, from)),
            6 => Self::Pubrel(take_ack(v5, from)),
            7 => Self::Pubcomp(take_ack(v5, from)),
            9 => {
                let (id, properties) = (from.u16(), properties(from));
                Self::Suback(id, from.rest().to_vec(), properties)
            }
            11 => {
                let (id, properties) = (from.u16(), properties(from));
                Self::Unsuback(id, from.rest().to_vec(), properties)
            }
            13 => Self::Pingresp,
            14 if v5 => {
                let code = if from.is_empty() { 0 } else { from.u8() };
                let properties = if from.is_empty() { vec![] } else { take_properties(from) };
                Self::Disconnect(code, properties)
            }
            15 if v5 => {
                let code = from.u8();
                assert!([0x00, 0x18].contains(&code), "[MQTT-3.15.2-1] AUTH 0x{code:02X}");
                Self::Auth(code, take_properties(from))
            }
            _ => panic!("a broker does not send 0x{first:02X} in {version:?}"),
        }
    }
}

fn take_publish(
    first: u8,
    from: &mut Reader<'_>,
    properties: impl Fn(&mut Reader<'_>) -> Vec<Property>,
) -> Publish {
    let qos = first >> 1 & 3;
    assert!(qos < 3, "[MQTT-3.3.1-4] QoS 3");
    let dup = first & 8 != 0;
    assert!(qos > 0 || !dup, "[MQTT-3.3.1-2] DUP at QoS 0");
    let topic = from.string();
    let id = if qos > 0 { from.u16() } else { 0 };
    assert_eq!(id != 0, qos > 0, "[MQTT-2.2.1-4] a Packet Identifier other than 0");
    let properties = properties(from);
    let payload = from.rest().to_vec();
    Publish { dup, qos, retain: first & 1 != 0, topic, id, properties, payload }
}

fn take_ack(v5: bool, from: &mut Reader<'_>) -> Ack {
    let id = from.u16();
    let code = if v5 && !from.is_empty() { from.u8() } else { 0 };
    let properties = if v5 && !from.is_empty() { take_properties(from) } else { vec![] };
    Ack { id, code, properties }
}
