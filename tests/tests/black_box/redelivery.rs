//! Connections that end in the middle of an exchange: what is sent again, what is not.

use std::time::Duration;

use flotilla_tests::{
    Client, Connect, Link, Packet, Property, Publish, Scene, elapse, every_link,
    packet::{PINGREQ, puback, pubcomp, pubrec, pubrel},
    v5_links,
};

every_link! {
    unacknowledged_messages_come_again_in_order,
    acknowledged_out_of_order,
    qos_2_before_pubrec_comes_again,
    qos_2_after_pubrec_goes_on_with_pubrel,
    qos_2_order_of_releases_and_messages,
    reset_at_every_packet,
    qos_2_from_the_client_before_pubrel_is_one_message,
    qos_2_from_the_client_after_pubrel_is_complete,
    qos_1_from_the_client_may_come_again,
    again_each_time_until_acknowledged,
    nothing_comes_again_on_the_same_connection,
}
v5_links! { receive_maximum_is_that_of_the_new_connection }

/// A client with a session that subscribes to everything of the scene, and another.
fn pair(scene: &Scene) -> (Client, Client) {
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("#"), 2);
    (client, scene.connect("publisher"))
}

/// Cuts the connection, comes back to the session.
#[track_caller]
fn again(scene: &Scene, client: Client) -> Client {
    client.cut();
    scene.come_back("a")
}

/// [MQTT-4.4.0-1], [MQTT-3.3.1-1]: DUP, the same Packet Identifiers, the original order of each
/// QoS; then what is new, without DUP.
fn unacknowledged_messages_come_again_in_order(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    for number in 0..8 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1 + number % 2);
    }
    let sent: Vec<Publish> = (0..8).map(|_| client.await_publish()).collect();
    let mut client = again(&scene, client);
    publisher.publish(&scene.topic("x"), "new", 1);
    let again: Vec<Publish> = (0..8).map(|_| client.take()).collect();
    for qos in 1..=2 {
        let expected: Vec<Publish> = of_qos(&sent, qos).map(|it| it.clone().dup()).collect();
        assert!(of_qos(&again, qos).eq(&expected), "{again:?} after {sent:?}");
    }
    let new = client.take();
    assert_eq!((new.text(), new.dup), ("new", false));
}

/// The messages of a QoS, in their order [MQTT-4.6.0-5].
fn of_qos(messages: &[Publish], qos: u8) -> impl Iterator<Item = &Publish> {
    messages.iter().filter(move |publish| publish.qos == qos)
}

/// [MQTT-4.4.0-1]: only what is open comes again.
fn acknowledged_out_of_order(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    for number in 0..6 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1);
    }
    let sent: Vec<Publish> = (0..6).map(|_| client.await_publish()).collect();
    for number in [1, 4] {
        client.send(&puback(sent[number].id));
    }
    client.ping();
    let mut client = again(&scene, client);
    for number in [0, 2, 3, 5] {
        assert_eq!(client.take(), sent[number].clone().dup());
    }
    publisher.publish(&scene.topic("x"), "end", 1);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-4.3.3-3]
fn qos_2_before_pubrec_comes_again(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    publisher.publish(&scene.topic("x"), "x", 2);
    let sent = client.await_publish();
    let mut client = again(&scene, client);
    assert_eq!(client.take(), sent.dup());
    publisher.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-4.3.3-5], [MQTT-4.3.3-6]: PUBREL comes again, PUBLISH does not; neither after PUBCOMP.
fn qos_2_after_pubrec_goes_on_with_pubrel(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    publisher.publish(&scene.topic("x"), "x", 2);
    let sent = client.await_publish();
    client.send(&pubrec(sent.id));
    client.await_pubrel(sent.id);
    for _ in 0..2 {
        client = again(&scene, client);
        let packet = client.next_packet();
        assert!(matches!(&packet, Packet::Pubrel(ack) if ack.id == sent.id), "{packet:?}");
    }
    client.send(&pubcomp(sent.id));
    client.ping();
    let mut client = again(&scene, client);
    client.send(PINGREQ);
    client.expect(&Packet::Pingresp);
}

/// [MQTT-4.3.3-4], [MQTT-4.4.0-1], [MQTT-4.5.0-1]: cut off with RST after each packet, one after
/// another: every message of QoS 2 arrives once, every one of QoS 1 at least once, in order.
fn reset_at_every_packet(link: Link) {
    const MESSAGES: u64 = 8;
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    for cut_at in 1..=20 {
        let name = format!("a{cut_at}");
        let topic = scene.topic(&name);
        let (mut client, _) = scene.resume(&name);
        client.subscribe(&topic, 2);
        for number in 0..MESSAGES {
            publisher.publish(&topic, number.to_string(), 1 + (number % 2) as u8);
        }
        let mut receiver = Receiver::default();
        for _ in 0..cut_at {
            if !receiver.is_complete(MESSAGES) {
                receiver.take_one(&mut client);
            }
        }
        client.reset();
        let mut client = scene.come_back(&name);
        publisher.publish(&topic, MESSAGES.to_string(), 1);
        publisher.publish(&topic, (MESSAGES + 1).to_string(), 2);
        while !receiver.is_complete(MESSAGES + 2) {
            receiver.take_one(&mut client);
        }
        client.disconnect();
    }
}

/// What an honest client keeps of its session.
#[derive(Default)]
struct Receiver {
    /// Of QoS 2, between PUBREC and PUBREL.
    held: Vec<u16>,
    /// By QoS, how many messages have come.
    count: [u64; 3],
    /// Exchanges of QoS 2 that are over.
    released: u64,
}

impl Receiver {
    /// Answers one packet.
    fn take_one(&mut self, client: &mut Client) {
        match client.next_packet() {
            Packet::Publish(publish) if publish.qos == 2 => {
                client.send(&pubrec(publish.id));
                if self.held.contains(&publish.id) {
                    assert!(publish.dup, "[MQTT-3.3.1-1] {publish:?}");
                } else {
                    self.held.push(publish.id);
                    self.judge(&publish);
                }
            }
            Packet::Publish(publish) => {
                client.send(&puback(publish.id));
                self.judge(&publish);
            }
            Packet::Pubrel(ack) => {
                self.released += u64::from(self.held.contains(&ack.id));
                self.held.retain(|id| *id != ack.id);
                client.send(&pubcomp(ack.id));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Of one QoS the numbers go up in steps of two.
    fn judge(&mut self, publish: &Publish) {
        let number: u64 = publish.text().parse().expect("a number");
        let count = &mut self.count[usize::from(publish.qos)];
        let expected = *count * 2 + u64::from(publish.qos) - 1;
        if publish.qos == 1 && publish.dup && number < expected {
            return;
        }
        assert_eq!(number, expected, "{publish:?}");
        *count += 1;
    }

    fn is_complete(&self, messages: u64) -> bool {
        self.count == [0, messages / 2, messages / 2] && self.released == messages / 2
    }
}

/// [MQTT-4.4.0-1]: one message in each state.
fn qos_2_order_of_releases_and_messages(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    for number in 0..5 {
        publisher.publish(&scene.topic("x"), number.to_string(), 2);
    }
    let sent: Vec<Publish> = (0..5).map(|_| client.await_publish()).collect();
    for number in [0, 1, 3] {
        client.send(&pubrec(sent[number].id));
        client.await_pubrel(sent[number].id);
    }
    client.send(&pubcomp(sent[0].id));
    client.ping();
    let mut client = again(&scene, client);
    let mut releases = Vec::new();
    let mut messages = Vec::new();
    while releases.len() + messages.len() < 4 {
        match client.next_packet() {
            Packet::Pubrel(ack) => releases.push(ack.id),
            Packet::Publish(publish) => messages.push(publish),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(releases, [sent[1].id, sent[3].id]);
    assert_eq!(messages, [sent[2].clone().dup(), sent[4].clone().dup()]);
    releases.iter().for_each(|id| client.send(&pubcomp(*id)));
    messages.iter().for_each(|publish| client.acknowledge(publish));
    publisher.publish(&scene.topic("x"), "end", 2);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-4.3.3-10]: the Packet Identifier is known beyond the connection.
fn qos_2_from_the_client_before_pubrel_is_one_message(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("x"), 2);
    let (mut client, _) = scene.resume("a");
    let publish = Publish::new(scene.topic("x"), "once").qos(2, 7);
    client.send(&publish.bytes(link.version));
    client.await_pubrec(7);
    for _ in 0..3 {
        client = again(&scene, client);
        client.send(&publish.clone().dup().bytes(link.version));
        assert!(client.await_pubrec(7).code < 0x80);
    }
    let mut client = again(&scene, client);
    client.send(&pubrel(7));
    assert_eq!(client.await_pubcomp(7).code, 0);
    client.publish(&scene.topic("x"), "end", 2);
    assert_eq!(watcher.take_until("end"), ["once"]);
}

/// [MQTT-4.3.3-11], [MQTT-4.3.3-12]: PUBREL is answered again, its identifier is free.
fn qos_2_from_the_client_after_pubrel_is_complete(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("x"), 2);
    let (mut client, _) = scene.resume("a");
    let publish = Publish::new(scene.topic("x"), "x").qos(2, 7);
    client.send(&publish.bytes(link.version));
    client.await_pubrec(7);
    client.send(&pubrel(7));
    client.await_pubcomp(7);
    let mut client = again(&scene, client);
    client.send(&pubrel(7));
    let code = client.await_pubcomp(7).code;
    assert!(matches!(code, 0x00 | 0x92), "0x{code:02X}");
    client.send(&publish.bytes(link.version));
    client.await_pubrec(7);
    client.send(&pubrel(7));
    client.await_pubcomp(7);
    client.publish(&scene.topic("x"), "end", 2);
    assert_eq!(watcher.take_until("end"), ["x", "x"]);
}

/// [MQTT-4.3.2-5]: at least once. The publisher cannot know, the broker takes it again.
fn qos_1_from_the_client_may_come_again(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("x"), 1);
    let (mut client, _) = scene.resume("a");
    let publish = Publish::new(scene.topic("x"), "x").qos(1, 7);
    client.send(&publish.bytes(link.version));
    client.await_puback(7);
    let mut client = again(&scene, client);
    client.send(&publish.dup().bytes(link.version));
    client.await_puback(7);
    client.publish(&scene.topic("x"), "end", 1);
    assert_eq!(watcher.take_until("end"), ["x", "x"]);
}

/// [MQTT-4.3.2-3], [MQTT-4.4.0-1]: any number of connections later.
fn again_each_time_until_acknowledged(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    for number in 0..3 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1 + number % 2);
    }
    let sent: Vec<Publish> = (0..3).map(|_| client.await_publish()).collect();
    for _ in 0..5 {
        client = again(&scene, client);
        let again: Vec<Publish> = (0..3).map(|_| client.await_publish()).collect();
        for qos in 1..=2 {
            let expected: Vec<Publish> = of_qos(&sent, qos).map(|it| it.clone().dup()).collect();
            assert!(of_qos(&again, qos).eq(&expected), "{again:?} after {sent:?}");
        }
    }
    sent.iter().for_each(|publish| client.acknowledge(publish));
    client.ping();
    let mut client = again(&scene, client);
    client.send(PINGREQ);
    client.expect(&Packet::Pingresp);
}

/// [MQTT-4.4.0-1]: a reconnection is the only occasion; no timer sends again.
fn nothing_comes_again_on_the_same_connection(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, mut publisher) = pair(&scene);
    publisher.publish(&scene.topic("x"), "1", 1);
    publisher.publish(&scene.topic("x"), "2", 2);
    let one = client.await_publish();
    let two = client.await_publish();
    client.send(&pubrec(two.id));
    client.await_pubrel(two.id);
    elapse(Duration::from_millis(1_200));
    client.send(PINGREQ);
    client.expect(&Packet::Pingresp);
    client.send(&puback(one.id));
    client.send(&pubcomp(two.id));
}

/// [MQTT-4.9.0-1]: more is open than the new connection may have under way.
fn receive_maximum_is_that_of_the_new_connection(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("a"));
    let with = |maximum| connect.clone().with(Property::ReceiveMaximum(maximum));
    let (mut client, _, _) = scene.connect_with(&with(10));
    client.subscribe(&scene.topic("#"), 1);
    let mut publisher = scene.connect("publisher");
    for number in 0..12 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1);
    }
    for number in 0..10 {
        assert_eq!(client.await_publish().text(), number.to_string());
    }
    client.cut();

    let (mut client, _, _) = scene.connect_with(&with(2));
    for round in 0..6 {
        let two = [client.await_publish(), client.await_publish()];
        client.send(PINGREQ);
        client.expect(&Packet::Pingresp);
        for (at, publish) in two.iter().enumerate() {
            let number = round * 2 + at;
            assert_eq!((publish.text(), publish.dup), (&*number.to_string(), number < 10));
            client.send(&puback(publish.id));
        }
    }
    client.cut();

    for number in 0..4 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1);
    }
    let (mut client, _, _) = scene.connect_with(&with(4));
    for number in 0..4 {
        assert_eq!(client.await_publish().text(), number.to_string(), "4, not 2");
    }
}
