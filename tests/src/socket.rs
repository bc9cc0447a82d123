//! A connection, over whatever transport, whose reads and writes have a deadline.

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

use crate::{
    DEADLINE,
    websocket::{REQUEST, WebSocket},
};

/// Where a listener is, with what a client needs to trust it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Address.
    pub address: SocketAddr,
    /// The authority that signed the listener's certificate, PEM; `None`: plain TCP.
    pub ca: Option<PathBuf>,
    /// What the client shows.
    pub identity: Option<Identity>,
    /// Whether packets go in the frames of a WebSocket.
    pub is_websocket: bool,
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
pub struct Socket {
    stream: Stream,
    websocket: Option<WebSocket>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Connects; the TLS handshake, if any, happens with the first read or write.
    ///
    /// # Errors
    /// When nobody listens, or no WebSocket can be begun.
    ///
    /// # Panics
    /// When a certificate file is missing or broken.
    pub fn open(to: &Endpoint) -> io::Result<Self> {
        let mut socket = Self::open_raw(to)?;
        if to.is_websocket {
            socket.write_raw(REQUEST)?;
            let mut websocket = WebSocket::default();
            let until = Instant::now() + DEADLINE;
            let mut buffer = [0; 4096];
            while !websocket.is_open(until)? {
                let read = socket.read_raw(&mut buffer, until)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                websocket.take(&buffer[..read]);
            }
            socket.websocket = Some(websocket);
        }
        Ok(socket)
    }

    /// As [`Socket::open`], without the request for a WebSocket: what is sent and received are the
    /// bytes below its frames.
    ///
    /// # Errors
    /// When nobody listens.
    ///
    /// # Panics
    /// When a certificate file is missing or broken.
    pub fn open_raw(to: &Endpoint) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&to.address, DEADLINE)?;
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        let Some(ca) = &to.ca else {
            return Ok(Self { stream: Stream::Tcp(tcp), websocket: None });
        };
        let name = ServerName::IpAddress(to.address.ip().into());
        let tls = ClientConnection::new(client_config(ca, to.identity.as_ref()), name)
            .map_err(io::Error::other)?;
        let tls = Stream::Tls(Box::new(StreamOwned::new(tls, tcp)));
        Ok(Self { stream: tls, websocket: None })
    }

    /// The plain connection below.
    pub fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    /// When the other side has closed, or does not read for [`DEADLINE`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.websocket {
            Some(websocket) => {
                let frames = websocket.frames(bytes);
                self.write_raw(&frames)
            }
            None => self.write_raw(bytes),
        }
    }

    fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// Reads what there is, at least one byte; 0 says that the other side has closed.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; any other says that the connection broke.
    ///
    /// # Panics
    /// When a frame comes that a broker must not send.
    pub fn receive(&mut self, buffer: &mut [u8], until: Instant) -> io::Result<usize> {
        loop {
            if let Some(websocket) = &mut self.websocket
                && let Some(read) = websocket.said(buffer)
            {
                return Ok(read);
            }
            let read = self.read_raw(buffer, until)?;
            match &mut self.websocket {
                Some(websocket) if read > 0 => websocket.take(&buffer[..read]),
                _ => return Ok(read),
            }
        }
    }

    fn read_raw(&mut self, buffer: &mut [u8], until: Instant) -> io::Result<usize> {
        let left = until.saturating_duration_since(Instant::now());
        // 0 would mean "no timeout".
        self.tcp().set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let read = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
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
