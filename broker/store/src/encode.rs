//! Records as bytes.
//!
//! A record is sealed: `version u8 | fields | xxh3 u32 of key, version, fields`. Numbers are big
//! endian, a text is `length u16 | UTF-8`, an option is `0` or `1 | value`.

mod interest;
mod subscription;

use flotilla_core::id::{ClientId, Position};
use flotilla_core::message::Message;
use flotilla_core::record::{OutboundRecord, SessionRecord, WillRecord};
use flotilla_mqtt::PacketId;
use twox_hash::XxHash3_64;

#[cfg(test)]
use interest::Wish;
pub(crate) use interest::{Interest, interest};
use subscription::{Subscription, put_subscription};

const VERSION: u8 = 1;
const CHECKSUM: usize = 4;

/// What does not hold in bytes that should be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MalformedRecord(&'static str);

/// Of a record whose key says nothing.
pub(crate) const MALFORMED_KEY: MalformedRecord = MalformedRecord("its key is malformed");

/// Writes a session's record to `out`, which is overwritten. `first`: the first position of the
/// batch, to which [`Start::InBatch`] refers.
pub(crate) fn put_session(record: &SessionRecord, first: Position, out: &mut Vec<u8>) {
    begin(out);
    out.extend_from_slice(&record.revision.to_be_bytes());
    out.extend_from_slice(&record.expiry_interval_s.to_be_bytes());
    put_option(record.disconnected_at_ms.map(u64::to_be_bytes), out);
    put_count(record.subscriptions.len(), out);
    for subscription in &record.subscriptions {
        put_subscription(subscription, first, out);
    }
    match &record.will {
        None => out.push(0),
        Some(WillRecord { message, delay_interval_s, message_expiry_interval_s }) => {
            out.push(1);
            out.extend_from_slice(&delay_interval_s.to_be_bytes());
            put_option(message_expiry_interval_s.map(u32::to_be_bytes), out);
            put_count(message.as_bytes().len(), out);
            out.extend_from_slice(message.as_bytes());
        }
    }
    put_count(record.unacknowledged.len(), out);
    for (packet_id, position) in &record.unacknowledged {
        out.extend_from_slice(&packet_id.get().to_be_bytes());
        out.extend_from_slice(&position.0.to_be_bytes());
    }
    out.extend_from_slice(&record.sent_up_to.0.to_be_bytes());
    out.extend_from_slice(&record.maybe_sent_below.0.to_be_bytes());
    seal(record.client_id.as_str().as_bytes(), out);
}

/// Reads a session's record.
pub(crate) fn session(key: &[u8], sealed: &[u8]) -> Result<SessionRecord, MalformedRecord> {
    let client_id = std::str::from_utf8(key)
        .map_err(|_| MalformedRecord("the client identifier is not UTF-8"))?;
    let mut fields = unseal(key, sealed)?;
    let revision = u64::from_be_bytes(fields.array()?);
    let expiry_interval_s = u32::from_be_bytes(fields.array()?);
    let disconnected_at_ms = fields.option()?.map(u64::from_be_bytes);
    let mut subscriptions = Vec::new();
    for _ in 0..fields.count()? {
        subscriptions.push(Subscription::read(&mut fields)?.record());
    }
    let will = match fields.byte()? {
        0 => None,
        1 => Some(WillRecord {
            delay_interval_s: u32::from_be_bytes(fields.array()?),
            message_expiry_interval_s: fields.option()?.map(u32::from_be_bytes),
            message: {
                let len = fields.count()?;
                Message::from_bytes(fields.take(len)?)
                    .map_err(|_| MalformedRecord("the Will is no message"))?
            },
        }),
        _ => return Err(MalformedRecord("an option is neither there nor not")),
    };
    let mut unacknowledged = Vec::new();
    for _ in 0..fields.count()? {
        let packet_id = fields.packet_id()?;
        unacknowledged.push((packet_id, Position(u64::from_be_bytes(fields.array()?))));
    }
    let sent_up_to = Position(u64::from_be_bytes(fields.array()?));
    // The first records ended here.
    let maybe_sent_below = match fields.is_at_end() {
        true => Position::ZERO,
        false => Position(u64::from_be_bytes(fields.array()?)),
    };
    fields.end()?;
    Ok(SessionRecord {
        client_id: ClientId::from(client_id),
        revision,
        expiry_interval_s,
        disconnected_at_ms,
        subscriptions,
        will,
        unacknowledged,
        sent_up_to,
        maybe_sent_below,
    })
}

/// Reads nothing but the revision out of a session's record.
pub(crate) fn revision(key: &[u8], sealed: &[u8]) -> Result<u64, MalformedRecord> {
    Ok(u64::from_be_bytes(unseal(key, sealed)?.array()?))
}

/// Writes a cursor to `out`, which is overwritten.
pub(crate) fn put_cursor(client_id: &ClientId, cursor: Position, out: &mut Vec<u8>) {
    begin(out);
    out.extend_from_slice(&cursor.0.to_be_bytes());
    seal(client_id.as_str().as_bytes(), out);
}

/// Reads a cursor.
pub(crate) fn cursor(key: &[u8], sealed: &[u8]) -> Result<Position, MalformedRecord> {
    let mut fields = unseal(key, sealed)?;
    let cursor = Position(u64::from_be_bytes(fields.array()?));
    fields.end()?;
    Ok(cursor)
}

/// Writes how many messages cleaning took from a session to `out`, which is overwritten. A negative
/// number takes back what the client was told of.
pub(crate) fn put_overtaken(key: &[u8], messages: i64, out: &mut Vec<u8>) {
    begin(out);
    out.extend_from_slice(&messages.to_be_bytes());
    seal(key, out);
}

/// Reads how many messages cleaning took from a session.
pub(crate) fn overtaken(key: &[u8], sealed: &[u8]) -> Result<i64, MalformedRecord> {
    let mut fields = unseal(key, sealed)?;
    let messages = i64::from_be_bytes(fields.array()?);
    fields.end()?;
    Ok(messages)
}

/// Writes a QoS 2 message's record, but for its position, to `out`, which is overwritten.
pub(crate) fn put_outbound(key: &[u8], record: &OutboundRecord, out: &mut Vec<u8>) {
    begin(out);
    out.extend_from_slice(&record.packet_id.get().to_be_bytes());
    out.push(u8::from(record.released));
    seal(key, out);
}

/// Reads a QoS 2 message's record.
pub(crate) fn outbound(
    key: &[u8],
    position: Position,
    sealed: &[u8],
) -> Result<OutboundRecord, MalformedRecord> {
    let mut fields = unseal(key, sealed)?;
    let packet_id = fields.packet_id()?;
    let released = fields.byte()? != 0;
    fields.end()?;
    Ok(OutboundRecord { position, packet_id, released })
}

/// Writes a retained message to `out`, which is overwritten.
pub(crate) fn put_retained(message: &Message, out: &mut Vec<u8>) {
    begin(out);
    out.extend_from_slice(message.as_bytes());
    seal(message.topic().as_bytes(), out);
}

/// Reads a retained message.
pub(crate) fn retained(key: &[u8], sealed: &[u8]) -> Result<Message, MalformedRecord> {
    Message::from_bytes(unseal(key, sealed)?.0)
        .ok()
        .filter(|message| message.topic().as_bytes() == key)
        .ok_or(MalformedRecord("it is no message of its topic"))
}

fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
}

fn seal(key: &[u8], out: &mut Vec<u8>) {
    let checksum = checksum(key, out);
    out.extend_from_slice(&checksum);
}

/// Depends on the key, so that a record under another key is found damaged.
fn checksum(key: &[u8], record: &[u8]) -> [u8; CHECKSUM] {
    let hash = XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), record);
    (hash as u32).to_be_bytes()
}

fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<Fields<'a>, MalformedRecord> {
    let (record, found) =
        sealed.split_last_chunk::<CHECKSUM>().ok_or(MalformedRecord("it is cut short"))?;
    if checksum(key, record) != *found {
        return Err(MalformedRecord("the checksum does not fit"));
    }
    match record.split_first() {
        Some((&VERSION, fields)) => Ok(Fields(fields)),
        _ => Err(MalformedRecord("it has an unknown version")),
    }
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("limits keep every part of a record below 4 GiB");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put_option<const N: usize>(value: Option<[u8; N]>, out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(value.as_ref().map_or(&[], |bytes| bytes.as_slice()));
}

/// The fields of a record that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedRecord> {
        let (array, rest) = self.0.split_first_chunk().ok_or(MalformedRecord("it is cut short"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, MalformedRecord> {
        self.array().map(|[byte]| byte)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], MalformedRecord> {
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(MalformedRecord("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Result<usize, MalformedRecord> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    fn packet_id(&mut self) -> Result<PacketId, MalformedRecord> {
        PacketId::new(u16::from_be_bytes(self.array()?))
            .ok_or(MalformedRecord("a packet identifier is 0"))
    }

    fn option<const N: usize>(&mut self) -> Result<Option<[u8; N]>, MalformedRecord> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.array().map(Some),
            _ => Err(MalformedRecord("an option is neither there nor not")),
        }
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn end(self) -> Result<(), MalformedRecord> {
        if self.0.is_empty() { Ok(()) } else { Err(MalformedRecord("it is too long")) }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_core::message::MessageParts;
    use flotilla_core::record::{Start, SubscriptionRecord};
    use flotilla_mqtt::{Forwarded, QoS, RetainHandling, SubscriptionOptions};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn message(topic: &str, payload: &[u8]) -> Message {
        let parts = MessageParts {
            qos: QoS::ExactlyOnce,
            retain: true,
            topic,
            publisher: "publisher",
            addressee: "",
            received_at_ms: 5,
            expires_at_ms: Some(6),
            forwarded: Forwarded::EMPTY,
            payload,
        };
        Message::new(&parts, &mut Vec::new())
    }

    fn subscription() -> impl Strategy<Value = SubscriptionRecord> {
        let options = (0..3_u8, any::<bool>(), any::<bool>(), 0..3_usize);
        let handlings =
            [RetainHandling::SendAlways, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
        let positions = (any::<u64>(), option::of(any::<u64>()));
        ("(\\+|[a-zé]{0,9})/(#|[a-z]{1,9})", options, option::of(any::<u32>()), positions).prop_map(
            move |(filter, (qos, no_local, retain_as_published, handling), id, (start, until))| {
                SubscriptionRecord {
                    filter: filter.into(),
                    options: SubscriptionOptions {
                        qos: QoS::from_bits(qos).unwrap(),
                        no_local,
                        retain_as_published,
                        retain_handling: handlings[handling],
                    },
                    id,
                    start: Start::At(Position(start)),
                    until: until.map(|until| Start::At(Position(until))),
                }
            },
        )
    }

    prop_compose! {
        fn record()(
            client_id in "[^\0]{0,20}",
            revision in any::<u64>(),
            expiry_interval_s in any::<u32>(),
            disconnected_at_ms in option::of(any::<u64>()),
            subscriptions in prop::collection::vec(subscription(), 0..6),
            will in option::of((any::<u32>(), option::of(any::<u32>()), any::<Vec<u8>>())),
            unacknowledged in prop::collection::vec((1_u16.., any::<u64>()), 0..6),
            sent_up_to in any::<u64>(),
            maybe_sent_below in any::<u64>(),
        ) -> SessionRecord {
            SessionRecord {
                client_id: ClientId::from(client_id.as_str()),
                revision,
                expiry_interval_s,
                disconnected_at_ms,
                subscriptions,
                will: will.map(|(delay_interval_s, message_expiry_interval_s, payload)| WillRecord {
                    message: message("will", &payload),
                    delay_interval_s,
                    message_expiry_interval_s,
                }),
                unacknowledged: unacknowledged
                    .into_iter()
                    .map(|(id, at)| (PacketId::new(id).unwrap(), Position(at)))
                    .collect(),
                sent_up_to: Position(sent_up_to),
                maybe_sent_below: Position(maybe_sent_below),
            }
        }
    }

    #[test]
    fn a_record_under_another_key_is_damaged() {
        let mut sealed = Vec::new();
        put_cursor(&ClientId::from("a"), Position(7), &mut sealed);
        assert_eq!(cursor(b"a", &sealed), Ok(Position(7)));
        assert!(cursor(b"b", &sealed).is_err());
        put_retained(&message("a", b""), &mut sealed);
        assert_eq!(retained(b"a", &sealed), Ok(message("a", b"")));
        assert!(retained(b"b", &sealed).is_err());
    }

    #[test]
    fn a_session_of_the_first_kind_is_read() {
        let record = SessionRecord {
            client_id: ClientId::from("a"),
            revision: 1,
            expiry_interval_s: 2,
            disconnected_at_ms: None,
            subscriptions: Vec::new(),
            will: None,
            unacknowledged: Vec::new(),
            sent_up_to: Position(3),
            maybe_sent_below: Position::ZERO,
        };
        let mut sealed = Vec::new();
        put_session(&record, Position::ZERO, &mut sealed);
        sealed.truncate(sealed.len() - CHECKSUM - size_of::<u64>());
        seal(b"a", &mut sealed);
        assert_eq!(session(b"a", &sealed), Ok(record));
    }

    #[test]
    fn a_later_version_is_not_misread() {
        let mut sealed = vec![VERSION + 1];
        sealed.extend_from_slice(&7_u64.to_be_bytes());
        seal(b"a", &mut sealed);
        assert_eq!(cursor(b"a", &sealed), Err(MalformedRecord("it has an unknown version")));
    }

    proptest! {
        #[test]
        fn a_session_is_read_as_written(record in record()) {
            let key = record.client_id.as_str().as_bytes();
            let mut sealed = Vec::new();
            put_session(&record, Position(1), &mut sealed);
            prop_assert_eq!(revision(key, &sealed), Ok(record.revision));
            prop_assert_eq!(session(key, &sealed).unwrap(), record.clone());
            let read = interest(key, &sealed).unwrap();
            prop_assert_eq!(read.disconnected_at_ms, record.disconnected_at_ms);
            prop_assert_eq!(read.sent_up_to, record.sent_up_to);
            let wishes = record.subscriptions.iter().filter(|s| s.options.qos > QoS::AtMostOnce);
            let wishes = wishes.map(|s| Wish {
                filter: &s.filter,
                start: s.start.resolve(Position(1)),
                until: s.until.map(|until| until.resolve(Position(1))),
                no_local: s.options.no_local,
            });
            prop_assert_eq!(read.wishes, wishes.collect::<Vec<_>>());
            let mut positions: Vec<_> = record.unacknowledged.iter().map(|(_, p)| *p).collect();
            positions.sort_unstable();
            prop_assert_eq!(read.unacknowledged, positions);
            // Each flipped bit is found.
            for at in 0..sealed.len() {
                sealed[at] ^= 1 << (at % 8);
                prop_assert!(session(key, &sealed).is_err());
                sealed[at] ^= 1 << (at % 8);
            }
        }

        #[test]
        fn nothing_panics(fields in any::<Vec<u8>>(), record in record(), cut in any::<usize>()) {
            let mut written = Vec::new();
            put_session(&record, Position(1), &mut written);
            let cut = cut % written.len();
            // Sealed again, so that what lies behind the checksum is reached.
            for bytes in [&fields, &written[..cut].to_vec(), &[&written[..cut], &fields].concat()] {
                let mut sealed = bytes.clone();
                if let Some(version) = sealed.first_mut() {
                    *version = VERSION;
                }
                seal(b"key", &mut sealed);
                let _ = (session(b"key", &sealed), cursor(b"key", &sealed));
                let _ = (outbound(b"key", Position(1), &sealed), retained(b"key", &sealed));
                let _ = (session(b"key", bytes), revision(b"key", bytes));
                let _ = (interest(b"key", &sealed).is_ok(), overtaken(b"key", &sealed));
            }
        }
    }
}
