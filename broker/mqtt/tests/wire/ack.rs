//! PUBACK, PUBREC, PUBREL, PUBCOMP as bytes.

use flotilla_mqtt::{
    Ack, AckProperties, DecodeError as E, Packet, PacketId, ReasonCode, UserProperties, Version,
    decode,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("section 3.4.2.1 PUBACK of two bytes", Both, "40 { 0001 }"),
    ("section 3.5.2.1 PUBREC of two bytes", Both, "50 { 0001 }"),
    ("section 3.6.2.1 PUBREL of two bytes", Both, "62 { 0001 }"),
    ("section 3.7.2.1 PUBCOMP of two bytes", Both, "70 { 0001 }"),
    ("largest Packet Identifier", Both, "40 { FFFF }"),
    ("section 3.4.2.2.1 PUBACK of three bytes", V5, "40 { 0001 10 }"),
    ("section 3.4.2.2.1 PUBACK of three bytes, success", V5, "40 { 0001 00 }"),
    ("section 3.5.2.2.1 PUBREC of three bytes", V5, "50 { 0001 97 }"),
    ("section 3.6.2.2.1 PUBREL of three bytes", V5, "62 { 0001 92 }"),
    ("section 3.7.2.2.1 PUBCOMP of three bytes", V5, "70 { 0001 92 }"),
    ("section 3.4.2.2.1 PUBACK with property length 0", V5, "40 { 0001 00 {} }"),
    ("section 3.5.2.2.1 PUBREC with property length 0", V5, "50 { 0001 10 {} }"),
    ("section 3.6.2.2.1 PUBREL with property length 0", V5, "62 { 0001 00 {} }"),
    ("section 3.7.2.2.1 PUBCOMP with property length 0", V5, "70 { 0001 00 {} }"),
    ("MQTT-3.4.2-2 PUBACK, Reason String", V5, "40 { 0001 87 { 1F ('no') } }"),
    ("MQTT-3.4.2-3 PUBACK, User Properties", V5, "40 { 0001 00 { 26 ('a') ('b') 26 ('a') ('c') } }"),
    ("MQTT-3.5.2-2 PUBREC, Reason String", V5, "50 { 0001 80 { 1F ('no') } }"),
    ("MQTT-3.6.2-2 PUBREL, Reason String", V5, "62 { 0001 00 { 1F ('ok') } }"),
    ("MQTT-3.6.2-3 PUBREL, User Property", V5, "62 { 0001 92 { 26 ('a') ('b') } }"),
    ("MQTT-3.7.2-2 PUBCOMP, both", V5, "70 { 0001 92 { 26 ('a') ('b') 1F ('no') } }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-2.1.3-1 PUBACK flags", Both, "42 { 0001 }", E::ReservedFlags),
    ("MQTT-2.1.3-1 PUBREC flags", Both, "52 { 0001 }", E::ReservedFlags),
    ("MQTT-3.6.1-1 PUBREL flags 0", Both, "60 { 0001 }", E::ReservedFlags),
    ("MQTT-3.6.1-1 PUBREL flags 3", Both, "63 { 0001 }", E::ReservedFlags),
    ("MQTT-3.6.1-1 PUBREL flags with DUP", Both, "6A { 0001 }", E::ReservedFlags),
    ("MQTT-2.1.3-1 PUBCOMP flags", Both, "72 { 0001 }", E::ReservedFlags),
    ("MQTT-2.2.1-3 PUBACK, Packet Identifier 0", Both, "40 { 0000 }", E::PacketIdZero),
    ("MQTT-2.2.1-3 PUBREC, Packet Identifier 0", Both, "50 { 0000 }", E::PacketIdZero),
    ("MQTT-2.2.1-3 PUBREL, Packet Identifier 0", Both, "62 { 0000 }", E::PacketIdZero),
    ("MQTT-2.2.1-3 PUBCOMP, Packet Identifier 0", Both, "70 { 0000 }", E::PacketIdZero),
    ("section 3.4.2 PUBACK, empty", Both, "40 {}", E::Truncated),
    ("section 3.5.2 PUBREC, one byte", Both, "50 { 00 }", E::Truncated),
    ("section 3.6.2 PUBREL, empty", Both, "62 {}", E::Truncated),
    ("section 3.7.2 PUBCOMP, one byte", Both, "70 { 00 }", E::Truncated),
    ("section 3.4.2 PUBACK with a Reason Code", V3, "40 { 0001 00 }", E::TrailingBytes),
    ("section 3.5.2 PUBREC with a Reason Code", V3, "50 { 0001 00 }", E::TrailingBytes),
    ("section 3.6.2 PUBREL with a Reason Code", V3, "62 { 0001 00 {} }", E::TrailingBytes),
    ("section 3.7.2 PUBCOMP with a Reason Code", V3, "70 { 0001 00 {} }", E::TrailingBytes),
    ("section 2.1.4 bytes behind the properties", V5, "40 { 0001 00 {} 00 }", E::TrailingBytes),
    ("MQTT-3.4.2-1 PUBACK, code of PUBREL", V5, "40 { 0001 92 }", E::InvalidReasonCode),
    ("MQTT-3.4.2-1 PUBACK, no such code", V5, "40 { 0001 05 }", E::InvalidReasonCode),
    ("MQTT-3.5.2-1 PUBREC, code of PUBCOMP", V5, "50 { 0001 92 }", E::InvalidReasonCode),
    ("MQTT-3.6.2-1 PUBREL, code of PUBACK", V5, "62 { 0001 10 }", E::InvalidReasonCode),
    ("MQTT-3.7.2-1 PUBCOMP, code of PUBREC", V5, "70 { 0001 80 }", E::InvalidReasonCode),
    ("section 3.4.2.2.2 Reason String twice", V5, "40 { 0001 00 { 1F ('a') 1F ('b') } }", E::DuplicateProperty),
    ("section 2.2.2.2 Message Expiry", V5, "40 { 0001 00 { 02 00000001 } }", E::PropertyNotAllowed),
    ("section 2.2.2.2 Server Reference", V5, "62 { 0001 00 { 1C ('a') } }", E::PropertyNotAllowed),
    ("section 2.2.2.1 properties cut", V5, "40 { 0001 00 05 1F0001 }", E::Truncated),
    ("MQTT-1.5.4-1 Reason String not UTF-8", V5, "40 { 0001 00 { 1F (FF) } }", E::InvalidUtf8),
    ("MQTT-1.5.4-2 Reason String with null", V5, "40 { 0001 00 { 1F (00) } }", E::NulCharacter),
];

#[test]
fn legal_acks_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_acks_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn an_ack_carries_all_that_it_says() {
    let expected = Ack {
        packet_id: PacketId::new(0x1234).unwrap(),
        reason_code: ReasonCode::PacketIdentifierNotFound,
        properties: AckProperties {
            reason_string: Some("no"),
            user_properties: UserProperties::from_pairs(&[("a", "b"), ("a", "c")]),
        },
    };
    let body = "{ 1234 92 { 26 ('a') ('b') 1F ('no') 26 ('a') ('c') } }";
    for (first, packet) in [("62", Packet::Pubrel(expected)), ("70", Packet::Pubcomp(expected))] {
        let bytes = bytes(&format!("{first} {body}"));
        let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
        assert_eq!(decoded, packet);
    }
}

#[test]
fn an_ack_takes_the_shortest_form() {
    let packet_id = PacketId::new(1).unwrap();
    let mut ack = Ack::new(packet_id, ReasonCode::Success);
    for (reason_code, reason_string, v3, v5) in [
        (ReasonCode::Success, None, "40 { 0001 }", "40 { 0001 }"),
        (ReasonCode::NotAuthorized, None, "40 { 0001 }", "40 { 0001 87 }"),
        (ReasonCode::Success, Some("ok"), "40 { 0001 }", "40 { 0001 00 { 1F ('ok') } }"),
    ] {
        ack.reason_code = reason_code;
        ack.properties.reason_string = reason_string;
        for (version, notation) in [(Version::V3_1_1, v3), (Version::V5, v5)] {
            let mut out = Vec::new();
            Packet::Puback(ack).encode(version, &mut out).unwrap();
            assert_eq!(out, bytes(notation));
        }
    }
}
