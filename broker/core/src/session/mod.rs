//! What the broker owes a client, whether it is connected or not.

pub(crate) mod in_flight;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod packet_ids;
mod replaced;
pub(crate) mod subscriptions;
pub(crate) mod will;

use flotilla_mqtt::{SubscriptionOptions, topic};

use crate::durability::{Class, Reached};
use crate::id::{ClientId, ConnectionKey, Position, SessionKey, ShardId, SubscriberKey, Ticket};

use crate::message::Message;
use crate::rare::Rare;
use crate::record::{SessionRecord, Start, StoredSession, SubscriptionRecord};
use crate::router::Subscriber;
use crate::session::inbound::Inbound;
use crate::session::outbound::Outbound;
use crate::session::replaced::{Replaced, is_owed_beside};
use crate::session::subscriptions::Subscriptions;
use crate::session::will::Will;
use crate::shard::dissolving::Dissolving;
use crate::subscription::{SubscribedFrom, Subscription, Terms};
use crate::time::Now;
use crate::turn::{Page, ReplayFilters};

/// A session. Exactly one shard owns it, or one mail that travels between two.
#[derive(Debug)]
pub struct Session {
    pub(crate) client_id: ClientId,
    /// In the router; `None`: it never subscribed.
    pub(crate) subscriber: Option<SubscriberKey>,
    /// Whether it outlives its connection: then it is on disk, and what it gets at QoS 1 and 2
    /// goes through the log. Decided when the session begins.
    pub(crate) is_durable: bool,
    /// Session Expiry Interval, seconds; `u32::MAX`: never ([MQTT-3.1.2-23]).
    pub(crate) expiry_interval_s: u32,
    pub(crate) subscriptions: Subscriptions,
    /// What others have replaced and is owed messages; seldom any.
    replaced: Rare<Vec<Replaced>>,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) will: Option<Will>,
    pub(crate) link: Link,
    /// Unix milliseconds; `None` while there is a connection.
    pub(crate) disconnected_at_ms: Option<u64>,
    /// The last batch with a write of this session…
    pub(crate) last_ticket: Ticket,
    /// …and the last one with a write that must be synced: until both are, the session stays here.
    pub(crate) last_sync_ticket: Ticket,
    pub(crate) record: RecordState,
    /// When its timer rings, Unix milliseconds; `None`: it has none.
    pub(crate) timer_due_ms: Option<u64>,
    /// Whether the shard knows that the cursor has moved.
    pub(crate) is_cursor_listed: bool,
    /// Whether the shard looks at the cursor now and then.
    pub(crate) is_idle_listed: bool,
    /// Seldom does cleaning take anything from a session.
    overtaken: Rare<Overtaken>,
    /// It has ended, and other members of its groups get what it has not had.
    pub(crate) dissolving: Option<Box<Dissolving>>,
}

/// Messages that cleaning took from a session.
#[derive(Debug, Default)]
struct Overtaken {
    /// Of how many the client was told, since the broker started. (Or had no need to be: they went
    /// before the session began.)
    told: u64,
    /// How many of these the disk still counts.
    to_clear: u64,
}

/// Where the session's connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// There is none.
    Down,
    /// CONNACK waits for the disk: nothing else may leave before it ([MQTT-3.2.0-1]).
    Opening(ConnectionKey),
    /// Messages leave.
    Up(ConnectionKey),
}

/// The record on disk and how it lags behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordState {
    /// Revision of the last one submitted.
    pub(crate) revision: u64,
    /// The batch that carries it; one is on its way at a time, the next waits for it.
    pub(crate) ticket: Ticket,
    /// Whether the session has changed since.
    pub(crate) is_stale: bool,
}

impl Session {
    pub(crate) fn new(client_id: ClientId, expiry_interval_s: u32, log_end: Position) -> Self {
        Self {
            client_id,
            subscriber: None,
            is_durable: expiry_interval_s > 0,
            expiry_interval_s,
            subscriptions: Subscriptions::default(),
            replaced: Rare::default(),
            inbound: Inbound::default(),
            outbound: Outbound::new(log_end),
            will: None,
            link: Link::Down,
            disconnected_at_ms: None,
            last_ticket: Ticket::default(),
            last_sync_ticket: Ticket::default(),
            record: RecordState::default(),
            timer_due_ms: None,
            is_cursor_listed: false,
            is_idle_listed: false,
            overtaken: Rare::default(),
            dissolving: None,
        }
    }

    /// A stored session. One that was connected when the broker stopped counts as disconnected now.
    pub(crate) fn recovered(stored: StoredSession, log_end: Position, now: Now) -> Self {
        let was_connected = stored.record.disconnected_at_ms.is_none();
        // A client that was away since an earlier crash got nothing after that one.
        let maybe_sent_below = if was_connected { log_end } else { stored.record.maybe_sent_below };
        let outbound = Outbound::recovered(&stored, maybe_sent_below);
        let StoredSession { record, inbound, .. } = stored;
        let at = |start: Start| SubscribedFrom::At(start.resolve(Position::ZERO));
        let mut subscriptions = Subscriptions::default();
        let mut replaced = Rare::<Vec<_>>::default();
        for SubscriptionRecord { filter, options, id, start, until } in record.subscriptions {
            let subscription = Subscription { options, id, start: at(start) };
            match until {
                None => subscriptions.insert(filter, subscription),
                Some(until) => {
                    replaced.need().push(Replaced { filter, subscription, until: at(until) });
                }
            }
        }
        Self {
            subscriptions,
            replaced,
            inbound: Inbound::recovered(inbound),
            outbound,
            will: record.will.map(Will::new),
            disconnected_at_ms: Some(record.disconnected_at_ms.unwrap_or(now.unix_ms)),
            record: RecordState {
                revision: record.revision,
                ticket: Ticket::default(),
                is_stale: was_connected,
            },
            ..Self::new(record.client_id, record.expiry_interval_s, stored.cursor)
        }
        .durable()
    }

    /// A stored session is durable even when a later connection cut its expiry to 0.
    fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// Something of it is in this batch and must become as durable as that.
    pub(crate) fn wrote(&mut self, ticket: Ticket, class: Class) {
        self.last_ticket = ticket;
        if class == Class::Fsync {
            self.last_sync_ticket = ticket;
        }
    }

    /// The class that something of it has not reached; `None`: all that was written of it is as
    /// durable as it must be.
    pub(crate) fn missing(&self, reached: Reached) -> Option<Class> {
        let last = [(self.last_sync_ticket, Class::Fsync), (self.last_ticket, Class::Os)];
        let missing = last.into_iter().find(|&(ticket, class)| !reached.has(ticket, class));
        missing.map(|(_, class)| class)
    }

    /// The connection over which messages may leave.
    pub(crate) fn connection(&self) -> Option<ConnectionKey> {
        match self.link {
            Link::Up(connection) => Some(connection),
            Link::Down | Link::Opening(_) => None,
        }
    }

    /// What the router has to know of it.
    pub(crate) fn subscriber_in(&self, shard: ShardId, session: SessionKey) -> Subscriber {
        let is_connected = self.link != Link::Down;
        Subscriber { shard, session, is_durable: self.is_durable, is_connected }
    }

    /// When it ends unless a connection comes, Unix milliseconds; `None`: never, or connected.
    pub(crate) fn expires_at_ms(&self) -> Option<u64> {
        let disconnected_at_ms = self.disconnected_at_ms?;
        let interval_ms = u64::from(self.expiry_interval_s) * 1000;
        (self.expiry_interval_s != u32::MAX).then_some(disconnected_at_ms + interval_ms)
    }

    /// When its Will is due or the session ends, whatever comes first, Unix milliseconds.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let since_ms = self.disconnected_at_ms?;
        let will = self.will.as_ref().map(|will| since_ms + will.delay_ms());
        will.into_iter().chain(self.expires_at_ms()).min()
    }

    /// Whether it has been alone for its Session Expiry Interval.
    pub(crate) fn is_expired(&self, now: Now) -> bool {
        self.expires_at_ms().is_some_and(|at| at <= now.unix_ms)
    }

    /// Of how many messages that cleaning took from it the client does not know. `overtaken`: of
    /// how many the home shard knows.
    pub(crate) fn untold(&self, overtaken: u64) -> u64 {
        overtaken.saturating_sub(self.overtaken.get().map_or(0, |overtaken| overtaken.told))
    }

    /// CONNACK says so. The disk forgets it with the next record: if that is lost, the client is
    /// told again.
    pub(crate) fn tell_overtaken(&mut self, messages: u64) {
        if messages > 0 {
            let overtaken = self.overtaken.need();
            overtaken.told += messages;
            overtaken.to_clear += messages;
        }
    }

    /// The session begins when so many were taken from others of its name.
    pub(crate) fn begin_after(&mut self, overtaken: u64) {
        if overtaken > 0 {
            self.overtaken.need().told = overtaken;
        }
    }

    /// Of how many the client was told and the disk has not forgotten it.
    pub(crate) fn take_told(&mut self) -> u64 {
        self.overtaken.get_mut().map_or(0, |overtaken| std::mem::take(&mut overtaken.to_clear))
    }

    /// Queues a page of the log.
    pub(crate) fn take_page(&mut self, page: Page) {
        if self.has_unknown_start() {
            // It may be newer than the subscription whose filter it was not read with.
            self.outbound.discard_page();
            return;
        }
        // The subscriptions are read while the queue is filled.
        let mut outbound = std::mem::replace(&mut self.outbound, Outbound::new(Position::ZERO));
        outbound.take_page(page, |message, position| self.terms_of(message, position));
        self.outbound = outbound;
    }

    /// How the session gets the message that stands at this position; `None`: it does not want it.
    /// At QoS 0: it was sent when it came, or not at all, unless it is in flight.
    pub(crate) fn terms_of(&self, message: &Message, position: Position) -> Option<Terms> {
        let is_addressed = message.is_addressed();
        if is_addressed && message.addressee() != self.client_id.as_str() {
            return None;
        }
        let replaced = self.replaced.get().map_or(&[][..], Vec::as_slice).iter();
        let replaced = replaced.filter(|it| it.counts_at(position, is_addressed));
        let replaced = replaced.map(|it| (&*it.filter, &it.subscription));
        if is_addressed && message.is_shared() {
            let mut before = replaced.filter(|(filter, _)| *filter == message.share());
            let before = before.next().map(|(_, subscription)| subscription);
            let standing = || self.subscriptions.get(message.share());
            let Subscription { options, id, .. } = *before.or_else(standing)?;
            return Some(Terms::new(message.qos(), message.retain(), options, id));
        }
        let is_own = || message.publisher() == self.client_id.as_str();
        let mut terms: Option<Terms> = None;
        let standing = self.subscriptions.iter().filter(|(filter, subscription)| {
            let is_before = || replaced.clone().any(|(before, _)| before == *filter);
            subscription.has_begun_at(position) || (is_addressed && !is_before())
        });
        for (filter, subscription) in standing.chain(replaced.clone()) {
            let is_local = subscription.options.no_local && !is_addressed && is_own();
            let is_match = || topic::matches_bytes(filter.as_bytes(), message.topic_bytes());
            if is_local || !is_match() {
                continue;
            }
            let (qos, retain) = (message.qos(), message.retain());
            let one = Terms::new(qos, retain, subscription.options, subscription.id);
            match &mut terms {
                Some(all) => all.merge(&one),
                None => terms = Some(one),
            }
        }
        if is_addressed && let Some(terms) = &mut terms {
            // A retained message, sent because of a subscription ([MQTT-3.3.1-8]).
            terms.retain = true;
        }
        terms
    }

    /// Whether a subscription waits to be told where in the log it starts: until then no page is
    /// complete.
    pub(crate) fn has_unknown_start(&self) -> bool {
        let is_known = |s: &Subscription| matches!(s.start, SubscribedFrom::At(_));
        self.is_durable
            && !self.subscriptions.iter().all(|(_, subscription)| is_known(subscription))
    }

    /// The filters to read the log with. What groups give is addressed to their member: nothing
    /// else of what their filters match is for it.
    pub(crate) fn replay_filters(&self) -> ReplayFilters {
        let replaced = self.replaced.get().into_iter().flatten();
        let replaced = replaced.map(|it| (&*it.filter, &it.subscription));
        let begun =
            self.subscriptions.iter().chain(replaced).filter_map(|(filter, subscription)| {
                match subscription.start {
                    SubscribedFrom::At(_) if topic::shared_filter(filter).is_some() => None,
                    SubscribedFrom::At(start) => Some((filter.into(), start)),
                    SubscribedFrom::Unwritten(_) | SubscribedFrom::Written(_) => None,
                }
            });
        begun.collect()
    }

    /// Subscribes, or takes the place of an earlier subscription to the same filter: without a gap,
    /// so that the new one starts where that one started ([MQTT-3.8.4-4]), unless what the log holds
    /// for that one is to be judged by it. `now`: where a subscription starts that begins now.
    pub(crate) fn subscribe(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        id: Option<u32>,
        now: SubscribedFrom,
    ) -> Subscription {
        let mut subscription = Subscription { options, id, start: now };
        if let Some(known) = self.subscriptions.get(filter).copied() {
            if self.is_durable && is_owed_beside(&known, &subscription) {
                let replaced = Replaced { filter: filter.into(), subscription: known, until: now };
                self.forget_done();
                self.replaced.need().push(replaced);
            } else if known.is_logged() {
                // What came at QoS 0 has been sent: it does not come from the log as well.
                subscription.start = known.start;
            }
        }
        self.subscriptions.insert(filter.into(), subscription);
        subscription
    }

    /// False: there was no such subscription.
    pub(crate) fn unsubscribe(&mut self, filter: &str) -> bool {
        if let Some(replaced) = self.replaced.get_mut() {
            replaced.retain(|it| *it.filter != *filter);
        }
        self.subscriptions.remove(filter)
    }

    /// Subscriptions that others have replaced, while they are owed something.
    pub(crate) fn replaced(&self) -> usize {
        self.replaced.get().map_or(0, Vec::len)
    }

    /// Lets go of what was replaced and is owed nothing any more.
    fn forget_done(&mut self) {
        let cursor = self.outbound.cursor(Position::ZERO);
        let Some(replaced) = self.replaced.get_mut() else { return };
        replaced.retain(|it| !it.has_ended_at(cursor));
        if replaced.is_empty() {
            self.replaced.drop();
        }
    }

    /// The record to write now, in the batch `ticket`. Subscriptions that are new start where the
    /// engine puts this batch.
    pub(crate) fn next_record(&mut self, ticket: Ticket, class: Class) -> SessionRecord {
        self.record = RecordState { revision: self.record.revision + 1, ticket, is_stale: false };
        self.wrote(ticket, class);
        self.forget_done();
        let standing = self.subscriptions.iter_mut().map(|(filter, it)| (filter, it, None));
        let replaced = self.replaced.get_mut().into_iter().flatten();
        let replaced = replaced.map(|it| (&*it.filter, &mut it.subscription, Some(&mut it.until)));
        let subscriptions = standing.chain(replaced).map(|(filter, subscription, until)| {
            let Subscription { options, id, start } = subscription;
            let (start, until) = (start.write(), until.map(SubscribedFrom::write));
            SubscriptionRecord { filter: filter.into(), options: *options, id: *id, start, until }
        });
        let subscriptions = subscriptions.collect();
        let is_down = self.disconnected_at_ms.is_some();
        SessionRecord {
            client_id: self.client_id.clone(),
            revision: self.record.revision,
            expiry_interval_s: self.expiry_interval_s,
            disconnected_at_ms: self.disconnected_at_ms,
            subscriptions,
            will: self.will.as_ref().map(|will| will.record().clone()),
            unacknowledged: if is_down { self.outbound.unacknowledged() } else { Vec::new() },
            sent_up_to: if is_down { self.outbound.frontier() } else { Position::ZERO },
            maybe_sent_below: if is_down {
                self.outbound.maybe_sent_below()
            } else {
                Position::ZERO
            },
        }
    }

    /// The record cannot be written in this turn, another is on its way: what is new now starts
    /// with the batch that will carry it.
    pub(crate) fn postpone_record(&mut self) {
        self.marks().for_each(SubscribedFrom::postpone);
    }

    /// The record is committed; `first`: the first position of its batch.
    pub(crate) fn record_committed(&mut self, first: Position) {
        let new = self.marks().map(|mark| usize::from(mark.settle(first))).sum::<usize>();
        if new > 0 {
            self.outbound.discard_page();
        }
    }

    /// Where subscriptions start, and ended.
    fn marks(&mut self) -> impl Iterator<Item = &mut SubscribedFrom> {
        let replaced = self.replaced.get_mut().into_iter().flatten();
        let replaced = replaced.flat_map(|it| [&mut it.subscription.start, &mut it.until]);
        self.subscriptions.iter_mut().map(|(_, it)| &mut it.start).chain(replaced)
    }
}
