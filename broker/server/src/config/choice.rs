//! Keys whose value is one of a few words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use super::duration::Duration;

/// What becomes the identity of a client with a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdentitySource {
    /// The User Name of CONNECT.
    #[default]
    Username,
    /// The subject's common name.
    CommonName,
    /// The whole subject, as RFC 4514 writes it.
    Subject,
    /// The first DNS name among the subject alternative names.
    SanDns,
    /// The first URI among the subject alternative names.
    SanUri,
}

impl FromStr for IdentitySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "username" => Self::Username,
            "common-name" => Self::CommonName,
            "subject" => Self::Subject,
            "san-dns" => Self::SanDns,
            "san-uri" => Self::SanUri,
            _ => {
                return Err(format!(
                    "`{text}` is not one of \"username\", \"common-name\", \"subject\", \
                     \"san-dns\", \"san-uri\""
                ));
            }
        })
    }
}

/// When what was written is synced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before the acknowledgement.
    #[default]
    Always,
    /// At this interval.
    Every(Duration),
    /// When the operating system likes.
    Never,
}

impl Sync {
    /// At which what nobody waits for is synced.
    pub(crate) fn interval(self) -> Option<std::time::Duration> {
        match self {
            Self::Every(interval) => Some(interval.into()),
            Self::Always | Self::Never => None,
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Every(interval) => interval.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

impl FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => match text.parse::<Duration>() {
                Ok(interval) if interval.as_millis() > 0 => Ok(Self::Every(interval)),
                _ => Err(format!(
                    "`{text}` is neither \"always\" nor \"never\" nor an interval such as \"100ms\""
                )),
            },
        }
    }
}

/// How much the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Level {
    /// What went wrong.
    Error,
    /// Also what may go wrong.
    Warn,
    /// Also what an operator did.
    #[default]
    Info,
    /// Also what clients do, a few lines a connection.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => {
                return Err(format!(
                    "`{text}` is not one of \"error\", \"warn\", \"info\", \"debug\", \"trace\""
                ));
            }
        })
    }
}

macro_rules! read_from_text {
    ($($choice:ty: $expected:literal),*) => {
        $(impl<'de> Deserialize<'de> for $choice {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::text(deserializer, $expected)?.parse().map_err(de::Error::custom)
            }
        })*
    };
}

read_from_text! {
    IdentitySource: "a word such as \"username\"",
    Sync: "\"always\", \"never\" or an interval such as \"100ms\"",
    Level: "a word such as \"info\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!("san-uri".parse(), Ok(IdentitySource::SanUri));
        assert_eq!("always".parse(), Ok(Sync::Always));
        assert_eq!("5s".parse(), Ok(Sync::Every(Duration::from_secs(5))));
        assert_eq!("warn".parse(), Ok(Level::Warn));
        assert!("cn".parse::<IdentitySource>().unwrap_err().contains("common-name"));
        for text in ["", "0s", "sometimes", "100"] {
            assert!(text.parse::<Sync>().unwrap_err().contains("always"), "{text}");
        }
        assert!("warning".parse::<Level>().unwrap_err().contains("\"warn\""));
    }
}
