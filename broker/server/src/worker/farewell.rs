//! The end of a socket whose connection the shard has forgotten.

use std::{io, time::Duration};

use tracing::debug;

use super::{
    Worker,
    attached::{Attached, Farewell, SocketKey, Stage},
};
use crate::net::socket::{READ_MAX, Scratch};

/// How long a closed connection's peer may take to read its last bytes.
pub(super) const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// Bytes of a closed connection's peer that are read and forgotten: with unread bytes the operating
/// system would end the connection at once, and the peer would not see why.
const FORGOTTEN_MAX: usize = 1024 * 1024;

impl Worker {
    /// The shard has forgotten the connection: what waits for its peer is sent, then it ends.
    pub(super) fn leave(&mut self, key: SocketKey) {
        let Some(attached) = self.sockets.get_mut(key) else { return };
        attached.stage = Stage::Leaving(Farewell::default());
        attached.kept = Vec::new();
        attached.is_paused = false;
        // One that was refused has not ended its stream; unread bytes would cut off what it is told.
        attached.is_over &= !attached.is_refused;
        self.farewells.begin(key);
        self.part(key);
    }

    /// Goes on with it.
    pub(super) fn part(&mut self, key: SocketKey) {
        let Some(attached) = self.sockets.get_mut(key) else { return };
        match attached.say_farewell(&mut self.scratch) {
            Ok(Parting::Blocked) => self.block(key),
            Ok(Parting::Waiting) if attached.is_readable => self.queue(key),
            Ok(Parting::Waiting) => {}
            Ok(Parting::Done) => {
                self.sockets.remove(key);
            }
            Err(error) => {
                debug!("{}: {error}", attached.place.listener.bind);
                self.sockets.remove(key);
            }
        }
    }

    /// A peer that does not take its last bytes in time goes without them.
    pub(super) fn end_farewells(&mut self) {
        let Self { farewells, sockets, .. } = self;
        let is_done = |sockets: &slotmap::SlotMap<_, Attached>, key| !sockets.contains_key(key);
        while let Some(key) = farewells.pop_due(|key| is_done(sockets, key)) {
            sockets.remove(key);
        }
    }
}

/// How far a farewell is.
enum Parting {
    /// There is no room for the last bytes.
    Blocked,
    /// The peer has not ended the stream.
    Waiting,
    /// There is nothing to wait for.
    Done,
}

impl Attached {
    /// Sends the last bytes, ends the stream properly, waits for the peer to do the same.
    fn say_farewell(&mut self, scratch: &mut Scratch) -> io::Result<Parting> {
        let Stage::Leaving(farewell) = &mut self.stage else { return Ok(Parting::Waiting) };
        if self.is_broken {
            return Ok(Parting::Done);
        }
        if !farewell.is_told {
            let has_left = self.outgoing.drain(&mut self.socket, scratch, &mut 0, drop)?;
            if !has_left || !self.socket.shut_down(scratch)? {
                return Ok(Parting::Blocked);
            }
            farewell.is_told = true;
        }
        if !self.is_over && self.is_readable {
            let read = self.socket.read(scratch, |_forgotten| ())?;
            farewell.forgotten += read.bytes;
            if farewell.forgotten > FORGOTTEN_MAX {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            self.note_read(read.bytes, read.bytes == READ_MAX);
            self.is_over = read.is_over;
        }
        Ok(if self.is_over { Parting::Done } else { Parting::Waiting })
    }
}
