//! User Names with passwords.

use std::path::Path;

use flotilla_tests::{Broker, Connect, Link, Packet, Scene, Settings, every_link};
use rustix::process::Signal;
use tempfile::TempDir;

every_link! { passwords_are_checked }

fn put(file: &Path, user: &str, password: &str) {
    let ended = Broker::run_with(&["passwd", &file.to_string_lossy(), user], password);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

/// A broker whose password file knows Ann; the directory of the file.
fn scene(link: Link) -> (Scene, TempDir) {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let file = home.path().join("passwords");
    put(&file, "ann", "correct horse\n");
    let auth = format!("[auth]\npassword_file = \"{}\"", file.display());
    (Scene::alone(link, Settings::new().tables(&auth)), home)
}

/// [MQTT-3.1.4-2], [MQTT-3.2.2-7], [MQTT-3.2.2-8], [MQTT-3.1.4-6]: what follows a refused CONNECT
/// is not looked at.
fn passwords_are_checked(link: Link) {
    let (scene, _home) = scene(link);
    let ann = Connect::new(scene.id("a")).login("ann", "correct horse");
    let mut watcher = scene.connect_with(&ann).0;
    watcher.subscribe("#", 0);
    let connect = Connect::new(scene.id("b"));
    let only_name = Connect { user: Some("ann".into()), ..connect.clone() };
    for (refused, codes) in [
        (connect.clone(), [0x86, 0x87, 4, 5]),
        (only_name, [0x86, 0x87, 4, 5]),
        (connect.clone().login("ann", "wrong"), [0x86, 0x86, 4, 4]),
        (connect.clone().login("Ann", "correct horse"), [0x86, 0x86, 4, 4]),
    ] {
        let mut client = scene.open();
        let mut bytes = refused.bytes(link.version);
        bytes.extend(flotilla_tests::Publish::new("x", "forged").bytes(link.version));
        client.send(&bytes);
        let answer = client.next_packet();
        let codes = if link.is_v5() { &codes[..2] } else { &codes[2..] };
        assert!(
            matches!(&answer, Packet::Connack(false, code, _) if codes.contains(code)),
            "{refused:?}: {answer:?}"
        );
        client.expect_closed();
    }
    watcher.publish("x", "end", 0);
    assert_eq!(watcher.take_until("end"), <[&str; 0]>::default());
    scene.broker().await_metric("flotilla_connection_attempts_total", &["accepted"], |n| n == 1.0);
}

/// SIGHUP: new users come in, connected ones stay.
#[test]
fn a_reload_brings_new_users() {
    let (scene, home) = scene(Link::V5_TLS);
    let ann = Connect::new(scene.id("a")).login("ann", "correct horse");
    let mut client = scene.connect_with(&ann).0;
    put(&home.path().join("passwords"), "bob", "battery staple");
    let bob = Connect::new(scene.id("b")).login("bob", "battery staple");
    scene.broker().signal(Signal::HUP);
    scene.broker().await_log("SIGHUP: reloaded");
    scene.connect_with(&bob).0.ping();
    client.ping();
}
