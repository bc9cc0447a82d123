//! How a store was left: closed, killed, with a write-ahead log that is cut off or damaged.

use std::fs;
use std::path::{Path, PathBuf};

use flotilla_core::id::Position;
use flotilla_store::{Engine, Error};
use tempfile::TempDir;

use crate::bench::{
    batch, client, flip, full, message, new_session, open, quarantined, tables, try_open,
};

/// What a kill leaves of a store with so many batches: a copy of it while it is open.
fn killed(count: u64) -> TempDir {
    let dir = TempDir::new().expect("the store is there");
    let store = open(dir.path());
    for n in 0..count {
        store.commit(batch(n));
    }
    let copy = TempDir::new().expect("the store is there");
    for entry in fs::read_dir(dir.path()).expect("the store is there") {
        let path = entry.expect("the store is there").path();
        if path.is_file() {
            fs::copy(&path, copy.path().join(path.file_name().expect("the store is there")))
                .expect("the store is there");
        }
    }
    copy
}

fn wal(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir)
        .expect("the store is there")
        .map(|entry| entry.expect("the store is there").path());
    let wal = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
    wal.max_by_key(|path| path.metadata().expect("the store is there").len()).expect("there is one")
}

fn refused(dir: &Path) -> Error {
    try_open(dir).map(|_| ()).expect_err("the store does not open")
}

#[test]
fn a_stop_that_is_not_clean_is_told_once() {
    let dir = killed(20);
    let store = open(dir.path());
    let stop = store.recovered.unclean_stop.clone().expect("it was killed");
    assert!(!stop.machine_stopped && stop.wal_bytes > 1000, "{stop:?}");
    assert_eq!((stop.cut_off, stop.damaged_wal), (None, vec![]));
    assert_eq!((store.recovered.end, store.clients().len()), (Position(21), 20));
    store.close();
    let store = open(dir.path());
    assert_eq!(store.recovered.unclean_stop, None);
    drop(store);
    assert_eq!(open(dir.path()).recovered.unclean_stop, None, "dropping it closes it");
}

#[test]
fn another_boot_is_told() {
    let dir = killed(3);
    fs::write(dir.path().join("RUNNING"), "another boot").unwrap();
    let stop = open(dir.path()).recovered.unclean_stop.expect("it was killed");
    assert!(stop.machine_stopped);
}

/// The last write is cut off wherever the process was stopped: that is no damage, and everything
/// before is there.
#[test]
fn a_write_that_was_cut_off() {
    let whole = killed(20);
    let len = fs::metadata(wal(whole.path())).unwrap().len();
    for cut in (0..300).step_by(7) {
        let dir = TempDir::new().unwrap();
        for entry in fs::read_dir(whole.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        let file = fs::File::options().write(true).open(wal(dir.path())).unwrap();
        file.set_len(len - cut).unwrap();
        for round in 0..2 {
            let store = open(dir.path());
            assert_eq!(store.damage(), [], "{cut}");
            let end = store.recovered.end.0;
            assert!((19 + round..=21 + round).contains(&end), "cut {cut}: {end}");
            let stop = store.recovered.unclean_stop.clone();
            assert_eq!(stop.is_some(), round == 0);
            if let Some(stop) = stop {
                assert!(stop.damaged_wal.is_empty());
                assert!(stop.cut_off.is_some() || end == 21 || cut > 100, "cut {cut}: {stop:?}");
            }
            store.commit(new_session(100 + round));
            store.close();
        }
    }
}

/// Writes that take several blocks of the file: only the damaged one is lost.
#[test]
fn damage_within_a_long_write() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    for n in 0..20 {
        let mut batch = batch(n);
        batch.appends[0].message = message("long", &[n as u8; 100_000]);
        store.commit(batch);
    }
    store.close();
    let len = fs::metadata(wal(dir.path())).unwrap().len() as usize;
    for at in [100, len / 5, len / 2, len * 3 / 4] {
        let copy = TempDir::new().unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        flip(&wal(copy.path()), at);
        let store = open(copy.path());
        assert_eq!(store.rocks.damage().get("wal"), Some(&1));
        assert_eq!((store.clients().len(), store.recovered.end), (19, Position(21)), "{at}");
        store.close();
        assert_eq!(open(copy.path()).clients().len(), 19);
    }
}

/// What was written whole and is not there any more is told, and what is behind it is kept.
#[test]
fn damage_in_the_middle_of_the_write_ahead_log() {
    for part in [3, 5, 8] {
        let dir = killed(400);
        let wal = wal(dir.path());
        let len = fs::metadata(&wal).unwrap().len() as usize;
        flip(&wal, len * part / 10);
        let store = open(dir.path());
        let stop = store.recovered.unclean_stop.clone().expect("it was killed");
        assert_eq!(stop.damaged_wal.len(), 1, "{stop:?}");
        assert_eq!(store.rocks.damage().get("wal"), Some(&1));
        let told = quarantined(dir.path());
        assert!(told.contains("write-ahead log is damaged"), "{told}");
        assert!(fs::read_dir(dir.path().join("quarantine")).unwrap().count() == 2, "the file, too");
        // A block of the file is lost, nothing behind it.
        let clients = store.clients();
        assert!(clients.len() > 300 && clients.len() < 400, "{}", clients.len());
        assert_eq!(clients.last(), Some(&client(399)));
        assert_eq!(store.recovered.end, Position(401));
        store.commit(new_session(500));
        store.close();
        // Met once.
        let store = open(dir.path());
        assert_eq!((store.damage(), store.clients().len()), (vec![], clients.len() + 1));
    }
}

/// What was closed is whole: damage is told there, too, wherever it is.
#[test]
fn damage_in_the_write_ahead_log_of_a_closed_store() {
    for back in [20, 5000] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path());
        for n in 0..100 {
            store.commit(new_session(n));
        }
        store.close();
        let wal = wal(dir.path());
        let len = fs::metadata(&wal).unwrap().len() as usize;
        flip(&wal, len - back);
        let store = open(dir.path());
        assert_eq!(store.damage().first(), Some(&("wal", 1)), "{back}");
        assert_eq!(store.recovered.unclean_stop, None);
        assert!(store.clients().len() > 50 && store.clients().len() < 100);
        store.close();
        assert_eq!(open(dir.path()).damage(), [], "met once");
    }
}

/// Without the list of its files a store cannot be read, and must not be taken for a new one.
#[test]
fn a_damaged_list_of_files_is_refused() {
    let whole = full(50);
    let manifest = fs::read_to_string(whole.path().join("CURRENT")).unwrap().trim().to_owned();
    let len = fs::metadata(whole.path().join(&manifest)).unwrap().len() as usize;
    let copy = || {
        let dir = TempDir::new().unwrap();
        for entry in fs::read_dir(whole.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        dir
    };
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let check = |dir: &Path, file: &str| {
        let before = names(dir);
        let error = refused(dir);
        let Error::DamagedFile { file: named, .. } = &error else { panic!("{error}") };
        assert_eq!(named, file);
        let sentence = error.to_string();
        assert!(sentence.contains("snapshot") && sentence.contains("nothing was changed"));
        assert_eq!(names(dir), before);
    };
    for at in (0..len).step_by(len / 40 + 1) {
        let dir = copy();
        flip(&dir.path().join(&manifest), at);
        check(dir.path(), &manifest);
    }
    for text in ["", "MANIFEST-000999\n", "MANIFEST-000001", "nonsense\n"] {
        let dir = copy();
        fs::write(dir.path().join("CURRENT"), text).unwrap();
        check(dir.path(), "CURRENT");
    }
    let dir = copy();
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    check(dir.path(), "CURRENT");
}

#[test]
fn a_missing_table_is_refused_by_name() {
    let dir = full(50);
    let table = tables(dir.path(), "sessions").remove(0);
    fs::remove_file(&table).unwrap();
    let error = refused(dir.path());
    let Error::DamagedFile { file, .. } = &error else { panic!("{error}") };
    assert_eq!(**file, *table.file_name().unwrap().to_string_lossy());
}
