//! CONNACK as bytes.

use flotilla_mqtt::{
    Connack, ConnackProperties, DecodeError as E, Packet, QoS, ReasonCode, UserProperties, Version,
    decode,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("MQTT-3.1.4-5 accepted", V3, "20 { 00 00 }"),
    ("MQTT-3.1.4-5 accepted", V5, "20 { 00 00 {} }"),
    ("MQTT-3.2.2-3 Session Present", V3, "20 { 01 00 }"),
    ("MQTT-3.2.2-3 Session Present", V5, "20 { 01 00 {} }"),
    ("MQTT-3.2.2-8 unacceptable protocol version", V3, "20 { 00 01 }"),
    ("MQTT-3.2.2-8 identifier rejected", V3, "20 { 00 02 }"),
    ("MQTT-3.2.2-8 server unavailable", V3, "20 { 00 03 }"),
    ("MQTT-3.2.2-8 bad user name or password", V3, "20 { 00 04 }"),
    ("MQTT-3.2.2-8 not authorized", V3, "20 { 00 05 }"),
    ("MQTT-3.2.2-8 Malformed Packet", V5, "20 { 00 81 {} }"),
    ("MQTT-3.2.2-8 Not authorized", V5, "20 { 00 87 {} }"),
    ("MQTT-3.2.2-9 Maximum QoS 0", V5, "20 { 00 00 { 24 00 } }"),
    ("MQTT-3.2.2-9 Maximum QoS 1", V5, "20 { 00 00 { 24 01 } }"),
    ("MQTT-3.2.2-14 Retain Available 0", V5, "20 { 00 00 { 25 00 } }"),
    ("MQTT-3.2.2-15 Maximum Packet Size", V5, "20 { 00 00 { 27 00100000 } }"),
    ("MQTT-3.2.2-16 Assigned Client Identifier", V5, "20 { 00 00 { 12 ('auto-1') } }"),
    ("MQTT-3.2.2-17 Topic Alias Maximum", V5, "20 { 00 00 { 22 0040 } }"),
    ("MQTT-3.2.2-19 Reason String", V5, "20 { 00 87 { 1F ('no') } }"),
    ("MQTT-3.2.2-20 User Properties", V5, "20 { 00 87 { 26 ('k') ('v') 26 ('k') ('w') } }"),
    ("MQTT-3.2.2-21 Server Keep Alive", V5, "20 { 00 00 { 13 001E } }"),
    ("section 3.2.2.3.2 Session Expiry", V5, "20 { 00 00 { 11 0000000A } }"),
    ("section 3.2.2.3.3 Receive Maximum", V5, "20 { 00 00 { 21 0400 } }"),
    ("section 3.2.2.3.11 Wildcard Subscription Available", V5, "20 { 00 00 { 28 01 } }"),
    ("section 3.2.2.3.12 Subscription Identifiers Available", V5, "20 { 00 00 { 29 00 } }"),
    ("section 3.2.2.3.13 Shared Subscription Available", V5, "20 { 00 00 { 2A 01 } }"),
    ("section 3.2.2.3.15 Response Information", V5, "20 { 00 00 { 1A ('r/') } }"),
    ("section 3.2.2.3.16 Server Reference", V5, "20 { 00 9C { 1C ('other:1883') } }"),
    ("MQTT-4.12.0-5 Authentication Method, Data", V5, "20 { 00 00 { 15 ('m') 16 (00) } }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-2.1.3-1 flags", Both, "21 { 00 00 }", E::ReservedFlags),
    ("MQTT-3.2.2-1 reserved flag", V3, "20 { 02 00 }", E::ConnackReservedFlags),
    ("MQTT-3.2.2-1 reserved flag", V5, "20 { 80 00 {} }", E::ConnackReservedFlags),
    ("MQTT-3.2.2-6 Session Present, refused", V3, "20 { 01 05 }", E::SessionPresentWithError),
    ("MQTT-3.2.2-6 Session Present, refused", V5, "20 { 01 87 {} }", E::SessionPresentWithError),
    ("MQTT-3.2.2-8 return code 6", V3, "20 { 00 06 }", E::InvalidReasonCode),
    ("MQTT-3.2.2-8 return code 0x80", V3, "20 { 00 80 }", E::InvalidReasonCode),
    ("MQTT-3.2.2-8 Reason Code 1", V5, "20 { 00 01 {} }", E::InvalidReasonCode),
    ("MQTT-2.2.2-1 no property length", V5, "20 { 00 00 }", E::Truncated),
    ("section 2.1.4 properties", V3, "20 { 00 00 00 }", E::TrailingBytes),
    ("section 2.1.4 bytes behind the properties", V5, "20 { 00 00 {} 00 }", E::TrailingBytes),
    ("section 3.2.1 empty", Both, "20 {}", E::Truncated),
    ("section 3.2.1 one byte", Both, "20 { 00 }", E::Truncated),
    ("section 3.2.2.3.3 Receive Maximum 0", V5, "20 { 00 00 { 21 0000 } }", E::ReceiveMaximumZero),
    ("section 3.2.2.3.4 Maximum QoS 2", V5, "20 { 00 00 { 24 02 } }", E::MaximumQosInvalid),
    ("section 3.2.2.3.5 Retain Available 2", V5, "20 { 00 00 { 25 02 } }", E::PropertyNotBoolean),
    ("section 3.2.2.3.6 Maximum Packet Size 0", V5, "20 { 00 00 { 27 00000000 } }", E::MaximumPacketSizeZero),
    ("section 3.2.2.3.9 Reason String twice", V5, "20 { 00 00 { 1F ('a') 1F ('a') } }", E::DuplicateProperty),
    ("section 3.2.2.3.18 Authentication Data alone", V5, "20 { 00 00 { 16 (00) } }", E::AuthenticationDataWithoutMethod),
    ("section 2.2.2.2 Request Problem Information", V5, "20 { 00 00 { 17 00 } }", E::PropertyNotAllowed),
];

#[test]
fn legal_connacks_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_connacks_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn a_connack_carries_all_that_it_says() {
    let bytes = bytes(
        "20 { 01 00 { 11 0000000A 21 0400 24 01 25 00 27 00100000 12 ('id') 22 0040 1F ('r')
           26 ('k') ('v') 28 01 29 00 2A 01 13 001E 1A ('i') 1C ('s') 15 ('m') 16 (FF) } }"
            .replace('\n', " ")
            .as_str(),
    );
    let expected = Connack {
        session_present: true,
        reason_code: ReasonCode::Success,
        properties: ConnackProperties {
            session_expiry_interval_s: Some(10),
            receive_maximum: Some(1024),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(false),
            maximum_packet_size: Some(1 << 20),
            assigned_client_id: Some("id"),
            topic_alias_maximum: Some(64),
            reason_string: Some("r"),
            user_properties: UserProperties::from_pairs(&[("k", "v")]),
            wildcard_subscription_available: Some(true),
            subscription_ids_available: Some(false),
            shared_subscription_available: Some(true),
            server_keep_alive_s: Some(30),
            response_information: Some("i"),
            server_reference: Some("s"),
            authentication_method: Some("m"),
            authentication_data: Some(&[0xFF]),
        },
    };
    let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
    assert_eq!(decoded, Packet::Connack(expected));
}

#[test]
fn mqtt_3_1_1_says_it_by_return_code() {
    for (reason_code, return_code) in [
        (ReasonCode::Success, 0),
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdentifierNotValid, 2),
        (ReasonCode::ServerUnavailable, 3),
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::QuotaExceeded, 3),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::NotAuthorized, 5),
        (ReasonCode::Banned, 5),
    ] {
        let mut out = Vec::new();
        let connack = Connack::new(false, reason_code);
        Packet::Connack(connack).encode(Version::V3_1_1, &mut out).unwrap();
        assert_eq!(out, [0x20, 2, 0, return_code], "{reason_code}");
    }
}

#[test]
fn a_refusal_never_says_session_present_mqtt_3_2_2_6() {
    for (version, refusal) in
        [(Version::V3_1_1, &[0x20, 2, 0, 5][..]), (Version::V5, &[0x20, 3, 0, 0x87, 0])]
    {
        let mut out = Vec::new();
        let connack = Connack::new(true, ReasonCode::NotAuthorized);
        Packet::Connack(connack).encode(version, &mut out).unwrap();
        assert_eq!(out, refusal);
    }
}

#[test]
fn a_maximum_qos_of_2_is_said_by_silence() {
    let mut connack = Connack::new(false, ReasonCode::Success);
    connack.properties.maximum_qos = Some(QoS::ExactlyOnce);
    let mut out = Vec::new();
    Packet::Connack(connack).encode(Version::V5, &mut out).unwrap();
    assert_eq!(out, [0x20, 3, 0, 0, 0]);
}
