//! Receive Maximum, Maximum Packet Size, clients that do not read.

use std::time::{Duration, Instant};

use flotilla_tests::{
    Connect, Link, Packet, Property, Publish, Scene, Settings, every_link,
    packet::{PINGREQ, frame, puback, pubcomp, pubrec, pubrec_with, pubrel},
    v5_links, v311_links,
};

every_link! { a_client_that_does_not_read_costs_only_itself, nothing_is_lost_for_a_slow_reader }
v5_links! {
    broker_keeps_to_the_receive_maximum,
    quota_comes_back_with_pubcomp,
    client_above_the_receive_maximum,
    receive_maximum_counts_what_is_open,
    broker_keeps_to_the_maximum_packet_size,
    small_packets_only,
}
v311_links! { broker_keeps_to_its_own_maximum }

/// [MQTT-3.3.4-9], [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3]: QoS 0 and
/// answers pass by.
fn broker_keeps_to_the_receive_maximum(link: Link) {
    let scene = Scene::shared(link);
    for maximum in [1_u16, 3] {
        let connect = Connect::new(scene.id("a")).with(Property::ReceiveMaximum(maximum));
        let (mut client, _, _) = scene.connect_with(&connect);
        client.subscribe(&scene.topic("x"), 1);
        let mut publisher = scene.connect("publisher");
        for number in 0..10 {
            publisher.publish(&scene.topic("x"), number.to_string(), 1);
        }
        publisher.publish(&scene.topic("x"), "passes by", 0);
        let mut under_way = Vec::new();
        for number in 0..usize::from(maximum) {
            under_way.push(client.await_publish());
            assert_eq!(under_way[number].text(), number.to_string());
        }
        let passing = client.await_publish();
        assert_eq!((passing.text(), passing.qos), ("passes by", 0));
        client.send(PINGREQ);
        client.expect(&Packet::Pingresp);
        for number in usize::from(maximum)..10 {
            client.send(&puback(under_way.remove(0).id));
            let next = client.await_publish();
            assert_eq!(next.text(), number.to_string());
            under_way.push(next);
            client.send(PINGREQ);
            client.expect(&Packet::Pingresp);
        }
    }
}

/// [MQTT-4.9.0-2], section 4.9: PUBREC does not free it, PUBCOMP does, a refusing PUBREC does.
fn quota_comes_back_with_pubcomp(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a")).with(Property::ReceiveMaximum(1));
    let (mut client, _, _) = scene.connect_with(&connect);
    client.subscribe(&scene.topic("x"), 2);
    let mut publisher = scene.connect("publisher");
    for number in 0..3 {
        publisher.publish(&scene.topic("x"), number.to_string(), 2);
    }
    let first = client.await_publish();
    client.send(&pubrec(first.id));
    client.await_pubrel(first.id);
    client.send(PINGREQ);
    client.expect(&Packet::Pingresp);
    client.send(&pubcomp(first.id));
    let second = client.await_publish();
    assert_eq!(second.text(), "1");
    client.send(&pubrec_with(second.id, 0x80));
    assert_eq!(client.take().text(), "2");
}

/// [MQTT-3.3.4-7]: 0x93.
fn client_above_the_receive_maximum(link: Link) {
    let settings = Settings::new().tables("[limits]\nreceive_max = 5");
    let scene = Scene::alone(link, settings);
    let (mut client, _, properties) = scene.connect_with(&Connect::new("a"));
    assert!(properties.contains(&Property::ReceiveMaximum(5)), "{properties:?}");
    for id in 1..=5 {
        client.send(&Publish::new("x", "x").qos(2, id).bytes(link.version));
        client.await_pubrec(id);
    }
    // The same message again is not another one.
    client.send(&Publish::new("x", "x").qos(2, 5).dup().bytes(link.version));
    client.await_pubrec(5);
    client.send(&Publish::new("x", "x").qos(2, 6).bytes(link.version));
    client.expect_refused(&[0x93]);
}

/// Section 4.9: what is complete does not count, nor does QoS 0.
fn receive_maximum_counts_what_is_open(link: Link) {
    let settings = Settings::new().tables("[limits]\nreceive_max = 2");
    let scene = Scene::alone(link, settings);
    let mut client = scene.connect("a");
    for _ in 0..5 {
        client.send(&Publish::new("x", "x").qos(2, 1).bytes(link.version));
        client.send(&Publish::new("x", "x").qos(2, 2).bytes(link.version));
        for _ in 0..5 {
            client.publish("x", "x", 0);
        }
        client.await_pubrec(1);
        client.await_pubrec(2);
        client.send(&[pubrel(1), pubrel(2)].concat());
        client.await_pubcomp(1);
        client.await_pubcomp(2);
        client.publish("x", "x", 1);
    }
    client.ping();
}

/// MQTT 3.1.1 has no Receive Maximum: `inflight_max` of the broker holds.
fn broker_keeps_to_its_own_maximum(link: Link) {
    let scene = Scene::alone(link, Settings::new().tables("[session]\ninflight_max = 4"));
    let mut client = scene.connect("a");
    client.subscribe("x", 1);
    let mut publisher = scene.connect("publisher");
    for number in 0..10 {
        publisher.publish("x", number.to_string(), 1);
    }
    let under_way: Vec<Publish> = (0..4).map(|_| client.await_publish()).collect();
    client.send(PINGREQ);
    client.expect(&Packet::Pingresp);
    for (number, publish) in under_way.iter().enumerate() {
        client.send(&puback(publish.id));
        assert_eq!(client.await_publish().text(), (number + 4).to_string());
    }
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25]: too large is as good as delivered; the size is that of the
/// whole packet, so the largest that fits arrives.
fn broker_keeps_to_the_maximum_packet_size(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a"))
        .with(Property::MaximumPacketSize(100))
        .with(Property::ReceiveMaximum(1));
    let (mut client, _, _) = scene.connect_with(&connect);
    client.subscribe(&scene.topic("x"), 2);
    let mut publisher = scene.connect("publisher");
    for qos in 0..=2 {
        let overhead = Publish::new(scene.topic("x"), "").qos(qos, 0).bytes(link.version).len();
        let fits = vec![b'x'; 100 - overhead];
        publisher.publish(&scene.topic("x"), vec![b'x'; 101 - overhead], qos);
        publisher.publish(&scene.topic("x"), vec![b'x'; 5_000], qos);
        publisher.publish(&scene.topic("x"), &fits, qos);
        assert_eq!(client.take().payload, fits, "QoS {qos}");
    }
}

/// [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2],
/// [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2], [MQTT-3.7.2-3],
/// [MQTT-3.9.2-1], [MQTT-3.9.2-2], [MQTT-3.11.2-1], [MQTT-3.11.2-2], [MQTT-3.14.2-3],
/// [MQTT-3.14.2-4]: a client that takes few bytes gets every answer nonetheless.
fn small_packets_only(link: Link) {
    const SIZE: u32 = 32;
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a")).with(Property::MaximumPacketSize(SIZE));
    let (mut client, _, _) = scene.connect_with(&connect);
    assert_eq!(client.subscribe_with(&[(&"a/".repeat(40), 0)], &[]), [0x8F]);
    assert_eq!(client.unsubscribe(&["never"]), [0x11]);
    assert_eq!(client.try_publish(Publish::new("$SYS/x", "x").qos(1, 0)), 0x87);
    assert_eq!(client.try_publish(Publish::new("$SYS/x", "x").qos(2, 0)), 0x87);
    client.send(&pubrec(4_711));
    client.await_pubrel(4_711);
    client.send(&pubrel(4_711));
    client.await_pubcomp(4_711);
    client.send(&frame(0x36, &[]));
    client.expect_refused(&[0x81]);
    assert!(client.largest_packet() <= SIZE as usize, "{} bytes", client.largest_packet());
}

/// Megabytes for a client that does not read: others are served meanwhile, memory stays bounded.
fn a_client_that_does_not_read_costs_only_itself(link: Link) {
    const MESSAGES: usize = 1_500;
    let scene = Scene::alone(link, Settings::new());
    let mut deaf = scene.connect("deaf");
    deaf.subscribe("x", 0);
    let mut reader = scene.connect("reader");
    reader.subscribe("y", 1);
    let mut publisher = scene.connect("publisher");
    publisher.publish("y", "warm", 1);
    reader.take();
    let before = scene.broker().resident_bytes();
    let payload = vec![b'x'; 64 * 1024];
    let mut slowest = Duration::ZERO;
    for number in 0..MESSAGES {
        publisher.publish("x", &payload, 0);
        if number % 100 == 0 {
            let asked = Instant::now();
            publisher.publish("y", number.to_string(), 1);
            assert_eq!(reader.take().text(), number.to_string());
            slowest = slowest.max(asked.elapsed());
        }
    }
    let grown = scene.broker().resident_bytes().saturating_sub(before);
    let sent = (MESSAGES * payload.len()) as u64;
    assert!(grown < sent / 2, "{grown} bytes more for {sent} bytes that nobody reads");
    assert!(slowest < Duration::from_secs(5), "a reader waited {slowest:?}");
}

/// QoS 1 and 2 for one who reads late: it is all there.
fn nothing_is_lost_for_a_slow_reader(link: Link) {
    const MESSAGES: usize = 400;
    let scene = Scene::shared(link);
    let (mut slow, _) = scene.resume("slow");
    slow.subscribe(&scene.topic("x"), 2);
    let mut publisher = scene.connect("publisher");
    let payload = "x".repeat(20_000);
    for number in 0..MESSAGES {
        let qos = 1 + (number % 2) as u8;
        publisher.publish(&scene.topic("x"), format!("{number} {payload}"), qos);
    }
    // Of one QoS they keep their order [MQTT-4.6.0-5].
    let mut next = [0, 1];
    for _ in 0..MESSAGES {
        let publish = slow.take();
        let next = &mut next[usize::from(publish.qos - 1)];
        assert!(publish.text().starts_with(&format!("{next} ")), "{next} is missing");
        *next += 2;
    }
}
