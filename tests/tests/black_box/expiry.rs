//! Message Expiry Interval: counted down, obeyed.

use std::time::Duration;

use flotilla_tests::{
    Connect, Link, Property, Publish, Scene, Version, elapse,
    packet::{PINGREQ, pubcomp, pubrec, pubrel},
    v5_links,
};

v5_links! {
    passed_on_at_once_it_is_unchanged,
    waiting_time_is_taken_off,
    an_expired_message_is_not_delivered,
    a_retained_message_expires_too,
    what_has_been_sent_does_not_expire,
    expiry_reaches_clients_that_cannot_read_it,
}

const LONG: u32 = 1_000;

fn expiring(topic: &str, payload: &str, seconds: u32) -> Publish {
    Publish::new(topic, payload).with(Property::MessageExpiry(seconds))
}

/// [MQTT-3.3.2-6]: no time has passed, but a second may have begun.
fn passed_on_at_once_it_is_unchanged(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 2);
    for qos in 0..=2 {
        client.publish_packet(expiring(&scene.topic("x"), "x", LONG).qos(qos, 0));
        let expiry = client.take().expiry_s();
        assert!(
            matches!(expiry, Some(seconds) if (LONG - 3..=LONG).contains(&seconds)),
            "{expiry:?}"
        );
        client.publish(&scene.topic("x"), "x", qos);
        assert_eq!(client.take().expiry_s(), None);
    }
}

/// [MQTT-3.3.2-6]: in the queue of a session, in a retained message.
fn waiting_time_is_taken_off(link: Link) {
    let scene = Scene::shared(link);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("x"), 1);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    publisher.publish_packet(expiring(&scene.topic("x"), "x", LONG).qos(1, 0).retained());
    elapse(Duration::from_millis(2_100));
    let (mut sleeper, _) = scene.resume("sleeper");
    let mut newcomer = scene.connect("newcomer");
    newcomer.subscribe(&scene.topic("x"), 1);
    for (client, what) in [(&mut sleeper, "queue"), (&mut newcomer, "retained")] {
        let expiry = client.take().expiry_s();
        let is_less = matches!(expiry, Some(seconds) if (LONG - 30..=LONG - 2).contains(&seconds));
        assert!(is_less, "{what}: {expiry:?}");
    }
}

/// [MQTT-3.3.2-5]
fn an_expired_message_is_not_delivered(link: Link) {
    let scene = Scene::shared(link);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("x"), 2);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    for qos in 1..=2 {
        publisher.publish_packet(expiring(&scene.topic("x"), "expired", 1).qos(qos, 0));
        publisher.publish_packet(expiring(&scene.topic("x"), "fresh", LONG).qos(qos, 0));
    }
    elapse(Duration::from_millis(2_100));
    let (mut sleeper, _) = scene.resume("sleeper");
    publisher.publish(&scene.topic("x"), "end", 2);
    assert_eq!(sleeper.take_until("end"), ["fresh", "fresh"]);
}

/// [MQTT-3.3.2-5]
fn a_retained_message_expires_too(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let topic = scene.topic("x");
    client.publish_packet(expiring(&topic, "expired", 1).qos(1, 0).retained());
    elapse(Duration::from_millis(2_100));
    client.subscribe(&topic, 1);
    client.publish(&topic, "end", 1);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-4.3.3-7], [MQTT-4.3.3-13], [MQTT-4.4.0-1]: an exchange that has begun is ended.
fn what_has_been_sent_does_not_expire(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("#"), 2);
    let mut publisher = scene.connect("publisher");
    publisher.publish_packet(expiring(&scene.topic("x"), "sent", 1).qos(2, 0));
    publisher.publish_packet(expiring(&scene.topic("x"), "received", 1).qos(2, 0));
    let sent = client.await_publish();
    let received = client.await_publish();
    client.send(&pubrec(received.id));
    client.await_pubrel(received.id);
    client.cut();
    let published = expiring(&scene.topic("nobody"), "x", 1).qos(2, 4_711);
    publisher.send(&published.bytes(link.version));
    publisher.await_pubrec(4_711);
    elapse(Duration::from_millis(2_100));
    publisher.send(&pubrel(4_711));
    assert_eq!(publisher.await_pubcomp(4_711).code, 0);
    let mut client = scene.come_back("a");
    client.await_pubrel(received.id);
    client.send(&pubcomp(received.id));
    let again = client.take();
    assert_eq!((again.id, again.dup, again.text()), (sent.id, true, "sent"));
    client.send(PINGREQ);
    client.expect(&flotilla_tests::Packet::Pingresp);
}

/// A message of MQTT 5 expires for a session of MQTT 3.1.1, too.
fn expiry_reaches_clients_that_cannot_read_it(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("older"));
    let mut older = scene.open_as(Version::V311);
    older.connect(&connect);
    older.subscribe(&scene.topic("x"), 1);
    older.disconnect();
    let mut publisher = scene.connect("publisher");
    publisher.publish_packet(expiring(&scene.topic("x"), "expired", 1).qos(1, 0));
    publisher.publish_packet(expiring(&scene.topic("x"), "fresh", LONG).qos(1, 0));
    elapse(Duration::from_millis(2_100));
    let mut older = scene.open_as(Version::V311);
    assert!(older.connect(&connect).0);
    publisher.publish(&scene.topic("x"), "end", 1);
    assert_eq!(older.take_until("end"), ["fresh"]);
}
