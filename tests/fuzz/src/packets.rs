//! The wire format, each version.

use flotilla_mqtt::{Version, connect_version, decode, decode_connect};

/// What the broker's limit is while fuzzing, bytes.
const SIZE_MAX: u32 = 1 << 20;

/// Whatever can be decoded is encoded to something that means the same, and encoded once more to
/// the same bytes. The first byte says what is decoded.
pub(crate) fn decode_and_encode(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let version = match (first & 1, first & 4) {
        (0, _) => Version::V5,
        (_, 0) => Version::V3_1_1,
        _ => Version::V3_1,
    };
    // Whichever it finds, it must not panic.
    let _ = connect_version(bytes);
    if first & 2 != 0 {
        if let Ok(Some((connect, len))) = decode_connect(bytes, SIZE_MAX) {
            assert!(len <= bytes.len(), "a packet is within the bytes");
            let mut again = Vec::new();
            let packet = flotilla_mqtt::Packet::Connect(connect);
            if packet.encode(connect.version, &mut again).is_ok() {
                let decoded = decode_connect(&again, SIZE_MAX).expect("what was encoded is valid");
                let (other, _) = decoded.expect("what was encoded is whole");
                let (one, other) = (format!("{packet:?}"), format!("Connect({other:?})"));
                assert_eq!(one, other, "CONNECT means the same when it was encoded");
            }
        }
        return;
    }
    let mut rest = bytes;
    while let Ok(Some((packet, len))) = decode(rest, version, SIZE_MAX) {
        assert!(0 < len && len <= rest.len(), "a packet is within the bytes");
        let mut again = Vec::new();
        packet.encode(version, &mut again).expect("what was decoded can be encoded");
        let decoded = decode(&again, version, SIZE_MAX * 2).expect("what was encoded is valid");
        let (other, other_len) = decoded.expect("what was encoded is whole");
        assert_eq!(other_len, again.len(), "nothing is left over");
        assert_eq!(format!("{packet:?}"), format!("{other:?}"), "it means the same");
        let mut once_more = Vec::new();
        other.encode(version, &mut once_more).expect("it was encoded before");
        assert_eq!(again, once_more, "it is said in one way");
        rest = &rest[len..];
    }
}
