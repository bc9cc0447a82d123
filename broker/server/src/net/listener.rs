//! A listener: a port, who may connect to it, how many do.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mio::net::TcpStream;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::sockets::{Sockets, Taken};
use crate::config::{Access, Bind, ListenerSettings};

/// Connections that the operating system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// An open listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Where, with the port that the operating system chose.
    pub(crate) bind: Bind,
    /// Who may connect.
    pub(crate) access: Access,
    tls: Option<RwLock<Arc<ServerConfig>>>,
    /// Web pages of other machines may connect.
    pub(crate) foreign_pages: bool,
    max_connections: usize,
    connections: AtomicUsize,
    sockets: Arc<Sockets>,
    /// What happened so far.
    pub(crate) counts: Counts,
}

/// What a listener counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Accepted.
    pub(crate) accepted: AtomicU64,
    /// Closed at once because of `max_connections`, or for want of file descriptors.
    pub(crate) full: AtomicU64,
    /// Times the operating system had no file descriptor or memory left although there was room.
    pub(crate) exhausted: AtomicU64,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Not blocking.
    pub(crate) stream: TcpStream,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// Counts as one of the listener's connections until it is dropped.
    pub(crate) place: Place,
}

/// One of a listener's `max_connections`.
#[derive(Debug)]
pub(crate) struct Place {
    /// Whose.
    pub(crate) listener: Arc<Listener>,
    _socket: Taken,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    /// The listener's `max_connections` are there.
    Listener,
    /// The file descriptors that are left are for others. So many sockets are the most.
    Process(usize),
}

impl Drop for Place {
    fn drop(&mut self) {
        self.listener.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Opens the port. `tls`: for a listener that encrypts. `sockets`: of all listeners.
    ///
    /// # Errors
    /// A sentence, when the port is taken or the address is not this machine's.
    pub(crate) fn open(
        settings: &ListenerSettings,
        tls: Option<Arc<ServerConfig>>,
        sockets: &Arc<Sockets>,
    ) -> Result<(Arc<Self>, TcpListener), String> {
        let socket = listen(settings.bind.address)
            .map_err(|error| why_not(&settings.bind.to_string(), &error, "bind, or --listen"))?;
        let address = socket.local_addr().map_err(|error| error.to_string())?;
        let listener = Self {
            bind: Bind { address, ..settings.bind.clone() },
            access: settings.access,
            tls: tls.map(RwLock::new),
            foreign_pages: settings.foreign_pages,
            max_connections: settings.max_connections,
            connections: AtomicUsize::new(0),
            sockets: Arc::clone(sockets),
            counts: Counts::default(),
        };
        Ok((Arc::new(listener), socket))
    }

    /// What new connections are encrypted with.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        let tls = self.tls.as_ref()?;
        Some(Arc::clone(&tls.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes newly read certificates for all later connections.
    pub(crate) fn replace_tls(&self, config: Arc<ServerConfig>) {
        if let Some(tls) = &self.tls {
            *tls.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
    }

    /// Connections of now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Gives a connection that the operating system accepted its place.
    ///
    /// # Errors
    /// When there is none. It is counted.
    pub(crate) fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<Accepted, Full> {
        let place = self.place().inspect_err(|_| {
            self.counts.full.fetch_add(1, Ordering::Relaxed);
        })?;
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(Accepted { stream, peer, place })
    }

    fn place(self: &Arc<Self>) -> Result<Place, Full> {
        let socket = self.sockets.take().ok_or(Full::Process(self.sockets.max()))?;
        let connections = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { listener: Arc::clone(self), _socket: socket };
        if connections < self.max_connections { Ok(place) } else { Err(Full::Listener) }
    }
}

/// Opens a port for connections.
///
/// # Errors
/// What the operating system says.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A broker that starts again must not wait for connections of the one before to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What is set here is set for each connection that is accepted.
    socket.set_tcp_nodelay(true)?;
    // A peer that vanished without a word, and has no Keep Alive of MQTT, is found in four minutes.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(30))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Why a port could not be opened, with what to do about it; `key`: where the address is set.
pub(crate) fn why_not(url: &str, error: &io::Error, key: &str) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program has that port; stop it, or choose another port ({key})")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address; choose another ({key})")
        }
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it, or choose \
             another port ({key})"
        ),
        _ => format!("choose another address ({key})"),
    };
    format!("cannot listen on {url}: {error}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_taken_port_is_explained() {
        let taken = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address).unwrap_err();
        let sentence = why_not(&format!("tcp://{address}"), &error, "bind");
        assert!(sentence.contains(&format!("tcp://{address}")), "{sentence}");
        assert!(sentence.contains("another program has that port"), "{sentence}");
    }
}
