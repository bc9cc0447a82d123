//! A block: the messages of one commit as one value of the log.
//!
//! ```text
//! version u8 = 1 | count u16 | first position u64
//! count times:     end of the message u32 | topic hash u32 | topic length u16 | topic start u8 | flags u8
//! count times:     the message
//! xxh3 u64 of all of the above
//! ```
//!
//! Numbers are big endian. Ends count from the first message. With the topic's place and hash a
//! replay decides about a message without taking it up; the layout of a message is not known here.

use flotilla_core::id::Position;
use flotilla_core::message::{MalformedMessage, Message};
use twox_hash::XxHash3_64;

use crate::wanted::topic_hash;

/// A block holds at most so many messages.
pub(crate) const MESSAGES_MAX: usize = 1024;
/// A block holds at most so many bytes of messages, or a single message.
pub(crate) const BYTES_MAX: usize = 256 * 1024;

const VERSION: u8 = 1;
const HEADER: usize = 11;
const ENTRY: usize = 12;
const CHECKSUM: usize = 8;
const ADDRESSED: u8 = 1;

/// Collects messages for a block. Keeps its buffers from block to block.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    entries: Vec<u8>,
    messages: Vec<u8>,
    block: Vec<u8>,
}

impl Builder {
    /// Whether there is no message in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many messages are in it.
    pub(crate) fn count(&self) -> usize {
        self.entries.len() / ENTRY
    }

    /// Whether the message goes into this block.
    pub(crate) fn has_room(&self, message: &Message) -> bool {
        self.is_empty()
            || (self.count() < MESSAGES_MAX
                && self.messages.len() + message.as_bytes().len() <= BYTES_MAX)
    }

    /// Puts a message in.
    pub(crate) fn push(&mut self, message: &Message) {
        debug_assert!(self.has_room(message), "the caller asks first");
        let bytes = message.as_bytes();
        let topic = message.topic();
        let topic_start = topic.as_ptr().addr() - bytes.as_ptr().addr();
        self.messages.extend_from_slice(bytes);
        let end = u32::try_from(self.messages.len()).expect("a packet has less than 256 MiB");
        let topic_len = u16::try_from(topic.len()).expect("a topic has at most 65,535 bytes");
        let topic_start = u8::try_from(topic_start).expect("the topic follows a short header");
        let flags = if message.addressee().is_empty() { 0 } else { ADDRESSED };
        self.entries.extend_from_slice(&end.to_be_bytes());
        self.entries.extend_from_slice(&topic_hash(topic).to_be_bytes());
        self.entries.extend_from_slice(&topic_len.to_be_bytes());
        self.entries.extend_from_slice(&[topic_start, flags]);
    }

    /// The block, the first of its messages at `first`. Empties the builder.
    pub(crate) fn finish(&mut self, first: Position) -> &[u8] {
        let count = u16::try_from(self.count()).expect("a block has at most 1,024 messages");
        self.block.clear();
        // What a single large message has taken is given back.
        self.block.shrink_to(2 * BYTES_MAX);
        self.block.push(VERSION);
        self.block.extend_from_slice(&count.to_be_bytes());
        self.block.extend_from_slice(&first.0.to_be_bytes());
        self.block.append(&mut self.entries);
        self.block.append(&mut self.messages);
        self.messages.shrink_to(2 * BYTES_MAX);
        let checksum = XxHash3_64::oneshot(&self.block);
        self.block.extend_from_slice(&checksum.to_be_bytes());
        &self.block
    }
}

/// A block that was read, its checksum found right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    first: Position,
    entries: &'a [u8],
    messages: &'a [u8],
}

/// One message of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Topic Name.
    pub(crate) topic: &'a str,
    /// Of the topic, see [`topic_hash`].
    pub(crate) topic_hash: u32,
    /// Whether it is for one session only.
    pub(crate) is_addressed: bool,
    bytes: &'a [u8],
}

/// What does not hold in bytes that should be a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MalformedBlock(&'static str);

impl<'a> Block<'a> {
    /// Takes up bytes that should be a block.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, MalformedBlock> {
        let (checked, checksum) =
            bytes.split_last_chunk::<CHECKSUM>().ok_or(MalformedBlock("a block is cut short"))?;
        if XxHash3_64::oneshot(checked) != u64::from_be_bytes(*checksum) {
            return Err(MalformedBlock("the checksum of a block does not fit its bytes"));
        }
        let (header, rest) =
            checked.split_first_chunk::<HEADER>().ok_or(MalformedBlock("a block is cut short"))?;
        let &[version, count_high, count_low, ref first @ ..] = header;
        if version != VERSION {
            return Err(MalformedBlock("a block has an unknown version"));
        }
        let count = usize::from(u16::from_be_bytes([count_high, count_low]));
        let (entries, messages) = rest
            .split_at_checked(count * ENTRY)
            .ok_or(MalformedBlock("a block is shorter than its count says"))?;
        let first = Position(first.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
        let is_whole = entries.last_chunk().is_some_and(|last| end_of(last) == messages.len());
        if !is_whole || first.0.checked_add(count as u64).is_none() {
            return Err(MalformedBlock("a block has an impossible header"));
        }
        Ok(Self { first, entries, messages })
    }

    /// Position of its first message.
    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// The position after its last message.
    pub(crate) fn end(&self) -> Position {
        self.first.plus((self.entries.len() / ENTRY) as u64)
    }

    /// Bytes of the block.
    pub(crate) fn len(&self) -> usize {
        HEADER + self.entries.len() + self.messages.len() + CHECKSUM
    }

    /// Its messages from `from` on, each with its position.
    pub(crate) fn entries(
        &self,
        from: Position,
    ) -> impl Iterator<Item = (Position, Result<Entry<'a>, MalformedBlock>)> + use<'a> {
        let Self { first, entries, messages } = *self;
        let skipped = usize::try_from(from.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let (entries, _) = entries.as_chunks::<ENTRY>();
        let start = match skipped.checked_sub(1).map(|before| entries.get(before)) {
            Some(Some(before)) => end_of(before),
            _ => 0,
        };
        entries.iter().enumerate().skip(skipped).scan(start, move |start, (index, entry)| {
            let end = end_of(entry);
            let read = Entry::read(entry, messages.get(*start..end));
            *start = end;
            Some((first.plus(index as u64), read))
        })
    }
}

impl<'a> Entry<'a> {
    fn read(entry: &[u8; ENTRY], bytes: Option<&'a [u8]>) -> Result<Self, MalformedBlock> {
        let &[_, _, _, _, hash @ .., len_high, len_low, topic_start, flags] = entry;
        let bytes = bytes.ok_or(MalformedBlock("a message ends outside of its block"))?;
        let topic_len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let topic = bytes
            .get(usize::from(topic_start)..)
            .and_then(|rest| rest.get(..topic_len))
            .and_then(|topic| std::str::from_utf8(topic).ok())
            .ok_or(MalformedBlock("a topic is not where its block says"))?;
        let topic_hash = u32::from_be_bytes(hash);
        Ok(Self { topic, topic_hash, is_addressed: flags & ADDRESSED != 0, bytes })
    }

    /// Bytes of the message.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The message itself.
    pub(crate) fn message(&self) -> Result<Message, MalformedMessage> {
        Message::from_bytes(self.bytes)
    }
}

fn end_of(entry: &[u8; ENTRY]) -> usize {
    let &[a, b, c, d, ..] = entry;
    u32::from_be_bytes([a, b, c, d]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use flotilla_core::message::MessageParts;
    use flotilla_mqtt::{Forwarded, QoS};
    use proptest::prelude::*;

    fn message(topic: &str, addressee: &str, payload: &[u8]) -> Message {
        let parts = MessageParts {
            qos: QoS::AtLeastOnce,
            retain: false,
            topic,
            publisher: "publisher",
            addressee,
            received_at_ms: 1,
            expires_at_ms: None,
            forwarded: Forwarded::EMPTY,
            payload,
        };
        Message::new(&parts, &mut Vec::new())
    }

    fn build(first: u64, messages: &[Message]) -> Vec<u8> {
        let mut builder = Builder::default();
        for message in messages {
            builder.push(message);
        }
        builder.finish(Position(first)).to_vec()
    }

    #[test]
    fn a_block_is_bounded_by_messages() {
        let mut builder = Builder::default();
        let small = message("t", "", b"");
        for _ in 0..MESSAGES_MAX {
            assert!(builder.has_room(&small));
            builder.push(&small);
        }
        assert!(!builder.has_room(&small));
    }

    #[test]
    fn a_block_is_bounded_by_bytes_but_takes_one_message_of_any_size() {
        let mut builder = Builder::default();
        let large = message("t", "", &vec![0; 2 * BYTES_MAX]);
        assert!(builder.has_room(&large));
        builder.push(&large);
        assert!(!builder.has_room(&message("t", "", b"")));
        let block = builder.finish(Position(1)).to_vec();
        let (position, entry) =
            Block::decode(&block).unwrap().entries(Position::ZERO).next().unwrap();
        assert_eq!((position, entry.unwrap().message().unwrap()), (Position(1), large));
        assert!(builder.is_empty());
    }

    #[test]
    fn each_flipped_byte_is_found() {
        let mut block = build(7, &[message("a/b", "", b"12"), message("c", "me", b"")]);
        for at in 0..block.len() {
            block[at] ^= 0x10;
            assert!(Block::decode(&block).is_err(), "byte {at}");
            block[at] ^= 0x10;
        }
        assert!(Block::decode(&block).is_ok());
    }

    fn messages() -> impl Strategy<Value = Vec<Message>> {
        let message = ("[a-zé/]{1,12}", "[a-z]{0,3}", prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(topic, addressee, payload)| message(&topic, &addressee, &payload));
        prop::collection::vec(message, 1..40)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(messages in messages(), first in 1..u64::MAX / 2, from in 0..50u64) {
            let bytes = build(first, &messages);
            let block = Block::decode(&bytes).unwrap();
            prop_assert_eq!(block.first(), Position(first));
            prop_assert_eq!(block.end(), Position(first + messages.len() as u64));
            let read: Vec<_> = block.entries(Position(first + from)).collect();
            let expected = messages.iter().enumerate().skip(from as usize);
            prop_assert_eq!(read.len(), expected.len());
            for ((position, entry), (index, message)) in read.into_iter().zip(expected) {
                let entry = entry.unwrap();
                prop_assert_eq!(position, Position(first + index as u64));
                prop_assert_eq!(entry.topic, message.topic());
                prop_assert_eq!(entry.topic_hash, topic_hash(message.topic()));
                prop_assert_eq!(entry.is_addressed, !message.addressee().is_empty());
                prop_assert_eq!(&entry.message().unwrap(), message);
            }
        }

        #[test]
        fn nothing_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), from in any::<u64>()) {
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            // With the checksum made right, what lies behind it is reached too.
            let checksum = XxHash3_64::oneshot(&bytes);
            bytes.extend_from_slice(&checksum.to_be_bytes());
            if let Ok(block) = Block::decode(&bytes) {
                for (_, entry) in block.entries(Position(from)).chain(block.entries(block.first())) {
                    if let Ok(entry) = entry {
                        let _ = entry.message();
                    }
                }
            }
        }
    }
}
