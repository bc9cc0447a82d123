//! Cursors of connected sessions that get nothing: they follow the log all the same, because what
//! lies above the lowest stored cursor is not cleaned.

use crate::connection::deliver;
use crate::id::SessionKey;
use crate::shard::Shard;
use crate::shard::timers::Timer;
use crate::turn::Turn;

/// Sessions looked at in one turn.
const SESSIONS_A_TURN: usize = 1024;
/// From one turn of a round to the next.
const TURN_PAUSE_MS: u64 = 10;
/// From one round to the next.
const ROUND_PAUSE_MS: u64 = 1_000;

impl Shard {
    /// The session has a connection now.
    pub(super) fn list_idle(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if !session.is_durable || std::mem::replace(&mut session.is_idle_listed, true) {
            return;
        }
        let desk = &mut self.desk;
        let due_ms = desk.now.monotonic_ms + desk.limits.cursor_idle_ms;
        if desk.idle.is_empty() {
            desk.timers.set(desk.now, due_ms, Timer::IdleCursors);
        }
        desk.idle.push_back((due_ms, key));
    }

    /// Writes the cursors of sessions whose time has come. Nobody waits for the batch: if it is
    /// lost, the next one says the same.
    pub(super) fn follow_log(&mut self, out: &mut Turn) {
        let now_ms = self.desk.now.monotonic_ms;
        let idle_ms = self.desk.limits.cursor_idle_ms;
        let mut looked_at = 0;
        while let Some(&(due_ms, key)) = self.desk.idle.front()
            && due_ms <= now_ms
            && looked_at < SESSIONS_A_TURN
        {
            self.desk.idle.pop_front();
            looked_at += 1;
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if session.connection().is_some() {
                deliver::write_cursor(session, &self.desk, out);
                self.desk.idle.push_back((now_ms + idle_ms, key));
            } else {
                session.is_idle_listed = false;
            }
        }
        // A shard that commits nothing hears of no commit; so it does not know where the log ends.
        if !self.desk.idle.is_empty() && self.desk.asked_end_ms + idle_ms <= now_ms {
            self.desk.asked_end_ms = now_ms;
            out.batch.barrier = true;
        }
        if let Some(&(due_ms, _)) = self.desk.idle.front() {
            let pause_ms =
                if looked_at == SESSIONS_A_TURN { TURN_PAUSE_MS } else { ROUND_PAUSE_MS };
            let due_ms = due_ms.max(now_ms + pause_ms);
            self.desk.timers.set(self.desk.now, due_ms, Timer::IdleCursors);
        }
    }
}
