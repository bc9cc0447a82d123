//! What a session reads from the log, page by page.

use super::{Feed, Outbound, Source, Waiting};
use crate::id::Position;
use crate::limits::Limits;
use crate::message::Message;
use crate::session::in_flight::InFlight;
use crate::subscription::Terms;
use crate::turn::Page;
use flotilla_mqtt::QoS;

impl Outbound {
    /// The page to ask for, when few messages are left to send: number, first position, and the
    /// positions that are wanted whatever the filters say.
    pub(crate) fn ask(&mut self, limits: &Limits) -> Option<(u64, Position, Vec<Position>)> {
        let Feed::Log { read_from, is_reading: is_reading @ false, .. } = &mut self.feed else {
            return None;
        };
        if self.waiting.len() > limits.page_messages_max / 4
            || self.waiting_bytes > limits.page_bytes_max / 4
        {
            return None;
        }
        self.requests = self.requests.wrapping_add(1);
        *is_reading = true;
        let unsent = self.in_flight.iter().filter(|entry| entry.must_be_sent());
        let positions = unsent.filter_map(InFlight::position).filter(|p| p >= read_from);
        Some((u64::from(self.requests), *read_from, positions.collect()))
    }

    /// The number of a page that is not for the client.
    pub(crate) fn number_page(&mut self) -> u64 {
        self.requests = self.requests.wrapping_add(1);
        u64::from(self.requests)
    }

    /// The filters changed: what is being read with the old ones does not count.
    pub(crate) fn discard_page(&mut self) {
        if let Feed::Log { is_reading, .. } = &mut self.feed {
            *is_reading = false;
        }
    }

    /// A page came. Messages in flight that are not in the log any more are done: the cleaner has
    /// counted them.
    pub(crate) fn take_page(
        &mut self,
        page: Page,
        mut terms_of: impl FnMut(&Message, Position) -> Option<Terms>,
    ) {
        let Feed::Log { read_from, skipped_to, is_reading } = self.feed else { return };
        if !is_reading || page.number != u64::from(self.requests) {
            return;
        }
        let mut found = Vec::new();
        for (position, message) in page.messages {
            let entry = self.in_flight.binary_search_by_key(&Some(position), InFlight::position);
            let terms = match entry {
                Ok(at) if self.in_flight[at].must_be_sent() => {
                    found.push(position);
                    let terms = terms_of(&message, position);
                    Some(self.in_flight[at].terms(terms, &message))
                }
                Ok(_) => None,
                Err(_) if position < self.frontier || self.is_finished(position) => None,
                Err(_) => terms_of(&message, position).filter(|it| it.qos > QoS::AtMostOnce),
            };
            if let Some(terms) = terms {
                self.wait(Waiting { source: Source::Log(position), message, terms });
            }
        }
        self.in_flight.retain(|entry| {
            let is_missing = entry.must_be_sent()
                && entry.position().is_some_and(|position| {
                    (read_from..page.next).contains(&position) && !found.contains(&position)
                });
            !is_missing
        });
        self.feed = if page.reached_end && page.next >= skipped_to {
            Feed::Memory { from: page.next }
        } else {
            Feed::Log { read_from: page.next, skipped_to, is_reading: false }
        };
    }
}
