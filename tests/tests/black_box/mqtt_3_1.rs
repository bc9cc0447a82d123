//! MQTT 3.1, where it is not as MQTT 3.1.1: old gateways speak it.

use flotilla_tests::{
    Client, Link, Packet, Publish, Scene, Version,
    packet::{field, frame, pubcomp, pubrec, subscribe},
};

const LINK: Link = Link::V31_TCP;

/// A CONNECT with these flags and this payload.
fn connect(flags: u8, payload: &[u8]) -> Vec<u8> {
    let head = [field("MQIsdp"), vec![3, flags, 0, 0]].concat();
    frame(0x10, &[&head, payload].concat())
}

#[track_caller]
fn expect_connack(client: &mut Client, code: u8) {
    client.expect(&Packet::Connack(false, code, vec![]));
}

/// Section 3.2: the byte for Session Present is not used; the session is there nonetheless.
#[test]
fn a_session_is_resumed_without_a_word() {
    let scene = Scene::shared(LINK);
    let mut client = scene.resume("a").0;
    client.subscribe(&scene.topic("x"), 1);
    client.disconnect();
    scene.connect_as(Version::V5, "publisher").publish(&scene.topic("x"), "kept", 1);
    let (mut client, session_present) = scene.resume("a");
    assert!(!session_present);
    assert_eq!(client.take().text(), "kept");
}

/// Section 3.1: 1 to 23 characters. More are taken: whoever sends them would not understand why not.
#[test]
fn client_ids() {
    let scene = Scene::shared(LINK);
    let mut client = scene.open();
    client.send(&connect(0x02, &field("")));
    expect_connack(&mut client, 2);
    client.expect_closed();
    for length in [1, 23, 24, 200] {
        let mut client = scene.open();
        client.send(&connect(0x02, &field("x".repeat(length))));
        expect_connack(&mut client, 0);
        client.ping();
    }
}

/// Section 3.1: the length of the packet counts for more than the flags of User Name and Password;
/// bit 0 of the flags is not used.
#[test]
fn fields_that_are_announced_and_missing() {
    let scene = Scene::shared(LINK);
    for (flags, payload) in [
        (0x03, field(scene.id("a"))),
        (0x82, field(scene.id("a"))),
        (0xC2, field(scene.id("a"))),
        (0xC2, [field(scene.id("a")), field("user")].concat()),
    ] {
        let mut client = scene.open();
        client.send(&connect(flags, &payload));
        expect_connack(&mut client, 0);
        client.ping();
    }
}

/// Section 3.9 knows no failure: the least that can be said is QoS 0, and nothing comes.
#[test]
fn a_refused_subscription_is_granted_at_qos_0() {
    let scene = Scene::shared(LINK);
    let mut client = scene.connect("a");
    let deep = scene.topic(&"a/".repeat(40));
    let codes = client.subscribe_with(&[(&scene.topic("x"), 2), (&deep, 2)], &[]);
    assert_eq!(codes, [2, 0]);
    client.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// Section 2.1: SUBSCRIBE and PUBREL may come again with DUP on the same connection.
#[test]
fn packets_that_come_again_on_the_connection() {
    let scene = Scene::shared(LINK);
    let mut client = scene.connect("a");
    let mut packet = subscribe(LINK.version, 1, &[(&scene.topic("x"), 2)], &[]);
    for first in [0x82, 0x8A] {
        packet[0] = first;
        client.send(&packet);
        client.expect(&Packet::Suback(1, vec![2], vec![]));
    }
    let publish = Publish::new(scene.topic("x"), "once").qos(2, 7);
    for publish in [publish.clone(), publish.dup()] {
        client.send(&publish.bytes(LINK.version));
        client.await_pubrec(7);
    }
    for first in [0x62, 0x6A] {
        client.send(&frame(first, &[0, 7]));
        client.await_pubcomp(7);
    }
    let got = client.await_publish();
    assert_eq!((got.text(), got.qos), ("once", 2));
    client.send(&pubrec(got.id));
    client.await_pubrel(got.id);
    client.send(&pubcomp(got.id));
    client.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// The name of one version with the level of another is neither.
#[test]
fn names_and_levels_belong_together() {
    let scene = Scene::shared(LINK);
    for (name, level) in [("MQIsdp", 4), ("MQIsdp", 5), ("MQIsdp", 0x83), ("MQTT", 3)] {
        let rest = [&field(name)[..], &[level, 2, 0, 0, 0, 1, b'a']].concat();
        let mut client = scene.open();
        client.send(&frame(0x10, &rest));
        expect_connack(&mut client, 1);
        client.expect_closed();
    }
}
