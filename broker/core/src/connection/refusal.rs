//! Why a connection is ended.

use flotilla_mqtt::{DecodeError, ReasonCode};

/// The peer broke a rule, or the broker cannot serve it: this connection ends, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For CONNACK or DISCONNECT.
    pub(crate) reason_code: ReasonCode,
    /// For the log.
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(reason_code: ReasonCode, reason: &str) -> Self {
        Self { reason_code, reason: reason.to_owned() }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self { reason_code: error.reason_code(), reason: error.to_string() }
    }
}
