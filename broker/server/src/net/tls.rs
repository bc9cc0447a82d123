//! The TLS side of a listener: its certificate, the authorities of its clients.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::config::{ServerCertificate, TlsSettings};

/// Why a listener cannot encrypt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{what} {path} cannot be read: {reason}; check the path and who may read it", path = .path.display())]
    Unreadable { what: &'static str, path: PathBuf, reason: String },
    #[error("{what} {path} cannot be used: {reason}", path = .path.display())]
    Unusable { what: &'static str, path: PathBuf, reason: String },
}

/// Reads the files of a listener. `development`: certificate and key for a listener without any of
/// its own.
///
/// # Errors
/// When a file cannot be read or used.
pub(crate) fn configure(
    tls: &TlsSettings,
    development: (&Path, &Path),
) -> Result<Arc<ServerConfig>, TlsError> {
    let (certificate, key) = match &tls.certificate {
        ServerCertificate::Development => development,
        ServerCertificate::Files { certificate, key } => (certificate.as_path(), key.as_path()),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of TLS 1.2 and 1.3");
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = authorities(path)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| unusable("the file of client authorities", path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates("the certificate", certificate)?;
    let mut config = builder.with_single_cert(chain, private_key(key)?).map_err(|error| {
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("it is not the key of {}", certificate.display())
            }
            error => error.to_string(),
        };
        unusable("the private key", key, reason)
    })?;
    // A returning device proves with its ticket what it proved before, without signatures. Tickets
    // of an older configuration are worth nothing: their keys go with it.
    config.ticketer = aws_lc_rs::Ticketer::new()
        .map_err(|error| unusable("the certificate", certificate, error))?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    const WHAT: &str = "the file of client authorities";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(WHAT, path)? {
        roots.add(certificate).map_err(|error| unusable(WHAT, path, error))?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(what, path)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(what, path, format!("it is not PEM ({error})")))?;
    if chain.is_empty() {
        return Err(unusable(
            what,
            path,
            "there is no certificate in it (-----BEGIN CERTIFICATE-----)",
        ));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const WHAT: &str = "the private key";
    // An encrypted key is not found either: the broker starts without a person to ask.
    PrivateKeyDer::from_pem_slice(&read(WHAT, path)?).map_err(|error| {
        let reason = format!("there is no unencrypted private key in it ({error})");
        unusable(WHAT, path, reason)
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn unusable(what: &'static str, path: &Path, reason: impl ToString) -> TlsError {
    TlsError::Unusable { what, path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flotilla_certs::Authority;

    fn files(dir: &Path) -> TlsSettings {
        let authority = Authority::generate("Test CA", 10).unwrap();
        authority.save(dir).unwrap();
        let names = ["localhost".to_owned()];
        authority.issue_server(&names, 5).unwrap().save(dir, "server").unwrap();
        TlsSettings {
            certificate: ServerCertificate::Files {
                certificate: dir.join("server.pem"),
                key: dir.join("server.key"),
            },
            client_ca: Some(dir.join("ca.pem")),
        }
    }

    fn refusal(tls: &TlsSettings) -> String {
        configure(tls, (Path::new(""), Path::new(""))).unwrap_err().to_string()
    }

    #[test]
    fn right_files() {
        let dir = tempfile::tempdir().unwrap();
        let config = configure(&files(dir.path()), (Path::new(""), Path::new(""))).unwrap();
        assert!(!config.crypto_provider().cipher_suites.is_empty());
    }

    #[test]
    fn wrong_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let tls = files(dir.path());
        let path = |name: &str| dir.path().join(name);
        let with = |certificate: &str, key: &str| TlsSettings {
            certificate: ServerCertificate::Files {
                certificate: path(certificate),
                key: path(key),
            },
            client_ca: None,
        };
        fs::write(path("empty.pem"), "").unwrap();
        for (tls, words) in [
            (with("none.pem", "server.key"), "none.pem cannot be read"),
            (with("server.pem", "none.key"), "none.key cannot be read"),
            (with("empty.pem", "server.key"), "no certificate in it"),
            (with("server.pem", "server.pem"), "no unencrypted private key"),
            (with("server.pem", "ca.key"), "it is not the key of"),
            (TlsSettings { client_ca: Some(path("server.key")), ..tls }, "client authorities"),
        ] {
            let refusal = refusal(&tls);
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
