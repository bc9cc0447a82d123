//! What groups have given to a durable session that ends goes to other members first.

use std::sync::Arc;

use flotilla_mqtt::topic;

use crate::counters::DropReason;
use crate::durability::Class;
use crate::id::{Position, SessionKey, Ticket};
use crate::shard::Shard;
use crate::shard::desk::{Claimant, Waiter};
use crate::shard::steps::Step;
use crate::turn::{Page, Replay, Turn, Write};

/// A session that has ended, but for the messages in the log that are addressed to it as a member of
/// groups. While these are passed on it stays on disk: a crash in between only begins anew, because
/// each page is passed on with the cursor behind it, in one batch.
#[derive(Debug)]
pub(crate) struct Dissolving {
    /// When this is committed, nothing more is addressed to it.
    after: Ticket,
    /// What is below was passed on.
    from: Position,
    /// The page that is on its way; one that was asked for before is none of it.
    reading: Option<u64>,
    /// Who wants the Client Identifier when it is free.
    pub(super) claimants: Vec<Claimant>,
}

impl Shard {
    /// Ends a session that groups may have given messages to which are in the log. It leaves the
    /// router now, and the disk when others have these messages. False: there is nothing to be
    /// passed on.
    pub(super) fn dissolve(&mut self, key: SessionKey) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if session.dissolving.is_some() {
            return true;
        }
        let is_shared = |(filter, _): (&str, _)| topic::shared_filter(filter).is_some();
        if !session.is_durable || !session.subscriptions.iter().any(is_shared) {
            return false;
        }
        // After a crash in between it must not come back: its cursor has moved past what it wanted
        // for itself.
        session.expiry_interval_s = 0;
        let from = session.outbound.cursor(self.desk.log_end);
        let (after, claimants) = (self.desk.ticket, Vec::new());
        session.dissolving = Some(Box::new(Dissolving { after, from, reading: None, claimants }));
        let will = session.will.take();
        if let Some(subscriber) = session.subscriber.take() {
            let filters = session.subscriptions.iter().map(|(filter, _)| filter.into()).collect();
            self.desk.step(Step::Forget { subscriber, filters });
        }
        if let Some(will) = will {
            let message = will.publish(self.desk.now, &mut self.desk.scratch);
            self.publish_will(message, None);
        }
        // Other shards may have addressed messages to it that are not committed yet.
        self.desk.wait(Class::Os, Waiter::Session(key));
        self.mark_stale(key);
        true
    }

    /// Something was committed: reads on what is to be passed on.
    pub(super) fn read_dissolving(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(dissolving) = &mut session.dissolving else { return };
        let after = dissolving.after.max(session.record.ticket);
        if dissolving.reading.is_some() || self.desk.reached.committed < after {
            return;
        }
        if self.desk.is_store_full {
            // Messages that are passed on are stored once more.
            self.desk.held_sessions.push(key);
            return;
        }
        let number = session.outbound.number_page();
        dissolving.reading = Some(number);
        out.replays.push(Replay {
            session: key,
            number,
            client_id: session.client_id.clone(),
            from: dissolving.from,
            filters: Arc::from([]),
            positions: Vec::new(),
            messages_max: self.desk.limits.page_messages_max,
            bytes_max: self.desk.limits.page_bytes_max,
        });
    }

    /// A page came of what is to be passed on.
    pub(super) fn pass_page_on(&mut self, page: Page, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(page.session) else { return };
        let Some(dissolving) = &mut session.dissolving else { return };
        if dissolving.reading.take_if(|reading| *reading == page.number).is_none() {
            return;
        }
        dissolving.from = page.next;
        for (position, message) in page.messages {
            let is_for_it =
                message.is_shared() && message.addressee() == session.client_id.as_str();
            if is_for_it && session.outbound.give_back(position) {
                let why = DropReason::SessionEnded;
                self.desk.step(Step::PassOn { message, group: None, why });
            }
        }
        if page.reached_end {
            return self.finish_dissolving(page.session, out);
        }
        out.batch.writes.push(Write::PutCursor(session.client_id.clone(), page.next));
        session.wrote(self.desk.ticket, Class::Os);
        self.desk.wait(Class::Os, Waiter::Session(page.session));
    }

    /// All is passed on, or cannot be read.
    pub(super) fn finish_dissolving(&mut self, key: SessionKey, out: &mut Turn) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(dissolving) = session.dissolving.take() else { return };
        self.discard_session(key, out);
        for claimant in dissolving.claimants {
            self.surrender(claimant, out);
        }
    }
}
