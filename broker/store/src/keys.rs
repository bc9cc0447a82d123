//! Keys of the column families.
//!
//! ```text
//! log        first position u64                         -> block
//! log/…      first position u64                         -> block of the partition of that name
//! segments   first position u64                         -> sealed account of a segment
//! index      first position of a segment u64 | page u16 -> sealed page of its index
//! sessions   client id                                  -> sealed session record
//! cursors    client id                                  -> sealed position
//! inbound    client id | 0x00 | packet id u16           -> nothing
//! outbound   client id | 0x00 | position u64            -> sealed packet id, released
//! overtaken  client id                                  -> sealed number of messages
//! retained   topic                                      -> sealed message
//! meta       "format"                                   -> u32
//! meta       "commit"                                   -> u64
//!            "rebuilt/FAMILY"                           -> nothing
//!            "begin/" family of a partition             -> u64: its blocks below were cleaned
//! ```
//!
//! Numbers are big endian, so that keys sort as they do. A Client Identifier cannot contain U+0000
//! ([MQTT-1.5.4-2]), so the separator is unambiguous, and the records of a client stand in the same
//! order in every family.

use flotilla_core::id::Position;
use flotilla_mqtt::PacketId;

/// The partition without a name.
pub(crate) const LOG: &str = "log";
pub(crate) const SEGMENTS: &str = "segments";
pub(crate) const INDEX: &str = "index";
pub(crate) const SESSIONS: &str = "sessions";
pub(crate) const CURSORS: &str = "cursors";
pub(crate) const INBOUND: &str = "inbound";
pub(crate) const OUTBOUND: &str = "outbound";
pub(crate) const OVERTAKEN: &str = "overtaken";
pub(crate) const RETAINED: &str = "retained";
pub(crate) const META: &str = "meta";
/// All of them, but for the partitions with a name.
pub(crate) const FAMILIES: [&str; 10] =
    [LOG, SEGMENTS, INDEX, SESSIONS, CURSORS, INBOUND, OUTBOUND, OVERTAKEN, RETAINED, META];

/// In `meta`: the format of the store.
pub(crate) const FORMAT: &[u8] = b"format";

/// In `meta`: the number of the last commit.
pub(crate) const COMMIT: &[u8] = b"commit";

/// In `meta`: a complete copy of the family waits to take its place.
pub(crate) fn rebuilt(name: &str) -> String {
    format!("rebuilt/{name}")
}

const SEPARATOR: u8 = 0;

/// Key of the block or segment whose first message is at `first`.
pub(crate) fn first(first: Position) -> [u8; 8] {
    first.0.to_be_bytes()
}

/// Key of a page of the index of the segment whose first message is at `first`.
pub(crate) fn index_page(first: Position, page: u16) -> [u8; 10] {
    let [a, b, c, d, e, f, g, h] = first.0.to_be_bytes();
    let [i, j] = page.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j]
}

/// In `meta`: below which position the blocks of the partition in this family were cleaned.
pub(crate) fn begin(family: &str) -> Vec<u8> {
    [b"begin/", family.as_bytes()].concat()
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

/// The suffix of a key of `outbound`, a key of `segments` or of the log, a position in `meta`.
pub(crate) fn position(suffix: &[u8]) -> Option<Position> {
    Some(Position(u64::from_be_bytes(suffix.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        assert_eq!(position(&first(Position(258))), Some(Position(258)));
        assert_eq!(index_page(Position(258), 3), *b"\0\0\0\0\0\0\x01\x02\0\x03");
        assert_eq!(begin("log/a"), b"begin/log/a");

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
