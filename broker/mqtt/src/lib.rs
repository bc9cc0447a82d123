//! The wire format of MQTT 3.1.1 or 5: bytes to packets, packets to bytes.
//!
//! MQTT 5 is the model, MQTT 3.1.1 a dialect of it: decoding 3.1.1 fills in what a packet means,
//! encoding leaves out what 3.1.1 cannot say. So there is one [`Packet`] for both.
//!
//! A packet borrows: it points into the buffer it was read from. Nothing is allocated to decode,
//! and no input panics. The crate knows no session; all it asks for is the version of the
//! connection and the largest packet to accept.
//!
//! ```
//! use flotilla_mqtt::{Packet, Publish, Version, decode};
//!
//! let mut bytes = Vec::new();
//! Packet::Publish(Publish::new("a/b", b"21.5")).encode(Version::V5, &mut bytes)?;
//! let (packet, consumed) = decode(&bytes, Version::V5, 1024)?.expect("the packet is whole");
//! assert_eq!(packet, Packet::Publish(Publish::new("a/b", b"21.5")));
//! assert_eq!(consumed, bytes.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod codec;
mod encoded_publish;
mod error;
mod fixed_header;
mod forwarded;
mod packet;
mod packet_id;
mod property;
mod qos;
mod reason;
mod relayed_publish;
mod subscription_ids;
pub mod topic;
mod user_properties;
mod version;
mod wire;

pub use codec::{connect_version, decode, decode_connect};
pub use encoded_publish::encode_publish;
pub use error::{DecodeError, EncodeError};
pub use fixed_header::{FIXED_HEADER_LEN_MAX, REMAINING_LENGTH_MAX};
pub use forwarded::Forwarded;
pub use packet::{
    Ack, AckProperties, Auth, Connack, ConnackProperties, Connect, Disconnect, Packet, PacketType,
    Publish, ReasonCodes, Requested, RetainHandling, Suback, Subscribe, SubscribeFilters,
    SubscriptionOptions, Unsubscribe, UnsubscribeFilters, Will,
};
pub use packet_id::PacketId;
pub use qos::QoS;
pub use reason::ReasonCode;
pub use relayed_publish::RelayedPublish;
pub use subscription_ids::SubscriptionIds;
pub use user_properties::UserProperties;
pub use version::Version;
