//! Topic Aliases, in both directions.

use flotilla_tests::{Connect, Link, Property, Publish, Scene, v5_links};

v5_links! {
    an_alias_stands_for_its_topic,
    aliases_end_with_the_connection,
    aliases_that_are_not_allowed,
    every_alias_up_to_the_maximum,
    broker_sends_no_alias_unasked,
    broker_stays_within_the_maximum,
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

/// [MQTT-3.1.2-26], [MQTT-3.3.2-11]: a client that follows the aliases finds every topic.
fn broker_stays_within_the_maximum(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a")).with(Property::TopicAliasMaximum(2));
    let (mut client, _, _) = scene.connect_with(&connect);
    client.subscribe(&scene.topic("#"), 0);
    let mut known = [String::new(), String::new()];
    for number in [1, 2, 3, 1, 2, 3, 3, 2, 1] {
        let topic = scene.topic(&number.to_string());
        client.publish(&topic, "x", 0);
        let publish = client.take();
        let alias = publish.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(usize::from(*alias)),
            _ => None,
        });
        let found = match alias {
            None => publish.topic,
            Some(alias) => {
                assert!((1..=2).contains(&alias), "alias {alias}");
                if !publish.topic.is_empty() {
                    known[alias - 1] = publish.topic;
                }
                known[alias - 1].clone()
            }
        };
        assert_eq!(found, topic);
    }
}
