//! How a session comes to the connection that claims it.

use flotilla_mqtt::ReasonCode;

use crate::connection::authenticate::Enhanced;
use crate::connection::await_session::{AwaitSession, Welcome};
use crate::connection::connected::Connected;
use crate::connection::exchange;
use crate::connection::{Phase, deliver};
use crate::counters::ConnectOutcome;
use crate::durability::Class;
use crate::id::{ClientId, ConnectionKey, SessionKey, Ticket};
use crate::mail::Mail;
use crate::notice::Notice;
use crate::session::{Link, Session};
use crate::shard::desk::{Claimant, Waiter};
use crate::shard::directory::{Decision, Next};
use crate::shard::ending::Ending;
use crate::shard::steps::Step;
use crate::shard::timers::Timer;
use crate::shard::{Shard, backlog};
use crate::turn::Turn;

impl Shard {
    pub(super) fn open_mail(&mut self, mail: Mail, out: &mut Turn) {
        match mail {
            Mail::Deliver { from, deliveries } => {
                let mut bytes = 0;
                for (message, targets) in deliveries {
                    bytes += backlog::mail_bytes(&message, targets.len());
                    self.deliver_mailed(&message, targets, out);
                }
                let (shard, enough) = (self.desk.id, self.desk.limits.mailed_bytes_max / 8);
                if let Some(bytes) = self.desk.backlog.take(from, bytes, enough) {
                    self.desk.mail(from, Mail::Taken { shard, bytes }, out);
                }
            }
            Mail::Taken { shard, bytes } => {
                self.desk.backlog.taken(shard, bytes);
                self.resume_publishers(out);
            }
            Mail::Claim { client_id, shard, connection } => {
                match self.directory.claim(&client_id, shard, connection) {
                    Decision::Grant => {
                        let (session, overtaken) = (None, 0);
                        let granted = Mail::Granted { client_id, connection, session, overtaken };
                        self.desk.mail(shard, granted, out);
                    }
                    Decision::Surrender(owner, overtaken) => {
                        let surrender = Mail::Surrender { client_id, shard, connection, overtaken };
                        self.desk.mail(owner, surrender, out);
                    }
                    Decision::Wait => {}
                }
            }
            Mail::Withdrawn { client_id, shard, connection } => {
                self.directory.withdraw(&client_id, shard, connection);
            }
            Mail::Surrender { client_id, shard, connection, overtaken } => {
                self.surrender(Claimant { client_id, shard, connection, overtaken }, out);
            }
            Mail::Granted { client_id, connection, session, overtaken } => {
                self.granted(client_id, connection, session, overtaken, out);
            }
            Mail::Settled { client_id } => {
                let next = self.directory.settle(&client_id);
                if let Some(Next { owner, shard, connection, overtaken }) = next {
                    let surrender = Mail::Surrender { client_id, shard, connection, overtaken };
                    self.desk.mail(owner, surrender, out);
                }
            }
            Mail::Ended { client_id, shard } => self.directory.end(&client_id, shard),
            Mail::Overtaken(overtaken) => self.overtake(overtaken, out),
        }
    }

    /// Gives a session away once all that was written of it is as durable as it must be.
    pub(super) fn surrender(&mut self, claimant: Claimant, out: &mut Turn) {
        let client_id = claimant.client_id.clone();
        if let Some(key) = self.sessions.find(&client_id) {
            let session = &self.sessions[key];
            if let Link::Up(old) | Link::Opening(old) = session.link {
                self.desk.counters.takeovers += 1;
                // [MQTT-3.1.4-3].
                let reason = "another connection took its session";
                self.end(old, Ending::told(ReasonCode::SessionTakenOver, reason), out);
            } else if session.dissolving.is_none() && session.is_expired(self.desk.now) {
                // Its timer is late, for instance because the broker has just started.
                self.desk.counters.sessions_expired += 1;
                if !self.dissolve(key) {
                    self.discard_session(key, out);
                }
            }
        }
        let Some(key) = self.sessions.find(&client_id) else {
            if self.ending.contains_key(&client_id) {
                // Session Present 0 is a promise: the old one must not come back.
                let class = self.desk.durability.of_ends();
                self.desk.wait(class, Waiter::Claimant(claimant));
            } else {
                self.grant(claimant, None, out);
            }
            return;
        };
        let session = &mut self.sessions[key];
        if let Some(dissolving) = &mut session.dissolving {
            dissolving.claimants.push(claimant);
            return;
        }
        let is_stale = session.record.is_stale;
        let missing = session.missing(self.desk.reached);
        if let Some(class) = missing.or(is_stale.then_some(Class::Os)) {
            self.desk.wait(class, Waiter::Claimant(claimant));
            return;
        }
        self.desk.counters.sessions_disconnected -= 1;
        self.desk.counters.subscriptions -= session.subscriptions.len() as u64;
        let session = self.sessions.remove(key);
        self.grant(claimant, session, out);
    }

    fn grant(&mut self, claimant: Claimant, session: Option<Box<Session>>, out: &mut Turn) {
        let Claimant { client_id, shard, connection, overtaken } = claimant;
        let granted = Mail::Granted { client_id, connection, session, overtaken };
        self.desk.mail(shard, granted, out);
    }

    /// The Client Identifier is this shard's, for a connection that may be gone by now.
    fn granted(
        &mut self,
        client_id: ClientId,
        key: ConnectionKey,
        session: Option<Box<Session>>,
        overtaken: u64,
        out: &mut Turn,
    ) {
        let known = session.map(|session| self.adopt(session));
        if let Some(known) = known.filter(|_| self.begins_anew(key))
            && self.dissolve(known)
        {
            // Until that is done, nobody else's claim is let through.
            let shard = self.desk.id;
            let claimant = Claimant { client_id, shard, connection: key, overtaken };
            return self.surrender(claimant, out);
        }
        let home = client_id.home(self.desk.shards);
        self.desk.mail(home, Mail::Settled { client_id: client_id.clone() }, out);
        let waiting =
            self.connections.get_mut(key).and_then(|connection| {
                match std::mem::replace(&mut connection.phase, Phase::AwaitConnect) {
                    Phase::AwaitSession(waiting) => Some(*waiting),
                    other => {
                        connection.phase = other;
                        None
                    }
                }
            });
        let Some(AwaitSession { request, identity, data }) = waiting else {
            match known {
                // Its timers stayed with the former owner.
                Some(session) => self.set_session_timer(session),
                None => {
                    let shard = self.desk.id;
                    self.desk.mail(home, Mail::Ended { client_id, shard }, out);
                }
            }
            return;
        };
        let resumed = known.filter(|_| !request.clean_start);
        if resumed.is_none()
            && let Some(old) = known
        {
            self.discard_session(old, out);
        }
        let ended_durable = known.is_some() && resumed.is_none();
        let session_key = resumed.unwrap_or_else(|| {
            let interval_s = request.expiry_interval_s;
            let mut session = Session::new(client_id.clone(), interval_s, self.desk.log_end);
            // What went before it was from another session of this name.
            session.begin_after(overtaken);
            let session_key = self.sessions.insert(Box::new(session));
            self.desk.counters.sessions_disconnected += 1;
            session_key
        });
        let session = &mut self.sessions[session_key];
        session.link = Link::Opening(key);
        session.disconnected_at_ms = None;
        session.expiry_interval_s = request.expiry_interval_s;
        let cleaned = session.untold(overtaken);
        let enhanced = request.method.clone();
        let enhanced = enhanced.map(|method| Box::new(Enhanced::new(method, identity.clone())));
        let welcome = {
            let words = &self.desk.words;
            Welcome::new(&request, identity, data, resumed.is_some(), cleaned, words)
        };
        session.will = request.will;
        self.desk.counters.sessions_disconnected -= 1;
        self.desk.counters.sessions_connected += 1;
        let connected = Connected::new(
            key,
            session_key,
            request.negotiated,
            welcome,
            enhanced,
            self.desk.now.monotonic_ms,
        );
        if let Some(connection) = self.connections.get_mut(key) {
            connection.phase = Phase::Connected(Box::new(connected));
        }
        if ended_durable {
            // Session Present 0 is a promise too: the old one must not come back.
            let class = self.desk.durability.of_ends();
            session.wrote(self.desk.ticket, class);
            self.desk.wait(class, Waiter::Session(session_key));
        }
        if session.is_durable {
            self.mark_stale(session_key);
        } else if !ended_durable {
            self.open(session_key, out);
        }
    }

    /// Whether the connection waits for a session and asks that the old one ends.
    fn begins_anew(&self, key: ConnectionKey) -> bool {
        let phase = self.connections.get(key).map(|connection| &connection.phase);
        matches!(phase, Some(Phase::AwaitSession(waiting)) if waiting.request.clean_start)
    }

    fn adopt(&mut self, mut session: Box<Session>) -> SessionKey {
        self.desk.counters.sessions_disconnected += 1;
        self.desk.counters.subscriptions += session.subscriptions.len() as u64;
        // Its tickets were the former owner's, and are stored.
        session.last_ticket = Ticket::default();
        session.last_sync_ticket = Ticket::default();
        session.record.ticket = Ticket::default();
        session.is_cursor_listed = false;
        session.is_idle_listed = false;
        session.timer_due_ms = None;
        let key = self.sessions.insert(session);
        self.desk.step(Step::Relocate(key));
        key
    }

    /// CONNACK leaves: what the session promises is on disk. Then what is owed, then messages.
    pub(super) fn open(&mut self, session_key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let Link::Opening(key) = session.link else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_paused = false;
        let connect_due_ms = connection.opened_ms + self.desk.limits.connect_timeout_ms;
        let Some((connected, outbox)) = connection.connected() else { return };
        let welcome = connected.welcome.take().expect("CONNACK leaves once");
        out.resumed.push(key);
        session.link = Link::Up(key);
        let desk = &mut self.desk;
        let (limits, durability) = (desk.limits.clone(), desk.durability.default_class());
        let (negotiated, counters) = (&connected.negotiated, &mut desk.counters);
        let told = welcome.push_connack(negotiated, &limits, durability, outbox, counters);
        desk.touch(key, outbox);
        desk.counters.connect_ended(ConnectOutcome::Accepted);
        session.tell_overtaken(told);
        let Welcome { identity, session_present, .. } = *welcome;
        let client_id = session.client_id.clone();
        out.notices.push(Notice::Connected { client_id, identity, session_present });
        if let Some(silence_ms_max) = connected.negotiated.silence_ms_max {
            connected.last_received_ms = desk.now.monotonic_ms;
            let due_ms = desk.now.monotonic_ms + u64::from(silence_ms_max);
            if due_ms < connect_due_ms || connect_due_ms <= desk.now.monotonic_ms {
                connected.is_watched = true;
                desk.timers.set(desk.now, due_ms, Timer::KeepAlive(key));
            }
        }
        for packet_id in session.outbound.resume() {
            exchange::push_pubrel(packet_id, ReasonCode::Success, connected, outbox, desk);
        }
        deliver::pump(session, connected, outbox, desk, out);
        self.list_idle(session_key);
    }
}
