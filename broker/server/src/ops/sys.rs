//! `$SYS/broker/…`: what the broker says of itself to its clients, by the names of mosquitto.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::operations::{Operations, Routed};
use crate::{net::mailbox::Inbound, worker::Report};

/// Says at each interval what has changed, for ever; `None`: nothing.
pub(crate) async fn say(operations: Arc<Operations>, every: Option<Duration>) {
    let Some(every) = every else { return pending().await };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = HashMap::new();
    loop {
        ticks.tick().await;
        let Some(serving) = operations.serving.get() else { continue };
        let Some(report) = serving.report().await else { continue };
        let uptime_s = operations.clock.elapsed().as_secs();
        let news = changed(&mut said, facts(&report, serving.routed(), uptime_s));
        if let (false, Some(mailbox)) = (news.is_empty(), serving.shared.mailboxes.first()) {
            mailbox.push(Inbound::Announced(news));
        }
    }
}

/// Name below `$SYS/broker`, payload.
fn facts(report: &Report, routed: Routed, uptime_s: u64) -> Vec<(&'static str, String)> {
    let core = &report.core;
    let sum = |numbers: &[u64]| numbers.iter().sum::<u64>();
    let numbers = [
        ("clients/connected", core.sessions_connected),
        ("clients/disconnected", core.sessions_disconnected),
        ("clients/total", core.sessions_connected + core.sessions_disconnected),
        ("clients/expired", core.sessions_expired),
        ("subscriptions/count", core.subscriptions),
        ("shared_subscriptions/count", routed.shared_groups as u64),
        ("retained messages/count", routed.retained_messages as u64),
        // Packets of every kind, as mosquitto counts.
        ("messages/received", sum(&core.packets_received)),
        ("messages/sent", sum(&core.packets_sent)),
        ("publish/messages/received", sum(&core.messages_received)),
        ("publish/messages/sent", sum(&core.messages_delivered) + core.messages_resent),
        ("publish/messages/dropped", sum(&core.dropped)),
        ("bytes/received", core.bytes_received),
        ("bytes/sent", core.bytes_sent),
    ];
    let version = concat!("flotilla version ", env!("CARGO_PKG_VERSION"));
    let words = [("version", version.to_owned()), ("uptime", format!("{uptime_s} seconds"))];
    let numbers = numbers.map(|(name, number)| (name, number.to_string()));
    words.into_iter().chain(numbers).collect()
}

/// What is not as it was said last, as Topic Names with payloads.
fn changed(
    said: &mut HashMap<&'static str, String>,
    facts: Vec<(&'static str, String)>,
) -> Vec<(String, String)> {
    let is_new = |(name, payload): &(&'static str, String)| {
        said.insert(name, payload.clone()).as_ref() != Some(payload)
    };
    let news = facts.into_iter().filter(is_new);
    news.map(|(name, payload)| (format!("$SYS/broker/{name}"), payload)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_has_changed() {
        let mut said = HashMap::new();
        let routed = Routed { shared_groups: 1, retained_messages: 2, retained_bytes: 3 };
        let facts = |uptime_s| facts(&Report::default(), routed, uptime_s);
        let first = changed(&mut said, facts(1));
        assert_eq!(first.len(), 16);
        assert!(first.contains(&("$SYS/broker/retained messages/count".into(), "2".into())));
        let second = changed(&mut said, facts(2));
        assert_eq!(second, [("$SYS/broker/uptime".into(), "2 seconds".into())]);
        assert!(changed(&mut said, facts(2)).is_empty());
    }
}
