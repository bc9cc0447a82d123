//! The Will: published when a connection ends badly, and only then.

use std::time::{Duration, Instant};

use flotilla_tests::{
    Client, Connect, Link, Property, Publish, Scene, Settings, Will, elapse, every_link,
    packet::{disconnect_with, frame},
    v5_links,
};

every_link! {
    a_cut_connection_publishes_it,
    disconnect_removes_it,
    a_protocol_error_publishes_it,
    silence_publishes_it,
    it_is_retained_when_asked,
    it_is_published_once,
    its_qos_counts,
    it_waits_for_those_who_are_away,
    it_belongs_to_a_connection,
}
v5_links! {
    disconnect_with_will_publishes_it,
    a_reason_code_that_does_not_exist_publishes_it,
    an_error_reason_publishes_it,
    its_properties_are_those_of_a_message,
    delay_ends_with_a_new_connection,
    delay_passes,
    delay_ends_with_the_session,
    a_clean_start_ends_the_session_and_the_delay,
    its_expiry_counts_from_its_publication,
}

/// One who sees the Wills of a scene.
fn watcher(scene: &Scene) -> Client {
    let mut watcher = scene.connect("watcher");
    watcher.subscribe(&scene.topic("#"), 2);
    watcher
}

fn will(scene: &Scene) -> Will {
    Will::new(scene.topic("will"), "gone").qos(1)
}

fn connect(scene: &Scene, will: Will) -> Client {
    scene.connect_with(&Connect::new(scene.id("mortal")).will(will)).0
}

/// No Will: what the watcher sees next is another client's message.
#[track_caller]
fn assert_no_will(scene: &Scene, watcher: &mut Client) {
    let mut other = scene.connect("other");
    other.publish(&scene.topic("end"), "end", 2);
    assert_eq!(watcher.take_until("end"), <[&str; 0]>::default());
}

/// [MQTT-3.1.2-7], [MQTT-3.1.2-8]: FIN, RST.
fn a_cut_connection_publishes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    for end in [Client::cut, Client::reset] {
        end(connect(&scene, will(&scene)));
        assert_eq!(watcher.take_content(), (scene.topic("will"), "gone".into(), 1, false));
    }
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]
fn disconnect_removes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    connect(&scene, will(&scene)).disconnect();
    assert_no_will(&scene, &mut watcher);
}

/// [MQTT-3.1.2-8]
fn a_protocol_error_publishes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let mut client = connect(&scene, will(&scene));
    client.send(&frame(0x36, &[0, 1, b'a', 0, 1]));
    client.until_closed();
    assert_eq!(watcher.take().text(), "gone");
}

/// [MQTT-3.1.2-22]
fn silence_publishes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let connect = Connect::new(scene.id("mortal")).keep_alive(1).will(will(&scene));
    let (_silent, _, _) = scene.connect_with(&connect);
    assert_eq!(watcher.take().text(), "gone");
}

/// [MQTT-3.1.2-14], [MQTT-3.1.2-15]
fn it_is_retained_when_asked(link: Link) {
    let scene = Scene::shared(link);
    for (will, expected) in [(will(&scene), false), (will(&scene).retained(), true)] {
        let mut early = watcher(&scene);
        connect(&scene, will).cut();
        let live = early.take();
        assert_eq!((live.text(), live.retain), ("gone", false));
        let mut late = scene.connect("late");
        late.subscribe(&scene.topic("will"), 1);
        late.publish(&scene.topic("will"), "end", 1);
        let got = late.take_until("end");
        assert_eq!(got, if expected { vec!["gone"] } else { vec![] });
    }
}

/// [MQTT-3.1.2-10]
fn it_is_published_once(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let persistent = Connect::persistent(scene.id("mortal"));
    scene.connect_with(&persistent.clone().will(will(&scene))).0.cut();
    assert_eq!(watcher.take().text(), "gone");
    scene.connect_with(&persistent).0.cut();
    assert_no_will(&scene, &mut watcher);
}

/// [MQTT-3.1.2-12]
fn its_qos_counts(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    for qos in 0..=2 {
        connect(&scene, will(&scene).qos(qos)).cut();
        assert_eq!(watcher.take().qos, qos);
    }
}

/// [MQTT-4.5.0-1]: it is a message like others.
fn it_waits_for_those_who_are_away(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe(&scene.topic("will"), 1);
    sleeper.disconnect();
    connect(&scene, will(&scene)).cut();
    watcher.take();
    let (mut sleeper, _) = scene.resume("sleeper");
    assert_eq!(sleeper.take().text(), "gone");
}

/// A new connection brings its own Will, or none.
fn it_belongs_to_a_connection(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let persistent = Connect::persistent(scene.id("mortal"));
    scene.connect_with(&persistent.clone().will(will(&scene))).0.disconnect();
    scene.connect_with(&persistent).0.cut();
    assert_no_will(&scene, &mut watcher);
    let other = Will::new(scene.topic("will"), "other").qos(1);
    scene.connect_with(&persistent.will(other)).0.cut();
    assert_eq!(watcher.take().text(), "other");
}

/// Section 3.14.2.1: 0x04.
fn disconnect_with_will_publishes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let mut client = connect(&scene, will(&scene));
    client.send(&disconnect_with(0x04, &[]));
    client.expect_closed();
    assert_eq!(watcher.take().text(), "gone");
}

/// [MQTT-3.14.4-3]: only 0x00 removes it; what is malformed does not.
fn a_reason_code_that_does_not_exist_publishes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let mut client = connect(&scene, will(&scene));
    client.send(&frame(0xE0, &[0x01]));
    client.until_closed();
    assert_eq!(watcher.take().text(), "gone");
}

/// [MQTT-3.14.4-3]: an error is not a normal disconnection.
fn an_error_reason_publishes_it(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let mut client = connect(&scene, will(&scene));
    client.send(&disconnect_with(0x80, &[]));
    client.expect_closed();
    assert_eq!(watcher.take().text(), "gone");
}

/// [MQTT-3.1.3-10], section 3.1.3.2: Will Delay Interval is for the broker, not for readers.
fn its_properties_are_those_of_a_message(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let user = [Property::user("z", "1"), Property::user("a", "2"), Property::user("z", "3")];
    let mut sent = vec![
        Property::PayloadFormat(1),
        Property::ContentType("text/plain".into()),
        Property::ResponseTopic("answers".into()),
        Property::CorrelationData(vec![1]),
    ];
    let mut last_will = will(&scene).with(Property::WillDelay(0));
    sent.iter().chain(&user).for_each(|property| last_will.properties.push(property.clone()));
    connect(&scene, last_will).cut();
    let (got_user, mut got): (Vec<_>, Vec<_>) = watcher
        .take()
        .properties
        .into_iter()
        .partition(|property| matches!(property, Property::UserProperty(_)));
    assert_eq!(got_user, user);
    got.sort_by_key(|property| format!("{property:?}"));
    sent.sort_by_key(|property| format!("{property:?}"));
    assert_eq!(got, sent);
}

/// [MQTT-3.1.3-9]
fn delay_ends_with_a_new_connection(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let persistent = Connect::persistent(scene.id("mortal"));
    let delayed = will(&scene).with(Property::WillDelay(1));
    scene.connect_with(&persistent.clone().will(delayed)).0.cut();
    let (mut client, session_present, _) = scene.connect_with(&persistent);
    assert!(session_present);
    elapse(Duration::from_millis(2_000));
    client.ping();
    assert_no_will(&scene, &mut watcher);
}

/// [MQTT-3.1.2-8]: not before its time.
fn delay_passes(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let delayed = will(&scene).with(Property::WillDelay(1));
    let (client, _, _) = scene.connect_with(&Connect::persistent(scene.id("mortal")).will(delayed));
    let cut_at = Instant::now();
    client.cut();
    assert_eq!(watcher.take().text(), "gone");
    let delay = cut_at.elapsed();
    assert!(delay >= Duration::from_millis(900), "after {delay:?}");
}

/// [MQTT-3.1.2-8]: the session ends earlier.
fn delay_ends_with_the_session(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    // At once: the session ends with the connection.
    connect(&scene, will(&scene).with(Property::WillDelay(600))).cut();
    assert_eq!(watcher.take().text(), "gone");
}

/// Section 3.1.3.2.2: Clean Start ends the older session.
fn a_clean_start_ends_the_session_and_the_delay(link: Link) {
    let scene = Scene::shared(link);
    let mut watcher = watcher(&scene);
    let persistent = Connect::persistent(scene.id("mortal"));
    let delayed = will(&scene).with(Property::WillDelay(600));
    scene.connect_with(&persistent.clone().will(delayed)).0.cut();
    scene.connect_with(&persistent.clean(true)).0.disconnect();
    assert_eq!(watcher.take().text(), "gone");
}

/// Section 3.1.3.2.4: the lifetime starts when it is published.
fn its_expiry_counts_from_its_publication(link: Link) {
    let scene = Scene::alone(link, Settings::new());
    let mut watcher = watcher(&scene);
    let delayed = will(&scene).with(Property::WillDelay(2)).with(Property::MessageExpiry(1_000));
    scene.connect_with(&Connect::persistent(scene.id("mortal")).will(delayed)).0.cut();
    let publish: Publish = watcher.take();
    let expiry = publish.expiry_s();
    assert!(matches!(expiry, Some(999 | 1_000)), "{expiry:?}");
}
