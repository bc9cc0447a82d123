//! A connection's task: reads, offers what it read to the shard, says farewell.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use flotilla_core::{connection::Peer, id::ConnectionKey, time::Now};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::{READ_MAX, TURN_BYTES_MAX, Worker};
use crate::{
    auth::identity,
    net::{
        listener::{Accepted, Place},
        outgoing::Outgoing,
        socket::Socket,
    },
};

/// How long a closed connection's peer may take to read its last bytes.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// Bytes of a closed connection's peer that are read and forgotten: with unread bytes the operating
/// system would end the connection at once, and the peer would not see why.
const FORGOTTEN_MAX: usize = 1024 * 1024;
/// Largest buffer that a connection keeps for the rest of a packet that has not come yet, when far
/// less would do.
const SPACIOUS: usize = 16 * 1024;

/// A socket of a connection that the shard knows.
pub(super) struct Attached {
    socket: Socket,
    pub(super) outgoing: Outgoing,
    /// Bytes that were read but not consumed: the beginning of a packet, or whatever came before
    /// the connection was paused. At most `packet_size_max` and twice `READ_MAX`.
    kept: Vec<u8>,
    /// The task's.
    pub(super) waker: Option<Waker>,
    pub(super) place: Place,
    /// From the certificate.
    pub(super) identity: Option<Box<str>>,
    /// Nothing more is read.
    pub(super) is_paused: bool,
    /// What was kept is offered again first.
    pub(super) has_resumed: bool,
    /// The socket takes no more for now; the task is woken when it does.
    pub(super) is_blocked: bool,
    /// The peer sends no more.
    is_over: bool,
    /// Nothing reaches the peer any more.
    pub(super) is_broken: bool,
}

/// From the accepted socket to its end.
pub(super) async fn serve(worker: Rc<RefCell<Worker>>, accepted: Accepted) {
    // The long-lived part of this task holds a key. What only its ends need is in boxes of their
    // own, for as long as they need it.
    let Some(connection) = Box::pin(begin(&worker, accepted)).await else { return };
    let attached = poll_fn(|context| worker.borrow_mut().poll(connection, context)).await;
    if let Some(attached) = attached {
        // A peer that does not take its last bytes in time goes without them.
        let _ = tokio::time::timeout(FAREWELL_TIME, Box::pin(attached.farewell())).await;
        let mut worker = worker.borrow_mut();
        worker.farewells -= 1;
        worker.want_turn();
    }
}

async fn begin(worker: &Rc<RefCell<Worker>>, accepted: Accepted) -> Option<ConnectionKey> {
    let Accepted { stream, peer, place } = accepted;
    let listener = &place.listener;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            debug!("{}: {peer}: {error}", listener.bind);
            return None;
        }
    };
    let Some(tls) = listener.tls() else {
        return Some(worker.borrow_mut().open(Socket::Tcp(stream), place, peer.to_string(), None));
    };
    let start = Instant::now();
    let handshake_time = worker.borrow().shared.handshake_time;
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let outcome = tokio::time::timeout(handshake_time, handshake).await;
    let mut worker = worker.borrow_mut();
    let handshakes = &mut worker.report.handshakes;
    let stream = match outcome {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            handshakes.failed += 1;
            debug!("{}: {peer}: TLS handshake failed: {error}", listener.bind);
            return None;
        }
        Err(_elapsed) => {
            handshakes.timed_out += 1;
            debug!("{}: {peer}: TLS handshake not done in time", listener.bind);
            return None;
        }
    };
    handshakes.accepted += 1;
    handshakes.durations.add_duration(start.elapsed());
    if worker.drain_until.is_some() {
        return None;
    }
    let identity = listener.access.certificate.and_then(|source| {
        let chain = stream.get_ref().1.peer_certificates()?;
        identity(chain.first()?, source)
    });
    Some(worker.open(Socket::Tls(Box::new(stream)), place, peer.to_string(), identity))
}

impl Worker {
    fn open(
        &mut self,
        socket: Socket,
        place: Place,
        address: String,
        identity: Option<String>,
    ) -> ConnectionKey {
        let now = self.now();
        let connection = self.shard.opened(Peer { address }, now, &mut self.turn);
        let attached = Attached {
            socket,
            outgoing: Outgoing::default(),
            kept: Vec::new(),
            waker: None,
            place,
            identity: identity.map(String::into_boxed_str),
            is_paused: false,
            has_resumed: false,
            is_blocked: false,
            is_over: false,
            is_broken: false,
        };
        self.sockets.insert(connection, attached);
        self.want_turn();
        connection
    }

    /// Does what can be done for one connection now. Ready when it has ended; with its socket when
    /// there is still something to send.
    fn poll(
        &mut self,
        connection: ConnectionKey,
        context: &mut Context<'_>,
    ) -> Poll<Option<Attached>> {
        if let Some(attached) = self.leaving.remove(&connection) {
            self.farewells += 1;
            return Poll::Ready(Some(attached));
        }
        let Some(attached) = self.sockets.get_mut(&connection) else { return Poll::Ready(None) };
        match &mut attached.waker {
            Some(known) => known.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        if attached.is_blocked {
            let now = self.now();
            if self.drain(connection, now, context) {
                self.want_turn();
            }
        }
        self.read(connection, context);
        if self.turn_bytes >= TURN_BYTES_MAX {
            let now = self.now();
            self.finish_turn(now);
        }
        if !self.is_turn_wanted {
            // Nothing happened, so this was no beginning of a turn.
            self.now = None;
        }
        Poll::Pending
    }

    /// Writes what waits for a socket; says whether it took anything.
    pub(super) fn drain(
        &mut self,
        connection: ConnectionKey,
        now: Now,
        context: &mut Context<'_>,
    ) -> bool {
        let Self { sockets, turn, shard, ended, .. } = self;
        let Some(attached) = sockets.get_mut(&connection) else { return false };
        if attached.is_broken {
            return false;
        }
        let mut taken = 0;
        let Attached { socket, outgoing, .. } = attached;
        let outcome =
            outgoing.poll_drain(socket, context, &mut taken, |buffer| turn.recycle(buffer));
        attached.is_blocked = outcome.is_pending();
        if let Poll::Ready(Err(error)) = outcome {
            debug!("{}: {error}", attached.place.listener.bind);
            attached.is_broken = true;
            ended.push(connection);
            self.want_turn();
        } else if taken > 0 {
            shard.written(connection, taken, now, turn);
        }
        taken > 0
    }

    fn read(&mut self, connection: ConnectionKey, context: &mut Context<'_>) {
        let now = self.now();
        let Self { sockets, shard, turn, turn_bytes, scratch, ended, .. } = self;
        let Some(attached) = sockets.get_mut(&connection) else { return };
        if attached.is_paused || attached.is_broken {
            return;
        }
        let mut offer = |attached: &mut Attached, bytes: &[u8]| {
            attached.offer(bytes, |bytes| shard.received(connection, bytes, now, turn));
        };
        let mut has_news = false;
        if attached.has_resumed {
            // What comes of it may pause the connection again: the turn first, then new bytes.
            attached.has_resumed = false;
            offer(attached, &[]);
            if attached.is_over {
                ended.push(connection);
            } else {
                context.waker().wake_by_ref();
            }
            has_news = true;
        } else if !attached.is_over {
            let mut left = READ_MAX;
            loop {
                match attached.socket.poll_read(context, scratch) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(bytes @ 1..)) => {
                        offer(attached, scratch.get(..bytes).unwrap_or_default());
                        has_news = true;
                        left = left.saturating_sub(bytes);
                        *turn_bytes += bytes;
                        if left == 0 {
                            context.waker().wake_by_ref();
                            break;
                        }
                    }
                    Poll::Ready(end) => {
                        attached.is_broken = end.is_err_and(|error| is_fatal(&error));
                        attached.is_over = true;
                        ended.push(connection);
                        has_news = true;
                        break;
                    }
                }
            }
        }
        if has_news {
            self.want_turn();
        }
    }
}

impl Attached {
    /// Wakes the connection's task.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn offer(&mut self, bytes: &[u8], consume: impl FnOnce(&[u8]) -> usize) {
        if self.kept.is_empty() {
            let consumed = consume(bytes);
            self.kept.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
            return;
        }
        self.kept.extend_from_slice(bytes);
        let consumed = consume(&self.kept);
        self.kept.drain(..consumed.min(self.kept.len()));
        if self.kept.is_empty() {
            self.kept = Vec::new();
        } else if self.kept.capacity() > SPACIOUS && self.kept.len() < self.kept.capacity() / 4 {
            self.kept.shrink_to_fit();
        }
    }

    /// Sends the last bytes, ends the stream properly, waits for the peer to do the same.
    async fn farewell(mut self) -> io::Result<()> {
        let Self { socket, outgoing, is_broken, is_over, .. } = &mut self;
        if !*is_broken {
            poll_fn(|context| outgoing.poll_drain(socket, context, &mut 0, drop)).await?;
            poll_fn(|context| socket.poll_shutdown(context)).await?;
            if !*is_over {
                forget_the_rest(socket).await?;
            }
        }
        Ok(())
    }
}

fn forget_the_rest(socket: &mut Socket) -> impl Future<Output = io::Result<()>> {
    let mut buffer = vec![0; 4096];
    let mut left = FORGOTTEN_MAX;
    poll_fn(move |context| {
        loop {
            match ready!(socket.poll_read(context, &mut buffer))? {
                0 => return Poll::Ready(Ok(())),
                bytes if bytes < left => left -= bytes,
                _ => return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into())),
            }
        }
    })
}

/// Whether nothing reaches the peer either. A TLS stream that ends without close_notify is no
/// reason not to answer.
fn is_fatal(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::UnexpectedEof
}
