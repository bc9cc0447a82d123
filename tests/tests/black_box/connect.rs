//! CONNECT, CONNACK: who gets in with which session.

use std::time::{Duration, Instant};

use flotilla_tests::{
    Client, Connect, Link, Packet, Property, Scene, Settings, Version, Will, elapse, every_link,
    newer_links,
    packet::{self, DISCONNECT, PINGREQ, disconnect_with, frame, subscribe},
    v5_links, v311_links,
};

every_link! {
    first_packet_must_be_connect,
    second_connect_ends_the_connection,
    clean_start_discards_the_session,
    packets_may_follow_connect_at_once,
    client_ids_of_many_kinds,
    keep_alive_ends_a_silent_connection,
    keep_alive_spares_a_client_that_speaks,
    disconnect_closes,
}
newer_links! { session_present_says_whether_a_session_is_resumed }
v311_links! { empty_client_id_needs_clean_session, connack_of_two_bytes, session_has_no_expiry_but_the_limit }
v5_links! {
    empty_client_id_is_assigned,
    connack_names_the_limits,
    session_expiry_is_capped,
    session_ends_at_its_expiry,
    session_without_expiry_ends_with_the_connection,
    disconnect_may_change_the_expiry,
    disconnect_may_not_start_an_expiry,
    an_expiry_in_disconnect_is_capped,
    unknown_authentication_method,
    auth_without_a_method,
    reason_strings_only_on_request,
}

/// [MQTT-3.1.0-1], [MQTT-3.14.0-1]: nothing comes back, not even DISCONNECT.
fn first_packet_must_be_connect(link: Link) {
    let scene = Scene::shared(link);
    for first in [
        PINGREQ.to_vec(),
        DISCONNECT.to_vec(),
        packet::Publish::new("a", "x").bytes(link.version),
        subscribe(link.version, 1, &[("a", 0)], &[]),
        packet::puback(1),
        frame(0x20, &[0, 0]),
        frame(0xF0, &[]),
    ] {
        let mut client = scene.open();
        client.send(&first);
        client.expect_closed();
    }
}

/// [MQTT-3.1.0-2], [MQTT-3.2.0-2], [MQTT-3.14.2-2], [MQTT-4.13.2-1]
fn second_connect_ends_the_connection(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.send(&Connect::new(scene.id("a")).bytes(link.version));
    client.expect_refused(&[0x82]);
}

/// [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.2.2-2], [MQTT-3.2.2-3], [MQTT-3.1.4-4]
fn session_present_says_whether_a_session_is_resumed(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("a"));
    for (clean, expected) in
        [(false, false), (false, true), (true, false), (false, link.is_v5()), (false, true)]
    {
        let (client, session_present, _) = scene.connect_with(&connect.clone().clean(clean));
        assert_eq!(session_present, expected, "clean {clean}");
        client.disconnect();
    }
}

/// [MQTT-3.1.2-4]: its subscriptions and messages are gone.
fn clean_start_discards_the_session(link: Link) {
    let scene = Scene::shared(link);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("#"), 1);
    sleeper.disconnect();
    let mut publisher = scene.connect("publisher");
    publisher.publish(&scene.topic("a"), "for the old session", 1);

    scene.connect_with(&Connect::persistent(scene.id("sleeper")).clean(true)).0.disconnect();
    let (mut sleeper, _) = scene.resume("sleeper");
    publisher.publish(&scene.topic("a"), "not subscribed", 1);
    sleeper.subscribe(&scene.topic("#"), 1);
    publisher.publish(&scene.topic("a"), "subscribed", 1);
    assert_eq!(sleeper.take().text(), "subscribed");
}

/// [MQTT-3.1.4-5]: a client need not wait for CONNACK.
fn packets_may_follow_connect_at_once(link: Link) {
    let scene = Scene::shared(link);
    let topic = scene.topic("a");
    let mut client = scene.open();
    let mut bytes = Connect::new(scene.id("a")).bytes(link.version);
    bytes.extend(subscribe(link.version, 9, &[(&topic, 1)], &[]));
    bytes.extend(packet::Publish::new(&topic, "early").qos(1, 8).bytes(link.version));
    bytes.extend(PINGREQ);
    client.send(&bytes);
    assert!(matches!(client.next_packet(), Packet::Connack(false, 0, _)), "[MQTT-3.2.0-1]");
    assert_eq!(client.take().text(), "early");
    client.await_puback(8);
    client.await_packet(|packet| matches!(packet, Packet::Suback(9, ..)).then_some(()));
    client.await_packet(|packet| matches!(packet, Packet::Pingresp).then_some(()));
}

/// [MQTT-3.1.3-2], [MQTT-3.1.3-4], [MQTT-3.1.3-5]: long ones and other scripts, too.
fn client_ids_of_many_kinds(link: Link) {
    let scene = Scene::shared(link);
    for name in ["0123456789abcABCXYZ", " ", "Zürich/+/#", "泵", "\u{FEFF}a", &"x".repeat(1_000)]
    {
        let (client, session_present) = scene.resume(name);
        assert!(!session_present, "a new name: {name}");
        client.disconnect();
        let client = scene.come_back(name);
        client.disconnect();
    }
}

/// [MQTT-3.1.3-8]: return code 2.
fn empty_client_id_needs_clean_session(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.open();
    client.send(&Connect::new("").clean(false).bytes(Version::V311));
    client.expect(&Packet::Connack(false, 2, vec![]));
    client.expect_closed();

    let (mut one, _, _) = scene.connect_with(&Connect::new(""));
    let (mut other, _, _) = scene.connect_with(&Connect::new(""));
    one.ping();
    other.ping();
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]
fn empty_client_id_is_assigned(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent("");
    let assigned = |properties: Vec<Property>| {
        let found = properties.into_iter().find_map(|property| match property {
            Property::AssignedClientId(id) => Some(id),
            _ => None,
        });
        found.expect("an Assigned Client Identifier")
    };
    let (one, session_present, properties) = scene.connect_with(&connect);
    assert!(!session_present);
    let id = assigned(properties);
    let (mut other, _, properties) = scene.connect_with(&connect);
    assert_ne!(id, assigned(properties), "two clients");
    one.disconnect();
    other.ping();

    let (client, session_present, properties) = scene.connect_with(&Connect::persistent(&*id));
    assert!(session_present, "the assigned name is as good as one's own");
    assert!(!properties.iter().any(|it| matches!(it, Property::AssignedClientId(_))));
    client.disconnect();
}

/// MQTT 3.1.1, section 3.2: 20 02 00 00.
fn connack_of_two_bytes(link: Link) {
    let scene = Scene::shared(link);
    let (_, session_present, properties) = scene.connect_with(&Connect::new(scene.id("a")));
    assert!(!session_present);
    assert_eq!(properties, []);
}

/// A session of MQTT 3.1.1 has no expiry; only the broker's own limit, a week, ends it.
fn session_has_no_expiry_but_the_limit(link: Link) {
    let settings = Settings::new().tables("[session]\nexpiry_max = \"1s\"");
    let scene = Scene::alone(link, settings);
    scene.resume("capped").0.disconnect();
    scene.broker().await_metric("flotilla_sessions", &["disconnected"], |count| count == 0.0);
    let (client, session_present) = scene.resume("capped");
    assert!(!session_present, "expiry_max ends it");
    client.disconnect();
}

/// [MQTT-3.2.2-1], [MQTT-3.1.2-28], section 3.2.2.3: what differs from the protocol's defaults is
/// said, nothing that was not asked for.
fn connack_names_the_limits(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a")).with(Property::RequestResponseInformation(0));
    let (_, _, properties) = scene.connect_with(&connect);
    assert!(!properties.iter().any(|it| matches!(it, Property::ResponseInformation(_))));
    for expected in [
        Property::ReceiveMaximum(1024),
        Property::MaximumPacketSize(1 << 20),
        Property::TopicAliasMaximum(64),
    ] {
        assert!(properties.contains(&expected), "{expected:?} is not in {properties:?}");
    }
    for absent in [
        Property::RetainAvailable(0),
        Property::WildcardSubscriptionAvailable(0),
        Property::SubscriptionIdsAvailable(0),
        Property::SharedSubscriptionAvailable(0),
        Property::MaximumQoS(0),
        Property::MaximumQoS(1),
    ] {
        assert!(!properties.contains(&absent), "{absent:?}");
    }
}

/// Section 3.2.2.3.2: a broker that keeps sessions for less time than asked for says so.
fn session_expiry_is_capped(link: Link) {
    let scene = Scene::shared(link);
    let ask = |seconds| {
        let connect = Connect::new(scene.id("a")).with(Property::SessionExpiry(seconds));
        let (client, _, properties) = scene.connect_with(&connect);
        client.disconnect();
        properties.into_iter().find(|property| matches!(property, Property::SessionExpiry(_)))
    };
    let week = 7 * 24 * 3600;
    assert_eq!(ask(u32::MAX), Some(Property::SessionExpiry(week)));
    assert_eq!(ask(week + 1), Some(Property::SessionExpiry(week)));
    let kept = ask(100);
    assert!(kept.is_none() || kept == Some(Property::SessionExpiry(100)), "{kept:?}");
}

/// [MQTT-3.1.2-23], [MQTT-4.1.0-2]: a Will whose delay is longer tells when the session ended.
fn session_ends_at_its_expiry(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("will"), 0);
    let will = Will::new(scene.topic("will"), "over").with(Property::WillDelay(600));
    let connect = Connect::new(scene.id("a")).clean(false).will(will);

    let (mut client, _, _) = scene.connect_with(&connect.clone().with(Property::SessionExpiry(1)));
    elapse(Duration::from_millis(1_200));
    client.ping();
    let cut_at = Instant::now();
    client.cut();
    assert_eq!(watcher.take().text(), "over");
    let lived = cut_at.elapsed();
    assert!(lived >= Duration::from_millis(900), "[MQTT-4.1.0-1] it ended after {lived:?}");
    let (_, session_present, _) = scene.connect_with(&Connect::persistent(scene.id("a")));
    assert!(!session_present);
}

/// Section 3.1.2.11.2: no Session Expiry Interval is one of 0.
fn session_without_expiry_ends_with_the_connection(link: Link) {
    let scene = Scene::shared(link);
    for connect in [
        Connect::new(scene.id("a")).clean(false),
        Connect::new(scene.id("a")).clean(false).with(Property::SessionExpiry(0)),
    ] {
        for _ in 0..2 {
            let (client, session_present, _) = scene.connect_with(&connect);
            assert!(!session_present);
            client.disconnect();
        }
    }
}

/// Section 3.14.2.2.2
fn disconnect_may_change_the_expiry(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::persistent(scene.id("a"));
    let leave = |mut client: Client, seconds| {
        client.send(&disconnect_with(0, &[Property::SessionExpiry(seconds)]));
        client.expect_closed();
    };
    let (client, _, _) = scene.connect_with(&connect);
    leave(client, 100);
    let (client, session_present, _) = scene.connect_with(&connect);
    assert!(session_present, "changed from 3600 to 100");
    leave(client, 0);
    let (client, session_present, _) = scene.connect_with(&connect);
    assert!(!session_present, "changed to 0");
    client.disconnect();
}

/// Section 3.14.2.2.2: from zero to non-zero is a Protocol Error.
fn disconnect_may_not_start_an_expiry(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.send(&disconnect_with(0, &[Property::SessionExpiry(100)]));
    client.expect_refused(&[0x82]);
    let (_, session_present) = scene.resume("a");
    assert!(!session_present);
}

/// Section 3.14.2.2.2: what a client may not ask for in CONNECT it may not in DISCONNECT.
fn an_expiry_in_disconnect_is_capped(link: Link) {
    let settings = Settings::new().tables("[session]\nexpiry_max = \"1s\"");
    let scene = Scene::alone(link, settings);
    let mut client = scene.resume("a").0;
    client.send(&disconnect_with(0, &[Property::SessionExpiry(u32::MAX)]));
    client.expect_closed();
    scene.broker().await_metric("flotilla_sessions", &["disconnected"], |count| count == 0.0);
    assert!(!scene.resume("a").1);
}

/// [MQTT-4.12.0-1], [MQTT-3.2.2-6], [MQTT-3.2.2-7]
fn unknown_authentication_method(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.open();
    let method = Property::AuthenticationMethod("SCRAM-SHA-1".into());
    client.send(&Connect::new(scene.id("a")).with(method).bytes(link.version));
    let answer = client.next_packet();
    assert!(matches!(answer, Packet::Connack(false, 0x8C, _)), "{answer:?}");
    client.expect_closed();
}

/// [MQTT-4.12.0-6], [MQTT-4.12.0-7]
fn auth_without_a_method(link: Link) {
    let scene = Scene::shared(link);
    for auth in [frame(0xF0, &[]), frame(0xF0, &[0x19, 0x00])] {
        let mut client = scene.connect("a");
        client.send(&auth);
        client.expect_refused(&[0x82]);
    }
}

/// [MQTT-3.1.2-29]
fn reason_strings_only_on_request(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a")).with(Property::RequestProblemInformation(0));
    let (mut client, _, _) = scene.connect_with(&connect);
    let deep = "a/".repeat(40);
    client.send(&subscribe(link.version, 1, &[(&deep, 0)], &[]));
    client.send(&packet::unsubscribe(link.version, 2, &["never"]));
    client.send(&packet::Publish::new("$SYS/a", "x").qos(1, 3).bytes(link.version));
    client.expect(&Packet::Suback(1, vec![0x8F], vec![]));
    client.expect(&Packet::Unsuback(2, vec![0x11], vec![]));
    let ack = client.await_puback(3);
    assert!(ack.code >= 0x80);
    assert_eq!(ack.properties, []);
}

/// [MQTT-3.1.2-22], [MQTT-3.2.2-22]: after one and a half times the Keep Alive.
fn keep_alive_ends_a_silent_connection(link: Link) {
    let scene = Scene::shared(link);
    let connect = Connect::new(scene.id("a")).keep_alive(1);
    let (mut client, _, _) = scene.connect_with(&connect);
    let silent_since = Instant::now();
    let last = client.until_closed();
    let silence = silent_since.elapsed();
    assert!(silence >= Duration::from_millis(1_400), "closed after {silence:?}");
    assert!(silence <= Duration::from_secs(6), "closed after {silence:?}");
    match last.as_slice() {
        [] => {}
        [Packet::Disconnect(0x8D, _)] if link.is_v5() => {}
        other => panic!("{other:?}"),
    }
}

/// [MQTT-3.1.2-22], [MQTT-3.12.4-1]: any packet counts, PINGREQ among them.
fn keep_alive_spares_a_client_that_speaks(link: Link) {
    let scene = Scene::shared(link);
    let (mut client, _, _) = scene.connect_with(&Connect::new(scene.id("a")).keep_alive(1));
    elapse(Duration::from_millis(700));
    client.ping();
    elapse(Duration::from_millis(700));
    client.publish(&scene.topic("a"), "x", 0);
    elapse(Duration::from_millis(700));
    client.ping();
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2]: the broker closes, and does not answer.
fn disconnect_closes(link: Link) {
    let scene = Scene::shared(link);
    let mut client = scene.connect("a");
    client.send(DISCONNECT);
    client.expect_closed();
}
