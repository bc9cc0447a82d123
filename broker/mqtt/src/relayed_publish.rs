//! A PUBLISH that passes a message on.

use crate::fixed_header::put_fixed_header;
use crate::packet::publish_flags;
use crate::property::{Property, Section, put_option};
use crate::wire::{Sink, variable_byte_integer_len};
use crate::{EncodeError, Forwarded, PacketId, PacketType, QoS, SubscriptionIds, Version};

/// A PUBLISH made of what came in another one. Its parts were checked then, so it is encoded in one
/// go, where a [`Packet`](crate::Packet) is measured first.
#[derive(Clone, Copy, Debug)]
pub struct RelayedPublish<'a> {
    /// Whether it may have been sent before. Left out at QoS 0. [MQTT-3.3.1-2]
    pub dup: bool,
    /// The QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// A valid Topic Name; as it comes from another PUBLISH, at most 65,535 bytes. Empty beside an
    /// alias that stands for it.
    pub topic: &'a [u8],
    /// Stands for the topic from now on, or instead of it; not for versions before 5.
    pub topic_alias: Option<u16>,
    /// Present if and only if the QoS is above 0. [MQTT-2.2.1-2]
    pub packet_id: Option<PacketId>,
    /// Seconds for which the message is worth delivering; `None`: for ever.
    pub message_expiry_interval_s: Option<u32>,
    /// Which subscriptions matched, each 1 to 268,435,455.
    pub subscription_ids: &'a [u32],
    /// The properties that are sent on unchanged.
    pub forwarded: Forwarded<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl RelayedPublish<'_> {
    /// Bytes that [`encode`](Self::encode) appends.
    pub fn encoded_len(&self, version: Version) -> usize {
        let remaining = self.remaining(version, self.section_len());
        let length = u32::try_from(remaining).unwrap_or(u32::MAX);
        1 + variable_byte_integer_len(length) + remaining
    }

    /// Appends the packet to `out`, without what the version cannot say.
    ///
    /// # Errors
    /// If it is longer than MQTT can say. `out` is then as before.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let properties_len = self.section_len();
        let remaining = self.remaining(version, properties_len);
        let flags = publish_flags(self.dup, self.qos, self.retain);
        put_fixed_header(PacketType::Publish, flags, remaining, out)?;
        out.put_binary(self.topic);
        if let Some(packet_id) = self.packet_id {
            out.put_u16(packet_id.get());
        }
        if version.has_properties() {
            out.put_variable_byte_integer(properties_len as u32);
            if properties_len > 0 {
                self.put(out);
            }
        }
        out.put(self.payload);
        Ok(())
    }

    /// Bytes behind the fixed header.
    fn remaining(&self, version: Version, properties_len: usize) -> usize {
        let packet_id_len = if self.packet_id.is_some() { 2 } else { 0 };
        let properties_len = match version.has_properties() {
            true => {
                let length = u32::try_from(properties_len).unwrap_or(u32::MAX);
                variable_byte_integer_len(length) + properties_len
            }
            false => 0,
        };
        2 + self.topic.len() + packet_id_len + properties_len + self.payload.len()
    }
}

impl Section for RelayedPublish<'_> {
    fn put<S: Sink>(&self, sink: &mut S) {
        put_option(self.topic_alias.map(Property::TopicAlias), sink);
        put_option(self.message_expiry_interval_s.map(Property::MessageExpiryInterval), sink);
        SubscriptionIds::List(self.subscription_ids).put(sink);
        self.forwarded.put(sink);
    }

    fn section_len(&self) -> usize {
        let expiry_len = if self.message_expiry_interval_s.is_some() { 5 } else { 0 };
        let alias_len = if self.topic_alias.is_some() { 3 } else { 0 };
        let id_len = |&id: &u32| 1 + variable_byte_integer_len(id);
        let ids_len: usize = self.subscription_ids.iter().map(id_len).sum();
        expiry_len + alias_len + ids_len + self.forwarded.encoded_len()
    }
}
