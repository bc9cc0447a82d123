//! Time of a route, a subscription and a retained message among few and many.
//!
//! ```sh
//! cargo bench -p flotilla-core --bench router
//! ```

use std::sync::LazyLock;

use divan::{Bencher, black_box};
use flotilla_core::id::{ClientId, SessionKey, ShardId};
use flotilla_core::message::{Message, MessageParts};
use flotilla_core::router::{Recent, Router, Subscriber};
use flotilla_core::subscription::{SubscribedFrom, Subscription};
use flotilla_mqtt::{Forwarded, QoS, SubscriptionOptions};

/// Only shared subscriptions keep it.
static DEVICE: LazyLock<ClientId> = LazyLock::new(|| ClientId::from("device"));
const COUNTS: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Devices stand in regions of so many.
const REGION: usize = 100;

fn main() {
    divan::main();
}

/// Two matches: the device's own filter, and one that matches all devices.
#[divan::bench(args = COUNTS, sample_size = 10_000)]
fn route(bencher: Bencher<'_, '_>, devices: usize) {
    let mut router = fleet(devices);
    subscribe(&mut router, "fleet/+/+/cmd/#");
    let messages: Vec<_> =
        (0..10_000).map(|at| message(scattered(at, devices), "cmd/go")).collect();
    let mut next = messages.iter().cycle();
    let (mut recent, mut matches) = (Recent::default(), Vec::new());
    bencher.bench_local(|| {
        let message = next.next().expect("a cycle has no end");
        router.route(message, None, &mut recent, &mut matches);
        black_box(&matches).len()
    });
}

/// A filter that is new.
#[divan::bench(args = COUNTS, sample_size = 10_000)]
fn add_subscription(bencher: Bencher<'_, '_>, devices: usize) {
    let mut router = fleet(devices);
    let mut device = devices;
    bencher.bench_local(|| {
        subscribe(&mut router, &filter(device));
        device += 1;
    });
}

/// A message in place of the one of its topic.
#[divan::bench(args = COUNTS, sample_size = 10_000)]
fn replace_retained(bencher: Bencher<'_, '_>, devices: usize) {
    let mut router = Router::default();
    for device in 0..devices {
        router.recover_retained(message(device, "state"));
    }
    let messages: Vec<_> = (0..10_000).map(|at| message(scattered(at, devices), "state")).collect();
    let mut next = messages.iter().cycle();
    bencher.bench_local(|| {
        router.recover_retained(next.next().expect("a cycle has no end").clone());
    });
}

fn fleet(devices: usize) -> Router {
    let mut router = Router::default();
    for device in 0..devices {
        subscribe(&mut router, &filter(device));
    }
    router
}

fn filter(device: usize) -> String {
    format!("fleet/r{}/d{device:07}/cmd/#", device / REGION)
}

/// Not one after the other, so that their nodes are not neighbours in memory.
fn scattered(at: usize, devices: usize) -> usize {
    at * 800_161 % devices
}

fn subscribe(router: &mut Router, filter: &str) {
    let session = SessionKey::default();
    let subscriber =
        Subscriber { shard: ShardId(0), session, is_durable: false, is_connected: true };
    let options = SubscriptionOptions::default();
    let key = router.add(subscriber);
    let start = SubscribedFrom::Unwritten(0);
    router.subscribe(key, &DEVICE, filter, &Subscription { options, id: None, start });
}

fn message(device: usize, channel: &str) -> Message {
    let parts = MessageParts {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: &format!("fleet/r{}/d{device:07}/{channel}", device / REGION),
        publisher: "device-0123456789abc",
        addressee: "",
        received_at_ms: 1,
        expires_at_ms: None,
        forwarded: Forwarded::default(),
        payload: &[0; 64],
    };
    Message::new(&parts, &mut Vec::new())
}
