//! Which message a topic may keep.

use super::{Model, Publication, Step, Wish};

impl Model {
    /// A retained message that a later one had replaced before somebody asked.
    pub(super) fn check_retained(&self, told: &str, publication: &Publication, wishes: &[&Wish]) {
        let Some(routed) = publication.routed else { return };
        let asked = wishes.iter().filter_map(|wish| wish.asked).min().unwrap_or(Step::MAX);
        let is_replaced = |later: &&Publication| {
            later.retain
                && later.topic == publication.topic
                && !later.is_excused
                && !publication.is_excused
                && !later.is_refused
                && later.sent.is_some_and(|sent| sent > routed)
                && later.acknowledged.is_some_and(|taken| taken < asked)
        };
        let later = self.publications.iter().find(is_replaced);
        assert!(later.is_none(), "{told}, which was replaced: {later:?}");
    }

    /// The messages that a topic may keep; `None` among them: it may keep none.
    pub(super) fn may_be_retained(&self, topic: &str) -> Vec<Option<usize>> {
        let of_topic = |(_, it): &(usize, &Publication)| {
            it.retain && it.topic == topic && it.sent.is_some() && !it.is_cancelled
        };
        let all: Vec<_> = self.publications.iter().enumerate().filter(of_topic).collect();
        let is_sure = |it: &Publication| {
            it.acknowledged.is_some() && !it.is_excused && !it.is_refused && it.copies == 1
        };
        let is_last = |(_, it): &&(usize, &Publication)| {
            let is_after = |later: &(usize, &Publication)| {
                is_sure(later.1)
                    && it.copies == 1
                    && it.routed.is_some()
                    && later.1.sent > it.routed
            };
            !it.is_refused && !all.iter().any(is_after)
        };
        let mut may: Vec<_> = all
            .iter()
            .filter(is_last)
            .flat_map(|(number, it)| {
                // Expired, or beyond a limit: none.
                let or_none =
                    it.expiry_s.is_some() || it.qos == flotilla_mqtt::QoS::AtMostOnce || it.is_will;
                let kept = (!it.is_empty).then_some(*number);
                [Some(kept), or_none.then_some(None)].into_iter().flatten()
            })
            .collect();
        if !all.iter().any(|(_, it)| is_sure(it)) {
            may.push(None);
        }
        may
    }
}
