//! What is below MQTT, as URLs name it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The part of a URL before `://`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    /// TCP
    #[default]
    Tcp,
    /// TLS on TCP
    Tls,
    /// WebSocket on TCP
    Ws,
    /// WebSocket on TLS
    Wss,
}

impl Scheme {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether it is encrypted.
    pub(crate) const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether MQTT is in frames.
    pub(crate) const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}
