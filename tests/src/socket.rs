//! A TCP or TLS connection whose reads and writes have a deadline.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use crate::DEADLINE;

/// Where a listener is, with what a client needs to trust it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Address.
    pub address: SocketAddr,
    /// The authority that signed the listener's certificate, PEM; `None`: plain TCP.
    pub ca: Option<PathBuf>,
    /// What the client shows.
    pub identity: Option<Identity>,
}

/// A client certificate with its key, PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Certificate.
    pub certificate: PathBuf,
    /// Key.
    pub key: PathBuf,
}

/// An open connection.
#[derive(Debug)]
pub enum Socket {
    /// Plain.
    Tcp(TcpStream),
    /// TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Connects; the TLS handshake, if any, happens with the first read or write.
    ///
    /// # Errors
    /// When nobody listens.
    ///
    /// # Panics
    /// When a certificate file is missing or broken.
    pub fn open(to: &Endpoint) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&to.address, DEADLINE)?;
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        let Some(ca) = &to.ca else { return Ok(Self::Tcp(tcp)) };
        let name = ServerName::IpAddress(to.address.ip().into());
        let tls = ClientConnection::new(client_config(ca, to.identity.as_ref()), name)
            .map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(tls, tcp))))
    }

    /// The plain connection below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    /// When the other side has closed, or does not read for [`DEADLINE`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// Reads what there is, at least one byte; 0 says that the other side has closed.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; any other says that the connection broke.
    pub fn receive(&mut self, buffer: &mut [u8], until: Instant) -> io::Result<usize> {
        let left = until.saturating_duration_since(Instant::now());
        // 0 would mean "no timeout".
        self.tcp().set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let read = match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            // The broker may end TLS without a close_notify; MQTT does not need it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    /// Ends the connection with RST instead of FIN.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO))
            .expect("a TCP socket takes SO_LINGER");
    }
}

fn client_config(ca: &Path, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca) {
        roots.add(certificate).expect("an authority is a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_file(&identity.key)
                .unwrap_or_else(|error| panic!("{}: {error}", identity.key.display()));
            config
                .with_client_auth_cert(certificates(&identity.certificate), key)
                .expect("a key that belongs to its certificate")
        }
    };
    Arc::new(config)
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
