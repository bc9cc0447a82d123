//! OpenSSL's opinion on what the program makes.

use std::{path::Path, process::Command};

use crate::program::{Fleet, text};

/// Runs openssl in the fleet's directory; true when it is content, with everything it said.
fn openssl(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("these tests need the program openssl (apt: openssl)");
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (output.status.success(), said)
}

#[track_caller]
fn accepts(dir: &Path, arguments: &[&str]) -> String {
    let (accepted, said) = openssl(dir, arguments);
    assert!(accepted, "openssl {arguments:?}: {said}");
    said
}

#[track_caller]
fn refuses(dir: &Path, arguments: &[&str], reason: &str) {
    let (accepted, said) = openssl(dir, arguments);
    assert!(!accepted && said.contains(reason), "openssl {arguments:?}: {said}");
}

#[test]
fn authority() {
    let fleet = Fleet::with_authority();
    accepts(fleet.dir(), &["verify", "-x509_strict", "-CAfile", "ca.pem", "ca.pem"]);
    let said = accepts(
        fleet.dir(),
        &["x509", "-in", "ca.pem", "-noout", "-ext", "basicConstraints,keyUsage"],
    );
    assert!(said.contains("Basic Constraints: critical\n    CA:TRUE"), "{said}");
    assert!(said.contains("Key Usage: critical\n    Certificate Sign, CRL Sign"), "{said}");
}

#[test]
fn server() {
    let fleet = Fleet::with_authority();
    fleet.done(&["server", "broker.example", "*.site.example", "127.0.0.1", "::1"]);
    let verify = ["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose"];
    accepts(fleet.dir(), &[&verify[..], &["sslserver", "server.pem"]].concat());
    refuses(fleet.dir(), &[&verify[..], &["sslclient", "server.pem"]].concat(), "purpose");
    for (option, name) in [
        ("-verify_hostname", "broker.example"),
        ("-verify_hostname", "pump.site.example"),
        ("-verify_ip", "127.0.0.1"),
        ("-verify_ip", "::1"),
    ] {
        accepts(fleet.dir(), &["verify", "-CAfile", "ca.pem", option, name, "server.pem"]);
    }
    let other = ["verify", "-CAfile", "ca.pem", "-verify_hostname", "other.example", "server.pem"];
    refuses(fleet.dir(), &other, "ostname mismatch");
    let said =
        accepts(fleet.dir(), &["x509", "-in", "server.pem", "-noout", "-ext", "subjectAltName"]);
    let names = "DNS:broker.example, DNS:*.site.example, IP Address:127.0.0.1, \
                 IP Address:0:0:0:0:0:0:0:1";
    assert!(said.contains(names), "{said}");
}

#[test]
fn device() {
    let fleet = Fleet::with_authority();
    fleet.done(&["device", "pump-7"]);
    fleet.done(&["device", "Pumpe Süd"]);
    let verify = ["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose"];
    for file in ["devices/pump-7.pem", "devices/Pumpe Süd.pem"] {
        accepts(fleet.dir(), &[&verify[..], &["sslclient", file]].concat());
        refuses(fleet.dir(), &[&verify[..], &["sslserver", file]].concat(), "purpose");
    }
    let subject = ["-noout", "-subject", "-nameopt", "multiline,utf8,-esc_msb"];
    let shown = |file| {
        accepts(
            fleet.dir(),
            &[&["x509", "-in", file, "-ext", "subjectAltName"], &subject[..]].concat(),
        )
    };
    let said = shown("devices/pump-7.pem");
    assert!(said.contains("commonName                = pump-7\n"), "{said}");
    assert!(said.contains("DNS:pump-7"), "{said}");
    let said = shown("devices/Pumpe Süd.pem");
    assert!(said.contains("commonName                = Pumpe Süd\n"), "{said}");
    assert!(!said.contains("DNS:"), "{said}");
}

#[test]
fn key_belongs_to_certificate() {
    let fleet = Fleet::with_authority();
    fleet.done(&["device", "a"]);
    let of_certificate =
        accepts(fleet.dir(), &["x509", "-in", "devices/a.pem", "-noout", "-pubkey"]);
    let of_key = accepts(fleet.dir(), &["pkey", "-in", "devices/a.key", "-pubout"]);
    assert_eq!(of_certificate, of_key);
}

#[test]
fn validity_allows_for_lagging_clocks() {
    let fleet = Fleet::with_authority();
    fleet.done(&["device", "a", "--days", "10"]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let verify_at = |seconds: u64| {
        let at = seconds.to_string();
        openssl(fleet.dir(), &["verify", "-CAfile", "ca.pem", "-attime", &at, "devices/a.pem"])
    };
    let hour = 3600;
    assert!(verify_at(now - 23 * hour).0);
    assert!(verify_at(now + (10 * 24 - 1) * hour).0);
    let (accepted, said) = verify_at(now + (10 * 24 + 1) * hour);
    assert!(!accepted && said.contains("expired"), "{said}");
}

#[test]
fn revocation() {
    let fleet = Fleet::with_authority();
    fleet.done(&["device", "--count", "3", "--prefix", "d"]);
    let verify = |file| {
        openssl(
            fleet.dir(),
            &["verify", "-CAfile", "ca.pem", "-crl_check", "-CRLfile", "ca.crl", file],
        )
    };
    let is_revoked = |file| {
        let (accepted, said) = verify(file);
        assert!(accepted || said.contains("certificate revoked"), "{said}");
        !accepted
    };
    // The list that comes with a new authority is valid, with nothing in it.
    assert!(!is_revoked("devices/d1.pem"));
    fleet.done(&["revoke", "d1"]);
    fleet.done(&["revoke", "d3"]);
    assert!(is_revoked("devices/d1.pem"));
    assert!(!is_revoked("devices/d2.pem"));
    assert!(is_revoked("devices/d3.pem"));
    // Again without names: the same list, newer.
    let number = || accepts(fleet.dir(), &["crl", "-in", "ca.crl", "-noout", "-crlnumber"]);
    let before = number();
    fleet.done(&["revoke"]);
    assert!(is_revoked("devices/d1.pem") && !is_revoked("devices/d2.pem"));
    let after = number();
    assert!(before.len() == after.len() && before < after, "{before} {after}");
}
