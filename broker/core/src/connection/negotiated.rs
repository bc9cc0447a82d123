//! What CONNECT and CONNACK settled for one connection.

use flotilla_mqtt::{Connect, ReasonCode, Version};

use crate::limits::Limits;

/// The only place that asks for the protocol version after CONNECT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Negotiated {
    /// For the codec.
    pub(crate) version: Version,
    /// QoS 1 and 2 messages that may be sent unacknowledged ([MQTT-3.3.4-9]).
    pub(crate) send_quota: u16,
    /// Largest packet the client takes, bytes ([MQTT-3.1.2-24]); `u32::MAX`: any.
    pub(crate) packet_size_max: u32,
    /// Milliseconds of silence after which the connection is closed; `None`: any ([MQTT-3.1.2-22]).
    pub(crate) silence_ms_max: Option<u32>,
    /// Whether the client can be told why: by a Reason Code in an acknowledgement, by DISCONNECT.
    pub(crate) can_be_told: bool,
}

impl Negotiated {
    pub(crate) fn new(connect: &Connect<'_>, limits: &Limits) -> Self {
        Self {
            version: connect.version,
            send_quota: connect.receive_maximum.min(limits.inflight_max),
            packet_size_max: connect.maximum_packet_size.unwrap_or(u32::MAX),
            silence_ms_max: (connect.keep_alive_s > 0)
                .then(|| u32::from(connect.keep_alive_s) * 1500),
            can_be_told: connect.version == Version::V5,
        }
    }

    /// The Reason Code as this client may see it: where nothing but success can be said, success.
    pub(crate) fn positive(&self, reason_code: ReasonCode) -> ReasonCode {
        if self.can_be_told { reason_code } else { ReasonCode::Success }
    }
}
