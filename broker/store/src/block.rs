//! A block: the messages of one commit and one partition as one value of the log.
//!
//! ```text
//! version u8 = 2 | count u16 | first position u64 | previous block's key u64 | newest message's time u64
//! count times:     end of the message u32 | topic hash u32 | distance u32 | topic length u16 | topic start u8 | flags u8
//! count times:     the message
//! xxh3 u64 of all of the above
//! ```
//!
//! Numbers are big endian. Ends count from the first message, distances from the first position:
//! what lies between belongs to other partitions. The previous block is that of the same partition;
//! 0: there was none. Times are Unix milliseconds. With the topic's place and hash a replay decides
//! about a message without taking it up; the layout of a message is not known here.

use flotilla_core::id::Position;
use flotilla_core::message::{MalformedMessage, Message};
use twox_hash::XxHash3_64;

use crate::hash::topic_hash;

/// A block holds at most so many messages.
pub(crate) const MESSAGES_MAX: usize = 1024;
/// A block holds at most so many bytes of messages, or a single message.
pub(crate) const BYTES_MAX: usize = 256 * 1024;

const VERSION: u8 = 2;
const HEADER: usize = 27;
const ENTRY: usize = 16;
const CHECKSUM: usize = 8;
const ADDRESSED: u8 = 1;

/// Collects messages for a block. Keeps its buffers from block to block.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    first: Position,
    newest_ms: u64,
    entries: Vec<u8>,
    messages: Vec<u8>,
    block: Vec<u8>,
}

impl Builder {
    /// Whether there is no message in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where its first message is.
    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// Whether the message goes into this block.
    pub(crate) fn has_room(&self, message: &Message) -> bool {
        self.is_empty()
            || (self.entries.len() / ENTRY < MESSAGES_MAX
                && self.messages.len() + message.as_bytes().len() <= BYTES_MAX)
    }

    /// Puts the message at `position` in; positions ascend.
    pub(crate) fn push(&mut self, position: Position, message: &Message) {
        debug_assert!(self.has_room(message), "the caller asks first");
        if self.is_empty() {
            self.first = position;
            self.newest_ms = 0;
        }
        let bytes = message.as_bytes();
        let topic = message.topic();
        let topic_start = topic.as_ptr().addr() - bytes.as_ptr().addr();
        self.newest_ms = self.newest_ms.max(message.received_at_ms());
        self.messages.extend_from_slice(bytes);
        let end = u32::try_from(self.messages.len()).expect("a packet has less than 256 MiB");
        let distance = position.0.checked_sub(self.first.0).expect("positions ascend");
        let distance = u32::try_from(distance).expect("a commit has less than 2^32 messages");
        let topic_len = u16::try_from(topic.len()).expect("a topic has at most 65,535 bytes");
        let topic_start = u8::try_from(topic_start).expect("the topic follows a short header");
        let flags = if message.is_addressed() { ADDRESSED } else { 0 };
        let mut entry = [0; ENTRY];
        entry[..4].copy_from_slice(&end.to_be_bytes());
        entry[4..8].copy_from_slice(&topic_hash(topic).to_be_bytes());
        entry[8..12].copy_from_slice(&distance.to_be_bytes());
        entry[12..14].copy_from_slice(&topic_len.to_be_bytes());
        entry[14..].copy_from_slice(&[topic_start, flags]);
        self.entries.extend_from_slice(&entry);
    }

    /// The block, behind the one whose first message is at `previous`. Empties the builder.
    pub(crate) fn finish(&mut self, previous: Position) -> &[u8] {
        let count = u16::try_from(self.entries.len() / ENTRY).expect("at most 1,024 messages");
        self.block.clear();
        // What a single large message has taken is given back.
        self.block.shrink_to(2 * BYTES_MAX);
        self.block.push(VERSION);
        self.block.extend_from_slice(&count.to_be_bytes());
        self.block.extend_from_slice(&self.first.0.to_be_bytes());
        self.block.extend_from_slice(&previous.0.to_be_bytes());
        self.block.extend_from_slice(&self.newest_ms.to_be_bytes());
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
    previous: Position,
    newest_ms: u64,
    entries: &'a [u8],
    messages: &'a [u8],
}

/// One message of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Topic Name. Whether it is text is seen by whoever has not seen the same bytes before, see
    /// [`text`].
    pub(crate) topic: &'a [u8],
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

impl MalformedBlock {
    /// An entry's message is none.
    pub(crate) const NO_MESSAGE: Self = Self("a message of a block is malformed");
    /// An entry's topic is none.
    const NO_TOPIC: Self = Self("a topic is not where its block says");
    /// It stands under another position than its own.
    pub(crate) const MISPLACED: Self = Self("a block is not where it belongs");
}

impl<'a> Block<'a> {
    /// Takes up bytes that should be a block.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, MalformedBlock> {
        let (checked, checksum) =
            bytes.split_last_chunk::<CHECKSUM>().ok_or(MalformedBlock("a block is cut short"))?;
        if XxHash3_64::oneshot(checked) != u64::from_be_bytes(*checksum) {
            return Err(MalformedBlock("the checksum of a block does not fit its bytes"));
        }
        Self::read(checked)
    }

    /// Takes up bytes that should be a block without a look at their checksum: for its header only.
    pub(crate) fn peek(bytes: &'a [u8]) -> Result<Self, MalformedBlock> {
        let (checked, _) =
            bytes.split_last_chunk::<CHECKSUM>().ok_or(MalformedBlock("a block is cut short"))?;
        Self::read(checked)
    }

    fn read(checked: &'a [u8]) -> Result<Self, MalformedBlock> {
        let (header, rest) =
            checked.split_first_chunk::<HEADER>().ok_or(MalformedBlock("a block is cut short"))?;
        let &[version, count_high, count_low, ref numbers @ ..] = header;
        if version != VERSION {
            return Err(MalformedBlock("a block has an unknown version"));
        }
        let count = usize::from(u16::from_be_bytes([count_high, count_low]));
        let (entries, messages) = rest
            .split_at_checked(count * ENTRY)
            .ok_or(MalformedBlock("a block is shorter than its count says"))?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let &[first, previous, newest_ms] = numbers else { unreachable!("three numbers") };
        let block = Self {
            first: Position(u64::from_be_bytes(first)),
            previous: Position(u64::from_be_bytes(previous)),
            newest_ms: u64::from_be_bytes(newest_ms),
            entries,
            messages,
        };
        let last = entries.last_chunk().ok_or(MalformedBlock("a block is empty"))?;
        let is_whole = end_of(last) == messages.len()
            && block.first.0.checked_add(u64::from(distance_of(last)) + 1).is_some();
        if is_whole { Ok(block) } else { Err(MalformedBlock("a block has an impossible header")) }
    }

    /// Position of its first message.
    pub(crate) fn first(&self) -> Position {
        self.first
    }

    /// Position of its last message.
    pub(crate) fn last(&self) -> Position {
        let distance = self.entries.last_chunk().map_or(0, distance_of);
        self.first.plus(u64::from(distance))
    }

    /// Position of the first message of the block before it in the partition; 0: there was none.
    pub(crate) fn previous(&self) -> Position {
        self.previous
    }

    /// When its newest message came, Unix milliseconds.
    pub(crate) fn newest_ms(&self) -> u64 {
        self.newest_ms
    }

    /// How many messages it has.
    pub(crate) fn count(&self) -> usize {
        self.entries.len() / ENTRY
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
        let Self { first, entries, messages, .. } = *self;
        let (entries, _) = entries.as_chunks::<ENTRY>();
        let below = from.0.saturating_sub(first.0);
        let skipped = entries.partition_point(|entry| u64::from(distance_of(entry)) < below);
        let (skipped, entries) = entries.split_at(skipped);
        let start = skipped.last().map_or(0, end_of);
        entries.iter().scan(start, move |start, entry| {
            let end = end_of(entry);
            let read = Entry::read(entry, messages.get(*start..end));
            *start = end;
            Some((first.plus(u64::from(distance_of(entry))), read))
        })
    }
}

impl<'a> Entry<'a> {
    fn read(entry: &[u8; ENTRY], bytes: Option<&'a [u8]>) -> Result<Self, MalformedBlock> {
        let &[_, _, _, _, a, b, c, d, _, _, _, _, len_high, len_low, topic_start, flags] = entry;
        let bytes = bytes.ok_or(MalformedBlock("a message ends outside of its block"))?;
        let topic_len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let topic = bytes
            .get(usize::from(topic_start)..)
            .and_then(|rest| rest.get(..topic_len))
            .ok_or(MalformedBlock::NO_TOPIC)?;
        let topic_hash = u32::from_be_bytes([a, b, c, d]);
        Ok(Self { topic, topic_hash, is_addressed: flags & ADDRESSED != 0, bytes })
    }

    /// The message itself.
    pub(crate) fn message(&self) -> Result<Message, MalformedMessage> {
        Message::from_bytes(self.bytes)
    }
}

/// A topic as text.
pub(crate) fn text(topic: &[u8]) -> Result<&str, MalformedBlock> {
    std::str::from_utf8(topic).map_err(|_| MalformedBlock::NO_TOPIC)
}

fn end_of(entry: &[u8; ENTRY]) -> usize {
    let &[a, b, c, d, ..] = entry;
    u32::from_be_bytes([a, b, c, d]) as usize
}

fn distance_of(entry: &[u8; ENTRY]) -> u32 {
    let &[_, _, _, _, _, _, _, _, a, b, c, d, ..] = entry;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flotilla_core::message::MessageParts;
    use flotilla_mqtt::{Forwarded, QoS};
    use proptest::prelude::*;

    pub(crate) fn message(topic: &str, addressee: &str, payload: &[u8]) -> Message {
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

    /// Each message `step` behind the one before.
    fn build(first: u64, step: usize, messages: &[Message]) -> Vec<u8> {
        let mut builder = Builder::default();
        for (position, message) in (first..).step_by(step).zip(messages) {
            builder.push(Position(position), message);
        }
        builder.finish(Position(first - 1)).to_vec()
    }

    #[test]
    fn a_block_is_bounded_by_messages() {
        let mut builder = Builder::default();
        let small = message("t", "", b"");
        for n in 0..MESSAGES_MAX as u64 {
            assert!(builder.has_room(&small));
            builder.push(Position(n), &small);
        }
        assert!(!builder.has_room(&small));
    }

    #[test]
    fn a_block_is_bounded_by_bytes_but_takes_one_message_of_any_size() {
        let mut builder = Builder::default();
        let large = message("t", "", &vec![0; 2 * BYTES_MAX]);
        assert!(builder.has_room(&large));
        builder.push(Position(1), &large);
        assert!(!builder.has_room(&message("t", "", b"")));
        let block = builder.finish(Position::ZERO).to_vec();
        let (position, entry) =
            Block::decode(&block).unwrap().entries(Position::ZERO).next().unwrap();
        assert_eq!((position, entry.unwrap().message().unwrap()), (Position(1), large));
        assert!(builder.is_empty());
    }

    #[test]
    fn each_flipped_byte_is_found() {
        let mut block = build(7, 3, &[message("a/b", "", b"12"), message("c", "me", b"")]);
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
        fn what_is_written_is_read(
            messages in messages(),
            first in 1..u64::MAX / 2,
            step in 1..4_usize,
            from in 0..150_u64,
        ) {
            let bytes = build(first, step, &messages);
            let block = Block::decode(&bytes).unwrap();
            let last = first + ((messages.len() - 1) * step) as u64;
            prop_assert_eq!((block.first(), block.last()), (Position(first), Position(last)));
            prop_assert_eq!(Block::peek(&bytes).unwrap().last(), Position(last));
            prop_assert_eq!((block.previous(), block.newest_ms()), (Position(first - 1), 1));
            prop_assert_eq!((block.count(), block.len()), (messages.len(), bytes.len()));
            let read: Vec<_> = block.entries(Position(first + from)).collect();
            let expected: Vec<_> = (first..)
                .step_by(step)
                .zip(&messages)
                .filter(|(position, _)| *position >= first + from)
                .collect();
            prop_assert_eq!(read.len(), expected.len());
            for ((position, entry), (expected, message)) in read.into_iter().zip(expected) {
                let entry = entry.unwrap();
                prop_assert_eq!(position, Position(expected));
                prop_assert_eq!(text(entry.topic).unwrap(), message.topic());
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
