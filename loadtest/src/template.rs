//! A PUBLISH that is encoded once: each message is a copy with a few bytes replaced.

use flotilla_mqtt::{PacketId, Publish, QoS, Version, encode_publish};

use crate::{
    error::Error,
    stamp::{STAMP_LEN, Stamp},
};

/// Digits of the number in a topic.
const DIGITS: usize = 8;

/// The topics that a publisher publishes to.
#[derive(Clone, Debug)]
pub(crate) enum Topics {
    /// Always this one.
    One(String),
    /// One for each number of a range, in turn.
    Numbered {
        /// Before the number, which has [`DIGITS`] digits.
        before: String,
        /// Behind it.
        after: String,
        /// The first number.
        first: u64,
        /// From one message to the next.
        step: u64,
        /// How many numbers, then from the start again.
        count: u64,
    },
}

impl Topics {
    /// The topic, or filter, with this number.
    pub(crate) fn numbered(before: &str, number: u64, after: &str) -> String {
        format!("{before}{number:0DIGITS$}{after}")
    }
}

/// How messages are published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    pub(crate) payload_len: usize,
    pub(crate) retain: bool,
}

/// The encoded PUBLISH.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    packet_id_at: Option<usize>,
    payload_at: usize,
    topics: Topics,
    /// Where the number is in the topic.
    number_at: usize,
}

impl Template {
    /// # Errors
    /// When the topic or the payload is too long to be encoded.
    pub(crate) fn new(topics: Topics, style: Style) -> Result<Self, Error> {
        let payload = vec![b'x'; style.payload_len.max(STAMP_LEN)];
        let (topic, before_len) = match &topics {
            Topics::One(topic) => (topic.clone(), 0),
            Topics::Numbered { before, after, .. } => {
                (Topics::numbered(before, 0, after), before.len())
            }
        };
        let mut publish = Publish::new(&topic, &payload);
        publish.qos = style.qos;
        publish.retain = style.retain;
        publish.packet_id = (style.qos > QoS::AtMostOnce).then_some(PacketId::MIN);
        let mut bytes = Vec::new();
        let packet_id_at = encode_publish(&publish, style.version, &mut bytes)?;
        let payload_at = bytes.len() - payload.len();
        let topic_at = bytes.windows(topic.len()).position(|bytes| bytes == topic.as_bytes());
        let number_at = topic_at.expect("the packet has its topic") + before_len;
        Ok(Self { bytes, packet_id_at, payload_at, topics, number_at })
    }

    /// Appends the message to what is to be sent.
    pub(crate) fn append(&self, stamp: Stamp, packet_id: PacketId, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let packet = &mut out[start..];
        stamp.write(&mut packet[self.payload_at..]);
        if let Some(at) = self.packet_id_at {
            packet[at..at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
        }
        if let Topics::Numbered { first, step, count, .. } = &self.topics {
            let mut number = first + stamp.sequence % count * step;
            for digit in packet[self.number_at..self.number_at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flotilla_mqtt::{Packet, decode};

    #[test]
    fn each_message_has_its_own_topic_identifier_and_stamp() {
        let topics = Topics::Numbered {
            before: "load/".into(),
            after: "/a".into(),
            first: 40,
            step: 2,
            count: 3,
        };
        for version in [Version::V3_1_1, Version::V5] {
            let style = Style { version, qos: QoS::AtLeastOnce, payload_len: 64, retain: true };
            let template = Template::new(topics.clone(), style).unwrap();
            let stamp = Stamp { run: 1, publisher: 2, sequence: 4, time_ns: 5 };
            let mut out = vec![0];
            template.append(stamp, PacketId::MAX, &mut out);
            let (packet, taken) = decode(&out[1..], version, 1024).unwrap().unwrap();
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            assert_eq!(taken, out.len() - 1);
            assert_eq!(publish.topic, "load/00000042/a");
            assert_eq!(publish.packet_id, Some(PacketId::MAX));
            assert_eq!(publish.payload.len(), 64);
            assert!(publish.retain);
            assert_eq!(Stamp::read(publish.payload), Some(stamp));
        }
    }
}
