//! Sockets: accepting, encrypting, reading, writing.

pub(crate) mod development;
pub(crate) mod listener;
pub(crate) mod mailbox;
pub(crate) mod outgoing;
pub(crate) mod socket;
pub(crate) mod tls;
