//! Damage: `flotilla verify` names it, a start sets it aside and serves the rest.

use std::{fs, path::Path};

use flotilla_tests::{Broker, Ended, Link, Publish, Scene, Settings, new_home};

fn verify(data: &Path, more: &[&str]) -> Ended {
    let data = data.to_string_lossy();
    Broker::run(&[&["verify", &*data][..], more].concat())
}

/// A broker with a session that has messages waiting, and a retained message.
fn filled() -> Scene {
    let scene = Scene::alone(Link::V5_TCP, Settings::new());
    for name in ["one", "two"] {
        let (mut sleeper, _) = scene.resume(name);
        sleeper.subscribe("x/#", 1);
        sleeper.disconnect();
    }
    let mut publisher = scene.connect("publisher");
    for number in 0..20 {
        publisher.publish("x/y", number.to_string(), 1);
    }
    publisher.publish_packet(Publish::new("kept", "kept").qos(1, 0).retained());
    scene
}

/// The files of a store whose names contain `part`, largest first.
fn files(data: &Path, part: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(data.join("store")).expect("there is a store");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.to_string_lossy().contains(part))
        .collect();
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |it| it.len())));
    files
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("it can be read");
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("it can be written");
}

/// Running, ended, killed: the same counts, exit code 0.
#[test]
fn a_whole_directory() {
    let mut scene = filled();
    let data = scene.broker().data();
    for how in ["running", "ended", "killed"] {
        match how {
            "ended" => drop(scene.broker_mut().terminate()),
            "killed" => {
                scene.broker_mut().restart();
                scene.connect("a").ping();
                scene.broker_mut().kill();
            }
            _ => {}
        }
        let ended = verify(&data, &[]);
        assert_eq!(ended.code, Some(0), "{how}: {}{}", ended.output, ended.log);
        assert!(ended.output.contains("nothing is damaged"), "{how}: {}", ended.output);
        assert!(ended.output.contains("20 messages"), "{how}: {}", ended.output);
        let json = verify(&data, &["--json"]);
        assert_eq!(json.code, Some(0), "{how}");
        for part in ["\"session\"", "\"retained\"", "\"damaged\": []", "\"damaged_count\": 0"] {
            assert!(json.output.contains(part), "{how}: no {part} in {}", json.output);
        }
    }
    let none = verify(&new_home().path().join("none"), &[]);
    assert_eq!(none.code, Some(1));
    assert!(none.log.contains("there is no store"), "{}", none.log);
    assert_eq!(Broker::run(&["verify"]).code, Some(2));
}

/// Exit code 1, the file is named, whether a broker runs or not.
#[test]
fn damage_is_named() {
    for runs in [true, false] {
        let mut scene = filled();
        let data = scene.broker().data();
        if !runs {
            scene.broker_mut().terminate();
        }
        let file = files(&data, "OPTIONS-").remove(0);
        flip(&file, 100);
        let ended = verify(&data, &[]);
        assert_eq!(ended.code, Some(1), "{}", ended.log);
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(ended.output.contains(&name), "no {name} in {}", ended.output);
        if runs {
            scene.broker().await_log("the check of the store found damage");
            scene.connect("a").ping();
        }
    }
}

/// A bit of the write-ahead log: told at start, in `/health` and the metrics; everything that can be
/// read is served.
#[test]
fn a_damaged_write_ahead_log_does_not_stop_the_broker() {
    let mut scene = filled();
    let data = scene.broker().data();
    scene.broker_mut().kill();
    let wal = files(&data, ".log").remove(0);
    let len = wal.metadata().expect("it is there").len() as usize;
    flip(&wal, len - 200);
    let ended = verify(&data, &[]);
    assert_eq!(ended.code, Some(if len > 400 { 1 } else { 0 }), "{}", ended.output);
    scene.broker_mut().restart();
    let log = scene.broker().log();
    assert!(log.contains("the last stop was not clean (the broker was killed)"), "{log}");
    assert!(log.contains("the store is damaged: 1 wal"), "{log}");
    let (status, health) = scene.broker().get("/health");
    assert_eq!(status, 200, "a broker that serves must not be started anew: {health}");
    assert!(health.contains("\"status\":\"degraded\""), "{health}");
    assert!(health.contains("\"damaged\":{\"wal\":1}"), "{health}");
    assert_eq!(scene.broker().metric("flotilla_store_damaged_total", &["\"wal\""]), 1.0);
    let _ = scene.come_back("one");
    assert!(fs::read_dir(data.join("quarantine")).expect("it was made").count() >= 2);

    // What was set aside is not met again.
    scene.broker_mut().terminate();
    scene.broker_mut().restart();
    let (_, health) = scene.broker().get("/health");
    assert!(health.contains("\"status\":\"ok\"") && health.contains("\"unclean_stop\":null"));
    assert_eq!(verify(&data, &[]).code, Some(0));
}

/// Without the list of its files the broker does not start, says why, and changes nothing.
#[test]
fn a_damaged_list_of_files() {
    let mut scene = filled();
    let data = scene.broker().data();
    scene.broker_mut().terminate();
    let current = data.join("store/CURRENT");
    fs::write(&current, "MANIFEST-999999\n").expect("it can be written");
    let ended = verify(&data, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    assert!(ended.output.contains("CURRENT"), "{}", ended.output);
    let ended = scene.broker().run_beside(|toml| toml);
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    for part in ["CURRENT is damaged", "snapshot", "nothing was changed"] {
        assert!(ended.log.contains(part), "no '{part}' in {}", ended.log);
    }
    assert!(!ended.log.contains("panicked"));
}
