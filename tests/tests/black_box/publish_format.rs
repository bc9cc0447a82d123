//! PUBLISH packets, acknowledgements that break the format: the connection ends, nothing else.

use flotilla_tests::{
    Link, Packet, Property, Publish, Scene, every_link,
    packet::{field, frame},
    v5_links,
};

every_link! {
    headers_that_are_not_allowed,
    topics_that_are_not_allowed,
    flags_of_every_packet,
    packets_of_the_wrong_direction,
    packets_that_are_too_short,
    zero_width_space_is_kept,
}
v5_links! {
    properties_that_publish_may_not_have,
    user_properties_that_are_not_strings,
    reason_codes_that_do_not_exist,
}

/// The body of a PUBLISH: topic, Packet Identifier, no properties, payload.
fn body(link: Link, topic: &[u8], id: Option<u16>) -> Vec<u8> {
    let mut body = field(topic);
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    if link.is_v5() {
        body.push(0);
    }
    body.push(b'x');
    body
}

/// Connects, sends, expects the end. Another client goes on undisturbed.
#[track_caller]
fn assert_refused(scene: &Scene, bytes: &[u8], codes: &[u8]) {
    let mut client = scene.connect("bad");
    client.send(bytes);
    client.expect_refused(codes);
}

/// [MQTT-3.3.1-4], [MQTT-3.3.1-2], [MQTT-2.2.1-3]
fn headers_that_are_not_allowed(link: Link) {
    let scene = Scene::shared(link);
    assert_refused(&scene, &frame(0x36, &body(link, b"a", Some(1))), &[0x81]);
    assert_refused(&scene, &frame(0x3E, &body(link, b"a", Some(1))), &[0x81]);
    assert_refused(&scene, &frame(0x38, &body(link, b"a", None)), &[0x81, 0x82]);
    assert_refused(&scene, &frame(0x32, &body(link, b"a", Some(0))), &[0x81, 0x82]);
    assert_refused(&scene, &frame(0x34, &body(link, b"a", Some(0))), &[0x81, 0x82]);
}

/// [MQTT-3.3.2-1], [MQTT-3.3.2-2], [MQTT-4.7.0-1], [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-1.5.4-1],
/// [MQTT-1.5.4-2]
fn topics_that_are_not_allowed(link: Link) {
    let scene = Scene::shared(link);
    let topics: [&[u8]; 10] = [
        b"",
        b"#",
        b"a/#",
        b"+",
        b"a/+/b",
        b"a+",
        b"a\0b",
        b"\xFF",
        b"\xC1\xBF",
        b"a/\xED\xBF\xBF",
    ];
    for topic in topics {
        assert_refused(&scene, &frame(0x30, &body(link, topic, None)), &[0x81, 0x82, 0x90]);
        assert_refused(&scene, &frame(0x32, &body(link, topic, Some(1))), &[0x81, 0x82, 0x90]);
    }
}

/// [MQTT-2.1.3-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1],
/// [MQTT-3.15.1-1]
fn flags_of_every_packet(link: Link) {
    let scene = Scene::shared(link);
    let filter = field("a");
    let subscribe = match link.is_v5() {
        true => [&[0, 1, 0][..], &filter, &[0]].concat(),
        false => [&[0, 1][..], &filter, &[0]].concat(),
    };
    let unsubscribe = subscribe[..subscribe.len() - 1].to_vec();
    let packets: [(u8, &[u8]); 8] = [
        (0x41, &[0, 1]),
        (0x52, &[0, 1]),
        (0x60, &[0, 1]),
        (0x63, &[0, 1]),
        (0x71, &[0, 1]),
        (0x80, &subscribe),
        (0xA0, &unsubscribe),
        (0xC1, &[]),
    ];
    for (first, rest) in packets {
        assert_refused(&scene, &frame(first, rest), &[0x81]);
    }
    assert_refused(&scene, &[0xE1, 0x00], &[0x81]);
    assert_refused(&scene, &[0xF1, 0x00], &[0x81, 0x82]);
}

/// What only a broker sends, or nobody. Section 2.1.2
fn packets_of_the_wrong_direction(link: Link) {
    let scene = Scene::shared(link);
    let connack: &[u8] = if link.is_v5() { &[0, 0, 0] } else { &[0, 0] };
    let suback: &[u8] = if link.is_v5() { &[0, 1, 0, 0] } else { &[0, 1, 0] };
    assert_refused(&scene, &frame(0x20, connack), &[0x82, 0x81]);
    assert_refused(&scene, &frame(0x90, suback), &[0x82, 0x81]);
    assert_refused(&scene, &frame(0xB0, suback), &[0x82, 0x81]);
    assert_refused(&scene, &[0xD0, 0x00], &[0x82, 0x81]);
    assert_refused(&scene, &[0x00, 0x00], &[0x81, 0x82]);
    if !link.is_v5() {
        assert_refused(&scene, &[0xF0, 0x00], &[]);
    }
}

/// Nothing is read beyond the end of a packet.
fn packets_that_are_too_short(link: Link) {
    let scene = Scene::shared(link);
    for first in [0x30, 0x32, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2] {
        assert_refused(&scene, &[first, 0x00], &[0x81, 0x82]);
        assert_refused(&scene, &[first, 0x01, 0x00], &[0x81, 0x82]);
    }
    // A topic that is longer than the packet.
    assert_refused(&scene, &[0x30, 0x03, 0xFF, 0xFF, b'a'], &[0x81]);
    assert_refused(&scene, &[0xC0, 0x01, 0x00], &[0x81]);
    if !link.is_v5() {
        assert_refused(&scene, &[0x40, 0x03, 0x00, 0x01, 0x00], &[]);
        assert_refused(&scene, &[0xE0, 0x01, 0x00], &[]);
    }
}

/// [MQTT-1.5.4-3]: U+FEFF is a character like others.
fn zero_width_space_is_kept(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("+"), 0);
    let topic = scene.topic("\u{FEFF}x\u{FEFF}");
    client.publish(&topic, "\u{FEFF}y", 0);
    let publish = client.take();
    assert_eq!(publish.topic, topic);
    assert_eq!(publish.text(), "\u{FEFF}y");
}

/// [MQTT-1.5.7-1]: both strings of a User Property.
fn user_properties_that_are_not_strings(link: Link) {
    let scene = Scene::shared(link);
    for (name, value) in [(&b"\xFF"[..], &b"v"[..]), (b"n", b"\xFF"), (b"\0", b"v"), (b"n", b"\0")]
    {
        let property = [&[0x26][..], &field(name), &field(value)].concat();
        let length = u8::try_from(property.len()).expect("it is short");
        let body = [&field("a")[..], &[length], &property, b"x"].concat();
        assert_refused(&scene, &frame(0x30, &body), &[0x81]);
    }
}

/// [MQTT-3.3.4-6], [MQTT-3.3.2-13], [MQTT-3.3.2-14], [MQTT-3.3.2-19], section 3.3.2.3: twice is a
/// Protocol Error; one that PUBLISH does not have is malformed.
fn properties_that_publish_may_not_have(link: Link) {
    let scene = Scene::shared(link);
    let twice = |property: Property| vec![property.clone(), property];
    for (properties, codes) in [
        (vec![Property::SubscriptionId(1)], &[0x82][..]),
        (vec![Property::SubscriptionId(0)], &[0x82]),
        (vec![Property::ResponseTopic("a/+".into())], &[0x81, 0x82, 0x90]),
        (vec![Property::ResponseTopic("#".into())], &[0x81, 0x82, 0x90]),
        (vec![Property::PayloadFormat(2)], &[0x81, 0x82]),
        (twice(Property::MessageExpiry(1)), &[0x82]),
        (twice(Property::ContentType("a".into())), &[0x82]),
        (twice(Property::PayloadFormat(1)), &[0x82]),
        (twice(Property::TopicAlias(1)), &[0x82]),
        (vec![Property::ContentType("a\0".into())], &[0x81]),
        (vec![Property::SessionExpiry(1)], &[0x81]),
        (vec![Property::ReasonString("a".into())], &[0x81]),
        (vec![Property::WillDelay(1)], &[0x81]),
    ] {
        let publish = Publish { properties, ..Publish::new("a", "x").qos(1, 1) };
        assert_refused(&scene, &publish.bytes(link.version), codes);
    }
}

/// [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.14.2-1]: unknown ones,
/// and those of other packets.
fn reason_codes_that_do_not_exist(link: Link) {
    let scene = Scene::shared(link);
    for first in [0x40, 0x50, 0x62, 0x70] {
        for code in [0x01, 0x11, 0x7F, 0x8E, 0xFF] {
            assert_refused(&scene, &frame(first, &[0, 1, code]), &[0x81, 0x82]);
        }
    }
    // One who leaves need not hear that it left badly.
    for code in [0x01, 0x8B, 0x8E, 0xFF] {
        let mut client = scene.connect("bad");
        client.send(&frame(0xE0, &[code]));
        let last = client.until_closed();
        assert!(matches!(*last, [] | [Packet::Disconnect(0x81 | 0x82, _)]), "{last:?}");
    }
}
