//! Topics that a shard has routed lately.

use crate::router::Match;

/// Many devices publish to few topics again and again, and what a topic leads to changes only with
/// the subscriptions. Each topic has one place here, by its hash; another one takes it over. What a
/// topic leads to is kept when it comes for the second time, so that topics that do not come again
/// cost a look at a place.
#[derive(Debug, Default)]
pub struct Recent {
    /// None until the first topic.
    places: Vec<Place>,
}

/// Topics. A shard holds for each at most [`TOPIC_BYTES_MAX`] and [`MATCHES_MAX`] matches.
const PLACES: usize = 1024;
/// A longer topic is not kept.
const TOPIC_BYTES_MAX: usize = 256;
/// What more sessions get is not kept: finding them costs little beside giving it to them.
const MATCHES_MAX: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    hash: u64,
    /// Which subscriptions there were.
    version: u64,
    /// Empty: it came once, what it leads to is not kept.
    topic: Vec<u8>,
    matches: Vec<Match>,
}

impl Recent {
    /// `hash`: of the topic; `version`: of the subscriptions, never 0.
    pub(super) fn place(&mut self, hash: u64, version: u64) -> Result<&mut Place, New> {
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::default());
        }
        let place = &mut self.places[hash as usize % PLACES];
        if (place.hash, place.version) == (hash, version) {
            return Ok(place);
        }
        (place.hash, place.version) = (hash, version);
        place.topic.clear();
        Err(New)
    }
}

/// The topic has not come lately.
pub(super) struct New;

impl Place {
    /// What the topic leads to, if it is kept.
    pub(super) fn matches(&self, topic: &[u8]) -> Option<&[Match]> {
        (self.topic == topic).then_some(&self.matches)
    }

    pub(super) fn keep(&mut self, topic: &[u8], matches: &[Match]) {
        if topic.len() <= TOPIC_BYTES_MAX && matches.len() <= MATCHES_MAX {
            self.topic.clear();
            self.topic.extend_from_slice(topic);
            self.matches.clear();
            self.matches.extend_from_slice(matches);
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_mqtt::{QoS, SubscriptionOptions};

    use super::*;
    use crate::id::{ClientId, SessionKey, ShardId};
    use crate::message::tests::parts;
    use crate::message::{Message, MessageParts};
    use crate::router::{Router, Subscriber};
    use crate::subscription::{SubscribedFrom, Subscription};

    /// A small generator, so that a failure can be repeated.
    fn random(state: &mut u64, below: usize) -> usize {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 33) as usize) % below
    }

    #[test]
    fn says_what_looking_anew_says() {
        let (mut state, mut router, mut recent) = (7, Router::default(), Recent::default());
        let (shard, session) = (ShardId(0), SessionKey::default());
        let subscriber = Subscriber { shard, session, is_durable: false, is_connected: true };
        let mut keys: Vec<_> = (0..6).map(|_| router.add(subscriber)).collect();
        let filters = ["a", "a/b", "a/#", "+/b", "#", "$share/g/a"];
        let (topics, client_id) = (["a", "a/b", "b", "b/b"], ClientId::from("c"));
        let (mut known, mut anew) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let at = random(&mut state, keys.len());
            let filter = filters[random(&mut state, filters.len())];
            let qos = |state: &mut u64| QoS::from_bits(random(state, 3) as u8).expect("0 to 2");
            match random(&mut state, 40) {
                0 => {
                    let options = SubscriptionOptions {
                        no_local: filter == "a/b" && random(&mut state, 2) == 0,
                        retain_as_published: random(&mut state, 2) == 0,
                        ..SubscriptionOptions::new(qos(&mut state))
                    };
                    let id = Some(random(&mut state, 3) as u32).filter(|&id| id > 0);
                    let start = SubscribedFrom::Unwritten(0);
                    let wish = Subscription { options, id, start };
                    router.subscribe(keys[at], &client_id, filter, &wish);
                }
                1 => router.unsubscribe(keys[at], filter),
                2 => {
                    router.forget(keys[at], filters.into_iter());
                    keys[at] = router.add(subscriber);
                }
                _ => {}
            }
            let retain = random(&mut state, 2) == 0;
            let topic = topics[random(&mut state, topics.len())];
            let parts = MessageParts { qos: qos(&mut state), retain, ..parts(topic, b"") };
            let message = Message::new(&parts, &mut Vec::new());
            let publisher = Some(keys[random(&mut state, keys.len())]);
            router.route(&message, publisher, &mut recent, &mut known);
            router.route(&message, publisher, &mut Recent::default(), &mut anew);
            assert_eq!(known, anew, "{topic}");
            known.iter().for_each(|found| assert!(router.locate(found).is_connected));
        }
    }
}
