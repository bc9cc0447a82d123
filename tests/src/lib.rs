//! What the black-box tests stand on: the broker as a process, clients made of raw packets.
//!
//! * [`Broker`] starts the program in a temporary directory on free ports.
//! * [`Scene`] is where a test begins: a broker, a [`Link`] (version, transport), names of its own.
//! * [`Client`] says exactly the bytes it is told to say, with a deadline on every answer.
//! * [`packet`] holds a packet format written for these tests alone, so that a misreading of the
//!   specification in the broker's own crate cannot hide itself.
//! * [`Publisher`] has many messages under way at once; [`fleet`] walks a whole fleet through a
//!   crash of the broker.

mod broker;
mod certificates;
mod client;
mod dialogue;
mod dice;
mod disk;
pub mod fleet;
pub mod history;
mod link;
mod output;
pub mod packet;
mod programs;
mod property;
mod publisher;
mod scene;
mod scram;
mod settings;
mod socket;
mod subscriber;
pub mod websocket;

pub use broker::{Broker, Descriptors, Ended, new_home};
pub use certificates::Certificates;
pub use client::{Client, Lost};
pub use dialogue::Received;
pub use dice::Dice;
pub use disk::Disk;
pub use link::{Link, Transport, Version};
pub use packet::{Ack, Connect, Packet, Publish, Will};
pub use programs::program;
pub use property::Property;
pub use publisher::Publisher;
pub use scene::Scene;
pub use scram::Scram;
pub use settings::Settings;
pub use socket::{Endpoint, Identity, Socket};
pub use subscriber::{Series, Subscriber};

use std::time::Duration;

/// How long a test waits for what must come. Long enough for a disk that has gigabytes of others'
/// to write first; only a failing test waits that long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A number that a script, or a person, gives a test.
///
/// # Panics
/// When the variable holds something else.
pub fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Lets time pass, where the passing of time itself is what a test is about (an interval that
/// expires). Never used to wait for something.
pub fn elapse(time: Duration) {
    std::thread::sleep(time);
}
