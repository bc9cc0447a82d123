//! Reason Strings of acknowledgements: why not, for people.

use flotilla_mqtt::ReasonCode;

use crate::connection::owed::Acknowledgement;

/// Why the broker does not do what was asked; `None`: it does.
pub(crate) fn explain(acknowledgement: &Acknowledgement) -> Option<&'static str> {
    match acknowledgement {
        Acknowledgement::Puback(_, code) | Acknowledgement::Pubrec(_, code) => why_not_taken(*code),
        Acknowledgement::Pubcomp(_, ReasonCode::PacketIdentifierNotFound) => {
            Some("no exchange is open under this Packet Identifier")
        }
        // One string for all filters: the first that was refused.
        Acknowledgement::Suback(_, codes) => codes.iter().copied().find_map(why_not_granted),
        Acknowledgement::Pubcomp(..) | Acknowledgement::Unsuback(..) => None,
    }
}

fn why_not_taken(reason_code: ReasonCode) -> Option<&'static str> {
    match reason_code {
        ReasonCode::NotAuthorized => Some("topics that begin with $ belong to the broker"),
        ReasonCode::TopicNameInvalid => Some("the topic has too many levels"),
        ReasonCode::QuotaExceeded => {
            Some("a limit of retained messages is reached, or the disk is full")
        }
        _ => None,
    }
}

fn why_not_granted(reason_code: ReasonCode) -> Option<&'static str> {
    match reason_code {
        ReasonCode::TopicFilterInvalid => Some("a filter has too many levels"),
        ReasonCode::QuotaExceeded => {
            Some("the session has as many subscriptions as it may, or the disk is full")
        }
        _ => None,
    }
}
