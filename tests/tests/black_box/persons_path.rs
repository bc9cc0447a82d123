//! A fleet, two subscribers that go away, a broker that is killed in the middle: nothing is lost.
//!
//! `scripts/persons-path.sh` runs the same with large numbers.

use flotilla_tests::fleet::walk;

/// Messages of each half.
fn messages() -> u64 {
    let number = std::env::var("FLOTILLA_PERSONS_PATH_MESSAGES").ok();
    number.map_or(3_000, |number| number.parse().expect("a number of messages"))
}

#[test]
fn with_qos_1_every_acknowledged_message_arrives() {
    eprintln!("QoS 1: {}", walk(1, messages()));
}

#[test]
fn with_qos_2_every_message_arrives_once() {
    eprintln!("QoS 2: {}", walk(2, messages()));
}
