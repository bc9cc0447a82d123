//! What a person at the keyboard meets.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::program::{Fleet, text};
use flotilla_certs::{Authority, Error, Index};

/// Every file below the directory with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("a readable file"));
        }
    }
    found
}

#[test]
fn a_fleet_by_number() {
    let fleet = Fleet::with_authority();
    let said = fleet.done(&["device", "--count", "1000"]);
    assert!(said.starts_with("made 1000 device certificates (device-1 … device-1000)"), "{said}");
    assert!(said.contains(&fleet.dir().join("devices").display().to_string()), "{said}");
    assert_eq!(fs::read_dir(fleet.dir().join("devices")).unwrap().count(), 2000);
    let index = Index::open(fleet.dir()).unwrap();
    let serials: std::collections::HashSet<_> = index.entries().iter().map(|e| &e.serial).collect();
    assert_eq!(serials.len(), 1000);
}

#[test]
fn only_the_owner_reads_keys() {
    let fleet = Fleet::with_authority();
    fleet.done(&["server", "localhost"]);
    fleet.done(&["device", "a"]);
    let files = files(fleet.dir());
    let keys: Vec<_> = files.keys().filter(|path| path.extension().unwrap() == "key").collect();
    assert_eq!(keys.len(), 3);
    for key in keys {
        let mode = fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
}

#[test]
fn nothing_is_overwritten() {
    let fleet = Fleet::with_authority();
    fleet.done(&["server", "localhost"]);
    fleet.done(&["device", "device-2"]);
    let before = files(fleet.dir());
    for arguments in [
        &["ca"][..],
        &["server", "localhost"],
        &["server", "localhost", "--out", "ca"],
        &["device", "device-2"],
        // Also when only one of many is in the way.
        &["device", "--count", "3"],
    ] {
        let said = fleet.failed(1, arguments);
        assert!(said.contains("exists already, nothing was written"), "{said}");
    }
    assert_eq!(files(fleet.dir()), before);
}

#[test]
fn a_certificate_without_its_key_is_in_the_way_too() {
    let fleet = Fleet::with_authority();
    fs::remove_file(fleet.dir().join("ca.key")).unwrap();
    assert!(fleet.failed(1, &["ca"]).contains("ca.pem exists already"));
}

#[test]
fn an_authority_from_elsewhere_is_refused() {
    let fleet = Fleet::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(fleet.dir().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(fleet.dir().join("ca.key"), key.serialize_pem()).unwrap();
    let before = files(fleet.dir());
    for arguments in [&["server", "localhost"][..], &["device", "a"], &["revoke"]] {
        let said = fleet.failed(1, arguments);
        assert!(said.contains("ca.pem was not made by flotilla-certs"), "{said}");
    }
    assert_eq!(files(fleet.dir()), before);
}

#[test]
fn a_damaged_authority_is_explained() {
    let fleet = Fleet::new();
    let said = fleet.failed(1, &["device", "a"]);
    assert!(said.contains("ca.pem") && said.contains("flotilla-certs ca"), "{said}");

    let other = Fleet::with_authority();
    fleet.done(&["ca"]);
    fs::copy(other.dir().join("ca.key"), fleet.dir().join("ca.key")).unwrap();
    assert!(fleet.failed(1, &["device", "a"]).contains("it is not the key of"));
    fs::write(fleet.dir().join("ca.key"), "-----BEGIN nonsense").unwrap();
    assert!(fleet.failed(1, &["device", "a"]).contains("it is not a private key"));
    fs::write(fleet.dir().join("ca.pem"), "hello").unwrap();
    assert!(fleet.failed(1, &["device", "a"]).contains("it is not a PEM file"));
}

#[test]
fn revoking_an_unknown_name_revokes_nothing() {
    let fleet = Fleet::with_authority();
    fleet.done(&["device", "a"]);
    let before = files(fleet.dir());
    assert!(fleet.failed(1, &["revoke", "a", "b"]).contains("no certificate was issued to 'b'"));
    assert_eq!(files(fleet.dir()), before);
    assert!(fleet.done(&["revoke", "a"]).starts_with("revoked 1 certificate, 1 in the list"));
    let again = fleet.run(&["revoke", "a"]);
    assert!(again.status.success() && text(&again.stderr).contains("already revoked"));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let fleet = Fleet::with_authority();
    let before = files(fleet.dir());
    for arguments in [
        &["devices"][..],
        &["device"],
        &["device", "a", "--count", "3"],
        &["device", "../a"],
        &["server"],
        &["server", "tls://localhost"],
        &["ca", "--days", "0"],
        &["ca", "--name", ""],
        &["ca", "--log-level", "loud"],
    ] {
        let said = fleet.failed(2, arguments);
        assert!(said.starts_with("error: "), "{said}");
    }
    assert_eq!(files(fleet.dir()), before);
}

#[test]
fn messages_as_json() {
    let fleet = Fleet::with_authority();
    let said = fleet.failed(1, &["--log-format", "json", "ca"]);
    assert!(said.starts_with('{') && said.contains(r#""level":"ERROR""#), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn help_and_version() {
    let program = env!("CARGO_BIN_EXE_flotilla-certs");
    for (argument, expected) in [("--help", "Usage:"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let output = std::process::Command::new(program).arg(argument).output().unwrap();
        assert!(output.status.success());
        assert!(text(&output.stdout).contains(expected));
    }
}

#[test]
fn nothing_outlives_the_authority() {
    let authority = Authority::generate("short", 10).unwrap();
    assert!(authority.issue_device("a", 100).unwrap().expires <= authority.expires());
    assert!(authority.issue_device("a", 5).unwrap().expires < authority.expires());
}

#[test]
fn the_library_checks_too() {
    let authority = Authority::generate("A", 10).unwrap();
    assert!(matches!(authority.issue_device("a/b", 5), Err(Error::BadName { .. })));
    assert!(matches!(authority.issue_device("a", 0), Err(Error::BadValidity { days: 0 })));
    assert!(matches!(authority.issue_device("a", u32::MAX), Err(Error::BadValidity { .. })));
    assert!(matches!(authority.issue_server(&[], 5), Err(Error::NoNames)));
    assert!(matches!(authority.issue_server(&["a b".into()], 5), Err(Error::BadName { .. })));
    assert!(matches!(Authority::generate("", 5), Err(Error::BadName { .. })));
}
