//! A listener: accepts connections, hands them to the workers in turn.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tracing::{debug, error};

use super::mailbox::{Inbound, Mailbox};
use crate::config::{Access, Bind, ListenerSettings};

/// Connections that the operating system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// How long nothing is accepted after the operating system had no file descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long the log does not say so again.
const EXHAUSTED_SILENCE: Duration = Duration::from_secs(60);

/// An open listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Where, with the port that the operating system chose.
    pub(crate) bind: Bind,
    /// Who may connect.
    pub(crate) access: Access,
    tls: Option<RwLock<Arc<ServerConfig>>>,
    max_connections: usize,
    connections: AtomicUsize,
    /// What happened so far.
    pub(crate) counts: Counts,
}

/// What a listener counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Accepted.
    pub(crate) accepted: AtomicU64,
    /// Closed at once because of `max_connections`.
    pub(crate) full: AtomicU64,
    /// Times the operating system had no file descriptor or memory left.
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
}

impl Drop for Place {
    fn drop(&mut self) {
        self.listener.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Opens the port. `tls`: for a listener that encrypts.
    ///
    /// # Errors
    /// A sentence, when the port is taken or the address is not this machine's.
    pub(crate) fn open(
        settings: &ListenerSettings,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<(Arc<Self>, TcpListener), String> {
        let socket = listen(settings.bind.address)
            .map_err(|error| why_not(&settings.bind.to_string(), &error, "bind, or --listen"))?;
        let address = socket.local_addr().map_err(|error| error.to_string())?;
        let listener = Self {
            bind: Bind { address, ..settings.bind },
            access: settings.access,
            tls: tls.map(RwLock::new),
            max_connections: settings.max_connections,
            connections: AtomicUsize::new(0),
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

    /// Accepts for good. `next` counts the connections of all listeners.
    ///
    /// # Errors
    /// When the socket cannot be waited for.
    pub(crate) async fn accept(
        self: Arc<Self>,
        socket: TcpListener,
        workers: Arc<[Arc<Mailbox>]>,
        next: Arc<AtomicUsize>,
    ) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let mut told_at: Option<Instant> = None;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if let (Ok(stream), Some(mailbox)) =
                        (stream.into_std(), workers.get(turn % workers.len()))
                    {
                        self.hand_over(stream, peer, mailbox);
                    }
                }
                Err(error) if is_exhaustion(&error) => {
                    self.counts.exhausted.fetch_add(1, Ordering::Relaxed);
                    if told_at.is_none_or(|at| at.elapsed() > EXHAUSTED_SILENCE) {
                        error!(
                            "{} cannot accept a connection: {error}; raise the limit of open \
                             files (LimitNOFILE, ulimit -n), or set max_connections",
                            self.bind
                        );
                        told_at = Some(Instant::now());
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                // The peer was gone before it was accepted.
                Err(error) => debug!("{}: {error}", self.bind),
            }
        }
    }

    fn hand_over(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, mailbox: &Mailbox) {
        let connections = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { listener: Arc::clone(self) };
        if connections >= self.max_connections {
            self.counts.full.fetch_add(1, Ordering::Relaxed);
            debug!("{} is full, {peer} was turned away", self.bind);
            return;
        }
        if let Err(error) = prepare(&stream) {
            debug!("{}: {peer}: {error}", self.bind);
            return;
        }
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        mailbox.push(Inbound::Accepted(Accepted { stream, peer, place }));
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A peer that vanished without a word, and has no Keep Alive of MQTT, is found in four minutes.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(30))
        .with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
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

    #[test]
    fn exhaustion_is_told_from_a_lost_peer() {
        assert!(is_exhaustion(&rustix::io::Errno::MFILE.into()));
        assert!(!is_exhaustion(&rustix::io::Errno::CONNABORTED.into()));
    }
}
