//! Cleaning of the log, by the rules of the store's own cleaner.

use std::collections::BTreeMap;

use flotilla_core::id::{ClientId, Position};
use flotilla_core::mail::{Mail, Overtaken};
use flotilla_core::message::Message;
use flotilla_core::record::{Start, StoredSession, SubscriptionRecord};
use flotilla_mqtt::{QoS, topic};

use super::engine::TestEngine;
use super::{Bench, ENGINE};
use crate::model::number_of;

/// A message that a session had not had when it went, as far as the disk knew.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Whose session.
    pub client_id: ClientId,
    /// What.
    pub message: Message,
    /// Whether it would have been dropped anyway.
    pub is_expired: bool,
    /// Whether it was sent, and may not have arrived.
    pub is_in_flight: bool,
}

impl Lost {
    /// The number in the payload, if it is from an honest client.
    pub(crate) fn number(&self) -> Option<usize> {
        number_of(self.message.payload())
    }
}

impl Bench {
    /// Takes what stands below `end` and `goes` says, whoever wants it; who loses what. `None`: the
    /// disk fails, nothing can go.
    pub fn clean_log(
        &mut self,
        end: Position,
        goes: impl Fn(&Message) -> bool,
    ) -> Option<Vec<Lost>> {
        if self.is_failing() {
            return None;
        }
        // It is synced, with all that was written before it.
        self.sync_all();
        let lost = self.engine.losses(end, &goes, self.now.unix_ms);
        let mut overtaken: BTreeMap<ClientId, Overtaken> = BTreeMap::new();
        for Lost { client_id, is_expired, .. } in &lost {
            let new = || Overtaken { client_id: client_id.clone(), messages: 0, expired: 0 };
            let entry = overtaken.entry(client_id.clone()).or_insert_with(new);
            *if *is_expired { &mut entry.expired } else { &mut entry.messages } += 1;
        }
        let overtaken: Vec<_> = overtaken.into_values().collect();
        self.engine.take_away(end, &goes, &overtaken);
        let shards = u16::try_from(self.shards.len()).expect("few");
        for one in overtaken {
            let home = one.client_id.home(shards);
            self.mail.push_back((ENGINE, home, Mail::Overtaken(vec![one])));
        }
        Some(lost)
    }
}

impl TestEngine {
    /// The lowest position that some session still wants: nobody misses what is below.
    pub fn floor(&self) -> Position {
        self.sessions().map(floor).min().unwrap_or(self.end())
    }

    /// What sessions have not had of what goes.
    fn losses(&self, end: Position, goes: &impl Fn(&Message) -> bool, unix_ms: u64) -> Vec<Lost> {
        let going = (1..end.0).map(Position).zip(self.log());
        let mut lost = Vec::new();
        for (at, message) in going.filter(|(at, message)| !self.is_gone(*at) && goes(message)) {
            for session in self.sessions().filter(|session| is_owed(session, at, message)) {
                let is_in_flight = is_in_flight(session, at);
                lost.push(Lost {
                    client_id: session.record.client_id.clone(),
                    message: message.clone(),
                    // What was sent once is sent again, whatever its age.
                    is_expired: message.is_expired(unix_ms) && !is_in_flight,
                    is_in_flight,
                });
            }
        }
        lost
    }
}

/// Subscriptions that get messages out of the log.
fn wishes(session: &StoredSession) -> impl Iterator<Item = &SubscriptionRecord> {
    session.record.subscriptions.iter().filter(|it| it.options.qos > QoS::AtMostOnce)
}

fn start(wish: &SubscriptionRecord) -> Position {
    let Start::At(start) = wish.start else { panic!("the engine knows where it is") };
    start
}

/// Where it ended, if another one has replaced it.
fn until(wish: &SubscriptionRecord) -> Position {
    match wish.until {
        None => Position(u64::MAX),
        Some(Start::At(until)) => until,
        Some(Start::InBatch(_)) => panic!("the engine knows where it is"),
    }
}

/// QoS 2 messages that were sent, not received (`released`: received).
fn exchanges(session: &StoredSession, released: bool) -> impl Iterator<Item = Position> {
    let open = session
        .outbound
        .iter()
        .filter(move |record| record.released == released && record.position >= session.cursor);
    open.map(|record| record.position)
}

fn in_flight(session: &StoredSession) -> impl Iterator<Item = Position> {
    let unacknowledged = session.record.unacknowledged.iter().map(|(_, position)| *position);
    unacknowledged.chain(exchanges(session, false))
}

fn is_in_flight(session: &StoredSession, at: Position) -> bool {
    in_flight(session).any(|position| position == at)
}

fn floor(session: &StoredSession) -> Position {
    // What is addressed to it may stand before the start of the subscription.
    let standing = wishes(session).filter(|wish| until(wish) > session.cursor);
    let wanted = standing.map(|_| session.cursor);
    wanted.chain(in_flight(session)).min().unwrap_or(Position(u64::MAX))
}

/// Whether the disk knows that the session has not had the message, and wants it.
fn is_owed(session: &StoredSession, at: Position, message: &Message) -> bool {
    let is_in_flight = is_in_flight(session, at);
    let frontier = session.record.sent_up_to.max(session.cursor);
    let has_had = at < frontier || exchanges(session, true).any(|position| position == at);
    if has_had && !is_in_flight {
        return false;
    }
    let client_id = session.record.client_id.as_str();
    match (message.addressee(), message.share()) {
        ("", _) => {
            let is_own = message.publisher() == client_id;
            is_in_flight
                || wishes(session).any(|wish| {
                    (start(wish)..until(wish)).contains(&at)
                        && topic::matches(&wish.filter, message.topic())
                        && !(is_own && wish.options.no_local)
                })
        }
        (addressee, _) if addressee != client_id => false,
        (_, "") => wishes(session).any(|wish| topic::matches(&wish.filter, message.topic())),
        (_, share) => wishes(session).any(|wish| *wish.filter == *share),
    }
}
