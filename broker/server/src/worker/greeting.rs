//! From the accepted socket to the connection that the shard knows.

use std::{io, time::Instant};

use flotilla_core::connection::Peer;
use tracing::debug;

use super::{
    Worker,
    attached::{Attached, Greeting, SocketKey, Stage},
};
use crate::{
    auth::identity,
    net::{
        encryption::Encryption,
        listener::Accepted,
        socket::{READ_MAX, Socket},
    },
};

impl Worker {
    pub(super) fn greet(&mut self, accepted: Accepted) {
        let Accepted { stream, peer, place } = accepted;
        let encryption = match place.listener.tls().map(Encryption::new).transpose() {
            Ok(encryption) => encryption,
            Err(error) => {
                debug!("{}: {peer}: {error}", place.listener.bind);
                return;
            }
        };
        let socket = Socket::new(stream, encryption);
        let greeting = Greeting { peer, since: Instant::now() };
        let key = self.sockets.insert(Attached::new(socket, place, greeting));
        let Some(attached) = self.sockets.get_mut(key) else { return };
        if let Err(error) = attached.socket.watch(self.poll.registry(), key.token()) {
            debug!("{}: {peer}: {error}", attached.place.listener.bind);
            self.sockets.remove(key);
        } else if attached.socket.is_open() {
            self.open(key);
        } else {
            self.greetings.begin(key);
        }
    }

    /// Goes on with a handshake.
    pub(super) fn shake_hands(&mut self, key: SocketKey) {
        let Self { sockets, scratch, .. } = self;
        let Some(attached) = sockets.get_mut(key) else { return };
        let Attached { socket, kept, .. } = attached;
        let read = match socket.flush() {
            Ok(has_left) if !attached.is_readable => {
                if !has_left {
                    self.block(key);
                }
                return;
            }
            // What follows the handshake at once waits for the shard to know the connection.
            Ok(_) => socket.read(scratch, |bytes| kept.extend_from_slice(bytes)),
            Err(error) => Err(error),
        };
        let read = read.and_then(|read| match read.is_over && !socket.is_open() {
            true => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer has gone")),
            false => Ok(read),
        });
        match read {
            Ok(read) => {
                self.turn_bytes += read.bytes;
                attached.is_over = read.is_over;
                attached.note_read(read.bytes, read.bytes == READ_MAX);
                let (is_open, is_readable) = (attached.socket.is_open(), attached.is_readable);
                if attached.socket.has_unsent() {
                    self.block(key);
                }
                if is_open {
                    self.count_handshake(key);
                    self.open(key);
                } else if is_readable {
                    self.queue(key);
                }
            }
            Err(error) => {
                self.report.handshakes.failed += 1;
                if let Stage::Greeting(greeting) = &attached.stage {
                    let (bind, peer) = (attached.place.listener.bind, greeting.peer);
                    debug!("{bind}: {peer}: TLS handshake failed: {error}");
                }
                self.sockets.remove(key);
            }
        }
    }

    fn count_handshake(&mut self, key: SocketKey) {
        let Some(attached) = self.sockets.get_mut(key) else { return };
        self.report.handshakes.accepted += 1;
        if let Stage::Greeting(greeting) = &attached.stage {
            self.report.handshakes.durations.add_duration(greeting.since.elapsed());
        }
        let identity = attached.place.listener.access.certificate.and_then(|source| {
            let certificate = attached.socket.peer_certificate()?;
            identity(certificate, source)
        });
        attached.identity = identity.map(String::into_boxed_str);
    }

    fn open(&mut self, key: SocketKey) {
        let now = self.now();
        let Some(attached) = self.sockets.get_mut(key) else { return };
        let Stage::Greeting(greeting) = &attached.stage else { return };
        let peer = Peer { address: greeting.peer.to_string() };
        let connection = self.shard.opened(peer, now, &mut self.turn);
        attached.stage = Stage::Serving(connection);
        self.by_connection.insert(connection, key);
        self.is_turn_wanted = true;
        if !attached.kept.is_empty() || attached.is_over || attached.is_readable {
            attached.has_resumed = true;
            self.queue(key);
        }
    }

    /// Ends handshakes that were not done in time.
    pub(super) fn end_greetings(&mut self) {
        let Self { greetings, sockets, report, .. } = self;
        let is_done = |sockets: &slotmap::SlotMap<_, Attached>, key| {
            !sockets.get(key).is_some_and(Attached::is_greeting)
        };
        while let Some(key) = greetings.pop_due(|key| is_done(sockets, key)) {
            report.handshakes.timed_out += 1;
            let Some(attached) = sockets.remove(key) else { continue };
            if let Stage::Greeting(greeting) = attached.stage {
                let (bind, peer) = (attached.place.listener.bind, greeting.peer);
                debug!("{bind}: {peer}: TLS handshake not done in time");
            }
        }
    }
}
