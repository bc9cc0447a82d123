//! An application message, owned.

use std::fmt;
use std::sync::Arc;

use flotilla_mqtt::{Forwarded, QoS};

use crate::id::ClientId;

/// An application message as the broker keeps it: built once per accepted PUBLISH, shared by
/// reference count, and the same bytes in memory and in the log.
///
/// One allocation holds everything: a fixed header, then topic, publisher, addressee, forwarded
/// properties, payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Arc<[u8]>,
}

/// What a message is made of. Lengths: topic, publisher and addressee at most 65,535 bytes.
#[derive(Clone, Copy, Debug)]
pub struct MessageParts<'a> {
    /// As published.
    pub qos: QoS,
    /// The RETAIN flag as published.
    pub retain: bool,
    /// Topic Name, never empty.
    pub topic: &'a str,
    /// Client Identifier of the publisher: No Local needs it ([MQTT-3.8.3-3]).
    pub publisher: &'a str,
    /// Client Identifier of the only session this is for; empty: whoever subscribes. A retained
    /// message that is sent because of a subscription is addressed. So is one that a group gives to
    /// a member: then U+0000 and the filter of the shared subscription stand behind the identifier.
    pub addressee: &'a str,
    /// When the broker accepted it, Unix milliseconds.
    pub received_at_ms: u64,
    /// From when on it must not be sent any more, Unix milliseconds ([MQTT-3.3.2-5]).
    pub expires_at_ms: Option<u64>,
    /// The properties that are forwarded unchanged.
    pub forwarded: Forwarded<'a>,
    /// Application payload.
    pub payload: &'a [u8],
}

/// The parts of a message that its receivers see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    /// Topic Name.
    pub(crate) topic: &'a [u8],
    pub(crate) forwarded: Forwarded<'a>,
    pub(crate) payload: &'a [u8],
}

/// Bytes read from a store that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedMessage(&'static str);

const QOS_MASK: u8 = 0b0000_0011;
const RETAIN: u8 = 0b0000_0100;
const KNOWN_FLAGS: u8 = QOS_MASK | RETAIN;
/// flags 1, topic 2, publisher 2, addressee 2, forwarded 4, received 8, expires 8.
const HEADER: usize = 27;
const NEVER: u64 = u64::MAX;
/// Between an addressee and the filter of its group: in neither ([MQTT-1.5.4-2]).
const SHARE: &str = "\0";

/// Whether a message can be addressed to the member of a group with this filter.
pub(crate) fn has_room_for_share(client_id: &ClientId, filter: &str) -> bool {
    client_id.as_str().len() + SHARE.len() + filter.len() <= usize::from(u16::MAX)
}

impl Message {
    /// Builds the message; `scratch` is overwritten and keeps its capacity for the next one.
    pub fn new(parts: &MessageParts<'_>, scratch: &mut Vec<u8>) -> Self {
        let short = |text: &str| {
            u16::try_from(text.len()).expect("MQTT strings have at most 65,535 bytes").to_be_bytes()
        };
        let forwarded_len = u32::try_from(parts.forwarded.encoded_len())
            .expect("properties of a packet have at most 268,435,455 bytes");
        let mut header = [0; HEADER];
        header[0] = parts.qos.bits() | if parts.retain { RETAIN } else { 0 };
        header[1..3].copy_from_slice(&short(parts.topic));
        header[3..5].copy_from_slice(&short(parts.publisher));
        header[5..7].copy_from_slice(&short(parts.addressee));
        header[7..11].copy_from_slice(&forwarded_len.to_be_bytes());
        header[11..19].copy_from_slice(&parts.received_at_ms.to_be_bytes());
        header[19..].copy_from_slice(&parts.expires_at_ms.unwrap_or(NEVER).to_be_bytes());
        scratch.clear();
        scratch.extend_from_slice(&header);
        scratch.extend_from_slice(parts.topic.as_bytes());
        scratch.extend_from_slice(parts.publisher.as_bytes());
        scratch.extend_from_slice(parts.addressee.as_bytes());
        parts.forwarded.extend_into(scratch);
        scratch.extend_from_slice(parts.payload);
        Self { bytes: Arc::from(scratch.as_slice()) }
    }

    /// Takes up bytes that [`Message::as_bytes`] gave out, after checking all of them.
    ///
    /// # Errors
    /// When the bytes are not a whole, valid message.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedMessage> {
        let flags = *bytes.first().ok_or(MalformedMessage("a message is empty"))?;
        if flags & !KNOWN_FLAGS != 0 || QoS::from_bits(flags & QOS_MASK).is_none() {
            return Err(MalformedMessage("a message has unknown flags"));
        }
        if bytes.len() < HEADER {
            return Err(MalformedMessage("a message is shorter than its header"));
        }
        let message = Self { bytes: Arc::from(bytes) };
        let end = message.payload_start();
        if end > bytes.len() {
            return Err(MalformedMessage("a message is shorter than its header says"));
        }
        let forwarded = message.forwarded_start();
        // Looked at as one text, which must also end where one of the three does.
        let texts = std::str::from_utf8(&bytes[HEADER..forwarded]);
        let texts = texts.map_err(|_| MalformedMessage("a message has an invalid text"))?;
        let (topic_end, publisher_end) =
            (message.topic_len(), message.topic_len() + message.publisher_len());
        let topic = texts.get(..topic_end);
        if !topic.is_some_and(flotilla_mqtt::topic::is_valid_name) {
            return Err(MalformedMessage("a message has an invalid topic"));
        }
        if !texts.is_char_boundary(publisher_end) {
            return Err(MalformedMessage("a message has an invalid client identifier"));
        }
        if Forwarded::validate(&bytes[forwarded..end]).is_err() {
            return Err(MalformedMessage("a message has invalid properties"));
        }
        Ok(message)
    }

    /// What it is made of, for a copy that differs in something.
    pub fn parts(&self) -> MessageParts<'_> {
        MessageParts {
            qos: self.qos(),
            retain: self.retain(),
            topic: self.topic(),
            publisher: self.publisher(),
            addressee: self.address(),
            received_at_ms: self.received_at_ms(),
            expires_at_ms: self.expires_at_ms(),
            forwarded: self.forwarded(),
            payload: self.payload(),
        }
    }

    /// Whether both are the same message, not only alike.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }

    /// The message as one run of bytes, for a store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The QoS it was published with.
    pub fn qos(&self) -> QoS {
        QoS::from_bits(self.bytes[0] & QOS_MASK).expect("checked when built")
    }

    /// Whether it was published with RETAIN 1.
    pub fn retain(&self) -> bool {
        self.bytes[0] & RETAIN != 0
    }

    /// Topic Name.
    pub fn topic(&self) -> &str {
        self.text(HEADER, self.topic_len())
    }

    /// As [`Message::topic`], for whoever looks at bytes: they need not be found to be text once
    /// more.
    pub(crate) fn topic_bytes(&self) -> &[u8] {
        &self.bytes[HEADER..HEADER + self.topic_len()]
    }

    /// Client Identifier of the publisher.
    pub fn publisher(&self) -> &str {
        self.text(HEADER + self.topic_len(), self.publisher_len())
    }

    /// Whether it is for one session only.
    pub fn is_addressed(&self) -> bool {
        self.addressee_len() > 0
    }

    /// Client Identifier of the only session it is for; empty: whoever subscribes.
    pub fn addressee(&self) -> &str {
        let address = self.address();
        address.split_once(SHARE).map_or(address, |(client_id, _)| client_id)
    }

    /// The filter of the shared subscription, with `$share/`, as whose member the addressee gets
    /// it; empty: it is not from a group.
    pub fn share(&self) -> &str {
        self.address().split_once(SHARE).map_or("", |(_, filter)| filter)
    }

    /// Whether a group has given it to a member.
    pub fn is_shared(&self) -> bool {
        self.is_addressed() && !self.share().is_empty()
    }

    /// The message as a group gives it to the member of that name. `filter`: with `$share/`.
    ///
    /// # Panics
    /// When both are longer than [`has_room_for_share`] allows.
    pub fn for_member(&self, client_id: &ClientId, filter: &str, scratch: &mut Vec<u8>) -> Self {
        let (before, behind) = self.bytes.split_at(self.addressee_start());
        let address = [client_id.as_str(), SHARE, filter];
        let len: usize = address.iter().map(|part| part.len()).sum();
        let len = u16::try_from(len).expect("the subscription was refused otherwise");
        scratch.clear();
        scratch.extend_from_slice(before);
        scratch[5..7].copy_from_slice(&len.to_be_bytes());
        address.iter().for_each(|part| scratch.extend_from_slice(part.as_bytes()));
        scratch.extend_from_slice(&behind[self.addressee_len()..]);
        Self { bytes: Arc::from(scratch.as_slice()) }
    }

    fn address(&self) -> &str {
        self.text(self.addressee_start(), self.addressee_len())
    }

    /// When the broker accepted it, Unix milliseconds.
    pub fn received_at_ms(&self) -> u64 {
        self.u64_at(11)
    }

    /// From when on it must not be sent, Unix milliseconds.
    pub fn expires_at_ms(&self) -> Option<u64> {
        Some(self.u64_at(19)).filter(|&at| at != NEVER)
    }

    /// Whether its expiry interval has passed at `unix_ms`.
    pub fn is_expired(&self, unix_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|at| at <= unix_ms)
    }

    /// The Message Expiry Interval to send now: what was received less the time it waited, seconds
    /// ([MQTT-3.3.2-6]). When the clock was set back, it has not waited at all.
    pub fn expiry_interval_left_s(&self, unix_ms: u64) -> Option<u32> {
        let now_ms = unix_ms.max(self.received_at_ms());
        let left_ms = self.expires_at_ms()?.saturating_sub(now_ms);
        Some(u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// The properties that are forwarded unchanged ([MQTT-3.3.2-4], [-15], [-16], [-17], [-20]).
    pub fn forwarded(&self) -> Forwarded<'_> {
        self.content().forwarded
    }

    /// Application payload.
    pub fn payload(&self) -> &[u8] {
        self.content().payload
    }

    /// What goes to the client as it came, found in one go.
    pub(crate) fn content(&self) -> Content<'_> {
        let (topic, rest) = self.bytes[HEADER..].split_at(self.topic_len());
        let (_, rest) = rest.split_at(self.publisher_len() + self.addressee_len());
        let (forwarded, payload) = rest.split_at(self.forwarded_len());
        Content { topic, forwarded: Forwarded::from_encoded(forwarded), payload }
    }

    fn text(&self, start: usize, len: usize) -> &str {
        std::str::from_utf8(&self.bytes[start..start + len]).expect("checked when built")
    }

    fn topic_len(&self) -> usize {
        self.u16_at(1)
    }

    fn publisher_len(&self) -> usize {
        self.u16_at(3)
    }

    fn addressee_start(&self) -> usize {
        HEADER + self.topic_len() + self.publisher_len()
    }

    fn addressee_len(&self) -> usize {
        self.u16_at(5)
    }

    fn forwarded_len(&self) -> usize {
        u32::from_be_bytes(self.array_at(7)) as usize
    }

    fn forwarded_start(&self) -> usize {
        self.addressee_start() + self.addressee_len()
    }

    fn payload_start(&self) -> usize {
        self.forwarded_start() + self.forwarded_len()
    }

    fn u16_at(&self, at: usize) -> usize {
        usize::from(u16::from_be_bytes(self.array_at(at)))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.array_at(at))
    }

    fn array_at<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.bytes[at..].first_chunk().expect("within the header, checked when built")
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("qos", &self.qos())
            .field("payload_len", &self.payload().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A QoS 1 message of nobody in particular.
    pub(crate) fn message(topic: &str, payload: &[u8]) -> Message {
        Message::new(&parts(topic, payload), &mut Vec::new())
    }

    pub(crate) fn parts<'a>(topic: &'a str, payload: &'a [u8]) -> MessageParts<'a> {
        MessageParts {
            qos: QoS::AtLeastOnce,
            retain: false,
            topic,
            publisher: "p",
            addressee: "",
            received_at_ms: 1_000,
            expires_at_ms: None,
            forwarded: Forwarded::default(),
            payload,
        }
    }

    #[test]
    fn keeps_all_its_parts() {
        let mut properties = Vec::new();
        // Payload Format Indicator 1, Content Type "x".
        properties.extend_from_slice(&[0x01, 0x01, 0x03, 0x00, 0x01, b'x']);
        let parts = MessageParts {
            retain: true,
            qos: QoS::ExactlyOnce,
            addressee: "one",
            expires_at_ms: Some(61_000),
            forwarded: Forwarded::from_encoded(&properties),
            ..parts("a/\u{e9}", b"payload")
        };
        let message = Message::new(&parts, &mut Vec::new());
        let read = Message::from_bytes(message.as_bytes()).expect("its own bytes are valid");
        assert_eq!(read, message);
        assert_eq!(read.topic(), "a/\u{e9}");
        assert_eq!(read.publisher(), "p");
        assert_eq!(read.addressee(), "one");
        assert_eq!(read.payload(), b"payload");
        assert_eq!((read.qos(), read.retain()), (QoS::ExactlyOnce, true));
        assert_eq!((read.received_at_ms(), read.expires_at_ms()), (1_000, Some(61_000)));
        assert!(read.share().is_empty() && !read.is_shared());
        let (member, filter) = (ClientId::from("m"), "$share/g/a/+");
        for message in [&message, &read] {
            let given = message.for_member(&member, filter, &mut Vec::new());
            let given = Message::from_bytes(given.as_bytes()).expect("its own bytes are valid");
            assert_eq!((given.addressee(), given.share()), ("m", filter));
            let nobody = MessageParts { addressee: "one", ..given.parts() };
            assert_eq!(Message::new(&nobody, &mut Vec::new()), *message);
        }
        let mut forwarded = Vec::new();
        read.forwarded().extend_into(&mut forwarded);
        assert_eq!(forwarded, properties);
        let copy =
            Message::new(&MessageParts { addressee: "two", ..read.parts() }, &mut Vec::new());
        assert_eq!(
            (copy.addressee(), copy.topic(), copy.payload()),
            ("two", "a/\u{e9}", &b"payload"[..])
        );
    }

    #[test]
    fn counts_the_expiry_interval_down() {
        let parts = MessageParts { expires_at_ms: Some(61_000), ..parts("a", b"") };
        let message = Message::new(&parts, &mut Vec::new());
        assert_eq!(message.expiry_interval_left_s(1_000), Some(60));
        assert_eq!(message.expiry_interval_left_s(1_001), Some(60));
        assert_eq!(message.expiry_interval_left_s(60_999), Some(1));
        assert_eq!(message.expiry_interval_left_s(0), Some(60), "the clock was set back");
        assert!(!message.is_expired(60_999));
        assert!(message.is_expired(61_000));
    }

    #[test]
    fn refuses_texts_that_are_cut_within_a_character() {
        for (topic, publisher, lengths) in
            [("a\u{e9}", "p", [0, 2, 0, 2]), ("a", "\u{e9}", [0, 1, 0, 1])]
        {
            let parts = MessageParts { publisher, addressee: "x", ..parts(topic, b"") };
            let mut bytes = Message::new(&parts, &mut Vec::new()).as_bytes().to_vec();
            assert!(Message::from_bytes(&bytes).is_ok());
            bytes[1..5].copy_from_slice(&lengths);
            bytes[6] = 2;
            assert!(Message::from_bytes(&bytes).is_err(), "{topic} {publisher}");
        }
    }

    #[test]
    fn refuses_damaged_bytes_without_panic() {
        let message = message("topic", b"payload");
        for len in 0..HEADER + "topic".len() + "p".len() {
            assert!(Message::from_bytes(&message.as_bytes()[..len]).is_err(), "{len} bytes");
        }
        for at in 0..message.as_bytes().len() {
            for bit in 0..8 {
                let mut bytes = message.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let _ = Message::from_bytes(&bytes).map(|m| (m.payload().len(), m.topic().len()));
            }
        }
    }
}
