//! Shared subscriptions (section 4.8.2): each message to one of a group.

use flotilla_tests::{
    Client, Link, Property, Publish, Scene, Settings, every_link,
    packet::{DISCONNECT, puback, puback_with, pubrec_with},
    v5_links,
};

every_link! {
    each_message_goes_to_one_of_the_group,
    groups_and_others_get_their_own_copies,
    retained_messages_are_not_sent_at_subscribe,
    what_is_not_acknowledged_goes_to_another,
    messages_of_qos_2_stay_with_their_client,
    a_group_that_is_away_finds_everything_after_a_kill,
    who_has_left_gets_nothing,
}
v5_links! { members_keep_their_own_options, a_refused_message_goes_to_nobody_else }

fn join(scene: &Scene, name: &str, filter: &str, qos: u8) -> Client {
    let mut client = scene.connect(name);
    client.subscribe(filter, qos);
    client
}

/// The payloads up to one that goes to this client alone.
fn all(client: &mut Client, scene: &Scene, own: &str) -> Vec<String> {
    client.subscribe(&scene.topic(own), 0);
    client.publish(&scene.topic(own), "end", 0);
    client.take_until("end")
}

/// Whichever worker the members are on, in turn. [MQTT-4.8.2-3]
fn each_message_goes_to_one_of_the_group(link: Link) {
    const MESSAGES: usize = 60;
    let scene = Scene::shared(link);
    let filter = format!("$share/g/{}", scene.topic("x/#"));
    for qos in 0..=2 {
        let mut members: Vec<_> =
            (0..3).map(|number| join(&scene, &format!("member{number}"), &filter, qos)).collect();
        let mut publisher = scene.connect("publisher");
        for number in 0..MESSAGES {
            publisher.publish(&scene.topic("x/y"), number.to_string(), qos);
        }
        let mut got: Vec<usize> = Vec::new();
        for member in &mut members {
            let mut last = None;
            for _ in 0..MESSAGES / 3 {
                let publish = member.take();
                assert_eq!(publish.qos, qos);
                let number = publish.text().parse().expect("a number");
                assert!(last < Some(number), "in order");
                last = Some(number);
                got.push(number);
            }
        }
        got.sort_unstable();
        assert_eq!(got, (0..MESSAGES).collect::<Vec<_>>());
        for (number, member) in members.iter_mut().enumerate() {
            assert_eq!(all(member, &scene, &format!("own{number}")), <[&str; 0]>::default());
        }
    }
}

/// Section 4.8.2: groups of another name or filter, and ordinary subscriptions, are others.
fn groups_and_others_get_their_own_copies(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut member = join(&scene, "g", &format!("$share/g/{topic}"), 1);
    let mut other = join(&scene, "h", &format!("$share/h/{topic}"), 1);
    let mut wide = join(&scene, "wide", &format!("$share/g/{}", scene.topic("#")), 1);
    let mut both = join(&scene, "both", &topic, 1);
    both.subscribe(&format!("$share/i/{topic}"), 1);
    scene.connect("publisher").publish(&topic, "x", 1);
    for client in [&mut member, &mut other, &mut wide, &mut both] {
        assert_eq!(client.take().text(), "x");
    }
    assert_eq!(both.take().text(), "x");
    for (client, own) in [(&mut member, "1"), (&mut other, "2"), (&mut both, "3")] {
        assert_eq!(all(client, &scene, own), <[&str; 0]>::default());
    }
}

/// Section 4.8, [MQTT-3.8.4-3]
fn retained_messages_are_not_sent_at_subscribe(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let mut publisher = scene.connect("publisher");
    publisher.publish_packet(Publish::new(&topic, "kept").qos(1, 0).retained());
    let mut member = join(&scene, "member", &format!("$share/g/{topic}"), 1);
    publisher.publish(&topic, "live", 1);
    assert_eq!(member.take().text(), "live");
}

/// Section 4.8.2: when its session ends, cut or not.
fn what_is_not_acknowledged_goes_to_another(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let filter = format!("$share/g/{topic}");
    for is_cut in [false, true] {
        let mut first = join(&scene, "first", &filter, 1);
        let mut second = join(&scene, "second", &filter, 1);
        let mut publisher = scene.connect("publisher");
        for number in 0..10 {
            publisher.publish(&topic, number.to_string(), 1);
        }
        let taken = first.await_publish();
        first.send(&puback(taken.id));
        first.await_publish();
        if is_cut {
            first.cut();
        } else {
            first.send(DISCONNECT);
            first.until_closed();
        }
        let mut got = vec![taken.text().to_owned()];
        got.extend((0..9).map(|_| second.take().text().to_owned()));
        got.sort();
        assert_eq!(got, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(all(&mut second, &scene, "own"), <[&str; 0]>::default());
    }
}

/// [MQTT-4.8.2-4], [MQTT-4.8.2-5]
fn messages_of_qos_2_stay_with_their_client(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let filter = format!("$share/g/{topic}");
    let (mut lasting, _) = scene.resume("lasting");
    lasting.subscribe(&filter, 2);
    scene.connect("publisher").publish(&topic, "lasting's", 2);
    assert_eq!(lasting.await_publish().text(), "lasting's");
    lasting.cut();
    let mut passing = join(&scene, "passing", &filter, 2);
    let mut publisher = scene.connect("publisher");
    publisher.publish(&topic, "passing's", 2);
    assert_eq!(passing.await_publish().text(), "passing's");
    passing.cut();
    let mut last = join(&scene, "last", &filter, 2);
    let mut lasting = scene.come_back("lasting");
    assert_eq!(lasting.take().text(), "lasting's");
    assert_eq!(all(&mut last, &scene, "own"), <[&str; 0]>::default());
    assert_eq!(all(&mut lasting, &scene, "other"), <[&str; 0]>::default());
    lasting.unsubscribe(&[&filter]);
}

/// Each of its messages waits for one member.
fn a_group_that_is_away_finds_everything_after_a_kill(link: Link) {
    let mut scene = Scene::alone(link, Settings::new());
    for name in ["a", "b"] {
        let (mut member, _) = scene.resume(name);
        member.subscribe("$share/g/x/#", 2);
        member.disconnect();
    }
    let mut publisher = scene.connect("publisher");
    for number in 10..30_u8 {
        publisher.publish("x/y", number.to_string(), 1 + (number / 2 % 2));
    }
    scene.broker_mut().kill();
    scene.broker_mut().restart();
    scene.broker().await_metric("flotilla_shared_groups", &[], |groups| groups == 1.0);
    let mut got = Vec::new();
    for name in ["a", "b"] {
        let mut member = scene.come_back(name);
        got.extend((0..10).map(|_| member.take().text().to_owned()));
        member.disconnect();
        let (mut member, _) = scene.resume(name);
        assert_eq!(all(&mut member, &scene, name), <[&str; 0]>::default(), "all are acknowledged");
        member.disconnect();
    }
    got.sort();
    assert_eq!(got, (10..30).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// By UNSUBSCRIBE or with its session.
fn who_has_left_gets_nothing(link: Link) {
    let scene = Scene::shared(link);
    let filter = format!("$share/g/{}", scene.topic("x"));
    let mut stays = join(&scene, "stays", &filter, 1);
    let mut leaves = join(&scene, "leaves", &filter, 1);
    let ends = join(&scene, "ends", &filter, 1);
    leaves.unsubscribe(&[&filter]);
    ends.disconnect();
    let mut publisher = scene.connect("publisher");
    for number in 0..10 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1);
        assert_eq!(stays.take().text(), number.to_string());
    }
    assert_eq!(all(&mut leaves, &scene, "own"), <[&str; 0]>::default());
}

/// [MQTT-4.8.2-3], [MQTT-3.3.4-3]: QoS, Subscription Identifier, Retain As Published.
fn members_keep_their_own_options(link: Link) {
    const RETAIN_AS_PUBLISHED: u8 = 8;
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let filter = format!("$share/g/{topic}");
    let mut members = Vec::new();
    for (id, options) in [(7, 1), (8, RETAIN_AS_PUBLISHED | 2)] {
        let mut member = scene.connect(&format!("member{id}"));
        let property = Property::SubscriptionId(id);
        assert_eq!(member.subscribe_with(&[(&filter, options)], &[property]), [options & 3]);
        members.push(member);
    }
    let mut publisher = scene.connect("publisher");
    for _ in 0..2 {
        publisher.publish_packet(Publish::new(&topic, "x").qos(2, 0).retained());
    }
    for (member, (qos, retain, id)) in members.iter_mut().zip([(1, false, 7), (2, true, 8)]) {
        let publish = member.take();
        assert_eq!((publish.qos, publish.retain), (qos, retain));
        assert_eq!(publish.subscription_ids(), [id]);
    }
}

/// [MQTT-4.8.2-6]: not even when who refused it leaves.
fn a_refused_message_goes_to_nobody_else(link: Link) {
    const IMPLEMENTATION_SPECIFIC_ERROR: u8 = 0x83;
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let filter = format!("$share/g/{topic}");
    let mut first = join(&scene, "first", &filter, 2);
    let mut second = join(&scene, "second", &filter, 2);
    let mut publisher = scene.connect("publisher");
    for (qos, refuse) in [(1, puback_with as fn(u16, u8) -> Vec<u8>), (2, pubrec_with)] {
        for _ in 0..2 {
            publisher.publish(&topic, "x", qos);
        }
        let refused = first.await_publish();
        first.send(&refuse(refused.id, IMPLEMENTATION_SPECIFIC_ERROR));
        assert_eq!(second.take().text(), "x");
    }
    assert_eq!(all(&mut first, &scene, "own"), <[&str; 0]>::default());
    first.disconnect();
    assert_eq!(all(&mut second, &scene, "own"), <[&str; 0]>::default());
}
