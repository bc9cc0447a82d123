//! From the client's claim to CONNACK.

use flotilla_mqtt::{Connack, ConnackProperties, Packet, ReasonCode, UserProperties, Version};

use crate::connection::await_connect::ConnectRequest;
use crate::connection::negotiated::Negotiated;
use crate::connection::outbox::Outbox;
use crate::counters::Counters;
use crate::durability::Class;
use crate::limits::Limits;
use crate::words::Words;

/// The client may connect, and its session has been claimed from the home shard.
#[derive(Debug)]
pub(crate) struct AwaitSession {
    pub(crate) request: ConnectRequest,
    /// Who it is, as authentication said.
    pub(crate) identity: Option<String>,
    /// The last words of an enhanced authentication.
    pub(crate) data: Option<Vec<u8>>,
}

/// What CONNACK says about a session, kept until it may leave.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) identity: Option<String>,
    pub(crate) assigned_client_id: Option<Box<str>>,
    pub(crate) session_expiry_interval_s: Option<u32>,
    server_keep_alive_s: Option<u16>,
    response_information: Option<String>,
    /// The enhanced authentication by which it came ([MQTT-4.12.0-5]).
    method: Option<Box<str>>,
    /// The last words of that.
    data: Option<Vec<u8>>,
    /// Messages that cleaning took from the session.
    cleaned: u64,
}

/// User Property of CONNACK: how many messages the session has lost to cleaning.
const MESSAGES_CLEANED: &str = "messages-cleaned";
/// User Property of CONNACK: the default class.
const DURABILITY: &str = "durability";

impl Welcome {
    pub(crate) fn new(
        request: &ConnectRequest,
        identity: Option<String>,
        data: Option<Vec<u8>>,
        session_present: bool,
        cleaned: u64,
        words: &Words,
    ) -> Self {
        let assigned = request.is_assigned.then(|| request.client_id.as_str().into());
        let cut = request.is_expiry_cut.then_some(request.expiry_interval_s);
        Self {
            session_present,
            identity,
            assigned_client_id: assigned,
            session_expiry_interval_s: cut,
            server_keep_alive_s: request.server_keep_alive_s,
            response_information: request
                .wants_response_information
                .then(|| words.response_information_for(request.client_id.as_str()))
                .flatten(),
            method: request.method.clone(),
            data,
            cleaned,
        }
    }

    /// CONNACK 0x00 with what this broker grants; in User Properties, as far as they fit
    /// ([MQTT-3.2.2-20]), how many messages cleaning took, and what an acknowledgement of a message
    /// means where no rule names its topic. Says of how many messages it told: MQTT 3.1.1 has no
    /// place for it.
    pub(crate) fn push_connack(
        &self,
        negotiated: &Negotiated,
        limits: &Limits,
        durability: Class,
        outbox: &mut Outbox,
        counters: &mut Counters,
    ) -> u64 {
        let cleaned = self.cleaned.to_string();
        let pairs = [(MESSAGES_CLEANED, cleaned.as_str()), (DURABILITY, durability.name())];
        let pairs = if self.cleaned > 0 { &pairs[..] } else { &pairs[1..] };
        let connack = |pairs| Connack {
            session_present: self.session_present,
            reason_code: ReasonCode::Success,
            properties: ConnackProperties {
                session_expiry_interval_s: self.session_expiry_interval_s,
                receive_maximum: Some(limits.receive_max),
                maximum_packet_size: Some(limits.packet_size_max),
                assigned_client_id: self.assigned_client_id.as_deref(),
                topic_alias_maximum: Some(limits.topic_aliases_max),
                user_properties: UserProperties::from_pairs(pairs),
                server_keep_alive_s: self.server_keep_alive_s,
                response_information: self.response_information.as_deref(),
                authentication_method: self.method.as_deref(),
                authentication_data: self.data.as_deref(),
                ..ConnackProperties::default()
            },
        };
        let fits = |told: usize| {
            let packet = Packet::Connack(connack(&pairs[..told]));
            packet.encoded_len(negotiated.version) <= negotiated.packet_size_max as usize
        };
        let told = (1..=pairs.len()).rev().find(|&told| fits(told)).unwrap_or(0);
        outbox.push(&Packet::Connack(connack(&pairs[..told])), negotiated.version, counters);
        if told > 0 && negotiated.version == Version::V5 { self.cleaned } else { 0 }
    }
}

/// CONNACK with a Reason Code of 0x80 or more; the connection ends with it ([MQTT-3.2.2-7]).
/// `reason`: for a client that wants to read it, if it takes so many bytes ([MQTT-3.2.2-19]).
pub(crate) fn push_refusal(
    reason_code: ReasonCode,
    reason: Option<&str>,
    negotiated: &Negotiated,
    outbox: &mut Outbox,
    counters: &mut Counters,
) {
    let Negotiated { version, packet_size_max, wants_reasons, .. } = *negotiated;
    let mut connack = Connack::new(false, reason_code);
    connack.properties.reason_string = reason.filter(|_| wants_reasons);
    if Packet::Connack(connack).encoded_len(version) > packet_size_max as usize {
        connack.properties.reason_string = None;
    }
    outbox.push(&Packet::Connack(connack), version, counters);
}

/// The same for bytes that were no CONNECT: nothing is known of what their sender takes.
pub(crate) fn push_bare_refusal(
    reason_code: ReasonCode,
    version: Version,
    outbox: &mut Outbox,
    counters: &mut Counters,
) {
    outbox.push(&Packet::Connack(Connack::new(false, reason_code)), version, counters);
}
