//! DISCONNECT as bytes.

use flotilla_mqtt::{
    DecodeError as E, Disconnect, Packet, ReasonCode, UserProperties, Version, decode,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("section 3.14.2.1 of two bytes", Both, "E0 {}"),
    ("section 3.14.2.2.1 Reason Code alone", V5, "E0 { 00 }"),
    ("MQTT-3.14.4-3 with Will", V5, "E0 { 04 }"),
    ("MQTT-3.14.2-1 Session taken over", V5, "E0 { 8E {} }"),
    ("MQTT-3.14.2-1 Not authorized", V5, "E0 { 87 }"),
    ("section 3.14.2.2.1 property length 0", V5, "E0 { 00 {} }"),
    ("section 3.14.2.2.2 Session Expiry", V5, "E0 { 00 { 11 0000000A } }"),
    ("section 3.14.2.2.2 Session Expiry 0", V5, "E0 { 00 { 11 00000000 } }"),
    ("MQTT-3.14.2-3 Reason String", V5, "E0 { 81 { 1F ('no') } }"),
    ("MQTT-3.14.2-4 User Properties", V5, "E0 { 00 { 26 ('k') ('v') 26 ('k') ('v') } }"),
    ("section 3.14.2.2.5 Server Reference", V5, "E0 { 9C { 1C ('other:1883') } }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-3.14.1-1 flags", Both, "E1 {}", E::ReservedFlags),
    ("MQTT-3.14.1-1 flags", Both, "E8 {}", E::ReservedFlags),
    ("section 3.14 with a body", V3, "E0 { 00 }", E::TrailingBytes),
    ("MQTT-3.14.2-1 no such code", V5, "E0 { 01 }", E::InvalidReasonCode),
    ("MQTT-3.14.2-1 reserved code", V5, "E0 { 05 }", E::InvalidReasonCode),
    ("MQTT-3.14.2-1 code of CONNACK", V5, "E0 { 86 {} }", E::InvalidReasonCode),
    ("MQTT-3.14.2-1 code beyond all", V5, "E0 { FF {} }", E::InvalidReasonCode),
    ("section 3.14.2.2.2 Session Expiry twice", V5, "E0 { 00 { 11 00000001 11 00000001 } }", E::DuplicateProperty),
    ("section 3.14.2.2.2 half a Session Expiry", V5, "E0 { 00 { 11 0000 } }", E::Truncated),
    ("section 2.2.2.1 properties past the end", V5, "E0 { 00 05 }", E::Truncated),
    ("section 2.1.4 bytes behind the properties", V5, "E0 { 00 {} 00 }", E::TrailingBytes),
    ("section 2.2.2.2 Receive Maximum", V5, "E0 { 00 { 21 0001 } }", E::PropertyNotAllowed),
    ("MQTT-1.5.4-2 Reason String with null", V5, "E0 { 81 { 1F (00) } }", E::NulCharacter),
];

#[test]
fn legal_disconnects_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_disconnects_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn a_disconnect_carries_all_that_it_says() {
    let bytes = bytes("E0 { 9D { 26 ('k') ('v') 11 0000000A 1C ('s') 1F ('r') 26 ('l') ('w') } }");
    let expected = Disconnect {
        session_expiry_interval_s: Some(10),
        server_reference: Some("s"),
        reason_string: Some("r"),
        user_properties: UserProperties::from_pairs(&[("k", "v"), ("l", "w")]),
        ..Disconnect::new(ReasonCode::ServerMoved)
    };
    let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
    assert_eq!(decoded, Packet::Disconnect(expected));
}

#[test]
fn a_disconnect_takes_the_shortest_form() {
    for (reason_code, v5) in
        [(ReasonCode::Success, "E0 {}"), (ReasonCode::SessionTakenOver, "E0 { 8E }")]
    {
        for (version, notation) in [(Version::V3_1_1, "E0 {}"), (Version::V5, v5)] {
            let mut out = Vec::new();
            let packet = Packet::Disconnect(Disconnect::new(reason_code));
            packet.encode(version, &mut out).unwrap();
            assert_eq!(out, bytes(notation));
        }
    }
}
