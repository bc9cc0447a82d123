//! From the accepted socket to the connection that the shard knows.

use std::{fmt, io, time::Instant};

use tracing::debug;

use super::{
    Worker,
    attached::{Attached, Greeting, SocketKey, Stage},
};
use crate::{
    auth::identity,
    net::{
        encryption::Encryption,
        framing::Framing,
        listener::Accepted,
        socket::{Layers, READ_MAX, Socket},
        upgrade::Upgrade,
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
        let framing = place.listener.bind.path.as_deref().map(|path| {
            let bytes_max = self.shared.request_bytes_max;
            let upgrade = Upgrade::new(path, bytes_max, place.listener.foreign_pages);
            Box::new(Framing::new(upgrade))
        });
        let socket = Socket::new(stream, Layers { encryption, framing });
        let greeting = Greeting { peer, since: Instant::now(), is_secure: socket.is_secure() };
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

    /// Goes on with the handshakes.
    pub(super) fn shake_hands(&mut self, key: SocketKey) {
        let Self { sockets, scratch, .. } = self;
        let Some(attached) = sockets.get_mut(key) else { return };
        let Attached { socket, kept, .. } = attached;
        let read = match socket.flush(scratch) {
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
                self.note_security(key);
                if let Some(reason) = read.refusal {
                    self.count_failure(key, &reason);
                    if let Some(attached) = self.sockets.get_mut(key) {
                        attached.is_refused = true;
                    }
                    self.leave(key);
                } else if is_open {
                    self.open(key);
                } else if is_readable {
                    self.queue(key);
                }
            }
            Err(error) => {
                self.count_failure(key, &error);
                self.sockets.remove(key);
            }
        }
    }

    /// Takes up what the TLS handshake led to, once.
    fn note_security(&mut self, key: SocketKey) {
        let Some(attached) = self.sockets.get_mut(key) else { return };
        let Stage::Greeting(greeting) = &mut attached.stage else { return };
        if greeting.is_secure || !attached.socket.is_secure() {
            return;
        }
        greeting.is_secure = true;
        self.report.handshakes.accepted += 1;
        self.report.handshakes.durations.add_duration(greeting.since.elapsed());
        let identity = attached.place.listener.access.certificate.and_then(|source| {
            let certificate = attached.socket.peer_certificate()?;
            identity(certificate, source)
        });
        attached.identity = identity.map(String::into_boxed_str);
    }

    fn count_failure(&mut self, key: SocketKey, why: &dyn fmt::Display) {
        let Some(attached) = self.sockets.get(key) else { return };
        let Stage::Greeting(greeting) = &attached.stage else { return };
        let (bind, peer) = (&attached.place.listener.bind, greeting.peer);
        if greeting.is_secure {
            self.report.upgrades.refused += 1;
            debug!("{bind}: {peer}: no WebSocket: {why}");
        } else {
            self.report.handshakes.failed += 1;
            debug!("{bind}: {peer}: TLS handshake failed: {why}");
        }
    }

    fn open(&mut self, key: SocketKey) {
        let now = self.now();
        let Some(attached) = self.sockets.get_mut(key) else { return };
        if attached.place.listener.bind.path.is_some() {
            self.report.upgrades.accepted += 1;
        }
        let connection = self.shard.opened(now, &mut self.turn);
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
            let Some(attached) = sockets.remove(key) else { continue };
            let Stage::Greeting(greeting) = attached.stage else { continue };
            let (bind, peer) = (&attached.place.listener.bind, greeting.peer);
            if greeting.is_secure {
                report.upgrades.timed_out += 1;
                debug!("{bind}: {peer}: no whole request for a WebSocket in time");
            } else {
                report.handshakes.timed_out += 1;
                debug!("{bind}: {peer}: TLS handshake not done in time");
            }
        }
    }
}
