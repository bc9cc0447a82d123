//! A Client Identifier that connects while it is connected.

use std::thread;

use flotilla_tests::{
    Client, Connect, Link, Packet, Property, Publish, Scene, Will, every_link, v5_links,
};

every_link! {
    the_older_connection_ends,
    the_session_goes_on,
    clean_start_ends_the_older_session,
    messages_under_way_go_to_the_newer_connection,
    of_many_at_once_one_stays,
    no_message_is_lost_in_many_takeovers,
    the_will_of_the_older_connection_is_published,
}
v5_links! { a_delayed_will_is_not_published_when_the_session_goes_on }

/// The end of a connection that was taken over. [MQTT-3.1.4-3]
#[track_caller]
fn assert_taken_over(packets: &[Packet], is_v5: bool) {
    match packets {
        [.., Packet::Disconnect(0x8E, _)] if is_v5 => {}
        [] if !is_v5 => {}
        other => panic!("{other:?}"),
    }
}

/// [MQTT-3.1.4-3]
fn the_older_connection_ends(link: Link) {
    let scene = Scene::shared(link);
    let mut older = scene.connect("a");
    let mut newer = scene.connect("a");
    assert_taken_over(&older.until_closed(), link.is_v5());
    newer.ping();
}

/// [MQTT-3.1.2-5]
fn the_session_goes_on(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let (mut older, _) = scene.resume("a");
    older.subscribe(&scene.topic("#"), 1);
    let mut newer = scene.come_back("a");
    publisher.publish(&scene.topic("x"), "hello", 1);
    assert_eq!(newer.take().text(), "hello");
    assert_taken_over(&older.until_closed(), link.is_v5());
}

/// [MQTT-3.1.2-4]
fn clean_start_ends_the_older_session(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let (mut older, _) = scene.resume("a");
    older.subscribe(&scene.topic("#"), 1);
    let (mut newer, session_present, _) =
        scene.connect_with(&Connect::persistent(scene.id("a")).clean(true));
    assert!(!session_present);
    assert_taken_over(&older.until_closed(), link.is_v5());
    publisher.publish(&scene.topic("x"), "not subscribed", 1);
    newer.subscribe(&scene.topic("#"), 1);
    publisher.publish(&scene.topic("x"), "subscribed", 1);
    assert_eq!(newer.take().text(), "subscribed");
}

/// [MQTT-4.4.0-1], [MQTT-3.3.1-1]: unacknowledged means sent again, with DUP, in order.
fn messages_under_way_go_to_the_newer_connection(link: Link) {
    let scene = Scene::shared(link);
    let mut publisher = scene.connect("publisher");
    let (mut older, _) = scene.resume("a");
    older.subscribe(&scene.topic("#"), 2);
    for number in 0..6 {
        publisher.publish(&scene.topic("x"), number.to_string(), 1 + number % 2);
    }
    let sent: Vec<Publish> = (0..6).map(|_| older.await_publish()).collect();
    let mut newer = scene.come_back("a");
    let again: Vec<Publish> = sent.iter().map(|_| newer.take()).collect();
    for qos in 1..=2 {
        let of_qos = |all: &[Publish]| -> Vec<Publish> {
            all.iter().filter(|publish| publish.qos == qos).cloned().map(Publish::dup).collect()
        };
        assert_eq!(of_qos(&again), of_qos(&sent));
    }
    assert!(again.iter().all(|publish| publish.dup));
}

/// [MQTT-3.1.4-3]: however the connections are spread over the broker's workers.
fn of_many_at_once_one_stays(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("a")).bytes(link.version);
    let clients: Vec<Client> = thread::scope(|scope| {
        let open = || {
            let mut client = scene.open();
            client.send(&connect);
            // One that is overtaken before it is accepted hears nothing. [MQTT-3.14.0-1]
            client.is_answered().then_some(client)
        };
        let all: Vec<_> = (0..20).map(|_| scope.spawn(open)).collect();
        all.into_iter().filter_map(|one| one.join().expect("a connection can be opened")).collect()
    });
    let mut last = scene.resume("a").0;
    for mut client in clients {
        assert_taken_over(&client.until_closed(), link.is_v5());
    }
    last.ping();
}

/// [MQTT-4.5.0-1], [MQTT-4.6.0-5]: while the session moves, others publish to it.
fn no_message_is_lost_in_many_takeovers(link: Link) {
    const MESSAGES: usize = 200;
    let scene = Scene::shared(link);
    let topic = scene.topic("x");
    let (mut client, _) = scene.resume("a");
    client.subscribe(&topic, 2);
    let mut publisher = scene.connect("publisher");
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                publisher.publish(&topic, number.to_string(), 2);
            }
        });
        let mut next = 0;
        while next < MESSAGES {
            let publish = client.take();
            assert_eq!(publish.text(), next.to_string(), "[MQTT-4.3.3-10] once, in order");
            next += 1;
            if next % 8 == 0 {
                let newer = scene.come_back("a");
                client = newer;
            }
        }
    });
}

/// [MQTT-3.1.2-8], section 3.1.4: the older connection ends without a DISCONNECT of the client.
fn the_will_of_the_older_connection_is_published(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("will"), 0);
    let will = Will::new(scene.topic("will"), "taken over");
    let (_older, _, _) = scene.connect_with(&Connect::new(scene.id("a")).will(will));
    let _newer = scene.connect("a");
    assert_eq!(watcher.take().text(), "taken over");
}

/// [MQTT-3.1.3-9]
fn a_delayed_will_is_not_published_when_the_session_goes_on(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("#"), 0);
    let will = Will::new(scene.topic("will"), "not wanted").with(Property::WillDelay(1));
    let connect = Connect::persistent(scene.id("a"));
    let (mut older, _, _) = scene.connect_with(&connect.clone().will(will));
    let (mut newer, session_present, _) = scene.connect_with(&connect);
    assert!(session_present);
    assert_taken_over(&older.until_closed(), true);
    // Another Will with the same delay, a moment later: the first one had its time.
    let will = Will::new(scene.topic("will"), "wanted").with(Property::WillDelay(1));
    let other = Connect::persistent(scene.id("b")).will(will);
    scene.connect_with(&other).0.cut();
    assert_eq!(watcher.take().text(), "wanted");
    newer.ping();
}
