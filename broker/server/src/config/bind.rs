//! Where a listener listens: `"tls://0.0.0.0:8883"`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

/// What a listener speaks below MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// MQTT on TCP.
    Tcp,
    /// MQTT on TLS.
    Tls,
    /// MQTT in WebSockets.
    Ws,
    /// MQTT in WebSockets on TLS.
    Wss,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether it needs a certificate.
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether connections begin with an HTTP request.
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The same with encryption.
    pub(crate) fn encrypted(self) -> Self {
        if self.is_websocket() { Self::Wss } else { Self::Tls }
    }
}

/// Where a WebSocket is when the address does not say.
const PATH: &str = "/mqtt";

/// Scheme, address, port of a listener. Port 0: the operating system chooses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bind {
    pub(crate) scheme: Scheme,
    pub(crate) address: SocketAddr,
    /// Of a WebSocket: with its slash.
    pub(crate) path: Option<Box<str>>,
}

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write for example \"tcp://127.0.0.1:1883\" or \"tls://0.0.0.0:8883\"";
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("`{text}` has no scheme; {example}"))?;
        let scheme = match scheme {
            "tcp" => Scheme::Tcp,
            "tls" => Scheme::Tls,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            "mqtt" => return Err(format!("`{text}`: the scheme for MQTT on TCP is tcp://")),
            "mqtts" | "ssl" => {
                return Err(format!("`{text}`: the scheme for MQTT on TLS is tls://"));
            }
            _ => {
                return Err(format!(
                    "`{text}`: the scheme is none of tcp://, tls://, ws://, wss://"
                ));
            }
        };
        let (rest, path) = match rest.find('/') {
            Some(at) if scheme.is_websocket() => rest.split_at(at),
            _ => (rest, PATH),
        };
        if path.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#')) {
            return Err(format!("`{text}`: a path has no blanks, no `?`, no `#`, only ASCII"));
        }
        let path = scheme.is_websocket().then(|| path.into());
        Ok(Self { scheme, address: address(text, rest)?, path })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or_default();
        write!(f, "{}://{}{path}", self.scheme.name(), self.address)
    }
}

impl<'de> Deserialize<'de> for Bind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = super::text(deserializer, "an address such as \"tcp://127.0.0.1:1883\"")?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Where the operations listener listens: `"http://127.0.0.1:9883"`, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpsBind(pub(crate) Option<SocketAddr>);

impl FromStr for OpsBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let rest = text.strip_prefix("http://").ok_or_else(|| {
            format!("`{text}`: write for example \"http://127.0.0.1:9883\", or \"off\"")
        })?;
        Ok(Self(Some(address(text, rest.trim_end_matches('/'))?)))
    }
}

impl<'de> Deserialize<'de> for OpsBind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = super::text(deserializer, "an address such as \"http://127.0.0.1:9883\"")?;
        text.parse().map_err(de::Error::custom)
    }
}

/// `localhost` is the one name that needs no look-up; what any other stands for may change while
/// the broker runs, and whether it is loopback decides who may connect.
fn address(text: &str, rest: &str) -> Result<SocketAddr, String> {
    let numeric = match rest.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => rest.to_owned(),
    };
    if let Ok(address) = numeric.parse() {
        return Ok(address);
    }
    if rest.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || rest == "localhost" {
        return Err(format!("`{text}` has no port"));
    }
    Err(format!(
        "`{text}`: after the scheme comes an IP address with a port (0.0.0.0 or [::] for all \
         addresses of this machine)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_written() {
        for text in ["tcp://127.0.0.1:1883", "tls://[::]:8883", "tcp://0.0.0.0:0"] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), text);
        }
        let path: Bind = "wss://0.0.0.0:443/a/b".parse().unwrap();
        assert_eq!(path.to_string(), "wss://0.0.0.0:443/a/b");
        let path: Bind = "ws://[::1]:8083".parse().unwrap();
        assert_eq!(path.to_string(), "ws://[::1]:8083/mqtt");
        let local: Bind = "tcp://localhost:1883".parse().unwrap();
        assert_eq!(local.to_string(), "tcp://127.0.0.1:1883");
    }

    #[test]
    fn refused_with_a_reason() {
        for (text, reason) in [
            ("127.0.0.1:1883", "no scheme"),
            ("ws://127.0.0.1:8083/mqtt?a", "path"),
            ("ws://127.0.0.1/mqtt", "no port"),
            ("tcp://127.0.0.1:1883/mqtt", "IP address"),
            ("mqtt://127.0.0.1:1883", "tcp://"),
            ("mqtts://127.0.0.1:1883", "tls://"),
            ("udp://127.0.0.1:1883", "none of"),
            ("tcp://127.0.0.1", "no port"),
            ("tcp://[::1]", "no port"),
            ("tcp://example.org:1883", "IP address"),
            ("tcp://127.0.0.1:99999", "IP address"),
        ] {
            let refusal = text.parse::<Bind>().unwrap_err();
            assert!(refusal.contains(text) && refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn operations() {
        let bind: OpsBind = "http://0.0.0.0:9883/".parse().unwrap();
        assert_eq!(bind.0.unwrap().to_string(), "0.0.0.0:9883");
        assert_eq!("off".parse::<OpsBind>().unwrap(), OpsBind(None));
        for text in ["", "https://127.0.0.1:1", "127.0.0.1:9883", "http://127.0.0.1"] {
            assert!(text.parse::<OpsBind>().is_err(), "{text}");
        }
    }
}
