//! Retained messages: one a topic, for those who come later.

use std::collections::HashSet;

use flotilla_tests::{Client, Link, Property, Publish, Scene, Settings, every_link, v5_links};

every_link! {
    the_last_one_waits_for_subscribers,
    an_empty_payload_removes_it,
    not_retained_leaves_it_alone,
    live_messages_are_not_flagged,
    qos_is_the_lower_of_both,
    found_through_wildcards,
    many_at_once,
    each_subscribe_sends_them_again,
    it_outlives_its_publisher,
    the_number_of_them_has_a_limit,
    their_size_has_a_limit,
    beyond_a_limit_at_qos_0,
}
v5_links! { retain_handling, properties_stay, subscription_ids_stand_on_them }

fn retain(client: &mut Client, topic: &str, payload: impl AsRef<[u8]>, qos: u8) {
    client.publish_packet(Publish::new(topic, payload).qos(qos, 0).retained());
}

/// No message on `filter`: what comes first after subscribing is a live one.
#[track_caller]
fn assert_nothing_retained(client: &mut Client, topic: &str) {
    client.subscribe(topic, 0);
    client.publish(topic, "live", 0);
    let publish = client.take();
    assert_eq!((publish.text(), publish.retain), ("live", false));
    client.unsubscribe(&[topic]);
}

/// [MQTT-3.3.1-5], [MQTT-3.3.1-9]
fn the_last_one_waits_for_subscribers(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut client = scene.connect("a");
    for (number, qos) in [1, 2, 0].into_iter().enumerate() {
        retain(&mut client, &topic, number.to_string(), qos);
        // At QoS 0: the broker has taken it in before the next packet.
        client.ping();
        client.subscribe(&topic, 2);
        let expected = (topic.clone(), number.to_string(), qos, true);
        assert_eq!(client.take_content(), expected);
        client.publish(&topic, "end", 2);
        assert_eq!(client.take_until("end"), <[&str; 0]>::default());
        client.unsubscribe(&[&topic]);
    }
}

/// [MQTT-3.3.1-6], [MQTT-3.3.1-7]: live it is a message like others.
fn an_empty_payload_removes_it(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut client = scene.connect("a");
    for qos in 0..=2 {
        retain(&mut client, &topic, "x", 1);
        client.subscribe(&topic, 1);
        client.take();
        retain(&mut client, &topic, "", qos);
        let publish = client.take();
        assert_eq!((publish.text(), publish.retain), ("", false));
        client.unsubscribe(&[&topic]);
        assert_nothing_retained(&mut client, &topic);
    }
    retain(&mut client, &scene.topic("never"), "", 1);
    assert_nothing_retained(&mut client, &scene.topic("never"));
}

/// [MQTT-3.3.1-8]
fn not_retained_leaves_it_alone(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut client = scene.connect("a");
    client.publish(&topic, "x", 1);
    assert_nothing_retained(&mut client, &topic);
    retain(&mut client, &topic, "stays", 1);
    client.publish(&topic, "passes", 1);
    client.publish(&topic, "", 1);
    client.subscribe(&topic, 1);
    assert_eq!(client.take_content(), (topic, "stays".into(), 1, true));
}

/// [MQTT-3.3.1-12], section 3.3.1.3
fn live_messages_are_not_flagged(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 1);
    for number in 0..2 {
        retain(&mut client, &scene.topic("x"), number.to_string(), 1);
        let publish = client.take();
        assert_eq!((publish.text(), publish.retain), (&*number.to_string(), false));
    }
}

/// [MQTT-3.8.4-8]: also when it is found through a wildcard.
fn qos_is_the_lower_of_both(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    for published in 0..=2 {
        retain(&mut client, &scene.topic(&published.to_string()), "x", published);
    }
    client.ping();
    for granted in 0..=2 {
        client.subscribe(&scene.topic("+"), granted);
        for _ in 0..3 {
            let publish = client.take();
            let published = publish.topic.rsplit('/').next().and_then(|it| it.parse::<u8>().ok());
            assert_eq!(Some(publish.qos), published.map(|qos| qos.min(granted)));
            assert!(publish.retain);
        }
        client.unsubscribe(&[&scene.topic("+")]);
    }
}

/// [MQTT-4.7.1-2]
fn found_through_wildcards(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    let topics = ["x", "x/", "x/y", "x/y/z", "x/w/z", "y"];
    for topic in topics {
        retain(&mut client, &scene.topic(topic), topic, 1);
    }
    for (filter, expected) in [
        ("x/#", &["x", "x/", "x/y", "x/y/z", "x/w/z"][..]),
        ("x/+", &["x/", "x/y"]),
        ("x/+/z", &["x/y/z", "x/w/z"]),
        ("+", &["x", "y"]),
        ("+/+/+", &["x/y/z", "x/w/z"]),
        ("#", &topics),
        ("x/+/#", &["x/", "x/y", "x/y/z", "x/w/z"]),
        ("z/#", &[]),
    ] {
        client.subscribe(&scene.topic(filter), 1);
        let got: HashSet<String> =
            expected.iter().map(|_| client.take().text().to_owned()).collect();
        assert_eq!(got, expected.iter().map(|it| (*it).to_owned()).collect(), "'{filter}'");
        client.unsubscribe(&[&scene.topic(filter)]);
        // Nothing more was under way.
        assert_nothing_retained(&mut client, &scene.topic("end"));
    }
}

/// None is lost, however many match.
fn many_at_once(link: Link) {
    const MESSAGES: usize = 800;
    let scene = Scene::shared(link);
    let topics = (0..MESSAGES).map(|number| scene.topic(&format!("many/{number}"))).collect();
    let mut bytes = Vec::new();
    let topics: Vec<String> = topics;
    for (topic, id) in topics.iter().zip(1..) {
        bytes.extend(Publish::new(topic, topic).qos(1, id).retained().bytes(link.version));
    }
    let mut publisher = scene.connect("publisher");
    publisher.send(&bytes);
    for id in 1..=MESSAGES as u16 {
        publisher.await_puback(id);
    }
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("many/+"), 1);
    let got: HashSet<String> = (0..MESSAGES)
        .map(|_| {
            let publish = client.take();
            assert!(publish.retain);
            assert_eq!(publish.topic, publish.text());
            publish.topic
        })
        .collect();
    assert_eq!(got, topics.into_iter().collect());
}

/// [MQTT-3.8.4-4], [MQTT-3.3.1-9]: MQTT 3.1.1 knows nothing else.
fn each_subscribe_sends_them_again(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    retain(&mut client, &scene.topic("x"), "x", 1);
    for _ in 0..3 {
        client.subscribe(&scene.topic("x"), 1);
        assert_eq!(client.take_content(), (scene.topic("x"), "x".into(), 1, true));
    }
}

/// Section 4.1: retained messages belong to no session.
fn it_outlives_its_publisher(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    retain(&mut publisher, &scene.topic("x"), "x", 1);
    publisher.disconnect();
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("x"), 0);
    assert_eq!(client.take_content(), (scene.topic("x"), "x".into(), 0, true));
}

/// `messages_max`: refused with 0x97, never dropped silently; a topic that has one can change it.
fn the_number_of_them_has_a_limit(link: Link) {
    let scene = Scene::alone(link, Settings::new().tables("[retained]\nmessages_max = 2"));
    let mut client = scene.connect("a");
    retain(&mut client, "a", "1", 1);
    retain(&mut client, "b", "1", 1);
    expect_quota(&scene, Publish::new("c", "1"));
    retain(&mut client, "b", "2", 1);
    retain(&mut client, "a", "", 1);
    retain(&mut client, "c", "2", 1);
    client.subscribe("#", 1);
    let mut got = [client.take(), client.take()].map(|it| (it.topic.clone(), it.payload));
    got.sort();
    assert_eq!(got, [("b".into(), b"2".to_vec()), ("c".into(), b"2".to_vec())]);
}

/// `payload_max`
fn their_size_has_a_limit(link: Link) {
    let scene = Scene::alone(link, Settings::new().tables("[retained]\npayload_max = \"1KiB\""));
    let mut client = scene.connect("a");
    retain(&mut client, "a", vec![b'x'; 1024], 1);
    expect_quota(&scene, Publish::new("b", vec![b'x'; 1025]));
    client.publish("b", vec![b'x'; 1025], 1);
    client.subscribe("#", 1);
    assert_eq!(client.take().topic, "a");
    client.publish("end", "end", 1);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default());
}

/// At QoS 0 nobody can be told: the message is delivered, and the topic has no retained message any
/// more, because the old one is not its last value (docs/choices.md).
fn beyond_a_limit_at_qos_0(link: Link) {
    let scene = Scene::alone(link, Settings::new().tables("[retained]\npayload_max = \"1KiB\""));
    let mut client = scene.connect("a");
    retain(&mut client, "a", "small", 1);
    client.subscribe("a", 0);
    client.take();
    retain(&mut client, "a", vec![b'x'; 1025], 0);
    assert_eq!(client.take().payload.len(), 1025);
    assert_nothing_retained(&mut client, "a");
    scene.broker().await_metric("flotilla_messages_dropped_total", &["not_retained"], |n| n == 1.0);
}

/// Refused as a whole: MQTT 5 with 0x97, MQTT 3.1.1 by an end of the connection.
#[track_caller]
fn expect_quota(scene: &Scene, publish: Publish) {
    let mut client = scene.connect("quota");
    let publish = publish.qos(1, 1).retained();
    if scene.link.is_v5() {
        assert_eq!(client.try_publish(publish), 0x97);
        client.ping();
    } else {
        client.send(&publish.bytes(scene.link.version));
        client.expect_closed();
    }
}

/// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
fn retain_handling(link: Link) {
    const IF_NEW: u8 = 1 << 4;
    const NEVER: u8 = 2 << 4;
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut client = scene.connect("a");
    retain(&mut client, &topic, "x", 1);
    for (options, is_expected, why) in [
        (IF_NEW, true, "new"),
        (IF_NEW, false, "exists"),
        (0, true, "always"),
        (NEVER, false, "never, exists"),
        (IF_NEW, false, "exists still"),
    ] {
        client.subscribe(&topic, 1 | options);
        client.publish(&topic, "end", 1);
        let expected = if is_expected { vec!["x"] } else { vec![] };
        assert_eq!(client.take_until("end"), expected, "{why}");
    }
    client.unsubscribe(&[&topic]);
    client.subscribe(&topic, 1 | NEVER);
    client.publish(&topic, "end", 1);
    assert_eq!(client.take_until("end"), <[&str; 0]>::default(), "never, new");
}

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-18], [MQTT-3.3.2-20]
fn properties_stay(link: Link) {
    let scene = Scene::shared(link);
    let properties = vec![
        Property::PayloadFormat(1),
        Property::ContentType("text/plain".into()),
        Property::ResponseTopic("answers".into()),
        Property::CorrelationData(vec![0, 0xFF]),
        Property::user("b", "1"),
        Property::user("a", "2"),
    ];
    let publish = Publish::new(scene.topic("x"), "x").qos(1, 0).retained();
    let mut client = scene.connect("a");
    client.publish_packet(Publish { properties: properties.clone(), ..publish });
    client.subscribe(&scene.topic("x"), 1);
    let mut got = client.take().properties;
    for property in properties {
        let at = got.iter().position(|it| *it == property).expect("it stays");
        got.remove(at);
    }
    assert_eq!(got, []);
}

/// [MQTT-3.3.4-3]
fn subscription_ids_stand_on_them(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    retain(&mut client, &scene.topic("x"), "x", 1);
    client.subscribe_with(&[(&scene.topic("#"), 1)], &[Property::SubscriptionId(7)]);
    let publish = client.take();
    assert_eq!((publish.subscription_ids(), publish.retain), (vec![7], true));
}
