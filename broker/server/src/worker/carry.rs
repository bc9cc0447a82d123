//! Carrying out what a turn of the shard says.

use std::{mem, sync::Arc};

use flotilla_core::{id::ConnectionKey, notice::Notice, time::Now};
use tracing::{Level, debug, enabled};

use super::{Worker, attached::Attached};
use crate::{
    auth::{Verdict, judge},
    net::mailbox::Inbound,
};

impl Worker {
    /// Says whether the shard was told something, so that the turn goes on.
    pub(super) fn carry_out(&mut self, now: Now) -> bool {
        self.tell_operator();
        let has_written = self.send(now);
        self.close();
        self.post();
        self.replay();
        let has_answered = self.answer(now);
        self.pause_and_resume();
        has_written || has_answered
    }

    /// First, while the sockets of connections that end know their peers.
    fn tell_operator(&mut self) {
        if !enabled!(Level::DEBUG) {
            self.turn.notices.clear();
            return;
        }
        for notice in mem::take(&mut self.turn.notices) {
            let Notice::Refused { connection, .. } = &notice else {
                debug!("{notice}");
                continue;
            };
            let attached = self.attached(*connection);
            let peer = attached.and_then(|attached| attached.socket.peer());
            let peer = peer.map_or_else(|| "one that has gone".to_owned(), |it| it.to_string());
            debug!("{peer}: {notice}");
        }
    }

    fn send(&mut self, now: Now) -> bool {
        let mut sends = mem::take(&mut self.turn.sends);
        let mut has_written = false;
        for send in sends.drain(..) {
            let Some(&key) = self.by_connection.get(&send.connection) else { continue };
            let Some(attached) = self.sockets.get_mut(key) else { continue };
            if attached.is_blocked {
                attached.outgoing.push(send.bytes);
            } else {
                has_written |= self.send_more(key, Some(send.bytes), now);
            }
        }
        // Nothing was sent meanwhile: sends are filled at the end of a turn. Keep the capacity.
        if self.turn.sends.is_empty() {
            self.turn.sends = sends;
        }
        has_written
    }

    fn close(&mut self) {
        for connection in mem::take(&mut self.turn.closes) {
            // The shard has forgotten it.
            if let Some(key) = self.by_connection.remove(&connection) {
                self.leave(key);
            }
        }
    }

    fn post(&mut self) {
        if self.turn.mail.is_empty() {
            return;
        }
        for (shard, mail) in self.turn.mail.drain(..) {
            let outbox = self.outboxes.get_mut(usize::from(shard.0));
            outbox.expect("mail is for one of the shards").push(Inbound::Mail(mail));
        }
        for (outbox, mailbox) in self.outboxes.iter_mut().zip(self.shared.mailboxes.iter()) {
            if !outbox.is_empty() {
                mailbox.push_all(outbox.drain(..));
            }
        }
    }

    fn replay(&mut self) {
        for replay in self.turn.replays.drain(..) {
            // A session asks for one page at a time, so there are never more than sessions.
            let job = (replay, Arc::clone(&self.mailbox));
            assert!(self.shared.readers.push(job).is_ok(), "the queue of pages has no limit");
        }
    }

    fn answer(&mut self, now: Now) -> bool {
        let mut has_answered = false;
        for question in mem::take(&mut self.turn.questions) {
            let connection = question.connection;
            let Some(attached) = self.attached(connection) else { continue };
            let access = attached.place.listener.access;
            let answer = match judge(access, attached.identity.as_deref(), question) {
                Verdict::Known(answer) => Some(answer),
                Verdict::Check { username, password } => {
                    self.shared.checker.check(username, password, connection, &self.mailbox)
                }
                Verdict::Converse(exchange) => Some(self.shared.checker.converse(&exchange)),
            };
            if let Some(answer) = answer {
                self.shard.identified(connection, answer, now, &mut self.turn);
                has_answered = true;
            }
        }
        has_answered
    }

    /// A connection that is in both lists was paused first: while it is paused nothing happens on
    /// it that could pause it.
    fn pause_and_resume(&mut self) {
        for connection in mem::take(&mut self.turn.paused) {
            if let Some(attached) = self.attached(connection) {
                attached.is_paused = true;
            }
        }
        for connection in mem::take(&mut self.turn.resumed) {
            let Some(&key) = self.by_connection.get(&connection) else { continue };
            let Some(attached) = self.sockets.get_mut(key) else { continue };
            attached.is_paused = false;
            attached.has_resumed = true;
            self.queue(key);
        }
    }

    fn attached(&mut self, connection: ConnectionKey) -> Option<&mut Attached> {
        self.sockets.get_mut(*self.by_connection.get(&connection)?)
    }

    /// Tells the shard of sockets that are gone, after the answers to their last bytes have been
    /// written: a peer may have ended its half only. Says whether there were any.
    pub(super) fn end_connections(&mut self, now: Now) -> bool {
        let mut has_ended = false;
        for connection in mem::take(&mut self.ended) {
            let Some(&key) = self.by_connection.get(&connection) else { continue };
            let Some(attached) = self.sockets.get(key) else { continue };
            // What is paused, or was until now, may still have something to say; it comes here
            // again when that is said.
            let is_unheard = attached.is_paused || attached.has_resumed;
            if is_unheard && !attached.is_broken {
                continue;
            }
            self.shard.closed(connection, now, &mut self.turn);
            self.by_connection.remove(&connection);
            self.leave(key);
            has_ended = true;
        }
        has_ended
    }
}
