//! One network connection, from its first byte to its last.
//!
//! ```text
//! AwaitConnect ──CONNECT──▶ AwaitIdentity ──identified──▶ AwaitSession ──granted──▶ Connected
//!                            │      ▲
//!                        challenged │ AUTH
//!                            ▼      │
//!                            AwaitAuth
//! ```
//!
//! Each phase is a type; what it lacks cannot be asked of it. A closed connection is none at all.

pub(crate) mod alias;
pub(crate) mod authenticate;
pub(crate) mod await_connect;
pub(crate) mod await_session;
pub(crate) mod connected;
pub(crate) mod deliver;
pub(crate) mod exchange;
pub(crate) mod explain;
pub(crate) mod leave;
pub(crate) mod negotiated;
pub(crate) mod outbox;
pub(crate) mod owed;
pub(crate) mod publish;
pub(crate) mod refusal;
pub(crate) mod shorthand;
pub(crate) mod subscribe;

use authenticate::AwaitAuth;
use await_connect::ConnectRequest;
use await_session::AwaitSession;
use connected::Connected;
use outbox::Outbox;

/// The answer to a [`crate::turn::Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identification {
    /// The client may connect.
    Accepted {
        /// Who it is: from certificate, User Name or nothing.
        identity: Option<String>,
    },
    /// An enhanced authentication has come to its end: the client may connect, or go on.
    Authenticated {
        /// Who it is.
        identity: String,
        /// The server's last words: Authentication Data of CONNACK or AUTH 0x00.
        data: Vec<u8>,
    },
    /// The client must say more: AUTH 0x18.
    Challenged {
        /// Authentication Data for the client.
        data: Vec<u8>,
        /// Comes back with the question that the client's answer raises.
        kept: Vec<u8>,
    },
    /// The client may not: CONNACK with this Reason Code, or DISCONNECT.
    Refused(flotilla_mqtt::ReasonCode),
}

/// A connection in whatever phase.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Monotonic milliseconds.
    pub(crate) opened_ms: u64,
    pub(crate) outbox: Outbox,
    /// Whether its socket must not be read.
    pub(crate) is_paused: bool,
    /// Whether that is because the peer does not read what it asked for.
    pub(crate) is_stuffed: bool,
    pub(crate) phase: Phase,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing came yet.
    AwaitConnect,
    /// CONNECT came; whether this client may is being asked.
    AwaitIdentity(Box<ConnectRequest>),
    /// Its method needs another word from it.
    AwaitAuth(AwaitAuth),
    /// It may; its session is being fetched.
    AwaitSession(Box<AwaitSession>),
    /// It has its session. CONNACK has left, or waits for the disk.
    Connected(Box<Connected>),
}

impl Connection {
    pub(crate) fn new(opened_ms: u64) -> Self {
        let outbox = Outbox::default();
        let phase = Phase::AwaitConnect;
        Self { opened_ms, outbox, is_paused: false, is_stuffed: false, phase }
    }

    pub(crate) fn pause(&mut self, is_stuffed: bool) {
        self.is_paused = true;
        self.is_stuffed = is_stuffed;
    }

    /// Its socket is read again. Until now the broker did not listen, so its silence begins now: the
    /// timer may ring before the first byte is looked at.
    pub(crate) fn resume(&mut self, monotonic_ms: u64) {
        self.is_paused = false;
        if let Some((connected, _)) = self.connected() {
            connected.last_received_ms = monotonic_ms;
        }
    }

    /// QoS 1 and 2 messages that may be sent unacknowledged; `None`: it has no session.
    pub(crate) fn send_quota(&self) -> Option<usize> {
        match &self.phase {
            Phase::Connected(connected) => Some(usize::from(connected.negotiated.send_quota)),
            Phase::AwaitConnect
            | Phase::AwaitIdentity(_)
            | Phase::AwaitAuth(_)
            | Phase::AwaitSession(_) => None,
        }
    }

    /// What a connection with a session works with.
    pub(crate) fn connected(&mut self) -> Option<(&mut Connected, &mut Outbox)> {
        match &mut self.phase {
            Phase::Connected(connected) => Some((connected, &mut self.outbox)),
            Phase::AwaitConnect
            | Phase::AwaitIdentity(_)
            | Phase::AwaitAuth(_)
            | Phase::AwaitSession(_) => None,
        }
    }
}
