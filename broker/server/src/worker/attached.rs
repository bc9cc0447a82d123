//! A socket of a worker, from its first byte to its last.

use std::{net::SocketAddr, time::Instant};

use flotilla_core::id::ConnectionKey;
use mio::Token;
use slotmap::{Key, KeyData, new_key_type};

use crate::net::{listener::Place, outgoing::Outgoing, socket::Socket};

/// Largest buffer that a connection keeps for the rest of a packet that has not come yet, when far
/// less would do.
const SPACIOUS: usize = 16 * 1024;

new_key_type! {
    /// A socket within its worker. Never reused for another socket, so events of one that is gone
    /// reach nobody.
    pub(super) struct SocketKey;
}

impl SocketKey {
    pub(super) fn token(self) -> Token {
        let number = usize::try_from(self.data().as_ffi());
        Token(number.expect("the processors that the broker is built for have 64 bits"))
    }

    pub(super) fn of(token: Token) -> Self {
        KeyData::from_ffi(token.0 as u64).into()
    }
}

/// What is kept of a socket. An idle connection has nothing on the heap beside it.
pub(super) struct Attached {
    pub(super) socket: Socket,
    pub(super) outgoing: Outgoing,
    /// Bytes that were read but not consumed: the beginning of a packet, or whatever came before
    /// the connection was paused. At most `packet_size_max` and twice `READ_MAX`.
    pub(super) kept: Vec<u8>,
    pub(super) place: Place,
    /// From the certificate.
    pub(super) identity: Option<Box<str>>,
    pub(super) stage: Stage,
    /// Nothing more is read.
    pub(super) is_paused: bool,
    /// What was kept is offered first.
    pub(super) has_resumed: bool,
    /// The operating system may have bytes.
    pub(super) is_readable: bool,
    /// It has told of the end of the stream already, or of an error: it will not tell again.
    pub(super) is_ending: bool,
    /// The socket took no more; the operating system tells when it does.
    pub(super) is_blocked: bool,
    /// It was asked to.
    pub(super) is_room_watched: bool,
    /// It will be looked at.
    pub(super) is_queued: bool,
    /// The peer sends no more.
    pub(super) is_over: bool,
    /// The peer broke a rule of its transport: what else it sends is not looked at.
    pub(super) is_refused: bool,
    /// Nothing reaches the peer any more.
    pub(super) is_broken: bool,
}

/// How far it is.
pub(super) enum Stage {
    /// The handshake.
    Greeting(Box<Greeting>),
    /// The shard knows it.
    Serving(ConnectionKey),
    /// The shard has forgotten it.
    Leaving(Farewell),
}

/// What only the handshake needs.
pub(super) struct Greeting {
    pub(super) peer: SocketAddr,
    pub(super) since: Instant,
    /// The TLS handshake is done, or there is none: what goes on is that of a WebSocket.
    pub(super) is_secure: bool,
}

/// The last bytes.
#[derive(Default)]
pub(super) struct Farewell {
    /// The peer has been told that nothing more comes.
    pub(super) is_told: bool,
    /// Bytes of the peer that nobody wants.
    pub(super) forgotten: usize,
}

impl Attached {
    pub(super) fn new(socket: Socket, place: Place, greeting: Greeting) -> Self {
        Self {
            socket,
            outgoing: Outgoing::default(),
            kept: Vec::new(),
            place,
            identity: None,
            stage: Stage::Greeting(Box::new(greeting)),
            is_paused: false,
            has_resumed: false,
            is_readable: false,
            is_ending: false,
            is_blocked: false,
            is_room_watched: false,
            is_queued: false,
            is_over: false,
            is_refused: false,
            is_broken: false,
        }
    }

    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.stage, Stage::Greeting(_))
    }

    /// Whether it has bytes for the peer.
    pub(super) fn has_unsent(&self) -> bool {
        !self.outgoing.is_empty() || self.socket.has_unsent()
    }

    /// What a read of so many bytes says about the next one.
    pub(super) fn note_read(&mut self, bytes: usize, is_full: bool) {
        self.is_readable = is_full || (self.is_ending && bytes > 0);
    }
}

/// Hands to `consume` what was kept with what came; keeps what it leaves.
pub(super) fn offer(kept: &mut Vec<u8>, bytes: &[u8], consume: impl FnOnce(&[u8]) -> usize) {
    if kept.is_empty() {
        let consumed = consume(bytes);
        kept.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
        return;
    }
    kept.extend_from_slice(bytes);
    let consumed = consume(kept);
    kept.drain(..consumed.min(kept.len()));
    if kept.is_empty() {
        *kept = Vec::new();
    } else if kept.capacity() > SPACIOUS && kept.len() < kept.capacity() / 4 {
        kept.shrink_to_fit();
    }
}
