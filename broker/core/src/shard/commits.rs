//! What happens when the engine has committed.

use flotilla_mqtt::ReasonCode;

use crate::connection::deliver::{self, Header};
use crate::connection::exchange;
use crate::id::{Position, SessionKey, Ticket};
use crate::mail::Commit;
use crate::session::Link;
use crate::session::in_flight::Stored;
use crate::shard::Shard;
use crate::shard::desk::Waiter;
use crate::time::Now;
use crate::turn::Turn;

impl Shard {
    /// The engine committed a group.
    pub fn committed(&mut self, commit: Commit, now: Now, out: &mut Turn) {
        self.desk.now = now;
        for (ticket, first) in commit.tickets {
            self.commit_batch(ticket, first, out);
        }
        for (position, message, targets) in commit.deliveries {
            for target in targets {
                let Some(session) = self.sessions.get_mut(target.session) else {
                    // It has ended, or it will find the message in the log elsewhere.
                    continue;
                };
                let limits = &self.desk.limits;
                session.outbound.offer_committed(position, &message, target.terms, limits);
                let connection = session.connection().and_then(|key| self.connections.get_mut(key));
                if let Some((connected, outbox)) = connection.and_then(|c| c.connected()) {
                    deliver::pump(session, connected, outbox, &mut self.desk, out);
                }
                self.list_cursor(target.session);
            }
        }
        self.desk.log_end = self.desk.log_end.max(commit.end);
        self.resume_publishers(out);
        self.take_own_mail(out);
    }

    /// Numbers the turn's batch, if there is one.
    pub(super) fn submit(&mut self, out: &mut Turn) {
        if self.desk.waiters.back().is_some_and(|(ticket, _)| *ticket == self.desk.ticket) {
            out.batch.barrier = true;
        }
        if out.batch.is_empty() {
            return;
        }
        assert_eq!(out.batch.ticket, Ticket::default(), "a batch is submitted once");
        out.batch.shard = self.desk.id;
        out.batch.ticket = self.desk.ticket;
        self.desk.backlog.submitted(self.desk.ticket, out.batch.bytes());
        self.desk.ticket = Ticket(self.desk.ticket.0 + 1);
    }

    fn commit_batch(&mut self, ticket: Ticket, first: Position, out: &mut Turn) {
        self.desk.committed = ticket;
        self.desk.backlog.committed(ticket);
        let mut claimants = Vec::new();
        while let Some((waits_for, _)) = self.desk.waiters.front()
            && *waits_for <= ticket
            && let Some((_, waiter)) = self.desk.waiters.pop_front()
        {
            match waiter {
                Waiter::Connection(key) => {
                    let connection = self.connections.get_mut(key);
                    if let Some((connected, outbox)) = connection.and_then(|c| c.connected()) {
                        connected.acknowledge(outbox, &mut self.desk);
                    }
                }
                Waiter::Session(key) => self.commit_session(key, ticket, first, out),
                Waiter::Claimant(claimant) => claimants.push(claimant),
                Waiter::Ended(client_id) => {
                    if self.ending.get(&client_id).is_some_and(|last| *last <= ticket) {
                        self.ending.remove(&client_id);
                        self.tell_home(client_id, out);
                    }
                }
            }
        }
        // Last: a session is given away with what this commit says of it.
        for claimant in claimants {
            self.surrender(claimant, out);
        }
    }

    fn commit_session(&mut self, key: SessionKey, ticket: Ticket, first: Position, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.record.ticket == ticket {
            session.record_committed(first);
        }
        if session.record.is_stale {
            self.mark_stale(key);
            return self.send_stored(key, out);
        }
        if matches!(session.link, Link::Opening(_)) && session.last_ticket <= ticket {
            self.open(key, out);
        }
        self.send_stored(key, out);
    }

    /// QoS 2 messages whose next step is on disk now.
    fn send_stored(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(connection) = session.connection() else { return };
        let connection = self.connections.get_mut(connection);
        let Some((connected, outbox)) = connection.and_then(|c| c.connected()) else { return };
        let desk = &mut self.desk;
        for stored in session.outbound.stored(desk.committed) {
            match stored {
                Stored::Publish(packet_id, next) => {
                    let header = Header { packet_id: Some(packet_id), is_dup: false };
                    let (message, terms) = &*next;
                    deliver::push_publish(message, terms, header, connected, outbox, desk);
                }
                Stored::Pubrel(packet_id) => {
                    exchange::push_pubrel(packet_id, ReasonCode::Success, connected, outbox, desk);
                }
            }
        }
        deliver::pump(session, connected, outbox, desk, out);
    }

    /// Reads publishers again when there is room.
    pub(super) fn resume_publishers(&mut self, out: &mut Turn) {
        if !self.desk.backlog.has_room(&self.desk.limits) {
            return;
        }
        for key in self.desk.backlog.paused.drain(..) {
            if let Some(connection) = self.connections.get_mut(key)
                && !connection.is_stuffed
            {
                connection.is_paused = false;
                out.resumed.push(key);
            }
        }
    }
}
