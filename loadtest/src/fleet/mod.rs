//! All connections of a run, driven by one thread.

mod going;
mod keep_alive;

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use flotilla_mqtt::Version;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec};

use self::keep_alive::KeepAlive;
use crate::{
    client::{Client, Credentials, Phase, Role},
    desk::Desk,
    error::Error,
    link::{Filled, Link, Scratch},
    tls::Tls,
};

/// Connections that are opened at the same time: fewer than a listener's queue.
pub(crate) const OPENING_MAX: usize = 100;
/// Events that one turn takes.
const EVENTS: usize = 1024;
/// How long nothing may happen while connections are opened.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Who sends by the clock is not asleep for the last part of the time: waking up takes that long.
const SPIN: Duration = Duration::from_micros(100);
/// How long a turn waits when nothing is due.
const WAIT: Duration = Duration::from_millis(50);

/// How to reach the broker.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Host and path, where MQTT is in WebSocket frames.
    pub(crate) websocket: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) version: Version,
    pub(crate) credentials: Option<Credentials>,
    /// 0: none.
    pub(crate) keep_alive_s: u16,
}

/// The connections of a run.
#[derive(Debug)]
pub(crate) struct Fleet {
    target: Target,
    poll: Poll,
    events: Events,
    clients: Vec<Option<Client>>,
    scratch: Scratch,
    keep_alive: KeepAlive,
    /// To be opened: where they go, what they are to be.
    waiting: VecDeque<(usize, Role)>,
    opening: usize,
    /// Connections that have become ready, ever.
    pub(crate) readied: usize,
    /// Of these, began TLS with a ticket.
    pub(crate) resumed: usize,
    pub(crate) desk: Desk,
    /// Set by a signal: the run is to end.
    stopped: Arc<AtomicBool>,
}

impl Fleet {
    /// # Errors
    /// When the operating system has no more descriptors.
    pub(crate) fn new(
        target: Target,
        payload_len: usize,
        stopped: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let poll = Poll::new().map_err(|source| Error::System { what: "epoll", source })?;
        Ok(Self {
            desk: Desk::new(target.version, run_number()),
            keep_alive: KeepAlive::new(target.keep_alive_s),
            target,
            poll,
            events: Events::with_capacity(EVENTS),
            clients: Vec::new(),
            scratch: Scratch::new(payload_len),
            waiting: VecDeque::new(),
            opening: 0,
            readied: 0,
            resumed: 0,
            stopped,
        })
    }

    /// Lets a connection be opened in one of the next turns; its number.
    pub(crate) fn open(&mut self, role: Role) -> usize {
        self.clients.push(None);
        self.waiting.push_back((self.clients.len() - 1, role));
        self.clients.len() - 1
    }

    /// Opens all that wait.
    ///
    /// # Errors
    /// When one is refused, or nothing happens for half a minute.
    pub(crate) fn until_ready(&mut self) -> Result<(), Error> {
        let (mut readied, mut since) = (self.readied, Instant::now());
        while !self.waiting.is_empty() || self.opening > 0 {
            self.turn(WAIT)?;
            if self.readied != readied {
                (readied, since) = (self.readied, Instant::now());
            }
            if since.elapsed() > READY_WITHIN {
                return Err(Error::NotReady {
                    seconds: READY_WITHIN.as_secs(),
                    done: self.readied,
                    all: self.clients.len(),
                });
            }
        }
        Ok(())
    }

    /// What the broker lets this connection send unacknowledged.
    pub(crate) fn receive_maximum(&self, client: usize) -> u16 {
        self.clients[client].as_ref().map_or(u16::MAX, |client| client.receive_maximum)
    }

    /// Makes `publisher` the one of its connection.
    pub(crate) fn publish_from(&mut self, client: usize, publisher: u32) {
        let client = self.clients[client].as_mut().expect("it is ready");
        client.role.publisher = Some(publisher);
        self.desk.touch(publisher);
    }

    /// Waits until the broker has taken all that was sent on this connection.
    ///
    /// # Errors
    /// When it does not answer for half a minute.
    pub(crate) fn ping(&mut self, number: usize) -> Result<(), Error> {
        let (version, address) = (self.target.version, self.target.address);
        let client = self.clients[number].as_mut().expect("it is ready");
        client.ping(version)?;
        client.link.flush().map_err(|source| broken(client, address, source))?;
        let end = Instant::now() + READY_WITHIN;
        while self.clients[number].as_ref().is_some_and(|client| client.pings > 0) {
            self.turn(WAIT)?;
            if Instant::now() > end {
                return Err(Error::Silent { seconds: READY_WITHIN.as_secs() });
            }
        }
        Ok(())
    }

    /// Whether a signal has asked for the end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Does what can be done now; waits for the first thing that can, at most this long.
    ///
    /// # Errors
    /// When a connection ends that should not.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<(), Error> {
        self.open_more()?;
        self.keep_alive()?;
        for at in 0..self.desk.paced.len() {
            self.desk.touch(self.desk.paced[at]);
        }
        self.send()?;
        let wait = if !self.desk.touched.is_empty() {
            Duration::ZERO
        } else if self.desk.paced.is_empty() {
            wait.min(WAIT)
        } else {
            self.await_due(wait.min(WAIT));
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(Error::System { what: "epoll", source: error });
            }
            _ => {}
        }
        self.desk.tick();
        let ready: Vec<(usize, bool, bool)> = self
            .events
            .iter()
            .map(|it| (it.token().0, it.is_readable() || it.is_error(), it.is_writable()))
            .collect();
        for (client, is_readable, is_writable) in ready {
            if is_writable {
                self.writable(client)?;
            }
            if is_readable {
                self.readable(client)?;
            }
        }
        self.send()
    }

    /// Waits until shortly before somebody is to send by the clock, or a socket is ready: the timeout
    /// of `epoll_wait` is in milliseconds, too coarse for that.
    fn await_due(&self, wait: Duration) {
        let wait = self.desk.next_due().saturating_sub(SPIN).min(wait);
        if wait > Duration::ZERO {
            let wait = Timespec::try_from(wait).ok();
            let mut sockets = [PollFd::new(self.poll.registry(), PollFlags::IN)];
            // A signal ends it early, which does no harm.
            let _ = rustix::event::poll(&mut sockets, wait.as_ref());
        }
    }

    fn keep_alive(&mut self) -> Result<(), Error> {
        let (version, address) = (self.target.version, self.target.address);
        let due = self.keep_alive.due(self.clients.len());
        for client in self.clients[due].iter_mut().flatten() {
            if client.phase == Phase::Ready && !client.link.take_written() {
                client.ping(version)?;
                client.link.flush().map_err(|source| broken(client, address, source))?;
            }
        }
        Ok(())
    }

    fn open_more(&mut self) -> Result<(), Error> {
        while self.opening < OPENING_MAX {
            let Some((number, role)) = self.waiting.pop_front() else { return Ok(()) };
            let address = self.target.address;
            let mut link = Link::open(&self.target, role.source)
                .map_err(|source| Error::Connect { address, source })?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(link.source(), Token(number), interest)
                .map_err(|source| Error::System { what: "epoll", source })?;
            let target = &self.target;
            let client = Client::new(link, role, target)?;
            self.clients[number] = Some(client);
            self.opening += 1;
        }
        Ok(())
    }

    fn writable(&mut self, number: usize) -> Result<(), Error> {
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        if client.phase == Phase::Left {
            // Whether the rest goes through matters to nobody.
            let _ = client.link.flush();
            return Ok(());
        }
        let address = self.target.address;
        client.link.flush().map_err(|source| broken(client, address, source))?;
        if let Some(publisher) = client.role.publisher {
            self.desk.touch(publisher);
        }
        Ok(())
    }

    fn readable(&mut self, number: usize) -> Result<(), Error> {
        let Some(client) = &mut self.clients[number] else { return Ok(()) };
        if client.phase == Phase::Deaf {
            return Ok(());
        }
        let address = self.target.address;
        let was_opening = client.phase.is_opening();
        loop {
            let filled = client.link.fill(&mut self.scratch);
            if client.phase == Phase::Left && matches!(filled, Ok(Filled::End) | Err(_)) {
                self.clients[number] = None;
                return Ok(());
            }
            match filled.map_err(|source| broken(client, address, source))? {
                Filled::Nothing => break,
                Filled::End => {
                    let client_id = client.role.client_id.clone();
                    return Err(Error::Closed { client_id, when: client.phase.name() });
                }
                Filled::Bytes(len, is_more) => {
                    let taken = client.received(&self.scratch.bytes[..len], &mut self.desk)?;
                    client.link.keep(&self.scratch.bytes[taken..len]);
                    if !is_more {
                        break;
                    }
                }
            }
        }
        if was_opening && !client.phase.is_opening() {
            self.opening -= 1;
            self.readied += 1;
            self.keep_alive.shorten(client.server_keep_alive_s);
            self.resumed += usize::from(client.link.is_resumed());
            if client.role.is_passing {
                client.leave(self.target.version)?;
                client.link.flush().map_err(|source| broken(client, address, source))?;
                return Ok(());
            }
        }
        match (client.phase, client.role.publisher) {
            // It closes by itself now; a broker that has done so already does not read any more.
            (Phase::Left, _) => {}
            // What a publisher sends goes with its other packets at the end of the turn.
            (Phase::Ready, Some(publisher)) => self.desk.touch(publisher),
            _ => client.link.flush().map_err(|source| broken(client, address, source))?,
        }
        Ok(())
    }

    /// Lets all publishers send that may.
    fn send(&mut self) -> Result<(), Error> {
        self.desk.tick();
        let address = self.target.address;
        for number in std::mem::take(&mut self.desk.touched) {
            let publisher = &mut self.desk.publishers[number as usize];
            publisher.is_touched = false;
            let Some(Some(client)) = self.clients.get_mut(publisher.client) else { continue };
            if client.phase != Phase::Ready {
                continue;
            }
            let sent = publisher.send(&mut client.link, self.desk.run, self.desk.now_ns);
            self.desk.tally.sent += sent;
            client.link.flush().map_err(|source| broken(client, address, source))?;
            // The socket took all, so no event will say that there is room for more.
            if sent > 0
                && client.link.backlog() == 0
                && publisher.pace.is_none()
                && publisher.may_send()
            {
                self.desk.touch(number);
            }
        }
        Ok(())
    }
}

fn broken(client: &Client, address: SocketAddr, source: io::Error) -> Error {
    let is_opening = client.phase == Phase::AwaitConnack;
    match source.get_ref() {
        Some(cause) if is_opening && cause.is::<rustls::Error>() => Error::Tls { address, source },
        _ if is_opening && source.kind() == ErrorKind::InvalidData => {
            Error::WebSocket { address, source }
        }
        _ if is_opening => Error::Connect { address, source },
        _ => Error::Broken { client_id: client.role.client_id.clone(), source },
    }
}

/// Differs from run to run, so that nobody takes the messages of another run for their own.
fn run_number() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.map_or(0, |since| since.subsec_nanos());
    since ^ std::process::id().rotate_left(16)
}
