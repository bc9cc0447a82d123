//! Sessions whose client is away: what waits for it.

use flotilla_tests::{
    Client, Connect, Link, Packet, Property, Publish, Scene, Settings, Version, every_link,
    v5_links,
};

every_link! {
    messages_wait_in_order,
    qos_0_may_wait_but_disturbs_nothing,
    restored_subscriptions_work_at_once,
    a_session_outlives_many_connections,
    unsubscribing_ends_with_the_session_not_the_connection,
    the_other_version_resumes_it,
    queues_have_a_limit_that_is_counted,
    more_messages_wait_than_fit_under_way,
    disconnect_and_a_cut_leave_the_same_session,
}
v5_links! { one_bad_message_does_not_stop_the_queue }

/// [MQTT-4.5.0-1], [MQTT-3.1.2-23], [MQTT-4.6.0-5]
fn messages_wait_in_order(link: Link) {
    const MESSAGES: usize = 60;
    let scene = Scene::shared(link);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("#"), 2);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    for number in 0..MESSAGES {
        publisher.publish(&scene.topic("x"), number.to_string(), 1 + (number % 2) as u8);
    }
    let mut sleeper = scene.come_back("sleeper");
    let mut next = [0, 1];
    for _ in 0..MESSAGES {
        let publish = sleeper.take();
        let next = &mut next[usize::from(publish.qos - 1)];
        assert_eq!(publish.text(), next.to_string());
        assert!(!publish.dup, "[MQTT-4.3.2-2], [MQTT-4.3.3-2] it is sent for the first time");
        *next += 2;
    }
    publisher.publish(&scene.topic("x"), "end", 1);
    assert_eq!(sleeper.take_until("end"), <[&str; 0]>::default());
}

/// Section 4.1: messages of QoS 0 may be kept, need not be.
fn qos_0_may_wait_but_disturbs_nothing(link: Link) {
    let scene = Scene::shared(link);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("#"), 1);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    for number in 0..10 {
        publisher.publish(&scene.topic("x"), format!("qos{}", number % 2), number % 2);
    }
    let (mut sleeper, _) = scene.resume("sleeper");
    publisher.publish(&scene.topic("x"), "end", 1);
    let got = sleeper.take_until("end");
    assert_eq!(got.iter().filter(|payload| *payload == "qos1").count(), 5, "{got:?}");
    assert!(got.len() <= 10, "{got:?}");
}

/// [MQTT-3.2.2-3]: Session Present means that messages arrive, from the first moment.
fn restored_subscriptions_work_at_once(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("x"), 1);
    client.disconnect();
    let mut publisher = scene.connect("publisher");
    for number in 0..20 {
        let mut client = scene.come_back("a");
        publisher.publish(&scene.topic("x"), number.to_string(), (number % 2) as u8);
        assert_eq!(client.take().text(), number.to_string());
        client.disconnect();
    }
}

/// [MQTT-3.1.2-5]
fn a_session_outlives_many_connections(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("x"), 1);
    for number in 0..10 {
        client.cut();
        publisher.publish(&scene.topic("x"), number.to_string(), 1);
        client = scene.resume("a").0;
        assert_eq!(client.take().text(), number.to_string());
        // Whether the broker has read the PUBACK before the cut is not left to chance.
        client.ping();
    }
}

/// Subscriptions are part of the session.
fn unsubscribing_ends_with_the_session_not_the_connection(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("x"), 1);
    client.subscribe(&scene.topic("y"), 1);
    client.unsubscribe(&[&scene.topic("x")]);
    client.disconnect();
    let mut publisher = scene.connect("publisher");
    publisher.publish(&scene.topic("x"), "not subscribed", 1);
    publisher.publish(&scene.topic("y"), "subscribed", 1);
    let (mut client, _) = scene.resume("a");
    assert_eq!(client.take().text(), "subscribed");
}

/// A session belongs to the Client Identifier, not to a version of the protocol.
fn the_other_version_resumes_it(link: Link) {
    let scene = Scene::shared(link);
    let other = if link.is_v5() { Version::V311 } else { Version::V5 };
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("#"), 2);
    client.disconnect();
    let mut publisher = scene.connect("publisher");
    publisher.publish(&scene.topic("x"), "one", 2);
    let connect = Connect::persistent(scene.id("a"));
    let mut client = scene.open_as(other);
    assert!(client.connect(&connect).0);
    assert_eq!(client.take().text(), "one");
    client.disconnect();
    publisher.publish(&scene.topic("x"), "two", 2);
    let mut client = scene.come_back("a");
    assert_eq!(client.take().text(), "two");
}

/// `queue_messages_max`, for a session that ends with its connection: what is above is counted,
/// what is below arrives. What waits for one that stays is in the log, and has no such limit.
fn queues_have_a_limit_that_is_counted(link: Link) {
    let limits = "[session]\nqueue_messages_max = 10\ninflight_max = 1";
    let scene = Scene::alone(link, Settings::new().tables(limits));
    let mut slow = scene.connect("slow");
    slow.subscribe("x", 1);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe("x", 1);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    for number in 0..25 {
        publisher.publish("x", number.to_string(), 1);
    }
    // One is under way, ten wait.
    scene.broker().await_metric("flotilla_messages_dropped_total", &[], |dropped| dropped == 14.0);
    let mut take = |client: &mut Client| {
        let mut got = vec![client.take().text().to_owned()];
        publisher.publish("x", "end", 1);
        got.extend(client.take_until("end"));
        got.iter().map(|text| text.parse().expect("a number")).collect::<Vec<u32>>()
    };
    let got = take(&mut slow);
    assert!(got.len() == 11 && got.is_sorted() && got[0] == 0, "{got:?}");
    let (mut sleeper, _) = scene.resume("sleeper");
    assert_eq!(take(&mut sleeper), Vec::from_iter(0..25));
}

/// `inflight_max` 1,024, the client's Receive Maximum: the rest follows.
fn more_messages_wait_than_fit_under_way(link: Link) {
    const MESSAGES: usize = 1_500;
    let scene = Scene::shared(link);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("x"), 1);
    sleeper.disconnect();
    let mut publisher = flotilla_tests::Publisher::new(
        &scene.id("publisher"),
        link.version,
        vec![scene.topic("x")],
        1,
        500,
    );
    publisher.connect(&scene.endpoint()).expect("the broker is there");
    publisher.run(MESSAGES as u64, |_| {}).expect("the broker stays");
    let (mut sleeper, _) = scene.resume("sleeper");
    let mut under_way = Vec::new();
    for number in 0..MESSAGES {
        let publish = sleeper.await_publish();
        assert_eq!(publish.text(), number.to_string());
        under_way.push(publish);
        if under_way.len() == 700 {
            under_way.drain(..).for_each(|publish| sleeper.acknowledge(&publish));
        }
    }
}

/// [MQTT-3.1.2-23]: FIN, RST, DISCONNECT.
fn disconnect_and_a_cut_leave_the_same_session(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let (mut client, _) = scene.resume("a");
    client.subscribe(&scene.topic("x"), 1);
    let leave: [fn(Client); 3] = [Client::cut, Client::reset, Client::disconnect];
    for (number, leave) in leave.into_iter().enumerate() {
        leave(client);
        publisher.publish(&scene.topic("x"), number.to_string(), 1);
        let resumed = scene.come_back("a");
        client = resumed;
        assert_eq!(client.take().text(), number.to_string());
        client.ping();
    }
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25], [MQTT-3.3.2-5]: an oversized and an expired one in the middle.
fn one_bad_message_does_not_stop_the_queue(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("a"))
        .with(Property::MaximumPacketSize(200))
        .with(Property::ReceiveMaximum(2));
    let (mut sleeper, _, _) = scene.connect_with(&connect);
    sleeper.subscribe(&scene.topic("x"), 2);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    let expired = Publish::new(scene.topic("x"), "expired").with(Property::MessageExpiry(1));
    publisher.publish(&scene.topic("x"), "first", 1);
    publisher.publish_packet(expired.clone().qos(1, 0));
    publisher.publish(&scene.topic("x"), "x".repeat(500), 2);
    publisher.publish(&scene.topic("x"), "second", 1);
    publisher.publish_packet(expired.qos(2, 0));
    publisher.publish(&scene.topic("x"), "x".repeat(500), 1);
    publisher.publish(&scene.topic("x"), "third", 1);
    flotilla_tests::elapse(std::time::Duration::from_millis(2_100));
    let (mut sleeper, session_present, _) = scene.connect_with(&connect);
    assert!(session_present);
    publisher.publish(&scene.topic("x"), "end", 1);
    assert_eq!(sleeper.take_until("end"), ["first", "second", "third"]);
    sleeper.send(flotilla_tests::packet::PINGREQ);
    sleeper.expect(&Packet::Pingresp);
}
