//! What the broker tells a client beside what it must: limits of its own, reasons, another broker.

use std::time::{Duration, Instant};

use flotilla_tests::{
    Client, Connect, Link, Packet, Property, Publish, Scene, Settings, Will, every_link,
    packet::{frame, pubrel, subscribe},
    v5_links, v311_links,
};
use rustix::process::Signal;

every_link! { no_other_broker_unless_there_is_one, sys_topics }
v5_links! {
    a_long_keep_alive_is_cut,
    response_information_on_request,
    clients_are_sent_to_another_broker,
    reasons_for_who_wants_them,
    no_reason_that_is_too_long,
}
v311_links! { the_keep_alive_of_older_clients_counts }

fn with_keep_alive_max(link: Link) -> Scene {
    Scene::alone(link, Settings::new().tables("[limits]\nkeep_alive_max = \"1s\""))
}

/// Section 3.2.2.3.14: who asks for more, or for none, is told what holds.
fn a_long_keep_alive_is_cut(link: Link) {
    let scene = with_keep_alive_max(link);
    let connect = |keep_alive| {
        let connect = Connect::new(scene.id("a")).keep_alive(keep_alive);
        let (client, _, properties) = scene.connect_with(&connect);
        (client, properties.contains(&Property::ServerKeepAlive(1)))
    };
    assert!(!connect(1).1, "[MQTT-3.2.2-22]");
    assert!(connect(100).1);
    let (mut client, is_cut) = connect(0);
    assert!(is_cut);
    let silent_since = Instant::now();
    assert!(matches!(client.until_closed().as_slice(), [Packet::Disconnect(0x8D, _)]));
    let silence = silent_since.elapsed();
    assert!((Duration::from_millis(1_400)..Duration::from_secs(6)).contains(&silence));
}

/// They have no ears for another one.
fn the_keep_alive_of_older_clients_counts(link: Link) {
    let scene = with_keep_alive_max(link);
    let mut client = scene.connect_with(&Connect::new(scene.id("a")).keep_alive(100)).0;
    flotilla_tests::elapse(Duration::from_millis(2_500));
    client.ping();
}

/// [MQTT-3.1.2-28]
fn response_information_on_request(link: Link) {
    let tables = "[session]\nresponse_information = \"answers/%c\"";
    let scene = Scene::alone(link, Settings::new().tables(tables));
    let connect = Connect::new(scene.id("a"));
    let given = |connect: &Connect| {
        let (client, _, properties) = scene.connect_with(connect);
        client.disconnect();
        properties.into_iter().find_map(|property| match property {
            Property::ResponseInformation(text) => Some(text),
            _ => None,
        })
    };
    assert_eq!(given(&connect), None);
    assert_eq!(given(&connect.clone().with(Property::RequestResponseInformation(0))), None);
    let asked = connect.with(Property::RequestResponseInformation(1));
    assert_eq!(given(&asked), Some(format!("answers/{}", scene.id("a"))));
}

/// Section 4.11: when it ends.
fn clients_are_sent_to_another_broker(link: Link) {
    let settings = Settings::new().node("server_reference = \"b.example:8883\"");
    let scene = Scene::alone(link, settings);
    let mut client = scene.connect("a");
    let small = Connect::new(scene.id("b")).with(Property::MaximumPacketSize(12));
    let mut small = scene.connect_with(&small).0;
    scene.broker().signal(Signal::TERM);
    let reference = Property::ServerReference("b.example:8883".into());
    assert_eq!(client.until_closed(), [Packet::Disconnect(0x9C, vec![reference])]);
    assert_eq!(small.until_closed(), [Packet::Disconnect(0x9C, vec![])], "[MQTT-3.1.2-24]");
}

/// 0x8B says that it ends, without a word of where to go.
fn no_other_broker_unless_there_is_one(link: Link) {
    let scene = Scene::alone(link, Settings::new());
    let mut client = scene.connect("a");
    scene.broker().signal(Signal::TERM);
    client.expect_refused(&[0x8B]);
}

fn reason_in(properties: &[Property]) -> Option<&str> {
    properties.iter().find_map(|property| match property {
        Property::ReasonString(text) => Some(text.as_str()),
        _ => None,
    })
}

/// What is refused on the way through this dialogue, with the Reason String beside it.
fn reasons(scene: &Scene, connect: &Connect) -> Vec<(&'static str, Option<String>)> {
    let mut reasons = Vec::new();
    let mut note = |what, properties: &[Property]| {
        reasons.push((what, reason_in(properties).map(str::to_owned)));
    };
    let deep = "a/".repeat(40);
    let (mut client, _, properties) = scene.connect_with(connect);
    note("CONNACK", &properties);
    client.send(&subscribe(client.version(), 1, &[(&deep, 0)], &[]));
    match client.next_packet() {
        Packet::Suback(1, codes, properties) if codes == [0x8F] => note("SUBACK", &properties),
        other => panic!("{other:?}"),
    }
    for qos in [1, 2] {
        let publish = Publish::new("$SYS/x", "x").qos(qos, 2);
        client.send(&publish.bytes(client.version()));
        match client.next_packet() {
            Packet::Puback(ack) | Packet::Pubrec(ack) => note("PUBLISH", &ack.properties),
            other => panic!("{other:?}"),
        }
    }
    client.send(&pubrel(4_711));
    note("PUBCOMP", &client.await_pubcomp(4_711).properties);
    client.send(&frame(0x36, &[]));
    match client.until_closed().as_slice() {
        [Packet::Disconnect(0x81, properties)] => note("DISCONNECT", properties),
        other => panic!("{other:?}"),
    }
    let mut client: Client = scene.open();
    let will = Connect { will: Some(Will::new("$SYS/x", "x")), ..connect.clone() };
    client.send(&will.bytes(client.version()));
    match client.until_closed().as_slice() {
        [Packet::Connack(false, 0x87, properties)] => note("CONNACK", properties),
        other => panic!("{other:?}"),
    }
    reasons
}

/// [MQTT-3.1.2-29]: on what is refused, and nowhere for one who did not want any.
fn reasons_for_who_wants_them(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a"));
    for connect in [connect.clone(), connect.clone().with(Property::RequestProblemInformation(1))] {
        let reasons = reasons(&scene, &connect);
        assert_eq!(reasons.len(), 7);
        for (at, (what, reason)) in reasons.iter().enumerate() {
            assert_eq!(reason.is_some(), at > 0, "{what}: {reason:?}");
        }
    }
    let unwanted = connect.with(Property::RequestProblemInformation(0));
    assert!(reasons(&scene, &unwanted).iter().all(|(_, reason)| reason.is_none()));
}

/// [MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.5.2-2], [MQTT-3.7.2-2], [MQTT-3.9.2-1],
/// [MQTT-3.14.2-3]: whatever a client takes, an answer is no larger.
fn no_reason_that_is_too_long(link: Link) {
    let scene = Scene::shared(link);
    let mut most = 0;
    for size in [30, 50, 60, 70, 80, 100, 200] {
        let small = Connect::new(scene.id("a")).with(Property::MaximumPacketSize(size));
        let given = reasons(&scene, &small).into_iter().filter(|(_, reason)| reason.is_some());
        let count = given.count();
        assert!(count >= most, "{count} at {size} bytes, {most} before");
        most = count;
    }
    assert_eq!(most, 6, "in 200 bytes there is room for every reason");
}

/// Section 4.7.2: `$SYS` is for the broker to say something, and `#` does not ask for it
/// ([MQTT-4.7.2-1]).
fn sys_topics(link: Link) {
    let scene = Scene::alone(link, Settings::new().ops("sys_interval = \"100ms\""));
    let mut client = scene.connect("a");
    client.subscribe("$SYS/broker/version", 1);
    let version = client.take();
    assert!(version.text().starts_with("flotilla version "), "{version:?}");
    assert_eq!((version.topic.as_str(), version.qos), ("$SYS/broker/version", 0));

    let mut watcher = scene.connect("watcher");
    watcher.subscribe("$SYS/broker/clients/+", 0);
    watcher.subscribe("#", 0);
    while watcher.take_content().1 != "2" {}
    let gone = scene.connect("gone");
    while watcher.take_content().1 != "3" {}
    gone.disconnect();
    watcher.unsubscribe(&["$SYS/broker/clients/+"]);
    watcher.publish("x", "end", 0);
    let rest = watcher.take_until("end");
    assert!(rest.len() < 10, "one message for each change: {rest:?}");

    // What was said last waits for who comes later, and says so.
    let mut late = scene.connect("late");
    late.subscribe("$SYS/broker/version", 0);
    let said = late.take();
    assert_eq!((said.text(), said.retain), (version.text(), true));
    scene.broker().await_metric("flotilla_retained_messages", &[], |count| count == 0.0);
}
