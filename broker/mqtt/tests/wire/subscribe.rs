//! SUBSCRIBE, SUBACK as bytes.

use flotilla_mqtt::{
    AckProperties, DecodeError as E, EncodeError, Packet, PacketId, QoS, ReasonCode, ReasonCodes,
    Requested, RetainHandling, Suback, Subscribe, SubscribeFilters, SubscriptionOptions,
    UserProperties, Version, decode,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("QoS 0", V3, "82 { 0001 ('a/b') 00 }"),
    ("QoS 1", V3, "82 { 0001 ('a/b') 01 }"),
    ("QoS 2", V3, "82 { 0001 ('a/b') 02 }"),
    ("QoS 0", V5, "82 { 0001 {} ('a/b') 00 }"),
    ("QoS 1", V5, "82 { 0001 {} ('a/b') 01 }"),
    ("QoS 2", V5, "82 { 0001 {} ('a/b') 02 }"),
    ("MQTT-3.8.4-5 three filters", V3, "82 { FFFF ('a') 00 ('b/+') 01 ('c/#') 02 }"),
    ("MQTT-3.8.4-5 three filters", V5, "82 { FFFF {} ('a') 00 ('b/+') 01 ('c/#') 02 }"),
    ("MQTT-3.8.4-3 the same filter twice", V5, "82 { 0001 {} ('a') 00 ('a') 01 }"),
    ("MQTT-3.8.3-3 No Local", V5, "82 { 0001 {} ('a') 04 }"),
    ("MQTT-3.3.1-13 Retain As Published", V5, "82 { 0001 {} ('a') 08 }"),
    ("MQTT-3.3.1-10 Retain Handling 1", V5, "82 { 0001 {} ('a') 10 }"),
    ("MQTT-3.3.1-11 Retain Handling 2", V5, "82 { 0001 {} ('a') 20 }"),
    ("all options", V5, "82 { 0001 {} ('a') 2E }"),
    ("section 3.8.2.1.2 Subscription Identifier 1", V5, "82 { 0001 { 0B 01 } ('a') 00 }"),
    ("section 3.8.2.1.2 largest Subscription Identifier", V5, "82 { 0001 { 0B FFFFFF7F } ('a') 00 }"),
    ("section 3.8.2.1.3 User Properties", V5, "82 { 0001 { 26 ('k') ('v') 26 ('k') ('v') } ('a') 00 }"),
    ("MQTT-4.7.1-1 # alone", V3, "82 { 0001 ('#') 00 }"),
    ("MQTT-4.7.1-1 # alone", V5, "82 { 0001 {} ('#') 00 }"),
    ("MQTT-4.7.1-2 + alone", V3, "82 { 0001 ('+') 00 }"),
    ("MQTT-4.7.1-2 + first, in between, last", V3, "82 { 0001 ('+/a/+/b/+') 00 }"),
    ("MQTT-4.7.1-2 + before #", V3, "82 { 0001 ('+/#') 00 }"),
    ("MQTT-4.7.1-2 levels that are empty", V3, "82 { 0001 ('//+//#') 00 }"),
    ("section 4.7.2 $SYS", V3, "82 { 0001 ('$SYS/#') 00 }"),
    ("section 4.8.2 shared", V3, "82 { 0001 ('$share/g/a/#') 01 }"),
    ("section 4.8.2 shared", V5, "82 { 0001 {} ('$share/g/a/#') 01 }"),
    ("section 4.8.2 shared, everything", V5, "82 { 0001 {} ('$share/g/#') 01 }"),
    ("section 4.8.2 shared, filter of an empty level", V5, "82 { 0001 {} ('$share/g//') 01 }"),
    ("section 4.8.2 $share as a topic", V5, "82 { 0001 {} ('$share') 04 }"),
    ("section 4.8.2 $shared is nothing special", V5, "82 { 0001 {} ('$shared/g/a') 04 }"),
    ("MQTT-3.8.4-6 SUBACK, one code", V3, "90 { 0001 00 }"),
    ("MQTT-3.8.4-6 SUBACK, all codes", V3, "90 { 0001 00 01 02 80 }"),
    ("MQTT-3.8.4-6 SUBACK, one code", V5, "90 { 0001 {} 00 }"),
    ("MQTT-3.9.3-2 SUBACK, all codes", V5, "90 { 0001 {} 00 01 02 80 83 87 8F 91 97 9E A1 A2 }"),
    ("MQTT-3.9.2-1 SUBACK, Reason String", V5, "90 { 0001 { 1F ('no') } 87 }"),
    ("MQTT-3.9.2-2 SUBACK, User Properties", V5, "90 { 0001 { 26 ('k') ('v') 26 ('k') ('v') } 00 }"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-3.8.1-1 flags 0", Both, "80 { 0001 ('a/b') 00 }", E::ReservedFlags),
    ("MQTT-3.8.1-1 flags 3", Both, "83 { 0001 ('a/b') 00 }", E::ReservedFlags),
    ("MQTT-3.8.1-1 flags with DUP", Both, "8A { 0001 ('a/b') 00 }", E::ReservedFlags),
    ("MQTT-2.2.1-3 Packet Identifier 0", V3, "82 { 0000 ('a') 00 }", E::PacketIdZero),
    ("MQTT-2.2.1-3 Packet Identifier 0", V5, "82 { 0000 {} ('a') 00 }", E::PacketIdZero),
    ("MQTT-3.8.3-2 no filter", V3, "82 { 0001 }", E::SubscribeEmpty),
    ("MQTT-3.8.3-2 no filter", V5, "82 { 0001 {} }", E::SubscribeEmpty),
    ("section 3.8.2 empty", Both, "82 {}", E::Truncated),
    ("MQTT-2.2.2-1 no property length", V5, "82 { 0001 }", E::Truncated),
    ("section 3.8.3 no options", V3, "82 { 0001 ('a') }", E::Truncated),
    ("section 3.8.3 no options", V5, "82 { 0001 {} ('a') }", E::Truncated),
    ("section 3.8.3 no options in the second", V5, "82 { 0001 {} ('a') 00 ('b') }", E::Truncated),
    ("section 3.8.3 filter past the end", V3, "82 { 0001 0005 'a' }", E::Truncated),
    ("MQTT-3.8.3-1 filter not UTF-8", V3, "82 { 0001 (FF) 00 }", E::InvalidUtf8),
    ("MQTT-3.8.3-1 filter not UTF-8", V5, "82 { 0001 {} (EDA080) 00 }", E::InvalidUtf8),
    ("MQTT-4.7.3-2 null in filter", V3, "82 { 0001 (00) 00 }", E::NulCharacter),
    ("MQTT-4.7.3-2 null in filter", V5, "82 { 0001 {} ('a' 00) 00 }", E::NulCharacter),
    ("MQTT-4.7.3-1 empty filter", V3, "82 { 0001 () 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.3-1 empty filter", V5, "82 { 0001 {} () 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 # not last", V3, "82 { 0001 ('a/#/b') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 # not last", V5, "82 { 0001 {} ('#/a') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 # before an empty level", V5, "82 { 0001 {} ('a/#/') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 # with others", V3, "82 { 0001 ('a/b#') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 # with others", V5, "82 { 0001 {} ('a/#b') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-1 ##", V5, "82 { 0001 {} ('##') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-2 + with others", V3, "82 { 0001 ('a+') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-2 + with others", V5, "82 { 0001 {} ('a/+b/c') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-2 ++", V5, "82 { 0001 {} ('++') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.7.1-2 the second filter", V5, "82 { 0001 {} ('a') 00 ('+b') 00 }", E::InvalidTopicFilter),
    ("MQTT-4.8.2-1 empty Share Name", V5, "82 { 0001 {} ('$share//a') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.8.2-1 nothing behind $share/", V5, "82 { 0001 {} ('$share/') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.8.2-2 + in Share Name", V5, "82 { 0001 {} ('$share/g+/a') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.8.2-2 # in Share Name", V5, "82 { 0001 {} ('$share/#/a') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.8.2-2 no filter", V5, "82 { 0001 {} ('$share/g') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.8.2-2 empty filter", V5, "82 { 0001 {} ('$share/g/') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.8.2-2 empty filter", V3, "82 { 0001 ('$share/g/') 00 }", E::InvalidSharedFilter),
    ("MQTT-4.7.1-1 shared, # not last", V5, "82 { 0001 {} ('$share/g/#/a') 00 }", E::InvalidTopicFilter),
    ("MQTT-3.8.3-4 No Local, shared", V5, "82 { 0001 {} ('$share/g/a') 04 }", E::NoLocalOnShared),
    ("MQTT-3.8.3-4 No Local, shared, second filter", V5, "82 { 0001 {} ('a') 04 ('$share/g/a') 05 }", E::NoLocalOnShared),
    ("MQTT-3.8.3-5 reserved bit 6", V5, "82 { 0001 {} ('a') 40 }", E::SubscribeOptionsReserved),
    ("MQTT-3.8.3-5 reserved bit 7", V5, "82 { 0001 {} ('a') 80 }", E::SubscribeOptionsReserved),
    ("3.1.1: MQTT-3-8.3-4 reserved bit 2", V3, "82 { 0001 ('a') 04 }", E::SubscribeOptionsReserved),
    ("3.1.1: MQTT-3-8.3-4 reserved bit 5", V3, "82 { 0001 ('a') 20 }", E::SubscribeOptionsReserved),
    ("3.1.1: MQTT-3-8.3-4 reserved bit 7", V3, "82 { 0001 ('a') 81 }", E::SubscribeOptionsReserved),
    ("section 3.8.3.1 QoS 3", V3, "82 { 0001 ('a') 03 }", E::SubscribeQosReserved),
    ("section 3.8.3.1 QoS 3", V5, "82 { 0001 {} ('a') 03 }", E::SubscribeQosReserved),
    ("section 3.8.3.1 Retain Handling 3", V5, "82 { 0001 {} ('a') 30 }", E::RetainHandlingReserved),
    ("section 3.8.2.1.2 Subscription Identifier 0", V5, "82 { 0001 { 0B 00 } ('a') 00 }", E::SubscriptionIdZero),
    ("section 3.8.2.1.2 Subscription Identifier twice", V5, "82 { 0001 { 0B 01 0B 02 } ('a') 00 }", E::DuplicateProperty),
    ("section 1.5.5 Subscription Identifier of 5 bytes", V5, "82 { 0001 { 0B FFFFFFFF01 } ('a') 00 }", E::VariableByteIntegerTooLong),
    ("section 2.2.2.2 Topic Alias", V5, "82 { 0001 { 23 0001 } ('a') 00 }", E::PropertyNotAllowed),
    ("section 2.2.2.2 Reason String", V5, "82 { 0001 { 1F ('a') } ('a') 00 }", E::PropertyNotAllowed),
    ("MQTT-2.1.3-1 SUBACK flags", Both, "92 { 0001 00 }", E::ReservedFlags),
    ("MQTT-2.2.1-3 SUBACK, Packet Identifier 0", V3, "90 { 0000 00 }", E::PacketIdZero),
    ("MQTT-2.2.1-3 SUBACK, Packet Identifier 0", V5, "90 { 0000 {} 00 }", E::PacketIdZero),
    ("MQTT-3.8.4-6 SUBACK, no code", V3, "90 { 0001 }", E::SubackEmpty),
    ("MQTT-3.8.4-6 SUBACK, no code", V5, "90 { 0001 {} }", E::SubackEmpty),
    ("MQTT-3.9.3-2 SUBACK, code 3", Both, "90 { 0001 00 03 }", E::InvalidReasonCode),
    ("MQTT-3.9.3-2 SUBACK, code of MQTT 5", V3, "90 { 0001 87 }", E::InvalidReasonCode),
    ("MQTT-3.9.3-2 SUBACK, code of UNSUBACK", V5, "90 { 0001 {} 11 }", E::InvalidReasonCode),
    ("section 2.2.2.2 SUBACK, Subscription Identifier", V5, "90 { 0001 { 0B 01 } 00 }", E::PropertyNotAllowed),
];

#[test]
fn legal_subscribes_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_subscribes_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn a_subscribe_carries_all_that_it_says() {
    let bytes =
        bytes("82 { 1234 { 26 ('k') ('v') 0B 8001 26 ('l') ('w') } ('a') 2E ('$share/g/b') 01 }");
    let requested = [
        Requested {
            filter: "a",
            options: SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
        },
        Requested { filter: "$share/g/b", options: SubscriptionOptions::new(QoS::AtLeastOnce) },
    ];
    let expected = Subscribe {
        packet_id: PacketId::new(0x1234).unwrap(),
        subscription_id: Some(128),
        user_properties: UserProperties::from_pairs(&[("k", "v"), ("l", "w")]),
        filters: SubscribeFilters::from_slice(&requested),
    };
    let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
    assert_eq!(decoded, Packet::Subscribe(expected));
}

#[test]
fn a_subscribe_of_mqtt_3_1_1_means_the_default_options() {
    let bytes = bytes("82 { 0001 ('a') 02 }");
    let decoded = decode(&bytes, Version::V3_1_1, SIZE_MAX).unwrap().unwrap().0;
    let Packet::Subscribe(subscribe) = decoded else { panic!("{decoded:?}") };
    let requested: Vec<_> = subscribe.filters.iter().collect();
    let options = SubscriptionOptions::new(QoS::ExactlyOnce);
    assert_eq!(requested, [Requested { filter: "a", options }]);
    assert_eq!(options.retain_handling, RetainHandling::SendAlways);
}

#[test]
fn every_options_byte_is_what_it_says_or_refused() {
    for byte in 0..=u8::MAX {
        let decoded = SubscriptionOptions::from_byte(byte, Version::V5);
        let is_legal = byte & 0xC0 == 0 && byte & 0x03 != 3 && byte & 0x30 != 0x30;
        assert_eq!(decoded.is_ok(), is_legal, "{byte:02X}");
        if let Ok(options) = decoded {
            assert_eq!(options.to_byte(Version::V5), byte);
            assert_eq!(options.to_byte(Version::V3_1_1), byte & 3);
        }
        let decoded = SubscriptionOptions::from_byte(byte, Version::V3_1_1);
        assert_eq!(decoded.is_ok(), byte < 3, "{byte:02X}");
    }
}

#[test]
fn a_suback_of_mqtt_3_1_1_knows_one_failure() {
    let codes = [
        ReasonCode::Success,
        ReasonCode::GrantedQoS2,
        ReasonCode::NotAuthorized,
        ReasonCode::QuotaExceeded,
    ];
    let suback = Suback {
        packet_id: PacketId::new(1).unwrap(),
        properties: AckProperties { reason_string: Some("no"), ..AckProperties::EMPTY },
        reason_codes: ReasonCodes::from_slice(&codes),
    };
    for (version, notation) in [
        (Version::V3_1_1, "90 { 0001 00 02 80 80 }"),
        (Version::V5, "90 { 0001 { 1F ('no') } 00 02 87 97 }"),
    ] {
        let mut out = Vec::new();
        Packet::Suback(suback).encode(version, &mut out).unwrap();
        assert_eq!(out, bytes(notation));
    }
}

#[test]
fn a_subscription_identifier_of_0_is_not_encoded() {
    let requested = [Requested { filter: "a", options: SubscriptionOptions::new(QoS::AtMostOnce) }];
    let subscribe = Subscribe {
        packet_id: PacketId::new(1).unwrap(),
        subscription_id: Some(0),
        user_properties: UserProperties::EMPTY,
        filters: SubscribeFilters::from_slice(&requested),
    };
    let mut out = Vec::new();
    let encoded = Packet::Subscribe(subscribe).encode(Version::V5, &mut out);
    assert_eq!(encoded, Err(EncodeError::SubscriptionIdOutOfRange(0)));
    assert!(out.is_empty());
}
