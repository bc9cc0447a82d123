//! What came to a client: everything it had a right to, nothing else, in order, as often as
//! allowed.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use super::{
    Fault, Verdict,
    fault::Kind,
    prefix::Survivors,
    publications::{Publication, Publications},
    windows::{Merged, Windows},
};
use crate::history::{Cut, History, Record, Serial, What};

/// One pass over what a client received.
pub(super) struct Deliveries<'a> {
    history: &'a History,
    publications: &'a Publications,
    cuts: &'a [Cut],
    /// Those that may have taken what was acknowledged.
    lossy: Vec<Cut>,
    windows: Windows,
    possible: HashMap<Arc<str>, Merged>,
    connection: Connection,
    /// QoS 2: messages between PUBLISH and PUBREL, with the connection they came on.
    held: HashMap<u16, (Serial, u32)>,
    /// Those of a session that may have ended: a Clean Start was asked for, and nobody knows whether
    /// the broker heard of it.
    unsure: HashSet<u16>,
    seen: HashMap<Serial, Seen>,
    /// By publisher, topic, QoS: the highest number that came.
    highest: HashMap<(u32, Arc<str>, u8), u32>,
    faults: Vec<Fault>,
    received: u64,
    redelivered: u64,
}

/// The connection that the client reads from.
#[derive(Clone, Copy, Default, Debug)]
struct Connection {
    /// Counted from 1.
    number: u32,
    /// The first one of the session that is in use.
    first_of_session: u32,
    /// When its CONNACK came.
    since: u64,
}

/// How often a message came, since the last cut that may lose what was not synced.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    /// When it came first.
    first: u64,
    era: usize,
    /// QoS 2: how often as a new one.
    fresh: u32,
    /// QoS 1: copies without DUP.
    first_hand: usize,
    /// QoS 1: copies on the connection `connection`.
    on_connection: usize,
    connection: u32,
}

/// A PUBLISH that came.
#[derive(Clone, Copy)]
struct Copy {
    at: u64,
    serial: Serial,
    qos: u8,
    dup: bool,
    retain: bool,
    packet_id: u16,
}

impl<'a> Deliveries<'a> {
    pub(super) fn new(
        history: &'a History,
        publications: &'a Publications,
        record: &'a Record,
    ) -> Self {
        let lossy = record.cuts.iter().filter(|cut| cut.takes_acknowledged());
        Self {
            history,
            publications,
            cuts: &record.cuts,
            lossy: lossy.copied().collect(),
            windows: Windows::of(history, &record.cuts),
            possible: HashMap::new(),
            connection: Connection::default(),
            held: HashMap::new(),
            unsure: HashSet::new(),
            seen: HashMap::new(),
            highest: HashMap::new(),
            faults: Vec::new(),
            received: 0,
            redelivered: 0,
        }
    }

    pub(super) fn judge(mut self, survivors: &Survivors, verdict: &mut Verdict) {
        let mut era = 0;
        for (at, what) in &self.history.events {
            if self.era(*at) != era {
                era = self.era(*at);
                self.held.clear();
            }
            match what {
                What::Connecting { clean: true, .. } => {
                    self.unsure = self.held.keys().copied().collect();
                }
                What::Connected { session_present } => {
                    self.connection.number += 1;
                    self.connection.since = *at;
                    if !session_present {
                        self.connection.first_of_session = self.connection.number;
                        self.held.clear();
                    }
                }
                What::Released { packet_id } => {
                    self.held.remove(packet_id);
                }
                What::Received { serial, topic, qos, dup, retain, packet_id } => {
                    let (serial, packet_id) = (*serial, *packet_id);
                    let (qos, dup, retain) = (*qos, *dup, *retain);
                    let copy = Copy { at: *at, serial, qos, dup, retain, packet_id };
                    self.received(copy, topic);
                }
                _ => {}
            }
        }
        self.judge_what_did_not_come(survivors, verdict);
        verdict.received += self.received;
        verdict.redelivered += self.redelivered;
        verdict.faults.append(&mut self.faults);
    }

    /// Number of cuts until then that may have undone anything.
    fn era(&self, at: u64) -> usize {
        self.lossy.iter().filter(|cut| cut.until <= at).count()
    }

    fn fault(&mut self, kind: Kind, copy: Copy, detail: impl Into<String>) {
        let whose = self.history.client_id.clone();
        let Copy { at, serial, qos, dup, packet_id, .. } = copy;
        let number = self.connection.number;
        let detail = format!(
            "{} (QoS {qos}, DUP {dup}, Packet Identifier {packet_id}, connection {number})",
            detail.into()
        );
        self.faults.push(Fault { kind, whose, serial: Some(serial), at, detail });
    }

    fn received(&mut self, copy: Copy, topic: &Arc<str>) {
        self.received += 1;
        self.redelivered += u64::from(copy.dup);
        let publications = self.publications;
        let publication = publications.all.get(&copy.serial);
        let Some(publication) = publication.filter(|it| it.topic == *topic && it.first() < copy.at)
        else {
            return self.fault(Kind::NeverPublished, copy, format!("on '{topic}'"));
        };
        if copy.qos > publication.qos {
            self.fault(Kind::QosRaised, copy, format!("published at QoS {}", publication.qos));
        }
        if publication.refused.is_some() && publication.sent.len() == 1 {
            self.fault(Kind::RefusedButDelivered, copy, format!("{:?}", publication.refused));
        }
        self.judge_reason(copy, publication);
        self.judge_dup(copy, publication);
        let is_new = match copy.qos {
            0 => true,
            1 => self.judge_copies(copy, publication),
            _ => self.judge_exchange(copy),
        };
        if is_new && !copy.retain && self.was_due_at_first(copy, publication) {
            self.judge_order(copy, topic);
        }
    }

    /// There was a subscription when it may have been routed.
    fn judge_reason(&mut self, copy: Copy, publication: &Publication) {
        let windows = &self.windows;
        let possible = self
            .possible
            .entry(Arc::clone(&publication.topic))
            .or_insert_with_key(|topic| windows.possible(topic));
        // A retained message is sent when somebody subscribes, at any later time.
        let routed = if copy.retain { None } else { publication.acknowledged };
        let routed = routed.map_or(copy.at, |acknowledged| acknowledged.min(copy.at));
        if !possible.touches(publication.first(), routed) {
            let detail = format!("sent at {}, routed by {routed}", publication.first());
            self.fault(Kind::NotSubscribed, copy, detail);
        }
    }

    fn judge_dup(&mut self, copy: Copy, publication: &Publication) {
        let Connection { number, first_of_session, since } = self.connection;
        if copy.dup && number == first_of_session {
            self.fault(Kind::DupUnfounded, copy, "the session had no connection before");
        } else if copy.dup && !copy.retain && publication.first() > since {
            let detail = format!("sent at {}, connected since {since}", publication.first());
            self.fault(Kind::DupUnfounded, copy, detail);
        }
    }

    /// QoS 1: not more copies than the publisher sent, but for those with DUP on a later
    /// connection. Whether it is the first copy.
    fn judge_copies(&mut self, copy: Copy, publication: &Publication) -> bool {
        if copy.retain {
            return false;
        }
        let most = publication.copies(copy.at, self.cuts);
        let (seen, is_new) = self.seen(copy);
        seen.first_hand += usize::from(!copy.dup);
        seen.on_connection += 1;
        let Seen { first_hand, on_connection, .. } = *seen;
        if !copy.dup && first_hand > most {
            let detail = format!("{first_hand} copies without DUP, sent {most} times");
            self.fault(Kind::DupMissing, copy, detail);
        }
        if on_connection > most {
            let detail = format!("{on_connection} copies, sent {most} times");
            self.fault(Kind::AgainOnOneConnection, copy, detail);
        }
        is_new
    }

    /// QoS 2: new once; again only under its Packet Identifier, with DUP, on a later connection.
    /// Whether it is the first copy.
    fn judge_exchange(&mut self, copy: Copy) -> bool {
        let number = self.connection.number;
        match self.held.insert(copy.packet_id, (copy.serial, number)) {
            Some((serial, earlier)) if serial == copy.serial => {
                if earlier == number {
                    self.fault(Kind::AgainOnOneConnection, copy, "between PUBLISH and PUBREL");
                } else if !copy.dup {
                    self.fault(Kind::DupMissing, copy, "the exchange is open");
                }
                return false;
            }
            Some(_) if self.unsure.remove(&copy.packet_id) => {}
            Some((serial, _)) => {
                self.fault(Kind::PacketIdInUse, copy, format!("by message {serial}"));
            }
            None => {}
        }
        if copy.retain {
            return false;
        }
        let (seen, is_new) = self.seen(copy);
        seen.fresh += 1;
        if seen.fresh > 1 {
            self.fault(Kind::DeliveredTwice, copy, "the exchange before was complete");
        }
        is_new
    }

    /// What is known of a message, and whether this is its first copy of all.
    fn seen(&mut self, copy: Copy) -> (&mut Seen, bool) {
        let era = self.era(copy.at);
        let connection = self.connection.number;
        let (seen, is_new) = match self.seen.entry(copy.serial) {
            Entry::Occupied(seen) => (seen.into_mut(), false),
            Entry::Vacant(place) => {
                (place.insert(Seen { first: copy.at, era, ..Seen::default() }), true)
            }
        };
        if seen.era != era {
            *seen = Seen { first: seen.first, era, ..Seen::default() };
        }
        if seen.connection != connection {
            seen.connection = connection;
            seen.on_connection = 0;
        }
        (seen, is_new)
    }

    /// False: it may come because it was sent again, behind what was sent after it the first time.
    /// So it is when it was first sent before the subscription began.
    fn was_due_at_first(&self, copy: Copy, publication: &Publication) -> bool {
        let first = publication.first();
        let windows = self.windows.certain(&publication.topic);
        let mut windows = windows.iter();
        publication.copies(copy.at, self.cuts) < 2
            || windows.any(|it| (it.from..=it.until).contains(&first))
    }

    fn judge_order(&mut self, copy: Copy, topic: &Arc<str>) {
        let Serial { writer, number } = copy.serial;
        let highest = self.highest.entry((writer, Arc::clone(topic), copy.qos)).or_default();
        let before = std::mem::replace(highest, number.max(*highest));
        if number < before {
            let detail = format!("after {writer}.{before} on '{topic}'");
            self.fault(Kind::OutOfOrder, copy, detail);
        }
    }

    /// What was acknowledged while the client was certainly subscribed must have come. When a
    /// subscription ends, what waits for it may be left out [MQTT-3.10.4-3]; but not what is older
    /// than something that came before that.
    fn judge_what_did_not_come(&mut self, survivors: &Survivors, verdict: &mut Verdict) {
        let end = u64::MAX;
        let publications = self.publications;
        for (topic, serials) in &publications.by_topic {
            let certain = self.windows.certain(topic);
            // By publisher: when something later came, for the first time.
            let mut later_came: HashMap<u32, u64> = HashMap::new();
            for serial in serials.iter().rev() {
                let publication = &publications.all[serial];
                let later = later_came.entry(serial.writer).or_insert(end);
                let first_seen = self.seen.get(serial).map(|seen| seen.first);
                let limit = first_seen.unwrap_or(*later);
                *later = limit.min(*later);
                let Some(acknowledged) = publication.acknowledged else { continue };
                let is_owed = certain.iter().any(|window| {
                    let is_inside =
                        window.from <= publication.first() && window.until >= acknowledged;
                    is_inside && (!window.is_ended || window.until > limit)
                });
                verdict.owed += u64::from(is_owed);
                if !is_owed || first_seen.is_some() {
                    continue;
                }
                if survivors.may_lack(acknowledged, end) {
                    verdict.lost_unsynced += 1;
                    continue;
                }
                let is_hole = survivors.is_after_a_cut(acknowledged, end);
                let kind = if is_hole { Kind::Hole } else { Kind::Lost };
                let detail = format!(
                    "on '{topic}', sent at {:?}, acknowledged at {acknowledged}",
                    publication.sent
                );
                let whose = self.history.client_id.clone();
                self.faults.push(Fault { kind, whose, serial: Some(*serial), at: end, detail });
            }
        }
    }
}
