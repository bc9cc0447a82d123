//! Nanoseconds to decode, encode, relay a PUBLISH: `cargo bench -p flotilla-mqtt`.

use std::hint::black_box;
use std::time::Instant;

use flotilla_mqtt::{Packet, PacketId, Publish, QoS, RelayedPublish, Version, decode};

const ROUNDS: usize = 9;
const TIMES: u32 = 400_000;

fn main() {
    let payload = [b'7'; 103];
    let publish = Publish {
        qos: QoS::AtLeastOnce,
        packet_id: PacketId::new(4711),
        ..Publish::new("fleet/r7/d0004711/telemetry/state", &payload)
    };
    for version in [Version::V3_1_1, Version::V5] {
        let mut bytes = Vec::new();
        Packet::Publish(publish).encode(version, &mut bytes).expect("a legal PUBLISH");
        println!("MQTT {version}, PUBLISH with QoS 1, {} bytes", bytes.len());

        measure("decode", || {
            black_box(decode(black_box(&bytes), version, 1 << 20)).expect("a legal PUBLISH");
        });

        let mut out = Vec::with_capacity(1024);
        measure("encode", || {
            out.clear();
            let packet = Packet::Publish(black_box(publish));
            packet.encode(version, &mut out).expect("a legal PUBLISH");
            black_box(&out);
        });

        let relayed = RelayedPublish {
            dup: false,
            qos: publish.qos,
            retain: false,
            topic: publish.topic.as_bytes(),
            topic_alias: None,
            packet_id: publish.packet_id,
            message_expiry_interval_s: None,
            subscription_ids: &[],
            forwarded: publish.forwarded,
            payload: &payload,
        };
        measure("relay", || {
            out.clear();
            black_box(relayed).encode(version, &mut out).expect("a legal PUBLISH");
            black_box(&out);
        });
    }

    let properties = b"\x01\x01\x03\x00\x10application/json\x26\x00\x04unit\x00\x03kWh";
    let publish =
        Publish { forwarded: flotilla_mqtt::Forwarded::from_encoded(properties), ..publish };
    let mut bytes = Vec::new();
    Packet::Publish(publish).encode(Version::V5, &mut bytes).expect("a legal PUBLISH");
    println!("MQTT 5, the same with 3 properties, {} bytes", bytes.len());
    measure("decode", || {
        black_box(decode(black_box(&bytes), Version::V5, 1 << 20)).expect("a legal PUBLISH");
    });
}

/// Prints the best round: the others were disturbed.
fn measure(what: &str, mut once: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..TIMES {
                once();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
        })
        .fold(f64::INFINITY, f64::min);
    println!("  {best:6.1} ns  {what}");
}
