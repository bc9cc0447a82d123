//! What is done for a socket that is ready.

use flotilla_core::{id::ConnectionKey, time::Now};
use mio::event::Event;
use tracing::debug;

use super::{
    Worker,
    attached::{Attached, SocketKey, Stage, offer},
};
use crate::net::socket::READ_MAX;

impl Worker {
    /// Takes up what the operating system tells, once for each change.
    pub(super) fn note(&mut self, event: &Event) {
        let key = SocketKey::of(event.token());
        let Some(attached) = self.sockets.get_mut(key) else { return };
        attached.is_ending |= event.is_read_closed() || event.is_error();
        attached.is_readable |= event.is_readable() || attached.is_ending;
        let has_room = attached.is_blocked && (event.is_writable() || event.is_write_closed());
        if has_room {
            attached.is_blocked = false;
        }
        if has_room || (attached.is_readable && !attached.is_paused && !attached.is_over) {
            self.queue(key);
        }
    }

    /// Has a socket looked at after those that wait already.
    pub(super) fn queue(&mut self, key: SocketKey) {
        let Some(attached) = self.sockets.get_mut(key) else { return };
        if !attached.is_queued {
            attached.is_queued = true;
            self.ready.push_back(key);
        }
    }

    /// Does what can be done for a socket now.
    pub(super) fn serve(&mut self, key: SocketKey) {
        let Some(attached) = self.sockets.get_mut(key) else { return };
        attached.is_queued = false;
        match attached.stage {
            Stage::Greeting(_) => self.shake_hands(key),
            Stage::Leaving(_) => self.part(key),
            Stage::Serving(connection) => {
                if !attached.is_blocked && attached.has_unsent() {
                    let now = self.now();
                    self.is_turn_wanted |= self.send_more(key, None, now);
                }
                self.read(key, connection);
            }
        }
    }

    /// Writes what waits for a socket, and behind it `bytes`. Says whether it took anything.
    pub(super) fn send_more(&mut self, key: SocketKey, bytes: Option<Vec<u8>>, now: Now) -> bool {
        let Self { sockets, turn, shard, ended, scratch, .. } = self;
        let Some(attached) = sockets.get_mut(key) else { return false };
        let Stage::Serving(connection) = attached.stage else { return false };
        if attached.is_broken {
            return false;
        }
        let (mut taken, mut is_blocked) = (0, false);
        let Attached { socket, outgoing, .. } = attached;
        let spent = |buffer| turn.recycle(buffer);
        let outcome = match bytes {
            Some(bytes) => outgoing.send(bytes, socket, scratch, &mut taken, spent),
            None => outgoing.drain(socket, scratch, &mut taken, spent),
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => is_blocked = true,
            Err(error) => {
                debug!("{}: {error}", attached.place.listener.bind);
                attached.is_broken = true;
                ended.push(connection);
                self.is_turn_wanted = true;
                return taken > 0;
            }
        }
        if taken > 0 {
            shard.written(connection, taken, now, turn);
        }
        if is_blocked {
            self.block(key);
        }
        taken > 0
    }

    fn read(&mut self, key: SocketKey, connection: ConnectionKey) {
        let now = self.now();
        let Self { sockets, shard, turn, scratch, ended, .. } = self;
        let Some(attached) = sockets.get_mut(key) else { return };
        if attached.is_paused || attached.is_broken {
            return;
        }
        let Attached { socket, kept, .. } = attached;
        let mut receive = |bytes: &[u8]| shard.received(connection, bytes, now, turn);
        if attached.has_resumed {
            // What comes of it may pause the connection again: the turn first, then new bytes.
            attached.has_resumed = false;
            offer(kept, &[], receive);
            self.is_turn_wanted = true;
            if attached.is_over {
                ended.push(connection);
            } else if attached.is_readable {
                self.queue(key);
            }
            return;
        }
        if attached.is_over || !attached.is_readable {
            return;
        }
        match socket.read(scratch, |bytes| offer(kept, bytes, &mut receive)) {
            Ok(read) => {
                self.turn_bytes += read.bytes;
                self.is_turn_wanted |= read.bytes > 0;
                attached.is_over = read.is_over;
                if let Some(reason) = read.refusal {
                    debug!("{}: {reason}", attached.place.listener.bind);
                    self.report.upgrades.violations += 1;
                    attached.is_refused = true;
                    attached.is_over = true;
                }
                attached.note_read(read.bytes, read.bytes == READ_MAX);
            }
            Err(error) => {
                debug!("{}: {error}", attached.place.listener.bind);
                attached.is_broken = true;
                attached.is_over = true;
            }
        }
        let (is_readable, has_unsent) = (attached.is_readable, attached.socket.has_unsent());
        if attached.is_over {
            ended.push(connection);
            self.is_turn_wanted = true;
        } else if is_readable {
            self.queue(key);
        }
        if has_unsent {
            self.block(key);
        }
    }

    /// A socket took no more: the operating system tells when there is room.
    pub(super) fn block(&mut self, key: SocketKey) {
        let Self { sockets, poll, .. } = self;
        let Some(attached) = sockets.get_mut(key) else { return };
        attached.is_blocked = true;
        if attached.is_room_watched {
            return;
        }
        attached.is_room_watched = true;
        if let Err(error) = attached.socket.watch_room(poll.registry(), key.token()) {
            debug!("{}: {error}", attached.place.listener.bind);
            attached.is_broken = true;
            if let Stage::Serving(connection) = attached.stage {
                self.ended.push(connection);
                self.is_turn_wanted = true;
            }
        }
    }
}
