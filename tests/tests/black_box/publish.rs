//! What a PUBLISH carries, from one client to others.

use flotilla_tests::{
    Link, Property, Publish, Scene, Settings, Version, every_link, packet::frame, v5_links,
};

every_link! {
    payloads_of_every_size,
    payload_is_any_bytes,
    largest_packet_fits_and_one_byte_more_does_not,
    every_subscriber_gets_every_message,
    topics_of_the_broker_are_refused,
    publish_without_subscribers,
}
v5_links! {
    properties_arrive_unchanged,
    user_properties_keep_their_order,
    properties_do_not_reach_older_clients,
    payload_format_is_not_checked_against_the_payload_silently,
}

/// Every length of the Remaining Length, and its edges. [MQTT-1.5.5-1]
fn payloads_of_every_size(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let topic = scene.topic("x");
    client.subscribe(&topic, 1);
    let around = 2 + topic.len() + 2 + usize::from(link.is_v5());
    for remaining in [around, 127, 128, 16_383, 16_384, 300_000] {
        let payload = vec![b'x'; remaining.saturating_sub(around)];
        client.publish(&topic, &payload, 1);
        assert_eq!(client.take().payload.len(), payload.len(), "Remaining Length {remaining}");
    }
}

/// A payload is not text. At QoS 0 no Packet Identifier stands before it [MQTT-2.2.1-2].
fn payload_is_any_bytes(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    let payload: Vec<u8> = (0..=255).chain([0, 0xFF, 0xC0]).collect();
    for qos in 0..=2 {
        client.publish(&scene.topic("x"), &payload, qos);
        assert_eq!(client.take().payload, payload);
    }
}

/// [MQTT-3.2.2-15]: the whole packet counts; 0x95 above.
fn largest_packet_fits_and_one_byte_more_does_not(link: Link) {
    let settings = Settings::new().tables("[limits]\npacket_size_max = \"2KiB\"");
    let scene = Scene::alone(link, settings);
    let sized = |size: usize| {
        let empty = Publish::new("t", "").bytes(link.version).len();
        // One more byte for the longer Remaining Length.
        Publish::new("t", vec![b'x'; size - empty - 1]).bytes(link.version)
    };
    let mut client = scene.connect("a");
    client.subscribe("t", 0);
    assert_eq!(sized(2048).len(), 2048);
    client.send(&sized(2048));
    client.take();
    client.send(&sized(2049));
    client.expect_refused(&[0x95]);
}

/// [MQTT-4.5.0-1]
fn every_subscriber_gets_every_message(link: Link) {
    let scene = Scene::shared(link);
    let mut subscribers: Vec<_> =
        (0..6).map(|number| scene.connect(&format!("subscriber{number}"))).collect();
    for subscriber in &mut subscribers {
        subscriber.subscribe(&scene.topic("#"), 1);
    }
    let mut publishers: Vec<_> =
        (0..3).map(|number| scene.connect(&format!("publisher{number}"))).collect();
    for round in 0..10 {
        for (number, publisher) in publishers.iter_mut().enumerate() {
            publisher.publish(&scene.topic(&number.to_string()), round.to_string(), 1);
        }
    }
    for subscriber in &mut subscribers {
        let mut next = [0; 3];
        for _ in 0..30 {
            let publish = subscriber.take();
            let number = publish.topic.rsplit('/').next().and_then(|it| it.parse::<usize>().ok());
            let next = &mut next[number.expect("the publisher's number")];
            assert_eq!(publish.text(), next.to_string());
            *next += 1;
        }
    }
}

/// The broker owns `$SYS` and `$dead`: MQTT 5 is told so, MQTT 3.1.1 has no word for it and must
/// not be led to believe that all is well. The message goes nowhere in either case.
fn topics_of_the_broker_are_refused(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    for filter in ["$SYS/flotilla-tests/#", "$dead/flotilla-tests/#"] {
        let codes = watcher.subscribe_with(&[(filter, 0)], &[]);
        assert_eq!(codes.len(), 1);
    }
    watcher.subscribe(&scene.topic("#"), 0);
    for topic in ["$SYS/flotilla-tests/x", "$dead/flotilla-tests/x"] {
        for qos in 1..=2 {
            let mut client = scene.connect("a");
            let publish = Publish::new(topic, "forged").qos(qos, 1);
            if link.is_v5() {
                assert_eq!(client.try_publish(publish), 0x87, "{topic}");
                client.ping();
            } else {
                client.send(&publish.bytes(link.version));
                client.expect_closed();
            }
        }
        let mut client = scene.connect("a");
        client.publish(topic, "forged", 0);
        client.ping();
    }
    let mut publisher = scene.connect("publisher");
    publisher.publish(&scene.topic("x"), "genuine", 1);
    assert_eq!(watcher.take().text(), "genuine");
}

/// Nobody wants it: it is acknowledged nonetheless, with 0x10 in MQTT 5 (docs/choices.md).
fn publish_without_subscribers(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let expected = if link.is_v5() { 0x10 } else { 0 };
    for qos in 1..=2 {
        let publish = Publish::new(scene.topic("nobody"), "x").qos(qos, 0);
        assert_eq!(client.try_publish(publish.clone()), expected);
        assert_eq!(client.try_publish(publish.retained()), expected);
    }
    client.publish(&scene.topic("nobody"), "x", 0);
    client.ping();
}

fn all_forwarded() -> Vec<Property> {
    vec![
        Property::PayloadFormat(1),
        Property::ContentType("text/plain; charset=utf-8".into()),
        Property::ResponseTopic("answers/here".into()),
        Property::CorrelationData(vec![0, 0xFF, 1]),
        Property::user("site", "a"),
        Property::user("", ""),
    ]
}

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-20],
/// [MQTT-2.2.2-1]
fn properties_arrive_unchanged(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    for qos in 0..=2 {
        let publish = Publish {
            properties: all_forwarded(),
            ..Publish::new(scene.topic("x"), "x").qos(qos, 0)
        };
        client.publish_packet(publish);
        let mut got = client.take().properties;
        let mut expected = all_forwarded();
        // The order of different properties means nothing.
        got.sort_by_key(|property| format!("{property:?}"));
        expected.sort_by_key(|property| format!("{property:?}"));
        assert_eq!(got, expected);
    }
}

/// [MQTT-3.3.2-17], [MQTT-3.3.2-18]: names may come twice.
fn user_properties_keep_their_order(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 1);
    let pairs = [("z", "1"), ("a", "2"), ("z", "3"), ("z", "1"), ("é", "\u{FEFF}"), ("", "")];
    let properties: Vec<Property> =
        pairs.iter().map(|(name, value)| Property::user(name, value)).collect();
    let publish = Publish::new(scene.topic("x"), "x").qos(1, 0);
    client.publish_packet(Publish { properties: properties.clone(), ..publish });
    assert_eq!(client.take().properties, properties);
}

/// MQTT 3.1.1 has no properties; topic and payload arrive.
fn properties_do_not_reach_older_clients(link: Link) {
    let scene = Scene::shared(link);
    let mut older = scene.connect_as(Version::V311, "older");
    older.subscribe(&scene.topic("x"), 1);
    let mut client = scene.connect("a");
    let publish = Publish::new(scene.topic("x"), "hello").qos(1, 0);
    client.publish_packet(Publish { properties: all_forwarded(), ..publish });
    assert_eq!(older.take().payload, b"hello");
}

/// Section 3.3.2.3.2: a broker may check; if it does, it says 0x99. Otherwise it passes it on.
fn payload_format_is_not_checked_against_the_payload_silently(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 1);
    let lie = Publish::new(scene.topic("x"), [0xFF]).qos(1, 0).with(Property::PayloadFormat(1));
    let code = client.try_publish(lie);
    match code {
        0x99 => {}
        0x00 => assert_eq!(client.take().properties, [Property::PayloadFormat(1)]),
        other => panic!("0x{other:02X}"),
    }
    let bytes = frame(0x30, &[0, 1, b'a', 2, 0x01, 2, b'x']);
    client.send(&bytes);
    client.expect_refused(&[0x81, 0x82]);
}
