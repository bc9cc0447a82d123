//! What was published: when it was sent, when it was acknowledged.

use std::{collections::HashMap, sync::Arc};

use super::Verdict;
use crate::history::{Cut, History, Loses, Serial, What};

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) serial: Serial,
    pub(super) topic: Arc<str>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) is_empty: bool,
    /// When it was sent; never empty, ascending.
    pub(super) sent: Vec<u64>,
    /// When the broker took the responsibility.
    pub(super) acknowledged: Option<u64>,
    /// The broker said no, with this Reason Code.
    pub(super) refused: Option<u8>,
}

impl Publication {
    /// When it was sent first.
    pub(super) fn first(&self) -> u64 {
        self.sent[0]
    }

    /// When it was sent last.
    pub(super) fn last(&self) -> u64 {
        self.sent[self.sent.len() - 1]
    }

    /// How often the broker may have routed it until `at`: each time it was sent, at QoS 2 once,
    /// and again when it was sent again after a power cut.
    pub(super) fn copies(&self, at: u64, cuts: &[Cut]) -> usize {
        if self.qos == 1 {
            return self.sent.iter().filter(|sent| **sent < at).count();
        }
        let is_sent_again = |cut: &&Cut| {
            let again = self.sent.iter().any(|sent| cut.from < *sent && *sent < at);
            cut.loses != Loses::Nothing && self.first() < cut.until && again
        };
        1 + cuts.iter().filter(is_sent_again).count()
    }
}

/// All messages, by serial; those of a topic in the order in which they were first sent.
#[derive(Default, Debug)]
pub(super) struct Publications {
    pub(super) all: HashMap<Serial, Publication>,
    pub(super) by_topic: HashMap<Arc<str>, Vec<Serial>>,
}

impl Publications {
    pub(super) fn of(clients: &[History]) -> Self {
        let mut publications = Self::default();
        for history in clients {
            for (at, what) in &history.events {
                publications.note(*at, what);
            }
        }
        let Self { all, by_topic } = &mut publications;
        for serials in by_topic.values_mut() {
            serials.sort_by_key(|serial| all[serial].first());
        }
        publications
    }

    fn note(&mut self, at: u64, what: &What) {
        match what {
            What::Publishing { serial, topic, qos, retain, is_empty } => {
                let publication = self.all.entry(*serial).or_insert_with(|| {
                    self.by_topic.entry(Arc::clone(topic)).or_default().push(*serial);
                    Publication {
                        serial: *serial,
                        topic: Arc::clone(topic),
                        qos: *qos,
                        retain: *retain,
                        is_empty: *is_empty,
                        sent: Vec::new(),
                        acknowledged: None,
                        refused: None,
                    }
                });
                publication.sent.push(at);
            }
            What::Acknowledged { serial, code } => {
                let publication = self.all.get_mut(serial).expect("what is acknowledged was sent");
                if *code < 0x80 {
                    publication.acknowledged.get_or_insert(at);
                } else {
                    publication.refused = Some(*code);
                }
            }
            _ => {}
        }
    }

    pub(super) fn count(&self, verdict: &mut Verdict) {
        verdict.messages = self.all.len() as u64;
        let number = |is: fn(&Publication) -> bool| self.all.values().filter(|it| is(it)).count();
        verdict.acknowledged = number(|it| it.acknowledged.is_some()) as u64;
        verdict.refused = number(|it| it.refused.is_some()) as u64;
    }
}
