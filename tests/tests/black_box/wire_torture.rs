//! Packets in the most awkward pieces, connections that end at the most awkward moments.

use std::ops::Range;

use flotilla_tests::{
    Client, Connect, Link, Packet, Property, Publish, Scene, Will, every_link,
    packet::{DISCONNECT, PINGREQ, pubrel, subscribe, unsubscribe},
};

every_link! {
    every_packet_in_pieces,
    a_whole_life_in_one_segment,
    a_publisher_reset_at_every_packet,
}

/// A life of a client in one string of bytes; its messages go to `topic`.
fn life(link: Link, client_id: &str, topic: &str) -> Vec<u8> {
    let version = link.version;
    let will =
        Will::new(topic, "will").qos(1).with(Property::UserProperty(("k".into(), "v".into())));
    let connect = Connect { will: Some(will), ..Connect::new(client_id) }
        .login("user", "password")
        .keep_alive(60)
        .with(Property::ReceiveMaximum(10));
    let expiring = Publish::new(topic, "x".repeat(200)).with(Property::MessageExpiry(100));
    [
        connect.bytes(version),
        subscribe(version, 1, &[(topic, 0), ("other/+/#", 2)], &[]),
        expiring.bytes(version),
        Publish::new(topic, "1").qos(1, 2).bytes(version),
        Publish::new(topic, "2").qos(2, 3).bytes(version),
        pubrel(3),
        unsubscribe(version, 4, &[topic, "other/+/#"]),
        PINGREQ.to_vec(),
        DISCONNECT.to_vec(),
    ]
    .concat()
}

/// The answers that such a life gets, in their order; messages and PINGRESP come where they will.
#[track_caller]
fn assert_lived(client: &mut Client) {
    let mut answers = client.until_closed();
    let mut messages = 0;
    answers.retain(|packet| {
        messages += usize::from(matches!(packet, Packet::Publish(_)));
        !matches!(packet, Packet::Publish(_) | Packet::Pingresp)
    });
    assert_eq!(messages, 3);
    let is_right = matches!(
        answers.as_slice(),
        [
            Packet::Connack(false, 0, _),
            Packet::Suback(1, ..),
            Packet::Puback(one),
            Packet::Pubrec(two),
            Packet::Pubcomp(three),
            Packet::Unsuback(4, ..),
        ] if (one.id, two.id, three.id) == (2, 3, 3)
    );
    assert!(is_right, "{answers:?}");
}

/// However the bytes are cut, they are the same packets: one byte at a time above all.
fn every_packet_in_pieces(link: Link) {
    let scene = Scene::shared(link);
    for size in [1, 2, 3, 5, 64] {
        let name = format!("pieces{size}");
        let topic = scene.topic(&name);
        let mut client = scene.open();
        let bytes = life(link, &scene.id(&name), &topic);
        // The last packet only when all answers are on their way: a client that leaves wants none.
        let (life, end) = bytes.split_at(bytes.len() - DISCONNECT.len());
        for piece in life.chunks(size) {
            client.send(piece);
        }
        client.ping();
        end.iter().for_each(|byte| client.send(&[*byte]));
        assert_lived(&mut client);
    }
}

/// CONNECT, SUBSCRIBE, PUBLISH, DISCONNECT before CONNACK: each is done, the Will is not published.
fn a_whole_life_in_one_segment(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&topic, 2);
    let mut client = scene.open();
    client.send(&life(link, &scene.id("a"), &topic));
    let answers = client.until_closed();
    assert!(matches!(answers.first(), Some(Packet::Connack(false, 0, _))), "{answers:?}");
    let mut got: Vec<String> = (0..3).map(|_| watcher.take().text().to_owned()).collect();
    got.sort();
    assert_eq!(got, ["1", "2", &"x".repeat(200)]);
    watcher.publish(&topic, "end", 2);
    assert_eq!(watcher.take_until("end"), <[&str; 0]>::default());
}

/// What a publisher does with one message of QoS 2 and one of QoS 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    SendTwice,
    HearPubrec,
    SendPubrel,
    HearPubcomp,
    SendOnce,
    HearPuback,
}

use Step::{HearPuback, HearPubcomp, HearPubrec, SendOnce, SendPubrel, SendTwice};

const STEPS: [Step; 6] = [SendTwice, HearPubrec, SendPubrel, HearPubcomp, SendOnce, HearPuback];

/// [MQTT-4.4.0-1], [MQTT-4.3.3-10], [MQTT-4.3.3-11]: cut off with RST after each packet of its
/// exchanges, once and twice; it comes back and does what section 4.4 asks of it. The message of
/// QoS 2 arrives once, that of QoS 1 at least once.
fn a_publisher_reset_at_every_packet(link: Link) {
    let scene = Scene::shared(link);
    for first_cut in 0..=STEPS.len() {
        for second_cut in first_cut..=STEPS.len() {
            let name = format!("p{first_cut}-{second_cut}");
            let topic = scene.topic(&name);
            let mut watcher = scene.connect(&format!("w{name}"));
            watcher.subscribe(&topic, 2);
            let mut client = scene.resume(&name).0;
            let (mut next, mut is_again) = (0, false);
            for cut in [first_cut, second_cut] {
                let done = next.max(cut);
                play(&mut client, &topic, next..done, is_again);
                client.reset();
                client = scene.come_back(&name);
                next = owed(done);
                is_again = next < done;
            }
            play(&mut client, &topic, next..STEPS.len(), is_again);
            client.publish(&topic, "end", 2);
            let mut got = watcher.take_until("end");
            got.sort();
            got.dedup_by(|later, earlier| later == earlier && later == "1");
            assert_eq!(got, ["1", "2"], "cut after {first_cut} and {second_cut} packets");
            client.disconnect();
        }
    }
}

/// Where an honest client goes on after a reset: what was not answered is sent again.
fn owed(done: usize) -> usize {
    match done {
        1 | 3 | 5 => done - 1,
        _ => done,
    }
}

/// Goes through some of the steps; `is_again`: the first was taken before the reset.
#[track_caller]
fn play(client: &mut Client, topic: &str, steps: Range<usize>, is_again: bool) {
    let from = steps.start;
    for at in steps {
        let dup = |publish: Publish| if is_again && at == from { publish.dup() } else { publish };
        match STEPS[at] {
            SendTwice => {
                let publish = dup(Publish::new(topic, "2").qos(2, 1));
                client.send(&publish.bytes(client.version()));
            }
            HearPubrec => assert_eq!(client.await_pubrec(1).code, 0),
            SendPubrel => client.send(&pubrel(1)),
            HearPubcomp => {
                // It may have been released before the reset.
                assert!([0, 0x92].contains(&client.await_pubcomp(1).code));
            }
            SendOnce => {
                let publish = dup(Publish::new(topic, "1").qos(1, 2));
                client.send(&publish.bytes(client.version()));
            }
            HearPuback => assert_eq!(client.await_puback(2).code, 0),
        }
    }
}
