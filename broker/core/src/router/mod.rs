//! Who gets a message: all subscriptions of all sessions, with the retained messages.

mod level;
mod recent;
mod retained;
pub(crate) mod share;
mod subscribers;
mod tree;
mod trie;

use flotilla_mqtt::{QoS, topic};
use slotmap::SlotMap;

use crate::id::{ClientId, GroupKey, SessionKey, ShardId, SubscriberKey};
use crate::limits::Limits;
use crate::message::Message;
use crate::subscription::{Subscription, Terms};
use recent::New;
pub use recent::Recent;
use retained::Retained;
use share::{Groups, Member, Rank, Rota};
use subscribers::{Entry, Subscribers};
use trie::Trie;

/// What all shards share. The server wraps it in the one lock of the hot path: whoever routes holds
/// it for reading, whoever subscribes, retains or moves a session for writing, both until the
/// turn's batch is submitted. So messages commit in the order in which they were routed.
#[derive(Debug)]
pub struct Router {
    trie: Trie,
    /// Of the subscriptions of sessions for themselves: grows by one with each that comes or goes.
    version: u64,
    groups: Groups,
    subscribers: SlotMap<SubscriberKey, Subscriber>,
    retained: Retained,
    /// What the broker last said itself, one message a topic of `$SYS`: a few dozen.
    announced: Vec<Message>,
    /// The shard that has a timer for the next retained message that expires.
    pub(crate) sweeper: Option<ShardId>,
}

/// A session that has or had a subscription, and where it lives.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber {
    /// The shard that owns it.
    pub shard: ShardId,
    /// Which of that shard's.
    pub session: SessionKey,
    /// Whether what it gets at QoS 1 and 2 goes through the log.
    pub is_durable: bool,
    /// Whether it has a connection, or is about to: else it reads the log when it has one, and
    /// needs to hear of nothing until then.
    pub is_connected: bool,
}

/// A session that gets a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    subscriber: SubscriberKey,
    pub(crate) terms: Terms,
}

/// A session that gets a message as the member of a group.
#[derive(Clone, Debug)]
pub(crate) struct GroupMatch {
    pub(crate) group: GroupKey,
    pub(crate) member: Match,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            trie: Trie::default(),
            version: 1,
            groups: Groups::default(),
            subscribers: SlotMap::with_key(),
            retained: Retained::default(),
            announced: Vec::new(),
            sweeper: None,
        }
    }
}

impl Router {
    /// Takes a stored retained message up, before the first turn.
    pub fn recover_retained(&mut self, message: Message) {
        self.retained.put(message);
    }

    /// How many retained messages there are.
    pub fn retained_messages(&self) -> usize {
        self.retained.len()
    }

    /// How many groups of shared subscriptions there are.
    pub fn shared_groups(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of all retained messages.
    pub fn retained_bytes(&self) -> usize {
        self.retained.bytes()
    }

    /// Takes a session up that will have subscriptions.
    pub fn add(&mut self, subscriber: Subscriber) -> SubscriberKey {
        self.subscribers.insert(subscriber)
    }

    pub(crate) fn relocate(&mut self, key: SubscriberKey, to: Subscriber) {
        let subscriber = self.subscribers.get_mut(key);
        let subscriber = subscriber.expect("a session is removed once, by its owner");
        let was_connected = std::mem::replace(subscriber, to).is_connected;
        if was_connected != to.is_connected {
            self.groups.connected(key, to.is_connected);
        }
    }

    /// Forgets a subscriber with its subscriptions.
    pub(crate) fn forget<'a>(
        &mut self,
        key: SubscriberKey,
        filters: impl Iterator<Item = &'a str>,
    ) {
        for filter in filters {
            self.unsubscribe(key, filter);
        }
        self.version += 1;
        self.subscribers.remove(key);
    }

    /// Adds a subscription to a valid filter, or replaces the subscriber's earlier one to it.
    /// `client_id`: the subscriber's.
    pub fn subscribe(
        &mut self,
        key: SubscriberKey,
        client_id: &ClientId,
        filter: &str,
        wish: &Subscription,
    ) {
        let Subscription { options, id, .. } = *wish;
        match topic::shared_filter(filter) {
            Some(inner) => {
                let member = Member { client_id: client_id.clone(), options, id };
                let is_connected = self.subscribers[key].is_connected;
                self.groups.join(filter, inner, key, member, is_connected);
            }
            None => {
                self.version += 1;
                self.trie.insert(filter, Entry::new(key, options, id));
            }
        }
    }

    /// Removes the subscriber's subscription to a filter, if it has one.
    pub fn unsubscribe(&mut self, key: SubscriberKey, filter: &str) {
        match topic::shared_filter(filter) {
            Some(inner) => self.groups.leave(filter, inner, key),
            None => {
                self.version += 1;
                self.trie.remove(filter, key);
            }
        }
    }

    /// Where the subscriber of a match lives.
    pub(crate) fn locate(&self, found: &Match) -> Subscriber {
        self.subscribers[found.subscriber]
    }

    /// Fills `matches` with each session that gets a message published now, once a session
    /// ([MQTT-3.3.4-2]). `recent`: of whoever asks.
    pub fn route(
        &self,
        message: &Message,
        publisher: Option<SubscriberKey>,
        recent: &mut Recent,
        matches: &mut Vec<Match>,
    ) {
        matches.clear();
        let topic = message.topic_bytes();
        match recent.place(self.trie.hash(topic), self.version) {
            Ok(place) => match place.matches(topic) {
                Some(known) => matches.extend_from_slice(known),
                None if self.find(topic, publisher, matches) => place.keep(topic, matches),
                None => {}
            },
            Err(New) => {
                self.find(topic, publisher, matches);
            }
        }
        let (qos, retain) = (message.qos(), message.retain());
        for Match { terms, .. } in matches {
            terms.qos = terms.qos.min(qos);
            terms.retain &= retain;
        }
    }

    /// Fills `matches` with each session that gets messages of the topic, as it gets one of QoS 2
    /// with RETAIN 1. Says whether they are the same whoever publishes.
    fn find(
        &self,
        topic: &[u8],
        publisher: Option<SubscriberKey>,
        matches: &mut Vec<Match>,
    ) -> bool {
        let (mut lists, mut is_same_for_all) = (0, true);
        self.trie.for_each_match(topic, &mut |list: &Subscribers| {
            lists += 1;
            // [MQTT-3.8.3-3]: No Local.
            let is_heard = |e: &Entry| {
                is_same_for_all &= !e.no_local();
                !(e.no_local() && Some(e.subscriber) == publisher)
            };
            matches.extend(list.iter().filter(is_heard).map(|e| Match {
                subscriber: e.subscriber,
                terms: Terms { qos: e.qos(), retain: e.retain_as_published(), ids: e.id().into() },
            }));
        });
        // One list holds a subscriber once; only several filters can overlap.
        if lists > 1 {
            matches.sort_by_key(|found| found.subscriber);
            matches.dedup_by(|later, earlier| {
                let is_same = later.subscriber == earlier.subscriber;
                if is_same {
                    earlier.terms.merge(&later.terms);
                }
                is_same
            });
        }
        is_same_for_all
    }

    /// Whether there are shared subscriptions.
    pub(crate) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Calls `found` with one member of each group that gets the message, whatever these sessions
    /// get for themselves (section 4.8.2). `has_room`: whether a connected one keeps up, at a QoS.
    pub(crate) fn route_to_groups(
        &self,
        message: &Message,
        rota: &mut Rota,
        has_room: impl Fn(&Subscriber, QoS) -> bool,
        mut found: impl FnMut(GroupMatch),
    ) {
        self.groups.for_each_match(message.topic_bytes(), |group| {
            found(self.choose(group, message, rota, &has_room, true).1);
        });
    }

    /// The group of a filter with `$share/`.
    pub(crate) fn group(&self, filter: &str) -> Option<GroupKey> {
        self.groups.find(filter)
    }

    /// Who gets a message now that went to a member of the group and did not arrive; `None`: nobody
    /// can. `may_store`: whether it may go into the log.
    pub(crate) fn route_again(
        &self,
        message: &Message,
        group: GroupKey,
        rota: &mut Rota,
        has_room: impl Fn(&Subscriber, QoS) -> bool,
        may_store: bool,
    ) -> Option<GroupMatch> {
        if !self.groups.contains(group) {
            return None;
        }
        let (rank, found) = self.choose(group, message, rota, &has_room, may_store);
        (rank > Rank::Lost).then_some(found)
    }

    fn choose(
        &self,
        group: GroupKey,
        message: &Message,
        rota: &mut Rota,
        has_room: &impl Fn(&Subscriber, QoS) -> bool,
        may_store: bool,
    ) -> (Rank, GroupMatch) {
        let rank = |key: SubscriberKey, member: &Member| {
            let (subscriber, qos) = (&self.subscribers[key], message.qos().min(member.options.qos));
            let is_logged = subscriber.is_durable && qos > QoS::AtMostOnce;
            match (subscriber.is_connected, is_logged) {
                (_, true) if !may_store => Rank::Lost,
                (true, _) if has_room(subscriber, qos) => Rank::Ready,
                (true, true) => Rank::Behind,
                (false, true) => Rank::Away,
                (_, false) => Rank::Lost,
            }
        };
        let (rank, subscriber, member) = self.groups.choose(group, rota, rank);
        let terms = Terms::new(message.qos(), message.retain(), member.options, member.id);
        (rank, GroupMatch { group, member: Match { subscriber, terms } })
    }

    /// The message as a group gives it to this member.
    pub(crate) fn address(
        &self,
        message: &Message,
        found: &GroupMatch,
        scratch: &mut Vec<u8>,
    ) -> Message {
        let GroupMatch { group, member } = found;
        let client_id = &self.groups.member(*group, member.subscriber).client_id;
        message.for_member(client_id, self.groups.filter(*group), scratch)
    }

    /// Makes the message that of its topic, or with an empty payload removes it ([MQTT-3.3.1-6]).
    /// False: a limit is reached, nothing has changed.
    pub(crate) fn retain(&mut self, message: &Message, limits: &Limits) -> bool {
        if message.payload().is_empty() {
            self.retained.remove(message.topic());
            return true;
        }
        let has_room = self.has_room_for(message, limits);
        if has_room {
            self.retained.put(message.clone());
        }
        has_room
    }

    /// Whether the message can be retained in place of the one of its topic.
    pub(crate) fn has_room_for(&self, message: &Message, limits: &Limits) -> bool {
        let room_bytes = limits.retained_bytes_max.saturating_sub(self.retained.bytes());
        if self.retained.len() < limits.retained_messages_max
            && message.as_bytes().len() <= room_bytes
        {
            return true;
        }
        let known = self.retained.get(message.topic());
        let known_bytes = known.map_or(0, |known| known.as_bytes().len());
        let bytes = self.retained.bytes() - known_bytes + message.as_bytes().len();
        (known.is_some() || self.retained.len() < limits.retained_messages_max)
            && bytes <= limits.retained_bytes_max
    }

    pub(crate) fn remove_retained(&mut self, topic: &str) -> bool {
        self.retained.remove(topic)
    }

    /// Forgets up to `messages_max` retained messages that have expired; gives their topics.
    pub(crate) fn forget_expired(&mut self, unix_ms: u64, messages_max: usize) -> Vec<Box<str>> {
        self.retained.forget_expired(unix_ms, messages_max)
    }

    /// When the next retained message expires, Unix milliseconds.
    pub(crate) fn retained_expiry_ms(&self) -> Option<u64> {
        self.retained.next_expiry_ms()
    }

    /// Keeps a message of the broker's own for who subscribes later. It counts against no limit of
    /// what clients retain.
    pub(crate) fn announce(&mut self, message: Message) {
        match self.announced.iter_mut().find(|known| known.topic() == message.topic()) {
            Some(known) => *known = message,
            None => self.announced.push(message),
        }
    }

    /// Calls `found` with each retained message whose topic the filter matches, expired or not.
    pub fn for_each_retained(&self, filter: &str, found: &mut impl FnMut(&Message)) {
        self.retained.for_each_match(filter, found);
        if filter.starts_with('$') {
            let announced = self.announced.iter();
            announced.filter(|known| topic::matches(filter, known.topic())).for_each(found);
        }
    }
}
