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
    /// Topic Aliases that may be set towards the client ([MQTT-3.1.2-26]); 0: none.
    pub(crate) topic_aliases_max: u16,
    /// Whether the client can be told why: by a Reason Code in an acknowledgement, by DISCONNECT.
    pub(crate) can_be_told: bool,
    /// Whether it wants to read why ([MQTT-3.1.2-29]).
    pub(crate) wants_reasons: bool,
}

impl Negotiated {
    pub(crate) fn new(connect: &Connect<'_>, limits: &Limits) -> Self {
        let keep_alive_s = server_keep_alive_s(connect, limits).unwrap_or(connect.keep_alive_s);
        Self {
            version: connect.version,
            send_quota: connect.receive_maximum.min(limits.inflight_max),
            packet_size_max: connect.maximum_packet_size.unwrap_or(u32::MAX),
            silence_ms_max: (keep_alive_s > 0).then(|| u32::from(keep_alive_s) * 1500),
            topic_aliases_max: connect.topic_alias_maximum.min(limits.topic_aliases_max),
            can_be_told: connect.version == Version::V5,
            wants_reasons: wants_reasons(connect),
        }
    }

    /// The Reason Code as this client may see it: where nothing but success can be said, success.
    pub(crate) fn positive(&self, reason_code: ReasonCode) -> ReasonCode {
        if self.can_be_told { reason_code } else { ReasonCode::Success }
    }
}

/// Whether this client may be sent Reason Strings.
pub(crate) fn wants_reasons(connect: &Connect<'_>) -> bool {
    connect.version == Version::V5 && connect.request_problem_information
}

/// The Keep Alive that the broker sets in place of the client's; `None`: the client's counts, as it
/// does where none can be set ([MQTT-3.2.2-22]).
pub(crate) fn server_keep_alive_s(connect: &Connect<'_>, limits: &Limits) -> Option<u16> {
    let Limits { keep_alive_max_s, .. } = *limits;
    let is_longer = connect.keep_alive_s == 0 || connect.keep_alive_s > keep_alive_max_s;
    let is_cut = connect.version == Version::V5 && keep_alive_max_s > 0 && is_longer;
    is_cut.then_some(keep_alive_max_s)
}
