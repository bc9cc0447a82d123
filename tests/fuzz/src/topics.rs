//! The router's trie against the definition.

use flotilla_core::id::{ClientId, SessionKey, ShardId};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::router::{Recent, Router, Subscriber};
use flotilla_core::subscription::{SubscribedFrom, Subscription};
use flotilla_mqtt::{Forwarded, QoS, SubscriptionOptions, topic};

/// The first line is a topic, each other a filter: they come, then go one after the other.
pub(crate) fn route(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let Some(name) = lines.next().filter(|name| topic::is_valid_name(name)) else { return };
    if name.len() > 1_000 {
        return;
    }
    let mut router = Router::default();
    let client_id = ClientId::from("c");
    let filters: Vec<_> = lines
        .filter(|line| topic::is_valid_filter(line) && topic::shared_filter(line).is_none())
        .take(50)
        .collect();
    let mut keys = Vec::new();
    for filter in &filters {
        let key = router.add(Subscriber {
            shard: ShardId(0),
            session: SessionKey::default(),
            is_durable: false,
            is_connected: true,
        });
        let wish = Subscription {
            options: SubscriptionOptions::new(QoS::AtLeastOnce),
            id: None,
            start: SubscribedFrom::Unwritten(0),
        };
        router.subscribe(key, &client_id, filter, &wish);
        keys.push(key);
    }
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: name,
        publisher: "p",
        addressee: "",
        received_at_ms: 0,
        expires_at_ms: None,
        forwarded: Forwarded::default(),
        payload: b"",
    };
    let message = Message::new(&parts, &mut Vec::new());
    let (mut recent, mut matches) = (Recent::default(), Vec::new());
    for gone in 0..=filters.len() {
        let left = &filters[gone..];
        let wanted = left.iter().filter(|filter| is_match(filter, name)).count();
        // The second time from what the first one has kept.
        for _ in 0..2 {
            router.route(&message, None, &mut recent, &mut matches);
            assert_eq!(matches.len(), wanted, "{name:?} {left:?}");
        }
        if let Some(filter) = left.first() {
            router.unsubscribe(keys[gone], filter);
        }
    }
    for filter in &filters {
        assert_eq!(topic::matches(filter, name), is_match(filter, name), "{filter:?} {name:?}");
    }
}

/// Section 4.7, in five lines.
fn is_match(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([one, filter @ ..], [other, topic @ ..]) => one == other && levels(filter, topic),
            _ => false,
        }
    }
    let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    !is_hidden && levels(&filter, &topic)
}
