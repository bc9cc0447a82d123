//! PUBLISH as bytes.

use flotilla_mqtt::{
    DecodeError as E, EncodeError, Forwarded, Packet, PacketId, Publish, QoS, RelayedPublish,
    SubscriptionIds, Version, decode, encode_publish,
};

use crate::notation::bytes;
use crate::table::In::{Both, V3, V5};
use crate::table::{Accepted, Refused, SIZE_MAX, check_accepted, check_refused};

#[rustfmt::skip]
pub(crate) const ACCEPTED: &[Accepted] = &[
    ("QoS 0", V3, "30 { ('a/b') 'x' }"),
    ("QoS 0", V5, "30 { ('a/b') {} 'x' }"),
    ("QoS 0, RETAIN", V3, "31 { ('a/b') 'x' }"),
    ("QoS 0, RETAIN", V5, "31 { ('a/b') {} 'x' }"),
    ("QoS 1", V3, "32 { ('a/b') 0001 'x' }"),
    ("QoS 1", V5, "32 { ('a/b') 0001 {} 'x' }"),
    ("QoS 1, RETAIN", V3, "33 { ('a/b') 0001 'x' }"),
    ("QoS 2", V3, "34 { ('a/b') FFFF 'x' }"),
    ("QoS 2", V5, "34 { ('a/b') FFFF {} 'x' }"),
    ("QoS 2, RETAIN", V5, "35 { ('a/b') FFFF {} 'x' }"),
    ("MQTT-3.3.1-1 DUP, QoS 1", V3, "3A { ('a/b') 0001 'x' }"),
    ("MQTT-3.3.1-1 DUP, QoS 1", V5, "3A { ('a/b') 0001 {} 'x' }"),
    ("MQTT-3.3.1-1 DUP, QoS 2, RETAIN", V3, "3D { ('a/b') 0001 'x' }"),
    ("MQTT-3.3.1-1 DUP, QoS 2, RETAIN", V5, "3D { ('a/b') 0001 {} 'x' }"),
    ("MQTT-3.3.1-6 empty payload", V3, "31 { ('a/b') }"),
    ("MQTT-3.3.1-6 empty payload", V5, "31 { ('a/b') {} }"),
    ("binary payload", V3, "30 { ('a') 00FF80C0 }"),
    ("binary payload", V5, "30 { ('a') {} 00FF80C0 }"),
    ("MQTT-3.3.2-1 topic in UTF-8", V3, "30 { ('größe/日本') }"),
    ("MQTT-3.3.2-1 topic in UTF-8", V5, "30 { ('größe/日本') {} }"),
    ("MQTT-1.5.4-3 U+FEFF in topic", V5, "30 { (EFBBBF 'a') {} }"),
    ("section 4.7.3 topic with spaces", V3, "30 { ('a b/c d') }"),
    ("section 4.7.3 topic of slashes", V3, "30 { ('///') }"),
    ("section 4.7.3 topic of one slash", V5, "30 { ('/') {} }"),
    ("section 4.7.2 topic that begins with $", V5, "30 { ('$SYS/x') {} }"),
    ("MQTT-3.3.2-4 Payload Format 0", V5, "30 { ('a') { 01 00 } 'x' }"),
    ("MQTT-3.3.2-4 Payload Format 1", V5, "30 { ('a') { 01 01 } 'x' }"),
    ("MQTT-3.3.2-5 Message Expiry", V5, "30 { ('a') { 02 0000000A } 'x' }"),
    ("MQTT-3.3.2-5 Message Expiry 0", V5, "30 { ('a') { 02 00000000 } 'x' }"),
    ("MQTT-3.3.2-5 largest Message Expiry", V5, "30 { ('a') { 02 FFFFFFFF } 'x' }"),
    ("MQTT-3.3.2-8 Topic Alias", V5, "30 { ('a') { 23 0001 } 'x' }"),
    ("MQTT-3.3.2-12 largest Topic Alias", V5, "30 { ('a') { 23 FFFF } 'x' }"),
    ("section 3.3.2.3.4 Topic Alias instead of topic", V5, "30 { () { 23 0001 } 'x' }"),
    ("section 3.3.2.3.4 Topic Alias instead of topic, QoS 1", V5, "32 { () 0001 { 23 0001 } 'x' }"),
    ("MQTT-3.3.2-15 Response Topic", V5, "30 { ('a') { 08 ('r/t') } 'x' }"),
    ("MQTT-3.3.2-16 Correlation Data", V5, "30 { ('a') { 09 (00FF) } 'x' }"),
    ("MQTT-3.3.2-16 empty Correlation Data", V5, "30 { ('a') { 09 () } 'x' }"),
    ("MQTT-3.3.2-17 User Property", V5, "30 { ('a') { 26 ('k') ('v') } 'x' }"),
    ("MQTT-3.3.2-18 User Properties, same name", V5, "30 { ('a') { 26 ('k') ('v') 26 ('k') ('w') } 'x' }"),
    ("MQTT-3.3.2-20 Content Type", V5, "30 { ('a') { 03 ('text/plain') } 'x' }"),
    ("MQTT-3.3.2-20 empty Content Type", V5, "30 { ('a') { 03 () } 'x' }"),
    ("MQTT-3.3.4-3 Subscription Identifier 1", V5, "30 { ('a') { 0B 01 } 'x' }"),
    ("MQTT-3.3.4-3 Subscription Identifier 128", V5, "30 { ('a') { 0B 8001 } 'x' }"),
    ("MQTT-3.3.4-3 largest Subscription Identifier", V5, "30 { ('a') { 0B FFFFFF7F } 'x' }"),
    ("MQTT-3.3.4-4 three Subscription Identifiers", V5, "30 { ('a') { 0B 01 0B 8001 0B 03 } 'x' }"),
    ("MQTT-3.3.4-4 the same Subscription Identifier twice", V5, "30 { ('a') { 0B 01 0B 01 } 'x' }"),
    ("MQTT-3.3.2-18 others between", V5, "30 { ('a') { 26 ('b') ('1') 0B 01 02 0000000A 26 ('a') ('2') 23 0001 03 ('t') } 'x' }"),
    ("non-minimal Remaining Length", V3, "30 8400 0001 'ax'"),
];

#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    ("MQTT-3.3.1-4 QoS 3", V3, "36 { ('a/b') 0001 'x' }", E::PublishQosReserved),
    ("MQTT-3.3.1-4 QoS 3", V5, "36 { ('a/b') 0001 {} 'x' }", E::PublishQosReserved),
    ("MQTT-3.3.1-4 QoS 3, DUP, RETAIN", Both, "3F { ('a/b') 0001 00 }", E::PublishQosReserved),
    ("MQTT-3.3.1-2 DUP, QoS 0", V3, "38 { ('a/b') 'x' }", E::DupWithQos0),
    ("MQTT-3.3.1-2 DUP, QoS 0", V5, "38 { ('a/b') {} 'x' }", E::DupWithQos0),
    ("MQTT-3.3.1-2 DUP, QoS 0, RETAIN", V5, "39 { ('a/b') {} 'x' }", E::DupWithQos0),
    ("MQTT-2.2.1-3 Packet Identifier 0, QoS 1", V3, "32 { ('a/b') 0000 'x' }", E::PacketIdZero),
    ("MQTT-2.2.1-3 Packet Identifier 0, QoS 1", V5, "32 { ('a/b') 0000 {} 'x' }", E::PacketIdZero),
    ("MQTT-2.2.1-3 Packet Identifier 0, QoS 2", V3, "34 { ('a/b') 0000 'x' }", E::PacketIdZero),
    ("MQTT-2.2.1-3 Packet Identifier 0, QoS 2", V5, "34 { ('a/b') 0000 {} 'x' }", E::PacketIdZero),
    ("MQTT-3.3.2-1 empty body", Both, "30 {}", E::Truncated),
    ("MQTT-3.3.2-1 half a topic length", Both, "30 { 00 }", E::Truncated),
    ("MQTT-3.3.2-1 topic past the end", Both, "30 { 0005 'a/b' }", E::Truncated),
    ("MQTT-3.3.2-1 topic not UTF-8", Both, "30 { (C3) 00 }", E::InvalidUtf8),
    ("MQTT-3.3.2-1 overlong slash", Both, "30 { (C0AF) 00 }", E::InvalidUtf8),
    ("MQTT-1.5.4-1 surrogate in topic", Both, "30 { ('a' EDA080) 00 }", E::InvalidUtf8),
    ("MQTT-1.5.4-1 beyond U+10FFFF", Both, "30 { (F4908080) 00 }", E::InvalidUtf8),
    ("MQTT-4.7.3-2 null in topic", Both, "30 { ('a' 00) 00 }", E::NulCharacter),
    ("MQTT-3.3.2-2 # in topic", V3, "30 { ('a/#') 'x' }", E::WildcardInTopic),
    ("MQTT-3.3.2-2 # in topic", V5, "30 { ('a/#') {} 'x' }", E::WildcardInTopic),
    ("MQTT-3.3.2-2 + in topic", V3, "30 { ('a/+/b') 'x' }", E::WildcardInTopic),
    ("MQTT-3.3.2-2 + in topic", V5, "30 { ('a/+/b') {} 'x' }", E::WildcardInTopic),
    ("MQTT-3.3.2-2 + inside a level", Both, "30 { ('a+b') 00 }", E::WildcardInTopic),
    ("MQTT-3.3.2-2 # inside a level", Both, "30 { ('a#') 00 }", E::WildcardInTopic),
    ("MQTT-3.3.2-2 wildcard beside a Topic Alias", V5, "30 { ('+') { 23 0001 } }", E::WildcardInTopic),
    ("MQTT-4.7.3-1 empty topic", V3, "30 { () 'x' }", E::TopicEmpty),
    ("MQTT-4.7.3-1 empty topic", V5, "30 { () {} 'x' }", E::TopicEmpty),
    ("MQTT-4.7.3-1 empty topic, other properties", V5, "32 { () 0001 { 01 01 } 'x' }", E::TopicEmpty),
    ("MQTT-3.3.2-8 Topic Alias 0", V5, "30 { ('a') { 23 0000 } }", E::TopicAliasZero),
    ("MQTT-3.3.2-8 Topic Alias 0 instead of topic", V5, "30 { () { 23 0000 } }", E::TopicAliasZero),
    ("section 3.3.2.3.4 Topic Alias twice", V5, "30 { ('a') { 23 0001 23 0001 } }", E::DuplicateProperty),
    ("section 3.3.2.3.3 Message Expiry twice", V5, "30 { ('a') { 02 00000001 02 00000002 } }", E::DuplicateProperty),
    ("section 3.3.2.3.2 Payload Format 2", V5, "30 { ('a') { 01 02 } }", E::PropertyNotBoolean),
    ("MQTT-3.3.2-13 Response Topic not UTF-8", V5, "30 { ('a') { 08 (FF) } }", E::InvalidUtf8),
    ("MQTT-3.3.2-14 # in Response Topic", V5, "30 { ('a') { 08 ('r/#') } }", E::ResponseTopicInvalid),
    ("MQTT-3.3.2-14 + in Response Topic", V5, "30 { ('a') { 08 ('+/r') } }", E::ResponseTopicInvalid),
    ("MQTT-4.7.3-1 empty Response Topic", V5, "30 { ('a') { 08 () } }", E::ResponseTopicInvalid),
    ("MQTT-3.3.2-19 Content Type not UTF-8", V5, "30 { ('a') { 03 (FF) } }", E::InvalidUtf8),
    ("MQTT-1.5.7-1 User Property not UTF-8", V5, "30 { ('a') { 26 ('k') (FF) } }", E::InvalidUtf8),
    ("section 3.3.2.3.8 Subscription Identifier 0", V5, "30 { ('a') { 0B 00 } }", E::SubscriptionIdZero),
    ("MQTT-1.5.5-1 Subscription Identifier not minimal", V5, "30 { ('a') { 0B 8100 } }", E::VariableByteIntegerNotMinimal),
    ("section 1.5.5 Subscription Identifier of 5 bytes", V5, "30 { ('a') { 0B 8080808001 } }", E::VariableByteIntegerTooLong),
    ("MQTT-2.2.2-1 no property length", V5, "30 { ('a') }", E::Truncated),
    ("MQTT-2.2.2-1 no property length, QoS 1", V5, "32 { ('a') 0001 }", E::Truncated),
    ("section 3.3.2.2 no Packet Identifier", Both, "32 { ('a') }", E::Truncated),
    ("section 3.3.2.2 half a Packet Identifier", Both, "32 { ('a') 00 }", E::Truncated),
    ("section 2.2.2.1 property length past the end", V5, "30 { ('a') 05 0101 }", E::Truncated),
    ("section 2.2.2.1 property cut by the length", V5, "30 { ('a') { 02 0000 } 0001 'x' }", E::Truncated),
    ("MQTT-1.5.5-1 property length not minimal", V5, "30 { ('a') 8200 0101 }", E::VariableByteIntegerNotMinimal),
    ("section 1.5.5 property length of 5 bytes", V5, "30 { ('a') 8080808001 }", E::VariableByteIntegerTooLong),
    ("section 2.2.2.2 unknown property", V5, "30 { ('a') { 04 00 } }", E::UnknownProperty),
    ("section 2.2.2.2 unknown property 0", V5, "30 { ('a') { 00 } }", E::UnknownProperty),
    ("section 2.2.2.2 unknown property 0x7F", V5, "30 { ('a') { 7F } }", E::UnknownProperty),
    ("section 2.2.2.2 property in two bytes", V5, "30 { ('a') { 8100 00 } }", E::UnknownProperty),
    ("section 2.2.2.2 Reason String", V5, "30 { ('a') { 1F ('x') } }", E::PropertyNotAllowed),
    ("section 2.2.2.2 Will Delay", V5, "30 { ('a') { 18 00000001 } }", E::PropertyNotAllowed),
];

#[test]
fn legal_publishes_are_accepted() {
    check_accepted(ACCEPTED);
}

#[test]
fn illegal_publishes_are_refused() {
    check_refused(REFUSED);
}

#[test]
fn a_publish_carries_all_that_it_says() {
    let bytes = bytes(
        "3D { ('a/b') 1234 { 26 ('b') ('1') 0B 01 02 0000000A 26 ('a') ('2') 23 0007 03 ('t')
           09 (FF) 0B 8001 01 01 08 ('r') } 'payload' }"
            .replace('\n', " ")
            .as_str(),
    );
    let forwarded =
        crate::notation::bytes("26 ('b') ('1') 26 ('a') ('2') 03 ('t') 09 (FF) 01 01 08 ('r')");
    let expected = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        packet_id: PacketId::new(0x1234),
        topic_alias: Some(7),
        message_expiry_interval_s: Some(10),
        subscription_ids: SubscriptionIds::List(&[1, 128]),
        forwarded: Forwarded::validate(&forwarded).unwrap(),
        ..Publish::new("a/b", b"payload")
    };
    let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
    assert_eq!(decoded, Packet::Publish(expected));
    let Packet::Publish(decoded) = decoded else { panic!("{decoded:?}") };
    assert!(decoded.forwarded.user_properties().iter().eq([("b", "1"), ("a", "2")]));
    assert_eq!(decoded.forwarded.response_topic(), Some("r"));
}

#[test]
fn what_is_forwarded_keeps_its_bytes_in_their_order_mqtt_3_3_2_18() {
    for (properties, chunks) in [
        ("", &[][..]),
        ("02 0000000A", &[]),
        ("03 ('t')", &["03 ('t')"]),
        ("03 ('t') 02 0000000A", &["03 ('t')"]),
        ("02 0000000A 03 ('t')", &["03 ('t')"]),
        ("01 00 03 ('t') 23 0001 0B 01 26 () () 09 ()", &["01 00 03 ('t')", "26 () () 09 ()"]),
        ("23 0001 01 00 0B 01 26 ('a') ()", &["01 00", "26 ('a') ()"]),
    ] {
        let bytes = bytes(&format!("30 {{ ('a') {{ {properties} }} 'x' }}"));
        let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
        let Packet::Publish(publish) = decoded else { panic!("{decoded:?}") };
        let chunks: Vec<_> = chunks.iter().map(|chunk| crate::notation::bytes(chunk)).collect();
        assert!(publish.forwarded.chunks().eq(chunks.iter().map(Vec::as_slice)), "{properties}");
        let mut kept = vec![0xEE];
        publish.forwarded.extend_into(&mut kept);
        assert_eq!(kept[1..], chunks.concat());
        assert_eq!(publish.forwarded.encoded_len(), kept.len() - 1);
        assert_eq!(publish.forwarded.is_empty(), chunks.is_empty());
        assert_eq!(Forwarded::validate(&kept[1..]), Ok(publish.forwarded));
    }
}

#[test]
fn forwarded_properties_from_a_disk_are_validated() {
    for (notation, error) in [
        ("02 0000000A", E::PropertyNotAllowed),
        ("23 0001", E::PropertyNotAllowed),
        ("0B 01", E::PropertyNotAllowed),
        ("18 00000001", E::PropertyNotAllowed),
        ("01 00 01 00", E::DuplicateProperty),
        ("01 02", E::PropertyNotBoolean),
        ("08 ('+')", E::ResponseTopicInvalid),
        ("26 ('k')", E::Truncated),
        ("FF", E::UnknownProperty),
    ] {
        assert_eq!(Forwarded::validate(&bytes(notation)), Err(error), "{notation}");
    }
}

#[test]
fn bytes_that_are_no_properties_do_no_harm_as_forwarded() {
    let damaged = Forwarded::from_encoded(&[0x26, 0x00, 0x09, b'k', 0xFF]);
    assert_eq!(damaged.content_type(), None);
    assert_eq!(damaged.user_properties().iter().count(), 0);
    assert_eq!(format!("{damaged:?}"), "[]");
}

#[test]
fn identifiers_of_a_publish_are_seen_mqtt_3_3_4_6() {
    for (notation, ids) in
        [("30 { ('a') { 0B 01 0B 8001 0B 03 } }", &[1, 128, 3][..]), ("30 { ('a') {} }", &[])]
    {
        let bytes = bytes(notation);
        let decoded = decode(&bytes, Version::V5, SIZE_MAX).unwrap().unwrap().0;
        let Packet::Publish(publish) = decoded else { panic!("{decoded:?}") };
        assert!(publish.subscription_ids.iter().eq(ids.iter().copied()));
        assert_eq!(publish.subscription_ids.is_empty(), ids.is_empty());
    }
}

#[test]
fn mqtt_3_1_1_gets_a_publish_without_properties() {
    let publish = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: PacketId::new(7),
        topic_alias: Some(1),
        message_expiry_interval_s: Some(10),
        subscription_ids: SubscriptionIds::List(&[1]),
        forwarded: Forwarded::from_encoded(b"\x01\x01"),
        ..Publish::new("a", b"x")
    };
    let mut out = Vec::new();
    Packet::Publish(publish).encode(Version::V3_1_1, &mut out).unwrap();
    assert_eq!(out, bytes("32 { ('a') 0007 'x' }"));
}

#[test]
fn dup_is_left_out_at_qos_0_mqtt_3_3_1_2() {
    let publish = Publish { dup: true, packet_id: PacketId::new(7), ..Publish::new("a", b"x") };
    let mut out = Vec::new();
    Packet::Publish(publish).encode(Version::V5, &mut out).unwrap();
    assert_eq!(out, bytes("30 { ('a') {} 'x' }"));
}

#[test]
fn a_publish_that_cannot_be_said_is_refused_without_a_byte() {
    let no_id = Publish { qos: QoS::AtLeastOnce, ..Publish::new("a", b"") };
    let alias = Publish { topic_alias: Some(1), ..Publish::new("", b"") };
    let zero = Publish { subscription_ids: SubscriptionIds::List(&[0]), ..Publish::new("a", b"") };
    let large =
        Publish { subscription_ids: SubscriptionIds::List(&[1 << 28]), ..Publish::new("a", b"") };
    let text = "x".repeat(65_536);
    for (publish, version, error) in [
        (no_id, Version::V3_1_1, EncodeError::PacketIdMissing),
        (no_id, Version::V5, EncodeError::PacketIdMissing),
        (alias, Version::V3_1_1, EncodeError::TopicEmpty),
        (Publish::new("", b""), Version::V5, EncodeError::TopicEmpty),
        (zero, Version::V5, EncodeError::SubscriptionIdOutOfRange(0)),
        (large, Version::V5, EncodeError::SubscriptionIdOutOfRange(1 << 28)),
        (Publish::new(&text, b""), Version::V5, EncodeError::FieldTooLong(65_536)),
    ] {
        let mut out = vec![0xEE];
        assert_eq!(Packet::Publish(publish).encode(version, &mut out), Err(error));
        assert_eq!(encode_publish(&publish, version, &mut out), Err(error));
        assert_eq!(out, [0xEE]);
    }
    let mut out = Vec::new();
    assert_eq!(Packet::Publish(alias).encode(Version::V5, &mut out), Ok(()));
    assert_eq!(Packet::Publish(large).encode(Version::V3_1_1, &mut out), Ok(()));
}

#[test]
fn a_relayed_publish_is_the_same_packet() {
    // Content Type "x", as often as it takes to need a longer length.
    let property = [0x26, 0, 1, b'a', 0, 1, b'b'];
    let lengths = [0, 1, 18, 19, 2_400];
    let texts = ["a", "a/b", &"t".repeat(65_535)];
    let payload = vec![7; 20_000];
    for (version, topic) in [Version::V3_1_1, Version::V5]
        .into_iter()
        .flat_map(|version| texts.map(|topic| (version, topic)))
    {
        for (dup, retain, qos) in [
            (false, false, QoS::AtMostOnce),
            (true, true, QoS::AtMostOnce),
            (true, false, QoS::AtLeastOnce),
            (false, true, QoS::ExactlyOnce),
        ] {
            for (properties, ids) in lengths
                .iter()
                .flat_map(|len| [(len, &[][..]), (len, &[1, 127, 128, 268_435_455][..])])
            {
                let encoded = property.repeat(*properties);
                let payload = &payload[..properties * 8];
                let relayed = RelayedPublish {
                    dup,
                    qos,
                    retain,
                    topic: topic.as_bytes(),
                    topic_alias: (properties % 3 == 1).then_some(300),
                    packet_id: (qos > QoS::AtMostOnce).then_some(PacketId::MAX),
                    message_expiry_interval_s: (properties % 2 == 1).then_some(10),
                    subscription_ids: ids,
                    forwarded: Forwarded::from_encoded(&encoded),
                    payload,
                };
                let packet = Packet::Publish(Publish {
                    dup,
                    qos,
                    retain,
                    packet_id: relayed.packet_id,
                    topic_alias: relayed.topic_alias,
                    message_expiry_interval_s: relayed.message_expiry_interval_s,
                    subscription_ids: SubscriptionIds::List(ids),
                    forwarded: relayed.forwarded,
                    ..Publish::new(topic, payload)
                });
                let (mut expected, mut out) = (vec![0xEE], vec![0xEE]);
                packet.encode(version, &mut expected).unwrap();
                relayed.encode(version, &mut out).unwrap();
                assert!(out == expected, "{relayed:?}");
                assert_eq!(relayed.encoded_len(version), expected.len() - 1);
            }
        }
    }
}

#[test]
fn the_place_of_the_packet_identifier_is_told() {
    let mut out = vec![0xEE];
    let publish = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: PacketId::new(0x1234),
        ..Publish::new("a/b", b"payload")
    };
    let at = encode_publish(&publish, Version::V5, &mut out).unwrap().unwrap();
    assert_eq!(out[at..at + 2], [0x12, 0x34]);
    assert_eq!(encode_publish(&Publish::new("a", b""), Version::V5, &mut out), Ok(None));
}
