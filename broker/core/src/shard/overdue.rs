//! What a shard does when a timer rings.

use flotilla_mqtt::ReasonCode;

use crate::connection::{Phase, await_session, deliver};
use crate::counters::ConnectOutcome;
use crate::id::{ConnectionKey, SessionKey};
use crate::limits::Limits;
use crate::shard::Shard;
use crate::shard::ending::Ending;
use crate::shard::steps::Step;
use crate::shard::timers::Timer;
use crate::turn::Turn;

/// How long a cursor that moved may wait to be written.
const CURSOR_DELAY_MS: u64 = 1_000;

impl Shard {
    pub(super) fn fire(&mut self, timer: Timer, out: &mut Turn) {
        match timer {
            Timer::Connect(key) => self.check_connect(key, out),
            Timer::KeepAlive(key) => self.check_keep_alive(key, out),
            Timer::Session(key) => self.check_session(key, out),
            Timer::Cursors => {
                let moved = std::mem::take(&mut self.desk.moved_cursors);
                self.write_cursors(&moved, out);
            }
            Timer::IdleCursors => self.follow_log(out),
            Timer::Retained => self.desk.step(Step::SweepRetained),
        }
    }

    fn check_connect(&mut self, key: ConnectionKey, out: &mut Turn) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Limits { connect_timeout_ms, connack_timeout_ms, .. } = *self.desk.limits;
        let connack_timeout_ms = connect_timeout_ms + connack_timeout_ms;
        let (negotiated, reason_code, timeout_ms) = match &mut connection.phase {
            Phase::AwaitConnect => (None, ReasonCode::Success, connect_timeout_ms),
            Phase::AwaitAuth(waiting) => {
                let negotiated = Some(waiting.request.negotiated);
                (negotiated, ReasonCode::NotAuthorized, connect_timeout_ms)
            }
            Phase::AwaitIdentity(request) => {
                (Some(request.negotiated), ReasonCode::ServerUnavailable, connack_timeout_ms)
            }
            Phase::AwaitSession(waiting) => {
                let negotiated = Some(waiting.request.negotiated);
                (negotiated, ReasonCode::ServerUnavailable, connack_timeout_ms)
            }
            Phase::Connected(connected) => {
                let session = self.sessions.get(connected.session);
                if session.is_some_and(|session| session.connection() == Some(key)) {
                    if std::mem::replace(&mut connected.is_watched, true) {
                        return;
                    }
                    return self.check_keep_alive(key, out);
                }
                (Some(connected.negotiated), ReasonCode::ServerUnavailable, connack_timeout_ms)
            }
        };
        let due_ms = connection.opened_ms + timeout_ms;
        if due_ms > self.desk.now.monotonic_ms {
            self.desk.timers.set(self.desk.now, due_ms, Timer::Connect(key));
            return;
        }
        if let Some(negotiated) = &negotiated {
            let (outbox, counters) = (&mut connection.outbox, &mut self.desk.counters);
            await_session::push_refusal(reason_code, None, negotiated, outbox, counters);
        }
        self.end(key, Ending::refused(ConnectOutcome::TimedOut), out);
    }

    fn check_keep_alive(&mut self, key: ConnectionKey, out: &mut Turn) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        // A peer that does not read is not excused.
        let is_paused = connection.is_paused && !connection.is_stuffed;
        let Some((connected, _)) = connection.connected() else { return };
        let Some(silence_ms_max) = connected.negotiated.silence_ms_max else { return };
        if is_paused {
            // It is the broker that does not listen.
            connected.last_received_ms = self.desk.now.monotonic_ms;
        }
        let due_ms = connected.last_received_ms + u64::from(silence_ms_max);
        if due_ms > self.desk.now.monotonic_ms {
            self.desk.timers.set(self.desk.now, due_ms, Timer::KeepAlive(key));
            return;
        }
        self.desk.counters.keep_alive_timeouts += 1;
        self.end(key, Ending::told(ReasonCode::KeepAliveTimeout, "it kept silent"), out);
    }

    pub(super) fn write_cursors(&mut self, sessions: &[SessionKey], out: &mut Turn) {
        for &key in sessions {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            session.is_cursor_listed = false;
            deliver::write_cursor(session, &self.desk, out);
            if session.connection().is_some() && session.outbound.held() > 0 {
                self.list_cursor(key);
            }
        }
    }

    /// The session's cursor moves: it is written within [`CURSOR_DELAY_MS`].
    pub(super) fn list_cursor(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !std::mem::replace(&mut session.is_cursor_listed, true) {
            if self.desk.moved_cursors.is_empty() {
                let due_ms = self.desk.now.monotonic_ms + CURSOR_DELAY_MS;
                self.desk.timers.set(self.desk.now, due_ms, Timer::Cursors);
            }
            self.desk.moved_cursors.push(key);
        }
    }
}
