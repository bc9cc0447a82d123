//! What goes wrong, as a sentence for a person.

use std::{io, net::SocketAddr};

use flotilla_mqtt::{DecodeError, EncodeError};

/// Why a run ended without figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the option {option}: {reason}")]
    Usage { option: &'static str, reason: String },
    #[error("cannot connect to {address}: {source}. Is the broker running, on this port?")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no TLS with {address}: {source}. See --ca, --cert, --key, --insecure")]
    Tls { address: SocketAddr, source: io::Error },
    #[error("no MQTT on WebSocket with {address}: {source}. See --url, which may have a path")]
    WebSocket { address: SocketAddr, source: io::Error },
    #[error("the connection of '{client_id}' broke: {source}")]
    Broken { client_id: String, source: io::Error },
    #[error("the broker closed the connection of '{client_id}' {when}")]
    Closed { client_id: String, when: &'static str },
    #[error("the broker refused the connection of '{client_id}': {reason}")]
    Refused { client_id: String, reason: &'static str },
    #[error("the broker refused a subscription of '{client_id}': {reason}")]
    SubscriptionRefused { client_id: String, reason: &'static str },
    #[error("the broker ended the connection of '{client_id}': {reason}")]
    Disconnected { client_id: String, reason: &'static str },
    #[error("the broker sent '{client_id}' what is no MQTT: {source}")]
    Decode { client_id: String, source: DecodeError },
    #[error("the broker sent '{client_id}' a {packet}, which has no meaning {when}")]
    Unexpected { client_id: String, packet: &'static str, when: &'static str },
    #[error("such a packet cannot be sent: {0}")]
    Encode(#[from] EncodeError),
    #[error("after {seconds} s only {done} of {all} connections are ready")]
    NotReady { seconds: u64, done: usize, all: usize },
    #[error("the broker does not answer a PINGREQ within {seconds} s")]
    Silent { seconds: u64 },
    #[error("cannot start the broker '{name}' with '{command}': {reason}")]
    Broker { name: String, command: String, reason: String },
    #[error("cannot make certificates for the brokers: {0}")]
    Certificates(#[from] flotilla_certs::Error),
    #[error("cannot run '{arguments}' on '{name}': {reason}")]
    Scenario { name: String, arguments: String, reason: String },
    #[error("cannot read process {pid}: {source}. Is it running, and yours?")]
    Process { pid: u32, source: io::Error },
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
}

impl Error {
    /// Whether the command line is at fault, not the broker.
    pub(crate) const fn is_usage(&self) -> bool {
        matches!(self, Self::Usage { .. })
    }
}
