//! What the core holds in memory for each thing there are many of, with what routing costs.
//!
//! ```sh
//! cargo run --release -p flotilla-core --example footprint
//! ```

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use flotilla_core::connection::Identification;
use flotilla_core::durability::Durability;
use flotilla_core::id::{ClientId, SessionKey, ShardId};
use flotilla_core::limits::Limits;
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::router::{Recent, Router, Subscriber};
use flotilla_core::shard::Shard;
use flotilla_core::subscription::{SubscribedFrom, Subscription};
use flotilla_core::time::Now;
use flotilla_core::turn::Turn;
use flotilla_mqtt::{
    Connect, Forwarded, Packet, PacketId, Publish, QoS, Requested, Subscribe, SubscribeFilters,
    SubscriptionOptions, UserProperties, Version,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Devices stand in regions of so many.
const REGION: usize = 100;
const ROUTES: usize = 1_000_000;

fn main() {
    for subscriptions in [1_000, 100_000, 1_000_000] {
        subscriptions_and_routes(subscriptions);
    }
    retained(200_000);
    idle_sessions(100_000);
}

/// Calls `fill`, and says what it has left in memory for each of `count`. The allocator's own part,
/// 8 bytes or more an allocation, comes on top.
fn weigh<T>(what: &str, count: usize, fill: impl FnOnce() -> T) -> T {
    let region = Region::new(ALLOCATOR);
    let began = Instant::now();
    let filled = fill();
    let ns = began.elapsed().as_nanos() as f64 / count as f64;
    let change = region.change();
    let bytes = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    let blocks = change.allocations as f64 - change.deallocations as f64;
    let (bytes, blocks) = (bytes / count as f64, blocks / count as f64);
    println!("{count:>9} {what:<24} {bytes:7.1} B in {blocks:.2} blocks each, {ns:.0} ns each");
    filled
}

/// One filter a device, and one that matches all of them.
fn subscriptions_and_routes(count: usize) {
    let mut router = weigh("subscriptions", count, || {
        let mut router = Router::default();
        for device in 0..count {
            subscribe(&mut router, &format!("fleet/r{}/d{device:07}/cmd/#", device / REGION));
        }
        router
    });
    subscribe(&mut router, "fleet/+/+/cmd/#");
    let topic = |at: usize| {
        let device = at.wrapping_mul(7_919) % count;
        format!("fleet/r{}/d{device:07}/cmd/go", device / REGION)
    };
    let messages: Vec<_> =
        (0..10_000).map(|at| message(&topic(at * 101), &[0; 64], QoS::AtMostOnce)).collect();
    let (mut recent, mut matches) = (Recent::default(), Vec::new());
    let began = Instant::now();
    for at in 0..ROUTES {
        router.route(&messages[at % messages.len()], None, &mut recent, &mut matches);
        assert_eq!(black_box(&matches).len(), 2, "its own and the one of all");
    }
    let ns = began.elapsed().as_nanos() as f64 / ROUTES as f64;
    println!("{count:>9} {:<24} {ns:7.1} ns a message with two matches", "routing among");
}

fn subscribe(router: &mut Router, filter: &str) {
    let session = SessionKey::default();
    let subscriber =
        Subscriber { shard: ShardId(0), session, is_durable: false, is_connected: true };
    let options = SubscriptionOptions::default();
    let start = SubscribedFrom::Unwritten(0);
    let key = router.add(subscriber);
    let client_id = ClientId::from("device");
    router.subscribe(key, &client_id, filter, &Subscription { options, id: None, start });
}

/// One topic a device, then a subscriber to all.
fn retained(count: usize) {
    let router = weigh("retained messages, 64 B", count, || {
        let mut router = Router::default();
        for device in 0..count {
            let topic = format!("fleet/r{}/d{device:07}/state", device / REGION);
            router.recover_retained(message(&topic, &[0; 64], QoS::AtLeastOnce));
        }
        router
    });
    let (mut found, began) = (0, Instant::now());
    router.for_each_retained("#", &mut |message| found += usize::from(!message.topic().is_empty()));
    assert_eq!(found, count, "all are found");
    let ns = began.elapsed().as_nanos() as f64 / count as f64;
    println!("{count:>9} {:<24} {ns:7.1} ns each", "retained messages by #");
}

fn message(topic: &str, payload: &[u8], qos: QoS) -> Message {
    let parts = MessageParts {
        qos,
        retain: true,
        topic,
        publisher: "device-0123456789abc",
        addressee: "",
        received_at_ms: 1,
        expires_at_ms: None,
        forwarded: Forwarded::default(),
        payload,
    };
    Message::new(&parts, &mut Vec::new())
}

/// A client connects and subscribes to its commands. Some publish once, so that buffers of a busy
/// connection that is idle again would be seen.
fn idle_sessions(count: usize) {
    for publishes in [false, true] {
        let (mut router, mut turn) = (Router::default(), Turn::default());
        let what = if publishes { "sessions that were busy" } else { "idle sessions" };
        let shard = weigh(what, count, || {
            let (limits, durability) = (Limits::default(), Durability::default());
            let mut shard = Shard::new(ShardId(0), 1, Arc::new(limits), Arc::new(durability), 7);
            for device in 0..count {
                connect(&mut shard, &mut router, &mut turn, device, publishes);
            }
            shard
        });
        assert_eq!(shard.counters().subscriptions, count as u64, "all have subscribed");
    }
}

fn connect(
    shard: &mut Shard,
    router: &mut Router,
    turn: &mut Turn,
    device: usize,
    publishes: bool,
) {
    let now = Now { monotonic_ms: 1_000, unix_ms: 1_000_000 };
    let key = shard.opened(now, turn);
    let client_id = format!("device-{device:013}");
    let connect = Connect { keep_alive_s: 60, ..Connect::new(Version::V3_1_1, &client_id) };
    shard.received(key, &encoded(&Packet::Connect(connect)), now, turn);
    for question in std::mem::take(&mut turn.questions) {
        let accepted = Identification::Accepted { identity: None };
        shard.identified(question.connection, accepted, now, turn);
    }
    end_turn(shard, router, turn, now);
    let filter = format!("fleet/r{}/d{device:07}/cmd/#", device / REGION);
    let filters = [Requested { filter: &filter, options: SubscriptionOptions::default() }];
    let subscribe = Subscribe {
        packet_id: PacketId::MAX,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: SubscribeFilters::from_slice(&filters),
    };
    shard.received(key, &encoded(&Packet::Subscribe(subscribe)), now, turn);
    end_turn(shard, router, turn, now);
    if publishes {
        let topic = format!("fleet/r{}/d{device:07}/cmd/echo", device / REGION);
        shard.received(key, &encoded(&Packet::Publish(Publish::new(&topic, &[0; 64]))), now, turn);
        end_turn(shard, router, turn, now);
    }
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(Version::V3_1_1, &mut bytes).expect("these packets are valid");
    bytes
}

/// As a worker does whose sockets take all there is.
fn end_turn(shard: &mut Shard, router: &mut Router, turn: &mut Turn, now: Now) {
    shard.end_turn_changing(router, now, turn);
    for send in std::mem::take(&mut turn.sends) {
        shard.written(send.connection, send.bytes.len(), now, turn);
        turn.recycle(send.bytes);
    }
}
