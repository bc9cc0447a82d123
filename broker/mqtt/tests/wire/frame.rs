//! What holds for every packet: type, flags, length.

use flotilla_mqtt::{DecodeError as E, Packet, PacketType, Version, decode};

use crate::table::In::{Both, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("section 3.12 PINGREQ", Both, "C0 {}"),
    ("section 3.13 PINGRESP", Both, "D0 {}"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("section 2.1.2 packet type 0", Both, "00 {}", E::ReservedPacketType),
    ("section 2.1.2 packet type 0 with flags", Both, "0F {}", E::ReservedPacketType),
    ("MQTT-2.1.3-1 PINGREQ flags", Both, "C1 {}", E::ReservedFlags),
    ("MQTT-2.1.3-1 PINGREQ flags", Both, "C2 {}", E::ReservedFlags),
    ("MQTT-2.1.3-1 PINGRESP flags", Both, "D8 {}", E::ReservedFlags),
    ("section 3.12 PINGREQ with a body", Both, "C0 { 00 }", E::TrailingBytes),
    ("section 3.13 PINGRESP with a body", Both, "D0 { 00 }", E::TrailingBytes),
    ("section 2.1.4 Remaining Length of 5 bytes", Both, "C0 8080808000", E::VariableByteIntegerTooLong),
    ("section 2.1.4 Remaining Length of 5 bytes", Both, "30 FFFFFFFF01", E::VariableByteIntegerTooLong),
    ("section 2.1.4 Remaining Length without end", Both, "30 FFFFFFFF", E::VariableByteIntegerTooLong),
    ("MQTT-1.5.5-1 Remaining Length not minimal", V5, "C0 8000", E::VariableByteIntegerNotMinimal),
    ("MQTT-1.5.5-1 Remaining Length not minimal", V5, "40 828000 0001", E::VariableByteIntegerNotMinimal),
    ("section 2.1.4 300 MB", Both, "30 FFFFFF7F", E::PacketTooLarge),
    ("section 2.1.4 2 MiB", Both, "30 80808001", E::PacketTooLarge),
];

#[test]
fn legal_frames_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_frames_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn flags_are_those_of_table_2_2_mqtt_2_1_3_1() {
    for version in [Version::V3_1_1, Version::V5] {
        for first in 0..=u8::MAX {
            let (number, flags) = (first >> 4, first & 0x0F);
            let expected = match (number, flags) {
                (0, _) => Err(E::ReservedPacketType),
                (15, _) if version == Version::V3_1_1 => Err(E::ReservedPacketType),
                (3, _) | (6 | 8 | 10, 0b0010) => Ok(None),
                (6 | 8 | 10, _) => Err(E::ReservedFlags),
                (_, 0) => Ok(None),
                _ => Err(E::ReservedFlags),
            };
            // The length is not there yet: flags are refused even so.
            assert_eq!(decode(&[first], version, SIZE_MAX), expected, "{first:02X}");
        }
    }
}

#[test]
fn a_packet_counts_whole_against_the_maximum() {
    let bytes = [0x30, 5, 0, 1, b'a', b'x', b'y'];
    assert!(decode(&bytes, Version::V3_1_1, 7).unwrap().is_some());
    assert_eq!(decode(&bytes, Version::V3_1_1, 6), Err(E::PacketTooLarge));
    assert_eq!(decode(&bytes[..2], Version::V3_1_1, 6), Err(E::PacketTooLarge));
    assert_eq!(decode(&bytes[..2], Version::V3_1_1, 7), Ok(None));
    assert_eq!(decode(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], Version::V5, u32::MAX), Ok(None));
}

#[test]
fn what_follows_a_packet_is_left_alone() {
    let bytes = [0xC0, 0, 0xD0, 0, 0xFF];
    assert_eq!(decode(&bytes, Version::V5, SIZE_MAX), Ok(Some((Packet::Pingreq, 2))));
    assert_eq!(decode(&bytes[2..], Version::V5, SIZE_MAX), Ok(Some((Packet::Pingresp, 2))));
}

#[test]
fn packet_types_have_the_numbers_of_table_2_1() {
    for (at, packet_type) in PacketType::ALL.into_iter().enumerate() {
        assert_eq!(packet_type as usize, at + 1);
        assert_eq!(PacketType::from_number(at as u8 + 1), Some(packet_type));
        assert_eq!(packet_type.name(), format!("{packet_type:?}").to_lowercase());
    }
    assert_eq!(PacketType::from_number(0), None);
    assert_eq!(PacketType::from_number(16), None);
}
