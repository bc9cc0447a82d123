//! What an operator may want to read in the log.

use std::fmt;

use crate::id::{ClientId, ConnectionKey};

/// Something that happened to a connection or a session, for the log. A peer can cause any number
/// of these, so they belong at level debug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A client is connected.
    Connected {
        /// Client Identifier.
        client_id: ClientId,
        /// Who it is, if authentication told.
        identity: Option<String>,
        /// Whether an earlier session goes on.
        session_present: bool,
    },
    /// A connection was refused or ended because of what its peer did.
    Refused {
        /// Client Identifier where it is known.
        client_id: Option<ClientId>,
        /// Which; the server knows where it came from.
        connection: ConnectionKey,
        /// A sentence: which clause, what came.
        reason: String,
    },
    /// A connection ended.
    Disconnected {
        /// Client Identifier.
        client_id: ClientId,
        /// A few words.
        reason: &'static str,
    },
    /// Cleaning took messages from a session.
    Overtaken {
        /// Client Identifier.
        client_id: ClientId,
        /// How many.
        messages: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { client_id, identity, session_present } => {
                write!(f, "client {client_id} connected")?;
                if let Some(identity) = identity {
                    write!(f, " as {identity}")?;
                }
                f.write_str(match session_present {
                    true => ", its session goes on",
                    false => " with a new session",
                })
            }
            Self::Refused { client_id: Some(client_id), reason, .. } => {
                write!(f, "client {client_id} refused: {reason}")
            }
            Self::Refused { client_id: None, reason, .. } => write!(f, "peer refused: {reason}"),
            Self::Disconnected { client_id, reason } => {
                write!(f, "client {client_id} disconnected: {reason}")
            }
            Self::Overtaken { client_id, messages } => {
                write!(
                    f,
                    "client {client_id} lost {messages} messages to cleaning; its next CONNACK says so"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let client_id = ClientId::from("c");
        let connected = |identity: Option<&str>, session_present| Notice::Connected {
            client_id: client_id.clone(),
            identity: identity.map(str::to_owned),
            session_present,
        };
        let refused = |client_id| Notice::Refused {
            client_id,
            connection: ConnectionKey::default(),
            reason: "it said nothing".to_owned(),
        };
        for (notice, sentence) in [
            (connected(None, false), "client c connected with a new session"),
            (connected(Some("me"), true), "client c connected as me, its session goes on"),
            (refused(Some(client_id.clone())), "client c refused: it said nothing"),
            (refused(None), "peer refused: it said nothing"),
            (
                Notice::Disconnected { client_id: client_id.clone(), reason: "it left" },
                "client c disconnected: it left",
            ),
            (
                Notice::Overtaken { client_id: client_id.clone(), messages: 3 },
                "client c lost 3 messages to cleaning; its next CONNACK says so",
            ),
        ] {
            assert_eq!(notice.to_string(), sentence);
        }
    }
}
