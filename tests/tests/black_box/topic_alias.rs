//! Topic Aliases, in both directions.

use std::collections::HashMap;

use flotilla_tests::{Connect, Link, Property, Publish, Scene, Settings, v5_links};

v5_links! {
    an_alias_stands_for_its_topic,
    aliases_end_with_the_connection,
    aliases_that_are_not_allowed,
    every_alias_up_to_the_maximum,
    broker_sends_no_alias_unasked,
    broker_stays_within_the_maximum,
    broker_uses_aliases_where_they_save_bytes,
    an_alias_makes_no_packet_too_large,
}

fn aliased(topic: &str, payload: &str, alias: u16) -> Publish {
    Publish::new(topic, payload).with(Property::TopicAlias(alias))
}

/// Section 3.3.2.3.4: set, used, set anew; it does not reach the subscriber.
fn an_alias_stands_for_its_topic(link: Link) {
    let scene = Scene::shared(link);
    let (one, two) = (scene.topic("one"), scene.topic("two"));
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("#"), 2);
    for (sent, payload, expected) in [
        (&*one, "sets 1", &one),
        ("", "uses 1", &one),
        (&*two, "sets 1 anew", &two),
        ("", "uses 1 again", &two),
    ] {
        for qos in 0..=2 {
            client.publish_packet(aliased(sent, payload, 1).qos(qos, 0));
            let publish = client.take();
            assert_eq!((&publish.topic, publish.text()), (expected, payload));
            assert_eq!(publish.properties, []);
        }
    }
}

/// [MQTT-3.3.2-7]
fn aliases_end_with_the_connection(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("a"));
    let (mut client, _, _) = scene.connect_with(&connect);
    client.publish_packet(aliased(&scene.topic("x"), "x", 1));
    client.disconnect();
    let (mut client, session_present, _) = scene.connect_with(&connect);
    assert!(session_present);
    client.send(&aliased("", "x", 1).bytes(link.version));
    client.expect_refused(&[0x82]);
}

/// [MQTT-3.3.2-8], [MQTT-3.3.2-9], [MQTT-3.2.2-17]: 0x94; without a topic that is known: 0x82.
fn aliases_that_are_not_allowed(link: Link) {
    let scene = Scene::shared(link);
    for (publish, codes) in [
        (aliased("a", "x", 0), &[0x94][..]),
        (aliased("a", "x", 65), &[0x94]),
        (aliased("a", "x", u16::MAX), &[0x94]),
        (aliased("", "x", 65), &[0x94]),
        (aliased("", "x", 1), &[0x82]),
        (Publish::new("", "x"), &[0x82]),
    ] {
        let mut client = scene.connect("a");
        client.send(&publish.bytes(link.version));
        client.expect_refused(codes);
    }
}

/// [MQTT-3.3.2-12]
fn every_alias_up_to_the_maximum(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.subscribe(&scene.topic("#"), 0);
    for alias in 1..=64 {
        client.publish_packet(aliased(&scene.topic(&alias.to_string()), "sets", alias));
    }
    for alias in 1..=64 {
        assert_eq!(client.take().topic, scene.topic(&alias.to_string()));
    }
    for alias in 1..=64 {
        client.publish_packet(aliased("", "uses", alias));
        assert_eq!(client.take().topic, scene.topic(&alias.to_string()));
    }
}

/// [MQTT-3.1.2-27]: no Topic Alias Maximum is one of 0.
fn broker_sends_no_alias_unasked(link: Link) {
    let scene = Scene::shared(link);
    for connect in [
        Connect::new(scene.id("a")),
        Connect::new(scene.id("a")).with(Property::TopicAliasMaximum(0)),
    ] {
        let (mut client, _, _) = scene.connect_with(&connect);
        client.subscribe(&scene.topic("x"), 0);
        for _ in 0..3 {
            client.publish(&scene.topic("x"), "x", 0);
            let publish = client.take();
            assert_eq!((publish.topic, publish.properties), (scene.topic("x"), vec![]));
        }
    }
}

/// A client that follows the aliases that the broker sets.
struct Reader {
    aliases_max: u16,
    known: HashMap<u16, String>,
    /// Messages that came without a topic.
    saved: u32,
}

impl Reader {
    fn new(aliases_max: u16) -> Self {
        Self { aliases_max, known: HashMap::new(), saved: 0 }
    }

    /// The topic of a message, wherever it stands.
    #[track_caller]
    fn topic(&mut self, publish: &Publish) -> String {
        let alias = publish.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(*alias),
            _ => None,
        });
        let Some(alias) = alias else { return publish.topic.clone() };
        assert!((1..=self.aliases_max).contains(&alias), "alias {alias}");
        if publish.topic.is_empty() {
            self.saved += 1;
        } else {
            self.known.insert(alias, publish.topic.clone());
        }
        self.known.get(&alias).expect("[MQTT-3.3.2-7] an alias was set before").clone()
    }
}

/// [MQTT-3.1.2-26], [MQTT-3.3.2-11]: a client that follows the aliases finds every topic, whatever
/// the QoS.
fn broker_stays_within_the_maximum(link: Link) {
    let scene = Scene::shared(link);
    for aliases_max in [1, 2, 1_000] {
        let name = format!("a{aliases_max}");
        let connect = Connect::new(scene.id(&name)).with(Property::TopicAliasMaximum(aliases_max));
        let (mut client, _, _) = scene.connect_with(&connect);
        client.subscribe(&scene.topic("#"), 2);
        let mut reader = Reader::new(aliases_max);
        let numbers = [1, 2, 3, 1, 2, 3, 3, 2, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3];
        for (at, number) in numbers.into_iter().enumerate() {
            let topic = scene.topic(&number.to_string());
            client.publish(&topic, "x", (at % 3) as u8);
            let publish = client.take();
            assert_eq!(reader.topic(&publish), topic);
        }
        assert!(reader.saved >= 3, "{} of 19 saved at {aliases_max}", reader.saved);
    }
}

/// Where a topic comes again the alias takes its place; on the next connection all begins anew, for
/// what is sent again, too ([MQTT-3.3.2-7]).
fn broker_uses_aliases_where_they_save_bytes(link: Link) {
    let scene = Scene::alone(link, Settings::new());
    let connect = Connect::persistent(scene.id("a")).with(Property::TopicAliasMaximum(10));
    let mut publisher = scene.connect("publisher");
    let long = "a/topic/of/some/length";
    let mut client = scene.connect_with(&connect).0;
    client.subscribe("#", 1);
    for _ in 0..2 {
        let mut reader = Reader::new(10);
        for _ in 0..10 {
            publisher.publish(long, "x", 1);
        }
        let got: Vec<Publish> = (0..10).map(|_| client.await_publish()).collect();
        got.iter().for_each(|publish| assert_eq!(reader.topic(publish), long));
        assert_eq!(reader.saved, 8, "once without, once to set it");
        // Two remain unacknowledged.
        got[..8].iter().for_each(|publish| client.acknowledge(publish));
        client.ping();
        client.cut();
        client = scene.connect_with(&connect).0;
        let mut reader = Reader::new(10);
        for _ in 0..2 {
            let again = client.take();
            assert!(again.dup, "{again:?}");
            assert_eq!(reader.topic(&again), long);
        }
        client.ping();
        client.cut();
        client = scene.connect_with(&connect).0;
    }
    // Three bytes are what an alias costs.
    let mut reader = Reader::new(10);
    for _ in 0..4 {
        publisher.publish("a/b", "x", 0);
        assert_eq!(reader.topic(&client.take()), "a/b");
    }
    assert_eq!(reader.saved, 0);
    scene.broker().await_metric("flotilla_messages_aliased_total", &[], |count| count == 16.0);
}

/// [MQTT-3.1.2-24]: setting an alias makes a packet larger, not too large.
fn an_alias_makes_no_packet_too_large(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("long/enough");
    let plain = Publish::new(&topic, "x").bytes(link.version).len() as u32;
    let connect = Connect::new(scene.id("a"))
        .with(Property::TopicAliasMaximum(10))
        .with(Property::MaximumPacketSize(plain + 2));
    let (mut client, _, _) = scene.connect_with(&connect);
    client.subscribe(&topic, 0);
    for _ in 0..3 {
        client.publish(&topic, "x", 0);
        assert_eq!(client.take().properties, []);
    }
}
