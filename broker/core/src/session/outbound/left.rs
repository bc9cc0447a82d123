//! What a session that ends leaves to its groups.

use flotilla_mqtt::QoS;

use super::{InFlight, Outbound, Source, State};
use crate::id::{GroupKey, Position};
use crate::message::Message;

impl Outbound {
    /// The session ends: takes what groups gave it and another member may get. What is in the log
    /// stays there; QoS 2 that has left goes to nobody else ([MQTT-4.8.2-5]).
    pub(crate) fn take_shared(&mut self) -> Vec<(Message, GroupKey)> {
        let mut shared = Vec::new();
        for entry in &mut self.in_flight {
            if let (Source::Group(group), Some(message)) = (entry.source, entry.message.take()) {
                shared.push((message, group));
            }
        }
        self.waiting.retain(|waiting| {
            let Source::Group(group) = waiting.source else { return true };
            self.waiting_bytes -= waiting.bytes();
            shared.push((waiting.message.clone(), group));
            false
        });
        shared
    }

    /// The session ends, and another one can get the message at this position: says whether it has
    /// not had it. QoS 2 that has left goes to nobody else ([MQTT-4.8.2-5]).
    pub(crate) fn give_back(&mut self, position: Position) -> bool {
        let found = self.in_flight.binary_search_by_key(&Some(position), InFlight::position);
        let Ok(at) = found else {
            return position >= self.frontier && !self.is_finished(position);
        };
        let InFlight { state, was_sent, .. } = self.in_flight[at];
        let may_go = !was_sent || state == State::Sent(QoS::AtLeastOnce);
        if may_go {
            self.in_flight.remove(at);
        }
        may_go
    }
}
