//! What the broker counts, against what the fleets and the sleeper saw.

use flotilla_tests::{Broker, Client};

use super::{
    DEVICES, FLEETS, PAIRS,
    figures::{Page, numbers},
    verdict::Verdict,
};

/// What came in and what went out, as the broker counts it, as the fleets and the sleeper saw it.
pub(crate) fn messages(
    broker: &Broker,
    reports: &[String],
    told: u64,
    sleeper: &mut Client,
    verdict: &mut Verdict,
) {
    let by_qos = |reports: &[String], key: &str| -> [u64; 3] {
        let each = reports.iter().map(|json| numbers(json, key));
        each.fold([0; 3], |sum, of| [sum[0] + of[0], sum[1] + of[1], sum[2] + of[2]])
    };
    let all = |key: &str| by_qos(reports, key);
    let one = |key: &str| reports.iter().flat_map(|json| numbers(json, key)).sum::<u64>();
    let (sent, wills, arrived) = (all("sent_by_qos"), one("wills"), all("arrived_by_qos"));
    let page = Page::of(broker);
    let cleaned = page.sum("flotilla_messages_dropped_total", "reason=\"cleaned\"");
    // The sleeper wants nothing of the burst.
    let of_fleets = by_qos(&reports[1..], "sent_by_qos");
    let wanted = of_fleets[1] + wills + of_fleets[2];
    for _ in told..wanted {
        sleeper.take();
    }
    sleeper.ping();
    verdict.same(
        "what the sleeper was told that it has lost, and what counts as that",
        told,
        cleaned,
    );
    verdict.check(
        told > 0 && told < wanted,
        format!("the sleeper lost {told} of {wanted} messages, and got all others"),
    );

    let page = Page::of(broker);
    let received = page.by_qos("flotilla_messages_received_total");
    let delivered = page.by_qos("flotilla_messages_delivered_total");
    let expected = [sent[0], sent[1] + wills, sent[2]];
    verdict.check(received == expected, format!("received: {received:?} = {expected:?}"));
    let expected = [arrived[0], arrived[1] + wanted - told, arrived[2]];
    verdict.check(delivered == expected, format!("delivered: {delivered:?} = {expected:?}"));
    let resent = page.sum("flotilla_messages_resent_total", "");
    let twice = one("duplicated");
    verdict.check(twice <= resent, format!("sent again: {resent}, of which {twice} came twice"));
    let packets = page.sum("flotilla_packets_sent_total", "type=\"publish\"");
    verdict.same("PUBLISH packets", packets, delivered.iter().sum::<u64>() + resent);
    let dropped = page.sum("flotilla_messages_dropped_total", "");
    verdict.same("dropped: what was cleaned, QoS 0 for the sleeper", dropped, told + sent[0]);
    let offline = page.sum("flotilla_messages_dropped_total", "reason=\"offline\"");
    verdict.same("dropped because nobody was there", offline, sent[0]);
    verdict.same("unmatched", page.sum("flotilla_messages_unmatched_total", ""), 0);
    let attempts = page.sum("flotilla_connection_attempts_total", "");
    let accepted = page.sum("flotilla_connection_attempts_total", "outcome=\"accepted\"");
    verdict.same("connections", accepted, one("connections") + 2);
    verdict.same("connections that failed", attempts - accepted, 0);
    verdict.same("protocol errors", page.sum("flotilla_protocol_errors_total", ""), 0);
}

/// What is left when all have gone: sessions that outlive their connections, with what they want.
pub(crate) fn left(broker: &Broker, verdict: &mut Verdict) {
    // Of each fleet half of the devices, three technicians and the historian, who have two filters.
    let fleets = FLEETS.len() as u64;
    let sessions = 1 + PAIRS + fleets * (DEVICES / 2 + 3 + 1);
    let subscriptions = sessions + fleets * (3 + 1);
    // Who has said DISCONNECT is gone a moment later.
    broker.await_metric("flotilla_connections", &[], |open| open == 0.0);
    let page = Page::of(broker);
    let of = |state| page.sum("flotilla_sessions", state);
    verdict.same("sessions with a connection", of("state=\"connected\""), 0);
    verdict.same("sessions without one", of("state=\"disconnected\""), sessions);
    let count = |name| page.sum(name, "");
    verdict.same("subscriptions", count("flotilla_subscriptions"), subscriptions);
    verdict.same("shared groups", count("flotilla_shared_groups"), fleets * 2);
    for name in [
        "flotilla_store_uncommitted_bytes",
        "flotilla_store_index_faults_total",
        "flotilla_store_unreadable_pages_total",
        "flotilla_sessions_expired_total",
        "flotilla_keep_alive_timeouts_total",
    ] {
        verdict.same(name, count(name), 0);
    }
}
