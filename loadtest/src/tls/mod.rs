//! TLS to the broker: which authority is trusted, who this program says it is.

mod session;
mod tickets;
mod verifier;

use std::{fs, path::Path, sync::Arc};

use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

pub(crate) use self::session::Session;
use self::{tickets::Tickets, verifier::Verifier};
use crate::{cli::TlsFiles, error::Error};

/// What all connections of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// TLS to a broker of this name. `is_resuming`: who has been there comes back with a ticket.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub(crate) fn new(files: &TlsFiles, host: &str, is_resuming: bool) -> Result<Self, Error> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            let reason = format!("'{host}' is no name that a certificate can have: {error}");
            Error::Usage { option: "--url", reason }
        })?;
        let provider = Arc::new(provider());
        let verifier = Verifier::new(roots(files)?, Arc::clone(&provider), !files.insecure);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match files.cert.as_deref().zip(files.key.as_deref()) {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates("--cert", cert)?;
                builder
                    .with_client_auth_cert(chain, private_key(key)?)
                    .map_err(|error| unusable("--key", key, &error.to_string()))?
            }
        };
        config.resumption = if is_resuming {
            Resumption::store(Arc::new(Tickets::default()))
        } else {
            Resumption::disabled()
        };
        Ok(Self { config: Arc::new(config), name })
    }

    /// The client's side of a new connection.
    pub(crate) fn connection(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }
}

/// The cheapest first, which almost every broker has: a handshake is to cost the broker, not this
/// program. SHA-384 is twice the work of SHA-256.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    let cheapest = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != cheapest);
    provider
}

fn roots(files: &TlsFiles) -> Result<RootCertStore, Error> {
    let Some(ca) = &files.ca else {
        let reason = "TLS needs it: the certificate of the authority that signed the broker's, as \
                      PEM; for brokers in public, /etc/ssl/certs/ca-certificates.crt";
        return Err(Error::Usage { option: "--ca", reason: reason.into() });
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--ca", ca)? {
        roots.add(certificate).map_err(|error| unusable("--ca", ca, &error.to_string()))?;
    }
    Ok(roots)
}

fn certificates(option: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(option, file)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(option, file, &format!("it is not PEM ({error})")))?;
    if chain.is_empty() {
        return Err(unusable(option, file, "there is no certificate in it"));
    }
    Ok(chain)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&read("--key", file)?).map_err(|error| {
        let reason = format!("there is no unencrypted private key in it ({error})");
        unusable("--key", file, &reason)
    })
}

fn read(option: &'static str, file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|error| unusable(option, file, &error.to_string()))
}

fn unusable(option: &'static str, file: &Path, reason: &str) -> Error {
    Error::Usage { option, reason: format!("'{}' cannot be used: {reason}", file.display()) }
}
