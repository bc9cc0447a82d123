//! Keys of the column families.
//!
//! ```text
//! log        partition u16 = 0 | first position u64     -> block
//! sessions   client id                                  -> sealed session record
//! cursors    client id                                  -> sealed position
//! inbound    client id | 0x00 | packet id u16           -> nothing
//! outbound   client id | 0x00 | position u64            -> sealed packet id, released
//! overtaken  client id                                  -> sealed number of messages
//! retained   topic                                      -> sealed message
//! meta       "format"                                   -> u32
//!            "rebuilt/FAMILY"                           -> nothing
//! ```
//!
//! Numbers are big endian, so that keys sort as they do. A Client Identifier cannot contain U+0000
//! ([MQTT-1.5.4-2]), so the separator is unambiguous, and the records of a client stand in the same
//! order in every family.

use flotilla_core::id::Position;
use flotilla_mqtt::PacketId;

pub(crate) const LOG: &str = "log";
pub(crate) const SESSIONS: &str = "sessions";
pub(crate) const CURSORS: &str = "cursors";
pub(crate) const INBOUND: &str = "inbound";
pub(crate) const OUTBOUND: &str = "outbound";
pub(crate) const OVERTAKEN: &str = "overtaken";
pub(crate) const RETAINED: &str = "retained";
pub(crate) const META: &str = "meta";
/// All of them.
pub(crate) const FAMILIES: [&str; 8] =
    [LOG, SESSIONS, CURSORS, INBOUND, OUTBOUND, OVERTAKEN, RETAINED, META];

/// In `meta`: the format of the store.
pub(crate) const FORMAT: &[u8] = b"format";

/// In `meta`: a complete copy of the family waits to take its place.
pub(crate) fn rebuilt(name: &str) -> String {
    format!("rebuilt/{name}")
}

const SEPARATOR: u8 = 0;

/// The log has one partition so far.
const PARTITION: u16 = 0;

/// Key of the block whose first message is at `first`.
pub(crate) fn block(first: Position) -> [u8; 10] {
    let [a, b] = PARTITION.to_be_bytes();
    let [c, d, e, f, g, h, i, j] = first.0.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j]
}

/// Where the block with this key begins. `None` if it is no key of the log.
pub(crate) fn block_first(key: &[u8]) -> Option<Position> {
    let (partition, first) = key.split_first_chunk::<2>()?;
    let first = u64::from_be_bytes(first.try_into().ok()?);
    (u16::from_be_bytes(*partition) == PARTITION).then_some(Position(first))
}

/// What all keys of a client begin with, in `inbound` and `outbound`.
pub(crate) fn of_client(client_id: &str) -> Vec<u8> {
    // Room for the longest suffix.
    let mut key = Vec::with_capacity(client_id.len() + 9);
    key.extend_from_slice(client_id.as_bytes());
    key.push(SEPARATOR);
    key
}

/// The first key behind all keys of a client.
pub(crate) fn after_client(client_id: &str) -> Vec<u8> {
    let mut key = client_id.as_bytes().to_vec();
    key.push(SEPARATOR + 1);
    key
}

pub(crate) fn inbound(client_id: &str, packet_id: PacketId) -> Vec<u8> {
    let mut key = of_client(client_id);
    key.extend_from_slice(&packet_id.get().to_be_bytes());
    key
}

pub(crate) fn outbound(client_id: &str, position: Position) -> Vec<u8> {
    let mut key = of_client(client_id);
    key.extend_from_slice(&position.0.to_be_bytes());
    key
}

/// Client Identifier and suffix of a key of `inbound` or `outbound`.
pub(crate) fn split_client(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let separator = key.iter().position(|&byte| byte == SEPARATOR)?;
    Some((&key[..separator], &key[separator + 1..]))
}

/// The suffix of a key of `inbound`.
pub(crate) fn packet_id(suffix: &[u8]) -> Option<PacketId> {
    PacketId::new(u16::from_be_bytes(suffix.try_into().ok()?))
}

/// The suffix of a key of `outbound`.
pub(crate) fn position(suffix: &[u8]) -> Option<Position> {
    Some(Position(u64::from_be_bytes(suffix.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        assert_eq!(block_first(&block(Position(258))), Some(Position(258)));
        assert_eq!(block_first(b"\0\x01\0\0\0\0\0\0\0\x01"), None, "another partition");
        assert_eq!(block_first(b"short"), None);

        let id = PacketId::new(0x0100).unwrap();
        let key = inbound("client", id);
        let (client, suffix) = split_client(&key).unwrap();
        assert_eq!((client, packet_id(suffix)), (&b"client"[..], Some(id)));

        let key = outbound("", Position(3));
        let (client, suffix) = split_client(&key).unwrap();
        assert_eq!((client, position(suffix)), (&b""[..], Some(Position(3))));
        assert_eq!(split_client(b"no separator"), None);
        assert_eq!((packet_id(b"\0\0"), packet_id(b"\0"), position(b"1")), (None, None, None));
    }

    #[test]
    fn clients_stand_in_the_same_order_everywhere() {
        let mut clients = ["", "a", "a!", "ab", "a\u{1}", "b", "é"];
        clients.sort_unstable();
        for pair in clients.windows(2) {
            assert!(inbound(pair[0], PacketId::MAX) < inbound(pair[1], PacketId::MIN));
            assert!(outbound(pair[0], Position(u64::MAX)) < outbound(pair[1], Position(0)));
            assert!(outbound(pair[0], Position(u64::MAX)) < after_client(pair[0]));
            assert!(after_client(pair[0]) <= of_client(pair[1]));
        }
    }
}
