//! The thread that accepts connections and hands them to the workers in turn.

use std::{
    fmt, io,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;
use tracing::{debug, error};

use super::{
    listener::{Accepted, Full, Listener},
    mailbox::{Inbound, Mailbox},
};
use crate::ops::shutdown::Alarm;

/// Connections that one listener accepts before the others have their turn.
const AT_ONCE: usize = 64;
/// Connections that come within this time go to the workers together: in a storm that saves most
/// changes between threads. The first one does not wait.
const BATCH_TIME: Duration = Duration::from_micros(500);
/// How long nothing is accepted after the operating system had no file descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long the log does not say so again.
const EXHAUSTED_SILENCE: Duration = Duration::from_secs(60);
/// The event that ends the thread. No listener has this number.
const END: Token = Token(usize::MAX);

/// Accepts until it is told to end.
#[derive(Debug)]
pub(crate) struct Acceptor {
    waker: Waker,
    has_ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// One listener with its socket.
struct Door {
    listener: Arc<Listener>,
    socket: mio::net::TcpListener,
    /// There may be connections.
    is_ready: bool,
    told_at: Option<Instant>,
}

impl Acceptor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system has no thread or file descriptor left.
    pub(crate) fn start(
        listeners: Vec<(Arc<Listener>, TcpListener)>,
        workers: Arc<[Arc<Mailbox>]>,
        alarm: Alarm,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), END)?;
        let mut doors = Vec::new();
        for (number, (listener, socket)) in listeners.into_iter().enumerate() {
            let mut socket = mio::net::TcpListener::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
            doors.push(Door { listener, socket, is_ready: false, told_at: None });
        }
        let has_ended = Arc::<AtomicBool>::default();
        let end = Arc::clone(&has_ended);
        let thread = thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
            if let Err(error) = run(poll, doors, &workers, &end) {
                alarm.raise(format!("connections cannot be accepted any more: {error}"));
            }
        })?;
        Ok(Self { waker, has_ended, thread })
    }

    /// Closes the listeners' sockets. From here on nothing comes to the workers.
    pub(crate) fn end(self) {
        self.has_ended.store(true, Ordering::Release);
        self.waker.wake().expect("a waker takes any number of wakes");
        self.thread.join().expect("a panic in any thread ends the process");
    }
}

fn run(
    mut poll: Poll,
    mut doors: Vec<Door>,
    workers: &[Arc<Mailbox>],
    has_ended: &AtomicBool,
) -> io::Result<()> {
    let mut events = Events::with_capacity(64);
    let mut next = (0..workers.len()).cycle();
    let mut accepted: Vec<_> = workers.iter().map(|_| Vec::new()).collect();
    let mut patience = None;
    loop {
        match poll.poll(&mut events, patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) | Ok(()) => {}
        }
        if has_ended.load(Ordering::Acquire) {
            return Ok(());
        }
        for event in &events {
            if let Some(door) = doors.get_mut(event.token().0) {
                door.is_ready = true;
            }
        }
        patience = None;
        for door in doors.iter_mut().filter(|door| door.is_ready) {
            let rest = door.accept(|connection| {
                let worker = next.next().and_then(|worker| accepted.get_mut(worker));
                worker.expect("there is a worker").push(connection);
            });
            patience = patience.max(rest);
        }
        // Together, so that a worker is woken once for all.
        for (mailbox, accepted) in workers.iter().zip(&mut accepted) {
            if !accepted.is_empty() {
                mailbox.push_all(accepted.drain(..).map(Inbound::Accepted));
            }
        }
        thread::sleep(BATCH_TIME);
    }
}

impl Door {
    /// Accepts what waits. Says how soon to look again, if there may be more.
    fn accept(&mut self, mut hand_over: impl FnMut(Accepted)) -> Option<Duration> {
        let Self { listener, socket, .. } = self;
        for _ in 0..AT_ONCE {
            match socket.accept() {
                Ok((stream, peer)) => match listener.admit(stream, peer) {
                    Ok(accepted) => hand_over(accepted),
                    Err(Full::Listener) => {
                        debug!("{} is full, {peer} was turned away", listener.bind);
                    }
                    Err(Full::Process(sockets)) => tell(
                        &mut self.told_at,
                        format_args!(
                            "{} turned {peer} away: {sockets} connections are open, and the file \
                             descriptors that are left are the store's",
                            listener.bind
                        ),
                    ),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_ready = false;
                    return None;
                }
                Err(error) if is_exhaustion(&error) => {
                    listener.counts.exhausted.fetch_add(1, Ordering::Relaxed);
                    tell(
                        &mut self.told_at,
                        format_args!("{} cannot accept a connection: {error}", listener.bind),
                    );
                    return Some(EXHAUSTED_PAUSE);
                }
                // The peer was gone before it was accepted.
                Err(error) => debug!("{}: {error}", listener.bind),
            }
        }
        Some(Duration::ZERO)
    }
}

/// Says that there is no room, unless it was said a short time ago.
fn tell(told_at: &mut Option<Instant>, what: fmt::Arguments<'_>) {
    if told_at.is_none_or(|at| at.elapsed() > EXHAUSTED_SILENCE) {
        error!("{what}; raise the limit of open files (LimitNOFILE, ulimit -n)");
        *told_at = Some(Instant::now());
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustion_is_told_from_a_lost_peer() {
        assert!(is_exhaustion(&Errno::MFILE.into()));
        assert!(!is_exhaustion(&Errno::CONNABORTED.into()));
    }
}
