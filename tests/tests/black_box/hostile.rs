//! Packets that break a rule: each costs its connection, with the Reason Code of the rule.

use flotilla_tests::{
    Connect, Link, Packet, Property, Publish, Scene,
    packet::{disconnect_with, field, frame, subscribe},
    v5_links,
};

v5_links! { each_fault_has_its_code, each_fault_of_connect_has_its_code }

/// What is wrong, the packet, the code.
type Fault = (&'static str, Vec<u8>, u8);

/// PUBLISH to `a` with these properties.
fn publish(properties: &[Property]) -> Vec<u8> {
    let publish = Publish::new("a", "x");
    let publish =
        properties.iter().fold(publish, |publish, property| publish.with(property.clone()));
    publish.bytes(Link::V5_TCP.version)
}

fn subscribe_to(filter: &str, options: u8, properties: &[Property]) -> Vec<u8> {
    subscribe(Link::V5_TCP.version, 1, &[(filter, options)], properties)
}

fn faults() -> Vec<Fault> {
    let expiry = Property::MessageExpiry(1);
    let topic = |topic: &str| Publish::new(topic, "x").bytes(Link::V5_TCP.version);
    vec![
        ("packet type 0", vec![0x00, 0x00], 0x81),
        ("QoS 3", frame(0x36, &[0, 1, b'a', 0, 1, 0]), 0x81),
        ("DUP at QoS 0", frame(0x38, &[0, 1, b'a', 0]), 0x81),
        ("reserved flags", frame(0x83, &[0, 1, 0, 0, 1, b'a', 0]), 0x81),
        ("a length of five bytes", vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01], 0x81),
        ("a string beyond the end", frame(0x30, &[0, 9, b'a']), 0x81),
        ("a string that is not UTF-8", frame(0x30, &[0, 1, 0xFF, 0]), 0x81),
        ("U+0000 in a topic", frame(0x30, &[0, 1, 0, 0]), 0x81),
        ("bytes behind the end", frame(0xC0, &[0]), 0x81),
        ("an unknown property", frame(0x30, &[0, 1, b'a', 2, 0x7F, 0]), 0x81),
        ("a Reason Code of others", frame(0x40, &[0, 1, 0x92]), 0x82),
        ("a property twice", publish(&[expiry.clone(), expiry]), 0x82),
        ("a Subscription Identifier from a client", publish(&[Property::SubscriptionId(1)]), 0x82),
        (
            "a Subscription Identifier of 0",
            subscribe_to("a", 0, &[Property::SubscriptionId(0)]),
            0x82,
        ),
        ("no topic, no alias", topic(""), 0x82),
        ("an alias that was never set", frame(0x30, &[0, 0, 3, 0x23, 0, 1]), 0x82),
        ("no filter", frame(0x82, &[0, 1, 0]), 0x82),
        ("Retain Handling 3", subscribe_to("a", 0x30, &[]), 0x82),
        ("No Local on a group", subscribe_to("$share/g/a", 0x04, &[]), 0x82),
        ("a second CONNECT", Connect::new("again").bytes(Link::V5_TCP.version), 0x82),
        ("a packet of servers", frame(0x20, &[0, 0, 0]), 0x82),
        ("AUTH without a method", frame(0xF0, &[0x19, 0]), 0x82),
        ("an expiry that begins at 0", disconnect_with(0, &[Property::SessionExpiry(9)]), 0x82),
        ("a wildcard in the middle of a level", subscribe_to("a#", 0, &[]), 0x8F),
        ("a group without a name", subscribe_to("$share//a", 0, &[]), 0x8F),
        ("a wildcard in a topic", topic("a/+"), 0x90),
        ("a wildcard in a Response Topic", publish(&[Property::ResponseTopic("#".into())]), 0x90),
        ("alias 0", publish(&[Property::TopicAlias(0)]), 0x94),
        ("an alias above the maximum", publish(&[Property::TopicAlias(65)]), 0x94),
        ("a packet of 2 MiB", vec![0x30, 0x80, 0x80, 0x80, 0x01], 0x95),
    ]
}

/// [MQTT-4.13.1-1], [MQTT-4.13.2-1]: and others notice nothing.
fn each_fault_has_its_code(link: Link) {
    let scene = Scene::shared(link);
    let mut witness = scene.connect("witness");
    witness.subscribe(&scene.topic("witness"), 1);
    for (fault, bytes, code) in faults() {
        let mut client = scene.connect("bad");
        client.send(&bytes);
        match client.until_closed().as_slice() {
            [Packet::Disconnect(said, _)] => assert_eq!(*said, code, "{fault}"),
            other => panic!("{fault}: {other:?}"),
        }
        witness.publish(&scene.topic("witness"), fault, 1);
        assert_eq!(witness.take().text(), fault);
    }
    // More than Receive Maximum, 1,024, without a PUBREL.
    let mut client = scene.connect("bad");
    let eager = |id| Publish::new(scene.topic("x"), "x").qos(2, id).bytes(link.version);
    client.send_lossy(&(1..=1_025).flat_map(eager).collect::<Vec<u8>>());
    assert!(matches!(client.until_closed().last(), Some(Packet::Disconnect(0x93, _))));
}

/// [MQTT-3.1.4-1], [MQTT-3.1.2-2]: in CONNACK.
fn each_fault_of_connect_has_its_code(link: Link) {
    let scene = Scene::shared(link);
    let connect = |level: u8, flags: u8, properties: &[u8], payload: &[u8]| {
        let length = u8::try_from(properties.len()).expect("few");
        let head = [&field("MQTT")[..], &[level, flags, 0, 0, length], properties].concat();
        frame(0x10, &[head, payload.to_vec()].concat())
    };
    let id = field("a");
    for (fault, bytes, code) in [
        ("level 6", connect(6, 2, &[], &id), 0x84),
        ("the reserved flag", connect(5, 3, &[], &id), 0x81),
        ("Will QoS 3", connect(5, 0x1E, &[], &id), 0x81),
        ("no Client Identifier", connect(5, 2, &[], &[]), 0x81),
        ("Receive Maximum 0", connect(5, 2, &[0x21, 0, 0], &id), 0x82),
        ("Maximum Packet Size 0", connect(5, 2, &[0x27, 0, 0, 0, 0], &id), 0x82),
        ("a property twice", connect(5, 2, &[0x21, 0, 9, 0x21, 0, 9], &id), 0x82),
        ("Authentication Data alone", connect(5, 2, &[0x16, 0, 1, 0], &id), 0x82),
        ("a method that is not there", connect(5, 2, &[0x15, 0, 1, b'm'], &id), 0x8C),
    ] {
        let mut client = scene.open();
        client.send(&bytes);
        match client.until_closed().as_slice() {
            [Packet::Connack(false, said, _)] => assert_eq!(*said, code, "{fault}"),
            other => panic!("{fault}: {other:?}"),
        }
    }
}
