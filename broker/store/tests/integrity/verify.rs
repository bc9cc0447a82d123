//! A check finds a flipped bit in any file and any record, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use flotilla_store::{Error, Report, verify_closed};

use crate::bench::{CLIENTS, batch, client, flip, flip_record, full, open, tamper};

/// How long a file may be there that is needed no more.
const PATIENCE: Duration = Duration::from_secs(60);

fn check(dir: &Path) -> Report {
    verify_closed(dir, &|_| true).expect("it can be looked at")
}

/// Names and bytes of everything.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("the store is there");
    entries
        .map(|entry| entry.expect("the store is there").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("it can be read"))
        })
        .collect()
}

#[test]
fn counts_what_is_there_and_changes_nothing() {
    let dir = full(CLIENTS);
    let store = open(dir.path());
    store.commit(batch(CLIENTS));
    let online = store.rocks.verify(&|_| true).unwrap();
    store.close();
    let before = contents(dir.path());
    let offline = check(dir.path());
    assert_eq!(contents(dir.path()), before);
    for report in [online, offline] {
        assert!(report.is_whole(), "{report:?}");
        for kind in ["session", "subscription", "cursor", "inbound", "outbound", "retained"] {
            assert_eq!(report.records[kind].count, CLIENTS + 1, "{kind}");
        }
        assert_eq!(report.log.values().map(|log| log.messages).sum::<u64>(), CLIENTS + 1);
        for kind in ["table", "write-ahead log", "list of files", "settings"] {
            assert!(report.files[kind].count > 0 && report.files[kind].bytes > 0, "{kind}");
        }
        assert_eq!(report.notes, <[String; 0]>::default());
    }
    assert!(matches!(
        verify_closed(&dir.path().join("none"), &|_| true),
        Err(Error::NoStore { .. })
    ));
}

/// Files that say nothing of what is stored.
fn is_only_text(name: &str) -> bool {
    name.starts_with("LOG") || name == "LOCK"
}

/// Several bits of every file.
#[test]
fn a_flipped_bit_in_any_file_is_found() {
    let dir = full(100);
    let store = open(dir.path());
    for n in 0..20 {
        store.commit(batch(100 + n));
    }
    store.close();
    let files = contents(dir.path());
    let kinds = ["sst", "log", "MANIFEST", "CURRENT", "OPTIONS", "IDENTITY", "sums"];
    for kind in kinds {
        assert!(files.keys().any(|name| name.contains(kind)), "no {kind} in {:?}", files.keys());
    }
    for (name, bytes) in files.iter().filter(|(name, it)| !is_only_text(name) && !it.is_empty()) {
        let path = dir.path().join(name);
        for at in (0..bytes.len()).step_by(bytes.len() / 8 + 1).chain([bytes.len() - 1]) {
            flip(&path, at);
            let report = check(dir.path());
            let named = report.damaged.iter().any(|it| it.file.as_deref() == Some(name));
            assert!(named, "byte {at} of {} in {name}: {:?}", bytes.len(), report.damaged);
            fs::write(&path, bytes).unwrap();
        }
    }
    assert!(check(dir.path()).is_whole(), "each was put right again");
}

#[test]
fn a_missing_or_shorter_table_is_found() {
    let dir = full(100);
    let (name, bytes) =
        contents(dir.path()).into_iter().find(|(name, _)| name.ends_with(".sst")).unwrap();
    let path = dir.path().join(&name);
    for cut in [Some(bytes.len() / 2), Some(0), None] {
        match cut {
            Some(cut) => fs::write(&path, &bytes[..cut]).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let report = check(dir.path());
        let named = report.damaged.iter().any(|it| it.file.as_deref() == Some(&name));
        assert!(named, "{cut:?}: {:?}", report.damaged);
    }
}

#[test]
fn a_damaged_record_of_each_kind_is_named() {
    for (family, key, kind) in [
        ("sessions", client(4), "session"),
        ("cursors", client(5), "cursor"),
        ("retained", "kept/00006".to_owned(), "retained"),
        ("outbound", format!("{}\0\0\0\0\0\0\0\0\x08", client(7)), "outbound"),
    ] {
        let dir = full(10);
        flip_record(dir.path(), family, key.as_bytes());
        let report = check(dir.path());
        assert_eq!(report.damaged_count, 1, "{report:?}");
        assert_eq!(report.damaged[0].kind, kind);
        let named = report.damaged[0].key.as_deref().unwrap();
        assert!(named.starts_with(&*key.replace('\0', " ")), "{named:?}");
        let store = open(dir.path());
        assert_eq!(store.damage().len(), 1);
        store.close();
        assert!(check(dir.path()).is_whole(), "it was set aside");
    }
    let dir = full(10);
    tamper(dir.path(), |db| {
        db.put_cf(&db.cf_handle("inbound").unwrap(), "nobody", "").unwrap();
    });
    assert_eq!(check(dir.path()).damaged[0].kind, "inbound");
}

/// The same findings while it is in use.
#[test]
fn damage_is_found_in_a_store_that_is_in_use() {
    let dir = full(CLIENTS);
    let store = open(dir.path());
    for (name, bytes) in contents(dir.path()) {
        if is_only_text(&name) || name == "RUNNING" || name.ends_with(".log") {
            continue;
        }
        let path = dir.path().join(&name);
        // In the background RocksDB removes what it needs no more, some time after it looked at it
        // for the last time.
        if !path.exists() {
            continue;
        }
        flip(&path, bytes.len() / 2);
        let until = Instant::now() + PATIENCE;
        loop {
            let report = store.rocks.verify(&|_| true).unwrap();
            let is_named = report.damaged.iter().any(|it| it.file.as_deref() == Some(&name));
            if is_named || !path.exists() {
                break;
            }
            assert!(Instant::now() < until, "{name}: {:?}", report.damaged);
        }
        if path.exists() {
            fs::write(path, bytes).unwrap();
        }
    }
    assert!(store.rocks.verify(&|_| true).unwrap().is_whole());
}
