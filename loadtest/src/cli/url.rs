//! Where the broker is: `tls://broker.example:8883`.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use clap::ValueEnum;

use crate::scheme::Scheme;

/// The broker.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    /// The name that its certificate is to have.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("'{text}' is to be tcp://HOST:PORT or tls://HOST:PORT, as tcp://127.0.0.1:1883")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = Scheme::from_str(scheme, false).map_err(|_| wrong())?;
        let mut addresses = rest
            .to_socket_addrs()
            .map_err(|error| format!("'{rest}' is no host with a port: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("'{rest}' has no address"))?;
        let (host, _) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { scheme, host, address })
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
        for wrong in ["127.0.0.1:1883", "mqtts://127.0.0.1:8883", "tcp://127.0.0.1"] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }
}
