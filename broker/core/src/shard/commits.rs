//! What happens when the engine has committed.

use std::collections::VecDeque;

use flotilla_mqtt::ReasonCode;

use crate::connection::deliver::{self, Header};
use crate::connection::exchange;
use crate::counters::DropReason;
use crate::durability::Class;
use crate::id::{Position, SessionKey, Ticket};
use crate::mail::Commit;
use crate::session::Link;
use crate::session::in_flight::Stored;
use crate::shard::Shard;
use crate::shard::desk::{Claimant, Waiter};
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

    /// The engine synced: what was committed up to this batch survives a power cut.
    ///
    /// # Panics
    /// When the commit of this batch was not reported before.
    pub fn synced(&mut self, up_to: Ticket, now: Now, out: &mut Turn) {
        self.desk.now = now;
        assert!(up_to <= self.desk.reached.committed, "what is synced was reported committed");
        self.desk.reached.synced = up_to;
        let mut claimants = Vec::new();
        while let Some((ticket, waiter)) = pop_due(&mut self.desk.sync_waiters, up_to) {
            self.call(ticket, waiter, &mut claimants, out);
        }
        self.surrender_to(claimants, out);
        self.take_own_mail(out);
    }

    /// Numbers the turn's batch, if there is one.
    pub(super) fn submit(&mut self, out: &mut Turn) {
        let ticket = self.desk.ticket;
        let is_now = |(waits_for, _): &(Ticket, Waiter)| *waits_for == ticket;
        out.batch.needs_sync = self.desk.sync_waiters.back().is_some_and(is_now);
        out.batch.barrier |=
            out.batch.needs_sync || self.desk.commit_waiters.back().is_some_and(is_now);
        if out.batch.is_empty() {
            return;
        }
        assert_eq!(out.batch.ticket, Ticket::default(), "a batch is submitted once");
        out.batch.shard = self.desk.id;
        out.batch.ticket = ticket;
        self.desk.backlog.submitted(ticket, out.batch.bytes());
        self.desk.ticket = Ticket(ticket.0 + 1);
    }

    fn commit_batch(&mut self, ticket: Ticket, first: Position, out: &mut Turn) {
        self.desk.reached.committed = ticket;
        self.desk.backlog.committed(ticket);
        let mut claimants = Vec::new();
        while let Some((waits_for, waiter)) = pop_due(&mut self.desk.commit_waiters, ticket) {
            if let Waiter::Session(key) = waiter
                && let Some(session) = self.sessions.get_mut(key)
                && session.record.ticket == ticket
            {
                session.record_committed(first);
            }
            self.call(waits_for, waiter, &mut claimants, out);
        }
        self.surrender_to(claimants, out);
    }

    fn call(
        &mut self,
        ticket: Ticket,
        waiter: Waiter,
        claimants: &mut Vec<Claimant>,
        out: &mut Turn,
    ) {
        match waiter {
            Waiter::Connection(key) => {
                let Some(connection) = self.connections.get_mut(key) else { return };
                let Some((connected, outbox)) = connection.connected() else { return };
                let had_suback = connected.owed.has_suback();
                connected.acknowledge(outbox, &mut self.desk);
                if had_suback && let Some(session) = self.sessions.get_mut(connected.session) {
                    deliver::pump(session, connected, outbox, &mut self.desk, out);
                }
                let is_little = connected.owed.bytes() <= self.desk.limits.owed_bytes_max / 2;
                if is_little && std::mem::take(&mut connected.is_owed_much) {
                    connection.resume(self.desk.now.monotonic_ms);
                    out.resumed.push(key);
                }
            }
            Waiter::Session(key) => self.session_stored(key, out),
            Waiter::Claimant(claimant) => claimants.push(claimant),
            Waiter::Ended(client_id) => {
                if self.ending.get(&client_id).is_some_and(|last| *last <= ticket) {
                    self.ending.remove(&client_id);
                    self.tell_home(client_id, out);
                }
            }
        }
    }

    /// Last of what a batch brings: a session is given away with all that it says of it.
    fn surrender_to(&mut self, claimants: Vec<Claimant>, out: &mut Turn) {
        for claimant in claimants {
            self.surrender(claimant, out);
        }
    }

    /// A record of the session, or of one of its exchanges, is committed or synced.
    fn session_stored(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.record.is_stale {
            self.mark_stale(key);
        } else if session.dissolving.is_some() {
            self.read_dissolving(key, out);
        } else if matches!(session.link, Link::Opening(_))
            && session.missing(self.desk.reached).is_none()
        {
            self.open(key, out);
        }
        self.send_stored(key, out);
    }

    /// QoS 2 messages whose next step is stored now.
    fn send_stored(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(connection) = session.connection() else { return };
        let connection = self.connections.get_mut(connection);
        let Some((connected, outbox)) = connection.and_then(|c| c.connected()) else { return };
        let desk = &mut self.desk;
        let up_to = match desk.durability.of_exchanges() {
            Class::Memory | Class::Os => desk.reached.committed,
            Class::Fsync => desk.reached.synced,
        };
        for stored in session.outbound.stored(up_to) {
            match stored {
                Stored::Publish(packet_id, message, _) if message.is_expired(desk.now.unix_ms) => {
                    // It has never left: the disk took longer than it had to live ([MQTT-3.3.2-5]).
                    desk.counters.drop_deliveries(DropReason::Expired, 1);
                    if let Some(position) = session.outbound.give_up(packet_id) {
                        exchange::release_on_disk(packet_id, position, session, desk, out);
                    }
                }
                Stored::Publish(packet_id, message, terms) => {
                    let header = Header { packet_id: Some(packet_id), is_dup: false };
                    deliver::push_publish(&message, &terms, header, connected, outbox, desk);
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
        for key in std::mem::take(&mut self.desk.backlog.paused) {
            if let Some(connection) = self.connections.get_mut(key)
                && !connection.is_stuffed
            {
                connection.resume(self.desk.now.monotonic_ms);
                out.resumed.push(key);
            }
        }
    }
}

fn pop_due(waiters: &mut VecDeque<(Ticket, Waiter)>, up_to: Ticket) -> Option<(Ticket, Waiter)> {
    waiters.pop_front_if(|(ticket, _)| *ticket <= up_to)
}
