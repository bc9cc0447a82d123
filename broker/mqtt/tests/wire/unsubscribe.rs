//! UNSUBSCRIBE, UNSUBACK as bytes.

use flotilla_mqtt::{
    AckProperties, DecodeError as E, Packet, PacketId, ReasonCode, ReasonCodes, Suback,
    Unsubscribe, UnsubscribeFilters, UserProperties, Version, decode,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("one filter", V3, "A2 { 0001 ('a/b') }"),
    ("one filter", V5, "A2 { 0001 {} ('a/b') }"),
    ("MQTT-3.10.4-6 three filters", V3, "A2 { FFFF ('a') ('b/+') ('c/#') }"),
    ("MQTT-3.10.4-6 three filters", V5, "A2 { FFFF {} ('a') ('b/+') ('c/#') }"),
    ("section 3.10.2.1.2 User Properties", V5, "A2 { 0001 { 26 ('k') ('v') 26 ('k') ('v') } ('a') }"),
    ("section 4.8.2 shared", V3, "A2 { 0001 ('$share/g/a') }"),
    ("section 4.8.2 shared", V5, "A2 { 0001 {} ('$share/g/a') }"),
    ("MQTT-3.10.4-5 UNSUBACK", V3, "B0 { 0001 }"),
    ("MQTT-3.11.3-2 UNSUBACK, one code", V5, "B0 { 0001 {} 00 }"),
    ("MQTT-3.11.3-2 UNSUBACK, all codes", V5, "B0 { 0001 {} 00 11 80 83 87 8F 91 }"),
    ("MQTT-3.11.2-1 UNSUBACK, Reason String", V5, "B0 { 0001 { 1F ('no') } 11 }"),
    ("MQTT-3.11.2-2 UNSUBACK, User Property", V5, "B0 { 0001 { 26 ('k') ('v') } 11 }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-3.10.1-1 flags 0", Both, "A0 { 0001 ('a/b') }", E::ReservedFlags),
    ("MQTT-3.10.1-1 flags 3", Both, "A3 { 0001 ('a/b') }", E::ReservedFlags),
    ("MQTT-2.2.1-3 Packet Identifier 0", V3, "A2 { 0000 ('a') }", E::PacketIdZero),
    ("MQTT-2.2.1-3 Packet Identifier 0", V5, "A2 { 0000 {} ('a') }", E::PacketIdZero),
    ("MQTT-3.10.3-2 no filter", V3, "A2 { 0001 }", E::UnsubscribeEmpty),
    ("MQTT-3.10.3-2 no filter", V5, "A2 { 0001 {} }", E::UnsubscribeEmpty),
    ("section 3.10.2 empty", Both, "A2 {}", E::Truncated),
    ("MQTT-2.2.2-1 no property length", V5, "A2 { 0001 }", E::Truncated),
    ("section 3.10.3 filter past the end", V3, "A2 { 0001 0005 'a' }", E::Truncated),
    ("section 3.10.3 half a length behind", V3, "A2 { 0001 ('a') 00 }", E::Truncated),
    ("MQTT-3.10.3-1 filter not UTF-8", V3, "A2 { 0001 (FF) }", E::InvalidUtf8),
    ("MQTT-3.10.3-1 filter not UTF-8", V5, "A2 { 0001 {} (FF) }", E::InvalidUtf8),
    ("MQTT-4.7.3-2 null in filter", V5, "A2 { 0001 {} (00) }", E::NulCharacter),
    ("MQTT-4.7.3-1 empty filter", V3, "A2 { 0001 () }", E::InvalidTopicFilter),
    ("MQTT-4.7.3-1 empty filter", V5, "A2 { 0001 {} ('a') () }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 # not last", V5, "A2 { 0001 {} ('#/a') }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-2 + with others", V3, "A2 { 0001 ('+a') }", E::InvalidTopicFilter),
    ("MQTT-4.8.2-1 empty Share Name", V5, "A2 { 0001 {} ('$share//a') }", E::InvalidSharedFilter),
    ("section 2.2.2.2 Subscription Identifier", V5, "A2 { 0001 { 0B 01 } ('a') }", E::PropertyNotAllowed),
    ("MQTT-2.1.3-1 UNSUBACK flags", Both, "B2 { 0001 }", E::ReservedFlags),
    ("MQTT-2.2.1-3 UNSUBACK, Packet Identifier 0", Both, "B0 { 0000 }", E::PacketIdZero),
    ("section 3.11 UNSUBACK with a code", V3, "B0 { 0001 00 }", E::TrailingBytes),
    ("MQTT-3.11.3-2 UNSUBACK, no code", V5, "B0 { 0001 {} }", E::SubackEmpty),
    ("MQTT-3.11.3-2 UNSUBACK, code of SUBACK", V5, "B0 { 0001 {} 01 }", E::InvalidReasonCode),
    ("section 3.11 UNSUBACK, empty", Both, "B0 {}", E::Truncated),
];

#[test]
fn legal_unsubscribes_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_unsubscribes_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn an_unsubscribe_carries_all_that_it_says() {
    let bytes = bytes("A2 { 1234 { 26 ('k') ('v') } ('a/#') ('$share/g/b') }");
    let expected = Unsubscribe {
        packet_id: PacketId::new(0x1234).unwrap(),
        user_properties: UserProperties::from_pairs(&[("k", "v")]),
        filters: UnsubscribeFilters::from_slice(&["a/#", "$share/g/b"]),
    };
    let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
    assert_eq!(decoded, Packet::Unsubscribe(expected));
}

#[test]
fn an_unsuback_of_mqtt_3_1_1_has_no_payload() {
    let codes = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    let unsuback = Suback {
        packet_id: PacketId::new(1).unwrap(),
        properties: AckProperties::EMPTY,
        reason_codes: ReasonCodes::from_slice(&codes),
    };
    for (version, notation) in
        [(Version::V3_1_1, "B0 { 0001 }"), (Version::V5, "B0 { 0001 {} 00 11 }")]
    {
        let mut out = Vec::new();
        Packet::Unsuback(unsuback).encode(version, &mut out).unwrap();
        assert_eq!(out, bytes(notation));
    }
    let decoded = decode(&[0xB0, 2, 0, 1], Version::V3_1_1, SIZE_MAX).unwrap().unwrap().0;
    let Packet::Unsuback(decoded) = decoded else { panic!("{decoded:?}") };
    assert!(decoded.reason_codes.is_empty());
}
