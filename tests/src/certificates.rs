//! A fleet's certificates, made with `flotilla-certs`.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::{Identity, program};

/// An authority with a certificate for the broker and one for each device.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// An authority, a certificate for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    /// When `flotilla-certs` fails.
    pub fn make() -> Self {
        let directory = tempfile::Builder::new().prefix("flotilla-test-certs-").tempdir();
        let certificates =
            Self { directory: directory.expect("a temporary directory can be made") };
        certificates.run(&["ca"]);
        certificates.run(&["server", "localhost", "127.0.0.1"]);
        certificates
    }

    /// The certificate of a device, made now.
    ///
    /// # Panics
    /// When `flotilla-certs` fails.
    pub fn device(&self, name: &str) -> Identity {
        self.run(&["device", name]);
        let file = |suffix: &str| self.file("devices").join(format!("{name}.{suffix}"));
        Identity { certificate: file("pem"), key: file("key") }
    }

    /// The certificate of the authority.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A file in the directory: `server.pem`, `server.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Keys for the TLS listener of a broker that asks for client certificates, and takes the
    /// common name for the identity.
    pub fn listener(&self) -> String {
        format!(
            "certificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\nidentity = \"common-name\"",
            self.file("server.pem").display(),
            self.file("server.key").display(),
            self.ca().display(),
        )
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new(program("flotilla-certs"))
            .args(arguments)
            .arg("--dir")
            .arg(self.directory.path())
            .output()
            .expect("flotilla-certs runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "flotilla-certs {arguments:?}: {said}");
    }
}
