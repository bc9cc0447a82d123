//! The first packet: what CONNECT asks for, owned.

use flotilla_mqtt::Connect;

use crate::connection::negotiated::{self, Negotiated};
use crate::connection::refusal::Refusal;
use crate::id::ClientId;
use crate::limits::Limits;
use crate::message::{Message, MessageParts};
use crate::record::WillRecord;
use crate::session::will::Will;

/// A CONNECT that is in order, kept until the client is identified and its session found.
#[derive(Debug)]
pub(crate) struct ConnectRequest {
    pub(crate) client_id: ClientId,
    /// Whether the broker chose the Client Identifier ([MQTT-3.1.3-6]).
    pub(crate) is_assigned: bool,
    /// Start anew whatever there is ([MQTT-3.1.2-4]).
    pub(crate) clean_start: bool,
    /// Seconds, within the limit.
    pub(crate) expiry_interval_s: u32,
    /// Whether the client asked for more than that.
    pub(crate) is_expiry_cut: bool,
    pub(crate) will: Option<Will>,
    pub(crate) negotiated: Negotiated,
    /// In place of the client's ([MQTT-3.2.2-21]).
    pub(crate) server_keep_alive_s: Option<u16>,
    /// Whether it asks for Response Information ([MQTT-3.1.2-28]).
    pub(crate) wants_response_information: bool,
    /// The enhanced authentication that it asks for.
    pub(crate) method: Option<Box<str>>,
}

impl ConnectRequest {
    /// `assign`: called for an empty Client Identifier.
    ///
    /// # Errors
    /// What the packet itself does not forbid, this broker may: Wills for topics that belong to it.
    pub(crate) fn new(
        connect: &Connect<'_>,
        limits: &Limits,
        assign: impl FnOnce() -> ClientId,
        scratch: &mut Vec<u8>,
    ) -> Result<Self, Refusal> {
        let is_assigned = connect.client_id.is_empty();
        let client_id = if is_assigned { assign() } else { ClientId::from(connect.client_id) };
        let expiry_interval_s = connect.session_expiry_interval_s.min(limits.expiry_max_s);
        Ok(Self {
            will: will(connect, &client_id, limits, scratch)?,
            client_id,
            is_assigned,
            clean_start: connect.clean_start,
            expiry_interval_s,
            is_expiry_cut: expiry_interval_s != connect.session_expiry_interval_s,
            negotiated: Negotiated::new(connect, limits),
            server_keep_alive_s: negotiated::server_keep_alive_s(connect, limits),
            wants_response_information: connect.request_response_information,
            method: connect.authentication_method.map(Into::into),
        })
    }
}

/// The Will with all but the time of its publication.
fn will(
    connect: &Connect<'_>,
    client_id: &ClientId,
    limits: &Limits,
    scratch: &mut Vec<u8>,
) -> Result<Option<Will>, Refusal> {
    let Some(will) = &connect.will else { return Ok(None) };
    if let Some(reason_code) = limits.refuse_topic(will.topic) {
        let reason = "the Will Topic belongs to the broker or has too many levels";
        return Err(Refusal::new(reason_code, reason));
    }
    let parts = MessageParts {
        qos: will.qos,
        retain: will.retain,
        topic: will.topic,
        publisher: client_id.as_str(),
        addressee: "",
        received_at_ms: 0,
        expires_at_ms: None,
        forwarded: will.forwarded,
        payload: will.payload,
    };
    Ok(Some(Will::new(WillRecord {
        message: Message::new(&parts, scratch),
        delay_interval_s: will.delay_interval_s,
        message_expiry_interval_s: will.message_expiry_interval_s,
    })))
}
