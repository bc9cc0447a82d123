//! The fifteen packets.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsubscribe;

pub use ack::{Ack, AckProperties};
pub use auth::Auth;
pub use connack::{Connack, ConnackProperties};
pub(crate) use connect::Protocol;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::Publish;
pub(crate) use publish::flags as publish_flags;
pub use suback::{ReasonCodes, Suback};
pub use subscribe::{Requested, RetainHandling, Subscribe, SubscribeFilters, SubscriptionOptions};
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters};

/// A packet that points into the buffer it was read from, or into what is to be sent.
///
/// A decoded packet is fully validated: whatever it holds, section 4.7 on topics included, is legal
/// for a packet of its type and version. What depends on the connection (direction, limits that
/// were agreed, Topic Aliases in use) is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// Client to server, first.
    Connect(Connect<'a>),
    /// Server to client, first.
    Connack(Connack<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// Ends QoS 1.
    Puback(Ack<'a>),
    /// QoS 2: received.
    Pubrec(Ack<'a>),
    /// QoS 2: released.
    Pubrel(Ack<'a>),
    /// Ends QoS 2.
    Pubcomp(Ack<'a>),
    /// Asks for Topic Filters.
    Subscribe(Subscribe<'a>),
    /// Answers SUBSCRIBE.
    Suback(Suback<'a>),
    /// Drops Topic Filters.
    Unsubscribe(Unsubscribe<'a>),
    /// Answers UNSUBSCRIBE.
    Unsuback(Suback<'a>),
    /// Client to server: still there.
    Pingreq,
    /// Answers PINGREQ.
    Pingresp,
    /// The last packet.
    Disconnect(Disconnect<'a>),
    /// A step of enhanced authentication.
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// Which of the fifteen.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Connack(_) => PacketType::Connack,
            Self::Publish(_) => PacketType::Publish,
            Self::Puback(_) => PacketType::Puback,
            Self::Pubrec(_) => PacketType::Pubrec,
            Self::Pubrel(_) => PacketType::Pubrel,
            Self::Pubcomp(_) => PacketType::Pubcomp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Suback(_) => PacketType::Suback,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::Unsuback(_) => PacketType::Unsuback,
            Self::Pingreq => PacketType::Pingreq,
            Self::Pingresp => PacketType::Pingresp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// Declares [`PacketType`]: variant, number, label.
macro_rules! packet_types {
    ($( $name:ident = $number:literal, $label:literal; )*) => {
        /// The type of a packet, by its number in the fixed header. [MQTT 5, section 2.1.2]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum PacketType {
            $( #[doc = concat!("Number ", $number, ", `", $label, "`.")] $name = $number, )*
        }

        impl PacketType {
            /// All fifteen, by number.
            pub const ALL: [Self; 15] = [ $( Self::$name, )* ];

            /// The type with this number; `None` for 0 or above 15.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// A label in lower case: `publish`.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$name => $label, )*
                }
            }
        }
    };
}

packet_types! {
    Connect = 1, "connect";
    Connack = 2, "connack";
    Publish = 3, "publish";
    Puback = 4, "puback";
    Pubrec = 5, "pubrec";
    Pubrel = 6, "pubrel";
    Pubcomp = 7, "pubcomp";
    Subscribe = 8, "subscribe";
    Suback = 9, "suback";
    Unsubscribe = 10, "unsubscribe";
    Unsuback = 11, "unsuback";
    Pingreq = 12, "pingreq";
    Pingresp = 13, "pingresp";
    Disconnect = 14, "disconnect";
    Auth = 15, "auth";
}
