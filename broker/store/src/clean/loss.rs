//! Who loses what when messages go that somebody still wants.

use flotilla_core::id::{ClientId, Position, SessionKey};
use flotilla_core::mail::Overtaken;
use flotilla_core::message::Message;
use flotilla_core::turn::Replay;
use flotilla_mqtt::topic;

use super::sessions::Session;
use crate::block::{Entry, MalformedBlock};
use crate::wanted::Wanted;

/// A session that is overtaken.
#[derive(Debug)]
pub(crate) struct Loser {
    /// What the session would ask the log for.
    wants: Replay,
    /// For each of its filters: where it ended, if it has, and whether it leaves out what the
    /// session itself has published.
    limits: Vec<(Option<Position>, bool)>,
    /// QoS 2 messages that the client has, ascending.
    received: Vec<Position>,
    /// Everything below is done unless it is in flight.
    frontier: Position,
}

impl Loser {
    pub(crate) fn new(session: &Session<'_>) -> Self {
        let interest = &session.interest;
        let filters = interest.wishes.iter().map(|wish| (Box::from(wish.filter), wish.start));
        let mut positions = [interest.unacknowledged.as_slice(), &session.sent].concat();
        positions.sort_unstable();
        Self {
            wants: Replay {
                session: SessionKey::default(),
                number: 0,
                client_id: ClientId::from(session.client_id),
                from: session.cursor,
                filters: filters.collect(),
                positions,
                messages_max: 0,
                bytes_max: 0,
            },
            limits: interest.wishes.iter().map(|wish| (wish.until, wish.no_local)).collect(),
            received: session.received.clone(),
            frontier: interest.sent_up_to.max(session.cursor),
        }
    }

    fn is_in_flight(&self, position: Position) -> bool {
        self.wants.positions.binary_search(&position).is_ok()
    }

    /// Whether it has not had the message at this position, if it wants it.
    fn is_owed(&self, position: Position) -> bool {
        self.is_in_flight(position)
            || (position >= self.frontier && self.received.binary_search(&position).is_err())
    }

    /// Whether it wants the message although a subscription has ended or has No Local. A filter of
    /// it matches, from where it starts.
    fn wants(&self, message: &Message, position: Position) -> bool {
        let is_own = message.publisher() == self.wants.client_id.as_str();
        let is_for = |&(until, no_local): &(Option<Position>, bool)| {
            until.is_none_or(|until| position < until) && !(is_own && no_local)
        };
        self.is_in_flight(position) || self.limits.iter().all(is_for) || {
            let filters = self.wants.filters.iter().zip(&self.limits);
            filters.filter(|(_, limits)| is_for(limits)).any(|((filter, start), _)| {
                *start <= position && topic::matches(filter, message.topic())
            })
        }
    }

    /// Whether it still wants a message that is addressed to it.
    fn subscribes_to(&self, message: &Message) -> bool {
        let mut filters = self.wants.filters.iter().map(|(filter, _)| &**filter);
        match message.share() {
            "" => filters.any(|filter| topic::matches(filter, message.topic())),
            share => filters.any(|filter| filter == share),
        }
    }
}

/// What one of them loses.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    messages: u64,
    expired: u64,
    /// The last one that was counted: a message may be wanted for several reasons.
    last: Position,
}

/// Counts what goes.
pub(crate) struct Losses<'a> {
    losers: &'a [Loser],
    wanted: Wanted<'a>,
    tallies: Vec<Tally>,
    /// Who is owed the present message.
    owed: Vec<u32>,
    unix_ms: u64,
}

impl<'a> Losses<'a> {
    /// Of these sessions, now.
    pub(crate) fn of(losers: &'a [Loser], unix_ms: u64) -> Self {
        let mut wanted = Wanted::default();
        for (number, loser) in (0..).zip(losers) {
            wanted.add(number, &loser.wants);
        }
        let tallies = vec![Tally::default(); losers.len()];
        Self { losers, wanted, tallies, owed: Vec::new(), unix_ms }
    }

    /// A message that goes.
    pub(crate) fn count(
        &mut self,
        position: Position,
        entry: &Entry<'_>,
    ) -> Result<(), MalformedBlock> {
        let Self { losers, wanted, tallies, owed, unix_ms } = self;
        let take_up = || entry.message().map_err(|_| MalformedBlock::NO_MESSAGE);
        owed.clear();
        if entry.is_addressed {
            let message = take_up()?;
            let addressed = wanted.addressed(message.addressee()).iter().copied();
            owed.extend(addressed.filter(|&number| {
                let loser = &losers[number as usize];
                loser.is_owed(position) && loser.subscribes_to(&message)
            }));
        } else {
            wanted.each(position, entry.topic, entry.topic_hash, |number| {
                if losers[number as usize].is_owed(position) {
                    owed.push(number);
                }
            })?;
        }
        if owed.is_empty() {
            return Ok(());
        }
        let message = take_up()?;
        let is_expired = message.is_expired(*unix_ms);
        for &number in &*owed {
            let (loser, tally) = (&losers[number as usize], &mut tallies[number as usize]);
            if tally.last == position || !loser.wants(&message, position) {
                continue;
            }
            tally.last = position;
            // What was sent once is sent again, whatever its age.
            if is_expired && !loser.is_in_flight(position) {
                tally.expired += 1;
            } else {
                tally.messages += 1;
            }
        }
        Ok(())
    }

    /// What each of them is told.
    pub(crate) fn finish(self) -> Vec<Overtaken> {
        let all = self.losers.iter().zip(self.tallies);
        let lost = all.filter(|(_, tally)| tally.messages > 0 || tally.expired > 0);
        lost.map(|(loser, Tally { messages, expired, .. })| Overtaken {
            client_id: loser.wants.client_id.clone(),
            messages,
            expired,
        })
        .collect()
    }
}
