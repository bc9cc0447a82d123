//! The exchanges of QoS 0, 1, 2 with the client as sender or receiver, connection unbroken.

use flotilla_tests::{
    Ack, Link, Packet, Publish, Scene, Version, every_link,
    packet::{PINGREQ, frame, puback, pubcomp, pubrec, pubrec_with, pubrel},
    v5_links,
};

every_link! {
    qos_is_the_lower_of_published_and_granted,
    versions_understand_each_other,
    puback_follows_each_publish,
    packet_id_is_free_after_puback,
    qos_2_is_delivered_once,
    pubrel_is_answered_each_time,
    packet_id_is_free_after_pubcomp,
    dup_is_not_passed_on,
    acknowledgements_keep_the_order,
    messages_keep_the_order,
    packet_ids_of_both_directions_do_not_meet,
    acknowledgements_that_nobody_asked_for,
    packet_ids_up_to_the_highest,
}
v5_links! {
    refused_pubrec_ends_the_exchange,
    packet_id_is_free_after_a_refusal,
    reason_codes_in_all_acknowledgements,
}

/// [MQTT-3.8.4-8], [MQTT-3.3.4-1], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]
fn qos_is_the_lower_of_published_and_granted(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let mut subscriber = scene.connect("subscriber");
    for granted in 0..=2 {
        let topic = scene.topic(&format!("granted/{granted}"));
        subscriber.subscribe(&topic, granted);
        for published in 0..=2 {
            publisher.publish(&topic, "x", published);
            let publish = subscriber.take();
            assert_eq!(publish.qos, granted.min(published), "{granted} granted, {published} sent");
            assert!(!publish.dup && !publish.retain);
        }
    }
}

/// A message crosses from each version to the other.
fn versions_understand_each_other(link: Link) {
    let scene = Scene::shared(link);
    let other = if link.is_v5() { Version::V311 } else { Version::V5 };
    let mut publisher = scene.connect("publisher");
    let mut subscriber = scene.connect_as(other, "subscriber");
    subscriber.subscribe(&scene.topic("+"), 2);
    for qos in 0..=2 {
        publisher.publish(&scene.topic("x"), "hello", qos);
        let expected = (scene.topic("x"), "hello".to_owned(), qos, false);
        assert_eq!(subscriber.take_content(), expected);
    }
}

/// [MQTT-4.3.2-4], [MQTT-2.2.1-5]; MQTT 5 may say that nobody subscribes (0x10).
fn puback_follows_each_publish(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    for id in [1, 0x0100, 0xFFFF] {
        client.send(&Publish::new(scene.topic("x"), "x").qos(1, id).bytes(link.version));
        let answer = client.next_packet();
        let Packet::Puback(Ack { id: of, code: 0x00 | 0x10, .. }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(of, id);
    }
}

/// [MQTT-4.3.2-5]: even with DUP it is a new message.
fn packet_id_is_free_after_puback(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 1);
    for number in 0..3 {
        let publish = Publish::new(scene.topic("x"), number.to_string()).qos(1, 7).dup();
        client.send(&publish.bytes(link.version));
        client.await_puback(7);
        assert_eq!(client.take().text(), number.to_string());
    }
}

/// [MQTT-4.3.3-8], [MQTT-4.3.3-10]: the same Packet Identifier before PUBREL is the same message.
fn qos_2_is_delivered_once(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 0);
    let publish = Publish::new(scene.topic("x"), "once").qos(2, 7);
    for attempt in [publish.clone(), publish.clone().dup(), publish] {
        client.send(&attempt.bytes(link.version));
        assert!(client.await_pubrec(7).code < 0x80);
    }
    client.send(&pubrel(7));
    assert_eq!(client.await_pubcomp(7).code, 0);
    client.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_until("end"), ["once"]);
}

/// [MQTT-4.3.3-11]: MQTT 5 may say that it knows none (0x92).
fn pubrel_is_answered_each_time(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.send(&Publish::new(scene.topic("x"), "x").qos(2, 7).bytes(link.version));
    client.await_pubrec(7);
    client.send(&pubrel(7));
    assert_eq!(client.await_pubcomp(7).code, 0);
    client.send(&pubrel(7));
    let again = if link.is_v5() { 0x92 } else { 0 };
    assert_eq!(client.await_pubcomp(7).code, again);
    client.send(&pubrel(99));
    assert_eq!(client.await_pubcomp(99).code, again);
}

/// [MQTT-4.3.3-12]
fn packet_id_is_free_after_pubcomp(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 0);
    for number in 0..3 {
        let publish = Publish::new(scene.topic("x"), number.to_string()).qos(2, 7);
        client.send(&publish.bytes(link.version));
        client.await_pubrec(7);
        client.send(&pubrel(7));
        client.await_pubcomp(7);
        assert_eq!(client.take().text(), number.to_string());
    }
}

/// [MQTT-3.3.1-3], [MQTT-3.3.1-2]
fn dup_is_not_passed_on(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    for qos in 1..=2 {
        client.publish_packet(Publish::new(scene.topic("x"), "x").qos(qos, 0).dup());
        assert!(!client.take().dup);
    }
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]: as the packets came, also when they came in one piece.
fn acknowledgements_keep_the_order(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let topic = scene.topic("x");
    let bytes = |qos| -> Vec<u8> {
        (1..=100)
            .flat_map(|id| Publish::new(&topic, "x").qos(qos, id).bytes(link.version))
            .collect()
    };
    client.send(&bytes(1));
    for id in 1..=100 {
        let answer = client.next_packet();
        assert!(matches!(&answer, Packet::Puback(ack) if ack.id == id), "{answer:?} for {id}");
    }
    client.send(&bytes(2));
    for id in 1..=100 {
        let answer = client.next_packet();
        assert!(matches!(&answer, Packet::Pubrec(ack) if ack.id == id), "{answer:?} for {id}");
    }
    client.send(&(1..=100).flat_map(pubrel).collect::<Vec<u8>>());
    for id in 1..=100 {
        let answer = client.next_packet();
        assert!(matches!(&answer, Packet::Pubcomp(ack) if ack.id == id), "{answer:?} for {id}");
    }
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]: of one client, on one topic, with one QoS.
fn messages_keep_the_order(link: Link) {
    const MESSAGES: usize = 150;
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let mut subscriber = scene.connect("subscriber");
    subscriber.subscribe(&scene.topic("+"), 2);
    for qos in 0..=2 {
        let topic = scene.topic(&format!("qos{qos}"));
        let mut bytes = Vec::new();
        for number in 0..MESSAGES {
            let publish = Publish::new(&topic, number.to_string()).qos(qos, number as u16 + 1);
            bytes.extend(publish.bytes(link.version));
        }
        publisher.send(&bytes);
        // A broker may pass a message of QoS 2 on at PUBLISH or at PUBREL.
        for id in (1..=MESSAGES as u16).filter(|_| qos == 2) {
            publisher.await_pubrec(id);
            publisher.send(&pubrel(id));
            publisher.await_pubcomp(id);
        }
        for number in 0..MESSAGES {
            assert_eq!(subscriber.take().text(), number.to_string(), "QoS {qos}");
        }
    }
}

/// [MQTT-4.3.3-9]: the number of a message that was refused is free at once.
fn packet_id_is_free_after_a_refusal(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 0);
    client.send(&Publish::new("$SYS/x", "refused").qos(2, 7).bytes(link.version));
    assert_eq!(client.await_pubrec(7).code, 0x87);
    client.send(&Publish::new(scene.topic("x"), "accepted").qos(2, 7).bytes(link.version));
    assert_eq!(client.await_pubrec(7).code, 0);
    client.send(&pubrel(7));
    assert_eq!(client.await_pubcomp(7).code, 0);
    assert_eq!(client.take().text(), "accepted");
}

/// [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1], section 2.2.1: each side has its own.
fn packet_ids_of_both_directions_do_not_meet(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let mut publisher = scene.connect("publisher");
    client.subscribe(&scene.topic("in"), 2);
    publisher.publish(&scene.topic("in"), "one", 2);
    publisher.publish(&scene.topic("in"), "two", 1);
    let one = client.await_publish();
    let two = client.await_publish();
    assert_ne!(one.id, two.id, "two messages under way");
    // The client uses the same numbers for messages of its own, in the same state.
    client.send(&Publish::new(scene.topic("out"), "x").qos(2, one.id).bytes(link.version));
    client.await_pubrec(one.id);
    client.send(&Publish::new(scene.topic("out"), "x").qos(1, two.id).bytes(link.version));
    client.await_puback(two.id);
    client.acknowledge(&one);
    client.acknowledge(&two);
    client.send(&pubrel(one.id));
    assert_eq!(client.await_pubcomp(one.id).code, 0);
    publisher.publish(&scene.topic("in"), "three", 2);
    assert_eq!(client.take().text(), "three");
}

/// An acknowledgement of nothing does no harm; PUBREC is answered so that the client is not stuck.
fn acknowledgements_that_nobody_asked_for(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    client.send(&puback(4_711));
    client.send(&pubcomp(4_711));
    client.ping();
    client.send(&pubrec(4_711));
    let release = client.await_pubrel(4_711);
    assert_eq!(release.code, if link.is_v5() { 0x92 } else { 0 });
    client.send(&pubcomp(4_711));
    client.publish(&scene.topic("x"), "still there", 2);
    assert_eq!(client.take().text(), "still there");
}

/// [MQTT-2.2.1-3]: any Packet Identifier but 0; the broker goes round, too.
fn packet_ids_up_to_the_highest(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let topic = scene.topic("x");
    for id in [65_534, 65_535, 1, 2] {
        let bytes = Publish::new(&topic, "x").qos(2, id).bytes(link.version);
        client.send(&bytes);
        client.await_pubrec(id);
        client.send(&pubrel(id));
        client.await_pubcomp(id);
    }
}

/// [MQTT-4.3.3-4], [MQTT-4.4.0-2]: after PUBREC with 0x80 or above no PUBREL, nothing again, and
/// the quota is back.
fn refused_pubrec_ends_the_exchange(link: Link) {
    let scene = Scene::shared(link);
    let connect = flotilla_tests::Connect::persistent(scene.id("a"))
        .with(flotilla_tests::Property::ReceiveMaximum(1));
    let (mut client, _, _) = scene.connect_with(&connect);
    let mut publisher = scene.connect("publisher");
    client.subscribe(&scene.topic("x"), 2);
    for payload in ["refused", "next"] {
        publisher.publish(&scene.topic("x"), payload, 2);
    }
    let refused = client.await_publish();
    client.send(&pubrec_with(refused.id, 0x97));
    client.send(PINGREQ);
    let next = loop {
        match client.next_packet() {
            Packet::Pingresp => {}
            Packet::Publish(publish) => break publish,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next.text(), "next");
    client.cut();

    let (mut client, session_present, _) = scene.connect_with(&connect);
    assert!(session_present);
    publisher.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_until("end"), ["next"]);
}

/// Sections 3.4.2.1 to 3.7.2.1: without Reason Code, with it, with properties.
fn reason_codes_in_all_acknowledgements(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    let tails: [&[u8]; 4] = [&[], &[0], &[0, 0], &[0, 7, 0x26, 0, 1, b'k', 0, 1, b'v']];
    for tail in tails {
        let ack = |first, id: u16| frame(first, &[&id.to_be_bytes(), tail].concat());
        client.send(&Publish::new(scene.topic("x"), "2").qos(2, 7).bytes(link.version));
        client.await_pubrec(7);
        client.send(&ack(0x62, 7));
        assert_eq!(client.await_pubcomp(7).code, 0, "PUBREL {tail:?}");
        let publish = client.await_publish();
        client.send(&ack(0x50, publish.id));
        assert_eq!(client.await_pubrel(publish.id).code, 0, "PUBREC {tail:?}");
        client.send(&ack(0x70, publish.id));
        client.send(&Publish::new(scene.topic("x"), "1").qos(1, 8).bytes(link.version));
        client.await_puback(8);
        let publish = client.await_publish();
        client.send(&ack(0x40, publish.id));
    }
    client.ping();
}
