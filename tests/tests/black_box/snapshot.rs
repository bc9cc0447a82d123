//! `flotilla snapshot`: a copy that a broker can start from.

use std::{
    fs::{self, File},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use flotilla_tests::{
    Broker, Client, Connect, Ended, Link, Publish, Scene, Settings, Transport, Version, new_home,
};

fn snapshot(data: &Path, target: &Path) -> Ended {
    Broker::run(&["snapshot", &target.to_string_lossy(), "--data", &data.to_string_lossy()])
}

#[track_caller]
fn assert_taken(ended: &Ended, target: &Path) {
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.output.contains(&*target.to_string_lossy()), "{}", ended.output);
    assert!(target.join("store/CURRENT").is_file());
    let partial = target.with_extension("partial");
    assert!(!partial.exists());
}

/// While messages are published, everything that was acknowledged before the command began is in it.
#[test]
fn a_broker_starts_from_a_snapshot_of_a_running_one() {
    let scene = Scene::alone(Link::V5_TCP, Settings::new());
    let (mut sleeper, _) = scene.resume("sleeper");
    sleeper.subscribe("x", 2);
    sleeper.disconnect();
    let mut retainer = scene.connect("retainer");
    retainer.publish_packet(Publish::new("kept", "kept").qos(1, 0).retained());

    let (acknowledged, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let home = new_home();
    let target = home.path().join("data");
    let before = thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = scene.connect("publisher");
            while !ends.load(Ordering::Acquire) {
                let number = acknowledged.load(Ordering::Acquire);
                publisher.publish("x", number.to_string(), 1 + (number % 2) as u8);
                acknowledged.store(number + 1, Ordering::Release);
            }
        });
        while acknowledged.load(Ordering::Acquire) < 50 {
            thread::yield_now();
        }
        let before = acknowledged.load(Ordering::Acquire);
        let ended = snapshot(&scene.broker().data(), &target);
        ends.store(true, Ordering::Release);
        assert_taken(&ended, &target);
        before
    });

    let copy = Broker::start_in(home, Settings::new());
    assert_eq!(
        fs::read(copy.ca()).expect("the authority is part of it"),
        fs::read(scene.broker().ca()).expect("the broker made it"),
    );
    let mut client = Client::open(&copy.endpoint(Transport::Tcp), Version::V5);
    let (session_present, _) = client.connect(&Connect::persistent(scene.id("sleeper")));
    assert!(session_present);
    let mut next = [0, 1];
    for _ in 0..before {
        let publish = client.take();
        let next = &mut next[usize::from(publish.qos - 1)];
        assert_eq!(publish.text(), next.to_string());
        *next += 2;
    }
    client.subscribe("kept", 1);
    client.await_packet(|packet| match packet {
        flotilla_tests::Packet::Publish(publish) => (publish.text() == "kept").then_some(()),
        _ => None,
    });
}

#[test]
fn a_snapshot_of_a_broker_that_does_not_run() {
    for killed in [false, true] {
        let mut scene = Scene::alone(Link::V5_TCP, Settings::new());
        let (mut sleeper, _) = scene.resume("sleeper");
        sleeper.subscribe("x", 1);
        sleeper.disconnect();
        scene.connect("publisher").publish("x", "stored", 1);
        if killed {
            scene.broker_mut().kill();
        } else {
            scene.broker_mut().terminate();
        }
        let data = scene.broker().data();
        assert_eq!(data.join("control.sock").exists(), killed, "a broker that ends removes it");
        let home = new_home();
        let target = home.path().join("data");
        let store = names(&data.join("store"));
        assert_taken(&snapshot(&data, &target), &target);
        assert_eq!(names(&data.join("store")), store, "nothing is changed");
        let copy = Broker::start_in(home, Settings::new());
        let mut client = Client::open(&copy.endpoint(Transport::Tcp), Version::V5);
        assert!(client.connect(&Connect::persistent(scene.id("sleeper"))).0);
        assert_eq!(client.take().text(), "stored");
        // And what a killed broker has left is no hindrance.
        scene.broker_mut().restart();
        scene.connect("a").ping();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a store is a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_that_cannot_be_made() {
    let scene = Scene::alone(Link::V5_TCP, Settings::new());
    let data = scene.broker().data();
    let home = new_home();
    let full = home.path().join("full");
    fs::create_dir(&full).expect("a temporary directory is writable");
    File::create(full.join("file")).expect("a temporary directory is writable");
    let nowhere = home.path().join("missing/copy");
    let empty = home.path().join("no data");
    for (data, target, part) in [
        (&data, &full, "is there already"),
        (&data, &nowhere, "cannot be made"),
        (&empty, &home.path().join("copy"), "no store"),
    ] {
        let ended = snapshot(data, target);
        assert_eq!(ended.code, Some(1), "{}", ended.log);
        assert!(ended.log.contains(part), "no '{part}' in: {}", ended.log);
    }
    assert_eq!(names(home.path()), ["full"]);
    assert_eq!(Broker::run(&["snapshot"]).code, Some(2));
    scene.connect("a").ping();
}

/// Whoever may not use the socket of a broker gets no snapshot; a lock without a socket is a broker
/// that starts or ends.
#[test]
fn the_control_socket() {
    let mut scene = Scene::alone(Link::V5_TCP, Settings::new());
    let data = scene.broker().data();
    let socket = data.join("control.sock");
    let mode = fs::metadata(&socket).expect("the broker made it").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    UnixStream::connect(&socket).expect("it listens");
    fs::remove_file(&socket).expect("it is ours");
    let home = new_home();
    let ended = snapshot(&data, &home.path().join("copy"));
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("in use"), "{}", ended.log);
    scene.broker_mut().kill();

    // Somebody else's socket: it must not hang.
    let silent = UnixListener::bind(&socket).expect("the directory is ours");
    let closes = thread::spawn(move || drop(silent.accept()));
    let ended = snapshot(&data, &home.path().join("copy"));
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("does not answer"), "{}", ended.log);
    closes.join().expect("it was asked");
}
