//! Certificates for a broker that was given none.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flotilla_certs::{Authority, CERTIFICATE_FILE, KEY_FILE, LEAF_DAYS, ROOT_DAYS, check_host};
use x509_parser::pem::parse_x509_pem;

/// Name of the server's certificate in its directory.
const SERVER: &str = "server";
/// A certificate that ends within this time is made anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where they are.
#[derive(Clone, Debug)]
pub(crate) struct DevelopmentCertificate {
    /// What clients must trust.
    pub(crate) authority: PathBuf,
    /// The broker's own.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

impl DevelopmentCertificate {
    /// The files in `dir`, whether they are there or not.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            authority: dir.join(CERTIFICATE_FILE),
            certificate: dir.join(format!("{SERVER}.pem")),
            key: dir.join(format!("{SERVER}.key")),
        }
    }

    /// Makes in `dir` what is not there: an authority, and a certificate for this machine under its
    /// loopback addresses and its name. A certificate near its end is made anew.
    ///
    /// # Errors
    /// A sentence, when a file cannot be written, or one that is there cannot be used.
    pub(crate) fn make(dir: &Path, host_name: &str) -> Result<Self, String> {
        let files = Self::new(dir);
        if files.is_good() {
            return Ok(files);
        }
        let authority = if files.authority.exists() {
            Authority::load(dir)
        } else {
            // The certificate is written last, so an authority without one was never used: its
            // start was broken off.
            remove(&dir.join(KEY_FILE))?;
            Authority::generate("Flotilla development CA", ROOT_DAYS)
                .and_then(|authority| authority.save(dir).map(|()| authority))
        };
        let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        if host_name != "localhost" && check_host(host_name).is_ok() {
            names.push(host_name.to_owned());
        }
        let issued = authority.and_then(|authority| authority.issue_server(&names, LEAF_DAYS));
        let issued = issued.map_err(|error| format!("no development certificate: {error}"))?;
        remove(&files.certificate)?;
        remove(&files.key)?;
        issued.save(dir, SERVER).map_err(|error| format!("no development certificate: {error}"))?;
        Ok(files)
    }

    fn is_good(&self) -> bool {
        let Ok(pem) = fs::read(&self.certificate) else { return false };
        let Ok((_, pem)) = parse_x509_pem(&pem) else { return false };
        let Ok(certificate) = pem.parse_x509() else { return false };
        let end: SystemTime = certificate.validity().not_after.to_datetime().into();
        self.authority.exists() && self.key.exists() && end > SystemTime::now() + RENEWED_BEFORE
    }
}

fn remove(old: &Path) -> Result<(), String> {
    match fs::remove_file(old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{} cannot be renewed: {error}", old.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("certs");
        let files = DevelopmentCertificate::make(&dir, "not a host name").unwrap();
        let first = fs::read(&files.certificate).unwrap();
        DevelopmentCertificate::make(&dir, "host").unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), first);

        fs::write(&files.certificate, "damaged").unwrap();
        let authority = fs::read(&files.authority).unwrap();
        DevelopmentCertificate::make(&dir, "host").unwrap();
        assert!(files.is_good());
        assert_eq!(fs::read(&files.authority).unwrap(), authority);
    }

    #[test]
    fn a_start_that_was_broken_off_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KEY_FILE), "an authority's").unwrap();
        fs::write(dir.path().join("server.key"), "a server's").unwrap();
        let files = DevelopmentCertificate::make(dir.path(), "host").unwrap();
        assert!(files.is_good());
    }

    #[test]
    fn another_authority_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(CERTIFICATE_FILE), "somebody's").unwrap();
        let refusal = DevelopmentCertificate::make(dir.path(), "host").unwrap_err();
        assert!(refusal.contains(CERTIFICATE_FILE), "{refusal}");
        assert_eq!(fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap(), b"somebody's");
    }
}
