//! PUBLISH: an application message on its way.

use crate::property::{Place, Properties, Property, Section, put_option};
use crate::wire::{Reader, Sink};
use crate::{DecodeError, EncodeError, Forwarded, PacketId, QoS, SubscriptionIds, Version};

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// A PUBLISH packet. [MQTT 5, section 3.3]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// Whether it may have been sent before. [MQTT-3.3.1-1] Left out at QoS 0. [MQTT-3.3.1-2]
    pub dup: bool,
    /// The QoS.
    pub qos: QoS,
    /// Whether it is to be retained, or was. [MQTT-3.3.1-5]
    pub retain: bool,
    /// The Topic Name, valid. Empty only beside a Topic Alias.
    pub topic: &'a str,
    /// Present if and only if the QoS is above 0. [MQTT-2.2.1-2]
    pub packet_id: Option<PacketId>,
    /// The number that stands for the topic from now on, or instead of it; never 0.
    /// [MQTT-3.3.2-8] Whether it is below the maximum is a question to the connection.
    pub topic_alias: Option<u16>,
    /// Seconds for which the message is worth delivering; `None`: for ever. [MQTT-3.3.2-5]
    pub message_expiry_interval_s: Option<u32>,
    /// Which subscriptions matched. A client that publishes may not send any. [MQTT-3.3.4-6]
    pub subscription_ids: SubscriptionIds<'a>,
    /// The properties that a server sends on unchanged.
    pub forwarded: Forwarded<'a>,
    /// The payload: any bytes, may be empty.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A PUBLISH with QoS 0, not retained, without properties.
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            topic_alias: None,
            message_expiry_interval_s: None,
            subscription_ids: SubscriptionIds::List(&[]),
            forwarded: Forwarded::EMPTY,
            payload,
        }
    }
}

impl<'a> Publish<'a> {
    pub(crate) fn read(flags: u8, version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(DecodeError::PublishQosReserved)?;
        let dup = flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::DupWithQos0);
        }
        let mut reader = Reader::new(body);
        let mut publish = Publish::new(reader.topic_name()?, &[]);
        publish.dup = dup;
        publish.qos = qos;
        publish.retain = flags & RETAIN != 0;
        if qos > QoS::AtMostOnce {
            publish.packet_id = Some(reader.packet_id()?);
        }
        if version.has_properties() {
            publish.take_properties(&mut reader)?;
        }
        if publish.topic.is_empty() && publish.topic_alias.is_none() {
            return Err(DecodeError::TopicEmpty);
        }
        publish.payload = reader.rest();
        Ok(publish)
    }

    fn take_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::take(reader, Place::PUBLISH)?;
        let section = properties.rest();
        if section.is_empty() {
            return Ok(());
        }
        let mut others_len = 0;
        loop {
            let before = properties.rest().len();
            let Some(property) = properties.next()? else { break };
            match property {
                Property::MessageExpiryInterval(s) => self.message_expiry_interval_s = Some(s),
                Property::TopicAlias(alias) => self.topic_alias = Some(alias),
                Property::SubscriptionIdentifier(_) => {
                    self.subscription_ids = SubscriptionIds::Encoded(section);
                }
                // The others are forwarded.
                _ => continue,
            }
            others_len += before - properties.rest().len();
        }
        self.forwarded = Forwarded::of_section(section, section.len() - others_len);
        Ok(())
    }

    /// The low four bits of the fixed header.
    pub(crate) fn flags(&self) -> u8 {
        flags(self.dup, self.qos, self.retain)
    }

    /// Bytes of the body in front of the Packet Identifier, if there is one.
    pub(crate) fn packet_id_offset(&self) -> Option<usize> {
        (self.qos > QoS::AtMostOnce).then_some(2 + self.topic.len())
    }

    pub(crate) fn put_body<S: Sink>(&self, version: Version, sink: &mut S) {
        if self.topic.is_empty() && (!version.has_properties() || self.topic_alias.is_none()) {
            sink.refuse(EncodeError::TopicEmpty);
        }
        sink.put_string(self.topic);
        if self.qos > QoS::AtMostOnce {
            match self.packet_id {
                Some(packet_id) => sink.put_u16(packet_id.get()),
                None => sink.refuse(EncodeError::PacketIdMissing),
            }
        }
        if version.has_properties() {
            sink.put_section(self);
        }
        sink.put(self.payload);
    }
}

/// The low four bits of the fixed header.
pub(crate) fn flags(dup: bool, qos: QoS, retain: bool) -> u8 {
    // [MQTT-3.3.1-2]
    let dup = if dup && qos > QoS::AtMostOnce { DUP } else { 0 };
    dup | qos.bits() << 1 | if retain { RETAIN } else { 0 }
}

impl Section for Publish<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_option(self.topic_alias.map(Property::TopicAlias), sink);
        put_option(self.message_expiry_interval_s.map(Property::MessageExpiryInterval), sink);
        self.subscription_ids.put(sink);
        self.forwarded.put(sink);
    }
}
