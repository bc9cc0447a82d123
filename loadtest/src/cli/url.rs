//! Where the broker is: `tls://broker.example:8883`.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use clap::ValueEnum;

use crate::scheme::Scheme;

/// Where brokers usually have MQTT.
const PATH: &str = "/mqtt";

/// The broker.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    /// The name that its certificate is to have.
    pub(crate) host: String,
    /// Host and port as they are written.
    pub(crate) authority: String,
    /// Of WebSocket.
    pub(crate) path: String,
    pub(crate) address: SocketAddr,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is to be tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH or \
                 wss://HOST:PORT/PATH, as tcp://127.0.0.1:1883"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = Scheme::from_str(scheme, false).map_err(|_| wrong())?;
        let (rest, path) = match rest.find('/') {
            Some(at) if scheme.is_websocket() => rest.split_at(at),
            _ => (rest, PATH),
        };
        let mut addresses = rest
            .to_socket_addrs()
            .map_err(|error| format!("'{rest}' is no host with a port: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("'{rest}' has no address"))?;
        let (host, _) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { scheme, host, authority: rest.to_owned(), path: path.to_owned(), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_a_host_and_a_port() {
        let url: Url = "tls://[::1]:8883".parse().unwrap();
        assert_eq!((url.scheme, url.host.as_str()), (Scheme::Tls, "::1"));
        assert_eq!(url.address.port(), 8883);
        let url: Url = "ws://127.0.0.1:80/a/b".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("127.0.0.1:80", "/a/b"));
        let url: Url = "wss://127.0.0.1:80".parse().unwrap();
        assert_eq!(url.path, PATH);
        for wrong in ["127.0.0.1:1883", "mqtts://127.0.0.1:8883", "tcp://127.0.0.1"] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }
}
