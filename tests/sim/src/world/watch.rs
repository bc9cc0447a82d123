//! What must hold between any two steps.

use std::collections::BTreeSet;

use super::World;

/// No more topics than these are published to.
const TOPICS_MAX: usize = 32;

impl World {
    /// Looks at every shard.
    pub(super) fn watch(&self) {
        let limits = &self.setup.limits;
        let mut owned = BTreeSet::new();
        let mut connections = 0;
        for shard in &self.bench.shards {
            let census = shard.census();
            connections += census.connections;
            for session in &census.sessions {
                let name = session.client_id.as_str();
                assert!(owned.insert(session.client_id.clone()), "{name} has two owners");
                let quota = session.send_quota.unwrap_or(0);
                let on_wire = session.on_wire;
                // After a crash, exchanges that were over may go on, side by side, with PUBREL.
                let is_right = on_wire <= quota || self.model.crashed.is_some();
                assert!(is_right, "{name}: {on_wire} on the wire, quota is {quota}");
                assert!(session.subscriptions <= limits.subscriptions_max, "{name}: subscriptions");
                // What is retained and sent at QoS 0 waits beside what comes from the log. One message may be larger than what is left of a limit.
                let message = limits.packet_size_max as usize;
                // All retained messages that one filter finds may wait.
                let retained = limits.retained_messages_max.min(TOPICS_MAX);
                let queue_messages_max = limits.queue_messages_max.max(retained);
                let queue_bytes_max = limits.queue_bytes_max.max(retained * message);
                let (waiting_max, bytes_max) = match session.is_durable {
                    true => (
                        limits.tail_messages_max.max(limits.page_messages_max * 5 / 4)
                            + queue_messages_max,
                        limits.tail_bytes_max.max(limits.page_bytes_max * 5 / 4)
                            + queue_bytes_max
                            + message,
                    ),
                    false => (queue_messages_max, queue_bytes_max + message),
                };
                let (waiting, bytes) = (session.waiting, session.waiting_bytes);
                assert!(
                    waiting <= waiting_max,
                    "{name}: {waiting} messages wait, {waiting_max} may"
                );
                assert!(bytes <= bytes_max, "{name}: {bytes} bytes wait, {bytes_max} may");
            }
        }
        for client_id in self.bench.travelling() {
            assert!(owned.insert(client_id.clone()), "{client_id} is owned, and travels");
        }
        let open = self.bench.open_wires();
        // While a turn lasts, nobody has closed what it closes.
        let is_right = connections == open || self.bench.holds_turn && connections < open;
        assert!(is_right, "shards have {connections} connections, sockets are {open}");
    }
}
