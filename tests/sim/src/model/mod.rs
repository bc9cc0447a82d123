//! The specification, as far as it says which message comes to whom: must, may, must not.
//!
//! The broker is asynchronous: a packet has an instant before which the broker cannot have seen it
//! (its last byte arrived) and one after which it must have acted (its acknowledgement was pushed).
//! What lies between two such instants is open, so a delivery
//!
//! * **must not** be when no order of what is open allows it,
//! * **must** be when every order demands it,
//! * **may** be otherwise.
//!
//! Instants are numbers of steps. A crash makes open what its class of durability does not keep.

mod deliveries;
mod finish;
mod retained;

use std::collections::{BTreeMap, BTreeSet};

use flotilla_core::durability::{Class, Durability};
use flotilla_mqtt::{PacketId, QoS, Version, topic};

use crate::bench::cleaning::Lost;
use crate::plan::{HONEST, Profile};

pub(crate) use deliveries::{Delivered, number_of};

/// The number of a step.
pub(crate) type Step = u64;
/// An honest client, by number.
pub(crate) type Who = usize;

/// A message that an honest client has published, or its Will.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) publisher: Who,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) is_will: bool,
    /// Removes the retained message: it has no payload, so nobody can tell it from another one.
    pub(crate) is_empty: bool,
    /// Larger than some clients take.
    pub(crate) is_long: bool,
    /// The broker has not seen it before.
    pub(crate) sent: Option<Step>,
    /// The broker has routed it by then.
    pub(crate) acknowledged: Option<Step>,
    /// And as often as it was sent.
    pub(crate) routed: Option<Step>,
    /// It was refused: nobody gets it.
    pub(crate) is_refused: bool,
    /// How often it was sent: a QoS 1 message may be routed as often.
    pub(crate) copies: usize,
    /// A crash may have taken it, or made it come again.
    pub(crate) is_excused: bool,
    /// A Will that must not be published: its client left properly.
    pub(crate) is_cancelled: bool,
}

/// A subscription that an honest client asked for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) client: Who,
    pub(crate) filter: String,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) wants_retained: bool,
    /// Of the connection that asked for it.
    pub(crate) line: usize,
    pub(crate) asked: Option<Step>,
    pub(crate) granted: Option<Step>,
    /// From here on an UNSUBSCRIBE for it was on its way, or another SUBSCRIBE.
    pub(crate) ending: Option<Step>,
    /// In the latter case that one's number.
    pub(crate) replaced_by: Option<usize>,
    /// Here it was gone.
    pub(crate) ended: Option<Step>,
    /// A crash may have taken it, so it may be, and need not.
    pub(crate) is_open: bool,
}

impl Wish {
    /// The Topic Filter without `$share`.
    pub(crate) fn plain(&self) -> &str {
        topic::shared_filter(&self.filter).unwrap_or(&self.filter)
    }

    pub(crate) fn is_shared(&self) -> bool {
        topic::shared_filter(&self.filter).is_some()
    }

    fn matches(&self, publication: &Publication) -> bool {
        topic::matches(self.plain(), &publication.topic)
    }

    /// Whether it may have been there at some instant of these.
    fn may_be(&self, from: Step, to: Step) -> bool {
        self.asked.is_some_and(|asked| asked <= to) && self.ended.is_none_or(|ended| ended >= from)
    }

    /// Whether it has been there all the time since.
    fn must_be_since(&self, step: Step) -> bool {
        self.granted.is_some_and(|granted| granted < step)
            && self.ending.is_none()
            && self.ended.is_none()
            && !self.is_open
    }
}

/// What is known of a client's session.
#[derive(Debug, Default)]
pub(crate) struct SessionView {
    /// Counts the sessions that it had.
    pub(crate) epoch: usize,
    /// CONNACK has promised it a session that stays.
    pub(crate) is_promised: bool,
    /// A CONNECT that asked for one has arrived.
    pub(crate) may_be: bool,
    /// Pushed and not acknowledged, with the delivery, as the broker must know.
    pub(crate) unacknowledged: BTreeMap<PacketId, usize>,
    /// QoS 2 Packet Identifiers that the client has received and that were not released.
    pub(crate) open: BTreeSet<PacketId>,
    /// The connection on which it last had its session, and when that one was gone, Unix
    /// milliseconds.
    pub(crate) gone_at_ms: Option<u64>,
    /// A connection that has ended before CONNACK may have begun another session, and the client
    /// was never told.
    pub(crate) is_murky: bool,
    /// The connection on which it has asked for a new session, and not been told yet that it has
    /// one: the old one may be gone, and other members of its groups may have got what it had.
    pub(crate) begins_anew: Option<usize>,
    /// When the CONNECT had come that was last answered.
    pub(crate) welcomed: Step,
    /// Since then the broker may have tried to send what it had.
    pub(crate) lost_line: Option<Step>,
}

/// Everything that honest clients have done and seen.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now: Step,
    pub(crate) publications: Vec<Publication>,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) sessions: Vec<SessionView>,
    /// What was pushed to clients, in order.
    pub(crate) delivered: Vec<Delivered>,
    /// Messages by number, with those clients that got it: where they stand in `delivered`.
    by_message: BTreeMap<usize, Vec<usize>>,
    /// Highest number by client, publisher, topic and both QoS.
    last: BTreeMap<(Who, usize, Who, String, QoS, QoS), usize>,
    pub(crate) crashed: Option<Step>,
    /// What cleaning took: of which client, and of which group.
    cleaned: BTreeSet<(Who, usize)>,
    cleaned_of_groups: BTreeSet<(String, usize)>,
    /// Until then the disk was full: who was refused may not have heard of it.
    pub(crate) full: Option<Step>,
    profiles: Vec<Profile>,
    durability: Durability,
}

impl Model {
    pub(crate) fn new(profiles: Vec<Profile>, durability: Durability) -> Self {
        Self {
            now: 0,
            publications: Vec::new(),
            wishes: Vec::new(),
            sessions: (0..HONEST).map(|_| SessionView::default()).collect(),
            delivered: Vec::new(),
            by_message: BTreeMap::new(),
            last: BTreeMap::new(),
            crashed: None,
            cleaned: BTreeSet::new(),
            cleaned_of_groups: BTreeSet::new(),
            full: None,
            profiles,
            durability,
        }
    }

    /// A connection of the client has got CONNACK.
    pub(crate) fn welcomed(&mut self, who: Who, line: usize, is_present: bool, is_clean: bool) {
        let session = &mut self.sessions[who];
        assert!(!(is_present && is_clean), "c{who}: Session Present after Clean Start");
        assert!(!is_present || session.may_be, "c{who}: Session Present, of which session?");
        if !is_present {
            let is_due = session.is_promised
                && !(is_clean || session.begins_anew.is_some())
                && self.profiles[who].expiry_s == u32::MAX;
            assert!(!is_due, "c{who}: its session is gone");
            session.epoch += 1;
            session.unacknowledged.clear();
            session.open.clear();
            for wish in &mut self.wishes {
                // Also of a later connection whose turn came first.
                if wish.client == who && wish.line != line && wish.ended.is_none() {
                    wish.ended = Some(self.now);
                }
            }
        }
        let session = &mut self.sessions[who];
        if std::mem::take(&mut session.is_murky) && is_present {
            session.epoch += 1;
            session.unacknowledged.clear();
            for wish in &mut self.wishes {
                wish.is_open |= wish.client == who && wish.line < line;
            }
        }
        // An earlier connection may have begun the session that this one has.
        let is_open = |anew: &usize| *anew > line || is_present && *anew < line;
        session.begins_anew = session.begins_anew.filter(is_open);
        session.is_promised = self.profiles[who].expiry_s > 0;
        session.gone_at_ms = None;
    }

    /// Cleaning took a message that a session had not had.
    pub(crate) fn cleaned(&mut self, lost: &Lost) {
        let who = lost.client_id.as_str().strip_prefix('c').and_then(|who| who.parse().ok());
        let (Some(who), Some(number)) = (who, lost.number()) else { return };
        if lost.message.is_shared() {
            self.cleaned_of_groups.insert((lost.message.share().to_owned(), number));
        } else {
            self.cleaned.insert((who, number));
        }
    }

    /// The broker ended without order; what is of a weaker class than this may be gone.
    pub(crate) fn crashed(&mut self, survives: Class) {
        self.crashed = Some(self.now);
        let records = self.durability.default_class().max(Class::Os);
        for publication in &mut self.publications {
            // Without its session, a subscriber may miss what is sent again.
            let is_routed = records >= survives || publication.acknowledged.is_some();
            let class = self.durability.class_of(&publication.topic);
            if class < survives || !is_routed || publication.is_will {
                publication.is_excused = true;
                // Nobody acknowledges DISCONNECT: it may not have been stored.
                publication.is_cancelled = false;
            }
        }
        for wish in &mut self.wishes {
            if records < survives {
                // An earlier record of the session may be back.
                wish.is_open = true;
                wish.ended = None;
            }
            let is_kept = self.profiles[wish.client].expiry_s > 0;
            if !is_kept && wish.ended.is_none() {
                wish.ended = Some(self.now);
            }
        }
        for (session, profile) in self.sessions.iter_mut().zip(&self.profiles) {
            session.is_promised &= records >= survives && profile.expiry_s > 0;
            session.gone_at_ms = None;
            session.unacknowledged.clear();
            // A session without a record is gone at once.
            session.may_be &= profile.expiry_s > 0;
        }
    }

    /// Whether the broker must have stored a message for somebody before it acknowledges it.
    pub(crate) fn must_be_stored(&self, number: usize) -> bool {
        let publication = &self.publications[number];
        let Some(sent) = publication.sent else { return false };
        publication.retain && !publication.is_empty && !publication.is_refused
            || self.wishes.iter().any(|wish| {
                wish.must_be_since(sent)
                    && !wish.is_shared()
                    && wish.qos > QoS::AtMostOnce
                    && self.profiles[wish.client].expiry_s == u32::MAX
                    && self.sessions[wish.client].is_promised
                    && self.sessions[wish.client].begins_anew.is_none()
                    && wish.matches(publication)
                    && !(wish.no_local && wish.client == publication.publisher)
            })
    }

    pub(crate) fn is_v5(&self, who: Who) -> bool {
        self.profiles[who].version == Version::V5
    }
}
