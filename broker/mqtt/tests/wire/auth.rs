//! AUTH as bytes.

use flotilla_mqtt::{Auth, DecodeError as E, Packet, ReasonCode, UserProperties, Version, decode};

use crate::notation::bytes;
use crate::table::In::{V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("section 3.15.2.1 of two bytes", V5, "F0 {}"),
    ("MQTT-4.12.0-2 continue", V5, "F0 { 18 { 15 ('m') } }"),
    ("MQTT-4.12.0-3 continue with data", V5, "F0 { 18 { 15 ('m') 16 (00FF) } }"),
    ("MQTT-4.12.1-1 re-authenticate", V5, "F0 { 19 { 15 ('m') } }"),
    ("MQTT-3.15.2-1 success", V5, "F0 { 00 { 15 ('m') } }"),
    ("MQTT-3.15.2-2 Reason String", V5, "F0 { 18 { 1F ('r') 15 ('m') } }"),
    ("MQTT-3.15.2-3 User Properties", V5, "F0 { 18 { 26 ('k') ('v') 15 ('m') 26 ('k') ('v') } }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("3.1.1: section 2.2.1 no such packet", V3, "F0 {}", E::ReservedPacketType),
    ("3.1.1: section 2.2.1 no such packet", V3, "F0 { 18 { 15 ('m') } }", E::ReservedPacketType),
    ("MQTT-3.15.1-1 flags", V5, "F1 {}", E::ReservedFlags),
    ("MQTT-3.15.1-1 flags", V5, "F2 { 18 { 15 ('m') } }", E::ReservedFlags),
    ("MQTT-3.15.2-1 code of others", V5, "F0 { 87 { 15 ('m') } }", E::InvalidReasonCode),
    ("MQTT-3.15.2-1 no such code", V5, "F0 { 1A { 15 ('m') } }", E::InvalidReasonCode),
    ("section 3.15.2.2.1 no property length", V5, "F0 { 18 }", E::Truncated),
    ("section 3.15.2.2.2 no Authentication Method", V5, "F0 { 18 {} }", E::AuthenticationMethodMissing),
    ("section 3.15.2.2.2 no Authentication Method", V5, "F0 { 00 {} }", E::AuthenticationMethodMissing),
    ("section 3.15.2.2.3 Authentication Data alone", V5, "F0 { 18 { 16 (00) } }", E::AuthenticationMethodMissing),
    ("section 3.15.2.2.2 Authentication Method twice", V5, "F0 { 18 { 15 ('m') 15 ('m') } }", E::DuplicateProperty),
    ("section 3.15.2.2.3 Authentication Data twice", V5, "F0 { 18 { 15 ('m') 16 () 16 () } }", E::DuplicateProperty),
    ("section 2.2.2.2 Session Expiry", V5, "F0 { 18 { 15 ('m') 11 00000000 } }", E::PropertyNotAllowed),
    ("section 2.1.4 bytes behind the properties", V5, "F0 { 18 { 15 ('m') } 00 }", E::TrailingBytes),
];

#[test]
fn legal_auths_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_auths_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn an_auth_carries_all_that_it_says() {
    let bytes = bytes("F0 { 19 { 26 ('k') ('v') 15 ('m') 16 (00FF) 1F ('r') } }");
    let expected = Auth {
        authentication_data: Some(&[0x00, 0xFF]),
        reason_string: Some("r"),
        user_properties: UserProperties::from_pairs(&[("k", "v")]),
        ..Auth::new(ReasonCode::ReAuthenticate, "m")
    };
    let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
    assert_eq!(decoded, Packet::Auth(expected));
}

#[test]
fn mqtt_3_1_1_has_no_auth_to_say() {
    let packet = Packet::Auth(Auth::new(ReasonCode::ContinueAuthentication, "m"));
    let mut out = Vec::new();
    packet.encode(Version::V3_1_1, &mut out).unwrap();
    assert!(out.is_empty());
    assert_eq!(packet.encoded_len(Version::V3_1_1), 0);
}
