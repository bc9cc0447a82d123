//! Sockets: accepting, encrypting, reading, writing.

pub(crate) mod acceptor;
pub(crate) mod development;
pub(crate) mod encryption;
pub mod framing;
pub(crate) mod listener;
pub(crate) mod mailbox;
pub(crate) mod outgoing;
pub(crate) mod socket;
pub(crate) mod sockets;
pub(crate) mod tls;
pub mod upgrade;
