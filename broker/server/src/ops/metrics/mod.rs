//! What was counted, as Prometheus reads it.

use std::{sync::atomic::Ordering, time::SystemTime};

use flotilla_core::{
    counters::{ConnectOutcome, DropReason, packet_labels},
    histogram::{Bytes, Histogram, Nanoseconds, Pieces, Unit},
};
use flotilla_store::{Reason, State};
use metrics::{Label, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use super::{
    operations::{Operations, Routed, Serving},
    process::Process,
};
use crate::worker::Report;

#[cfg(test)]
mod tests;

const COMMIT_DURATION: &str = "flotilla_store_commit_duration_seconds";
const SYNC_DURATION: &str = "flotilla_store_sync_duration_seconds";
const COMMIT_MESSAGES: &str = "flotilla_store_commit_messages";
const COMMIT_BYTES: &str = "flotilla_store_commit_bytes";
const HANDSHAKE_DURATION: &str = "flotilla_tls_handshake_duration_seconds";

/// Renders; keeps what histograms said last time, because only what came since may be added.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    commits: Histogram<Nanoseconds>,
    syncs: Histogram<Nanoseconds>,
    commit_messages: Histogram<Pieces>,
    commit_bytes: Histogram<Bytes>,
    handshakes: Histogram<Nanoseconds>,
}

impl Metrics {
    /// With nothing counted.
    pub(crate) fn new() -> Self {
        let seconds = Histogram::<Nanoseconds>::bounds();
        let bounds = [
            (COMMIT_DURATION, seconds),
            (SYNC_DURATION, seconds),
            (COMMIT_MESSAGES, Histogram::<Pieces>::bounds()),
            (COMMIT_BYTES, Histogram::<Bytes>::bounds()),
            (HANDSHAKE_DURATION, seconds),
        ];
        let builder = bounds.iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
            builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
                .expect("there are bounds")
        });
        Self {
            recorder: builder.build_recorder(),
            commits: Histogram::default(),
            syncs: Histogram::default(),
            commit_messages: Histogram::default(),
            commit_bytes: Histogram::default(),
            handshakes: Histogram::default(),
        }
    }

    /// The page. `report`: the sum over all workers; `None` while the store is being opened.
    pub(crate) fn render(
        &mut self,
        operations: &Operations,
        report: Option<(&Serving, &Report)>,
    ) -> String {
        let process = Process::read();
        with_local_recorder(&self.recorder, || {
            about(operations, &process);
            let Some((serving, report)) = report else { return };
            connections(serving, report);
            messages(report);
            stored(serving, report);
            add(
                COMMIT_DURATION,
                "From the end of a turn until what it wrote is written to the log.",
                &report.commits,
                &mut self.commits,
            );
            let store = serving.shared.engine.counters();
            add(
                SYNC_DURATION,
                "How long each sync of the log took; one serves all that wait for it.",
                &store.syncs,
                &mut self.syncs,
            );
            add(
                COMMIT_MESSAGES,
                "Messages of each commit.",
                &store.commit_messages,
                &mut self.commit_messages,
            );
            add(
                COMMIT_BYTES,
                "Bytes of the messages of each commit.",
                &store.commit_bytes,
                &mut self.commit_bytes,
            );
            add(
                HANDSHAKE_DURATION,
                "TLS handshakes that were done.",
                &report.handshakes.durations,
                &mut self.handshakes,
            );
        });
        let mut page = self.recorder.handle().render();
        // The crate's counters are whole numbers, and whole seconds are too coarse for this one.
        page.push_str(&format!(
            "# HELP flotilla_process_cpu_seconds_total Time on a core, user and system.\n\
             # TYPE flotilla_process_cpu_seconds_total counter\n\
             flotilla_process_cpu_seconds_total {}\n",
            process.cpu_seconds
        ));
        page
    }
}

fn connections(serving: &Serving, report: &Report) {
    let core = &report.core;
    gauge("flotilla_connections", "Open connections, CONNECT or not.", core.connections_open, &[]);
    for (outcome, count) in ConnectOutcome::ALL.iter().zip(core.connects) {
        count_by(
            "flotilla_connection_attempts_total",
            "Connection attempts by outcome.",
            count,
            &[("outcome", outcome.name())],
        );
    }
    for (outcome, count) in
        [("accepted", core.reauthentications), ("refused", core.reauthentications_refused)]
    {
        count_by(
            "flotilla_reauthentications_total",
            "Connected clients that authenticated again (AUTH) by outcome; refused ones end.",
            count,
            &[("outcome", outcome)],
        );
    }
    for listener in &serving.listeners {
        let bind = listener.bind.to_string();
        let label = [("listener", bind.as_str())];
        let counts = &listener.counts;
        gauge(
            "flotilla_listener_connections",
            "Sockets of a listener.",
            listener.connections() as u64,
            &label,
        );
        count_by(
            "flotilla_listener_accepted_total",
            "Sockets accepted.",
            counts.accepted.load(Ordering::Relaxed),
            &label,
        );
        count_by(
            "flotilla_listener_full_total",
            "Sockets closed at once because of max_connections or the limit of open files.",
            counts.full.load(Ordering::Relaxed),
            &label,
        );
        count_by(
            "flotilla_listener_exhausted_total",
            "Times no socket could be accepted because the system had no file descriptor or memory left.",
            counts.exhausted.load(Ordering::Relaxed),
            &label,
        );
    }
    for (outcome, count) in [
        ("accepted", report.handshakes.accepted),
        ("failed", report.handshakes.failed),
        ("timed_out", report.handshakes.timed_out),
    ] {
        count_by(
            "flotilla_tls_handshakes_total",
            "TLS handshakes by outcome.",
            count,
            &[("outcome", outcome)],
        );
    }
    for (outcome, count) in [
        ("accepted", report.upgrades.accepted),
        ("refused", report.upgrades.refused),
        ("timed_out", report.upgrades.timed_out),
    ] {
        count_by(
            "flotilla_websocket_handshakes_total",
            "Requests for WebSockets by outcome.",
            count,
            &[("outcome", outcome)],
        );
    }
    count(
        "flotilla_websocket_violations_total",
        "WebSockets that ended because of a frame that must not be.",
        report.upgrades.violations,
    );
    for (state, sessions) in
        [("connected", core.sessions_connected), ("disconnected", core.sessions_disconnected)]
    {
        gauge("flotilla_sessions", "Sessions by state.", sessions, &[("state", state)]);
    }
    count(
        "flotilla_sessions_expired_total",
        "Sessions that ended by expiry.",
        core.sessions_expired,
    );
    count(
        "flotilla_takeovers_total",
        "Connections ended because another one took their session.",
        core.takeovers,
    );
    count(
        "flotilla_keep_alive_timeouts_total",
        "Connections ended because of silence.",
        core.keep_alive_timeouts,
    );
    count(
        "flotilla_protocol_errors_total",
        "Connections ended because their peer broke the protocol.",
        core.protocol_errors,
    );
    count(
        "flotilla_sessions_overtaken_total",
        "Times that cleaning took messages from a session that had not had them.",
        core.sessions_overtaken,
    );
    gauge("flotilla_subscriptions", "Subscriptions of all sessions.", core.subscriptions, &[]);
}

fn messages(report: &Report) {
    let core = &report.core;
    let packets = [
        ("flotilla_packets_received_total", "Packets received by type.", core.packets_received),
        ("flotilla_packets_sent_total", "Packets sent by type.", core.packets_sent),
    ];
    for (name, help, counts) in packets {
        for (number, packet) in packet_labels() {
            count_by(name, help, counts[number], &[("type", packet)]);
        }
    }
    count("flotilla_received_bytes_total", "Bytes of MQTT received.", core.bytes_received);
    count("flotilla_sent_bytes_total", "Bytes of MQTT given to sockets.", core.bytes_sent);
    let messages = [
        ("flotilla_messages_received_total", "Messages accepted, by QoS.", core.messages_received),
        (
            "flotilla_messages_delivered_total",
            "Messages sent to subscribers for the first time, by the QoS of the delivery.",
            core.messages_delivered,
        ),
    ];
    for (name, help, counts) in messages {
        for (qos, count) in ["0", "1", "2"].iter().zip(counts) {
            count_by(name, help, count, &[("qos", qos)]);
        }
    }
    count(
        "flotilla_messages_resent_total",
        "Messages sent again after a reconnect.",
        core.messages_resent,
    );
    count(
        "flotilla_messages_aliased_total",
        "Messages sent with a Topic Alias in place of their topic.",
        core.messages_aliased,
    );
    count(
        "flotilla_messages_refused_total",
        "Messages that a subscriber got and refused with a Reason Code.",
        core.messages_refused,
    );
    count(
        "flotilla_messages_unmatched_total",
        "Messages that no subscription matched.",
        core.messages_unmatched,
    );
    for (reason, count) in DropReason::ALL.iter().zip(core.dropped) {
        count_by(
            "flotilla_messages_dropped_total",
            "Deliveries dropped, by reason.",
            count,
            &[("reason", reason.name())],
        );
    }
}

fn stored(serving: &Serving, report: &Report) {
    let store = serving.shared.engine.counters();
    let Routed { shared_groups, retained_messages, retained_bytes } = serving.routed();
    count(
        "flotilla_messages_stored_total",
        "Messages that went into the log.",
        report.core.messages_stored,
    );
    for (kind, damaged) in serving.shared.engine.damage() {
        count_by(
            "flotilla_store_damaged_total",
            "What did not hold in the store and was set aside, by kind.",
            damaged,
            &[("kind", kind)],
        );
    }
    gauge(
        "flotilla_store_unclean_stop",
        "1 when the broker before this one did not end in order.",
        u64::from(serving.unclean_stop.is_some()),
        &[],
    );
    count("flotilla_store_commits_total", "Groups of batches written to the store.", store.commits);
    count("flotilla_store_batches_total", "Batches committed.", store.batches);
    count(
        "flotilla_store_message_bytes_total",
        "Bytes of messages appended to the log.",
        store.message_bytes,
    );
    count(
        "flotilla_store_unreadable_pages_total",
        "Pages of the log that could not be read.",
        report.unreadable_pages,
    );
    count(
        "flotilla_store_index_faults_total",
        "How often the index of the log was damaged, missing or could not be written; no message is \
         lost by that.",
        store.index_faults,
    );
    let state = serving.shared.engine.state();
    for name in State::NAMES {
        gauge(
            "flotilla_store_state",
            "1: the store is in this state.",
            u64::from(state.name() == name),
            &[("state", name)],
        );
    }
    gauge(
        "flotilla_store_uncommitted_bytes",
        "Bytes handed to the store and not yet committed.",
        serving.shared.engine.uncommitted_bytes() as u64,
        &[],
    );
    let memory = serving.shared.engine.memory();
    for (kind, bytes) in
        [("read", memory.read), ("written", memory.written), ("tables", memory.tables)]
    {
        gauge(
            "flotilla_store_memory_bytes",
            "Memory of the store: what was read, writes that are not in tables yet, open tables.",
            bytes,
            &[("kind", kind)],
        );
    }
    let size = serving.shared.engine.log_size();
    gauge(
        "flotilla_store_log_bytes",
        "Bytes of the log, before it is compressed.",
        size.bytes,
        &[],
    );
    count(
        "flotilla_store_log_appended_bytes_total",
        "Bytes that the log grew by, before they are compressed; without flotilla_store_log_cleaned_bytes_total \
         it is what flotilla_store_log_bytes has grown by.",
        store.block_bytes,
    );
    gauge(
        "flotilla_store_log_partitions",
        "Partitions of the log that have messages.",
        size.partitions as u64,
        &[],
    );
    gauge(
        "flotilla_store_log_segments",
        "Sealed segments of the log: only what is in these can be cleaned.",
        size.segments as u64,
        &[],
    );
    let now_ms = serving.shared.clock.now().unix_ms;
    gauge(
        "flotilla_store_oldest_message_age_seconds",
        "Age of the oldest message in the log; 0 if there is none.",
        size.oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms) / 1000),
        &[],
    );
    for (reason, taken) in Reason::ALL.iter().zip(store.cleaned) {
        let reason = [("reason", reason.name())];
        count_by(
            "flotilla_store_messages_cleaned_total",
            "Messages that went from the log: nobody wanted them any more, too old, too many.",
            taken.messages,
            &reason,
        );
        count_by(
            "flotilla_store_log_cleaned_bytes_total",
            "Bytes of these messages in the log, before they are compressed.",
            taken.bytes,
            &reason,
        );
    }
    gauge("flotilla_shared_groups", "Groups of shared subscriptions.", shared_groups as u64, &[]);
    gauge("flotilla_retained_messages", "Retained messages.", retained_messages as u64, &[]);
    gauge("flotilla_retained_bytes", "Bytes of retained messages.", retained_bytes as u64, &[]);
    count(
        "flotilla_retained_expired_total",
        "Retained messages that expired.",
        report.core.retained_expired,
    );
}

fn about(operations: &Operations, process: &Process) {
    gauge(
        "flotilla_build_info",
        "1; what runs here.",
        1,
        &[("version", env!("CARGO_PKG_VERSION")), ("node", &operations.node_name)],
    );
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(operations.clock.elapsed());
    gauge(
        "flotilla_process_start_time_seconds",
        "When the broker started, Unix time.",
        started.as_secs(),
        &[],
    );
    gauge(
        "flotilla_process_resident_memory_bytes",
        "Memory that is not swapped out.",
        process.resident_bytes,
        &[],
    );
    gauge("flotilla_process_open_fds", "Open file descriptors.", process.open_files, &[]);
    gauge(
        "flotilla_process_max_fds",
        "The most file descriptors there may be.",
        process.open_files_max,
        &[],
    );
}

fn count(name: &'static str, help: &'static str, count: u64) {
    count_by(name, help, count, &[]);
}

fn count_by(name: &'static str, help: &'static str, count: u64, labels: &[(&'static str, &str)]) {
    metrics::describe_counter!(name, help);
    metrics::counter!(name, owned(labels)).absolute(count);
}

fn gauge(name: &'static str, help: &'static str, value: u64, labels: &[(&'static str, &str)]) {
    metrics::describe_gauge!(name, help);
    metrics::gauge!(name, owned(labels)).set(value as f64);
}

/// The mean of a bucket lies in the bucket, so counts and sum come out right.
fn add<U: Unit>(
    name: &'static str,
    help: &'static str,
    now: &Histogram<U>,
    before: &mut Histogram<U>,
) {
    metrics::describe_histogram!(name, help);
    let histogram = metrics::histogram!(name);
    for (bucket, before) in now.buckets.iter().zip(before.buckets) {
        let count = bucket.count.saturating_sub(before.count);
        if count > 0 {
            let sum = bucket.sum.saturating_sub(before.sum);
            let mean = sum as f64 / count as f64 / U::SCALE;
            histogram.record_many(mean, usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
    *before = *now;
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect()
}
