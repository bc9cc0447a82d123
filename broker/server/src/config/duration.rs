//! A span of time as it stands in a configuration: `"30s"`.

use std::{fmt, str::FromStr, time};

use serde::{Deserialize, Deserializer, de};

use super::units::{self, Units, Unreadable};

/// A whole number of milliseconds with the unit that a person chose: ms, s, m, h, d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration {
    milliseconds: u64,
}

const UNITS: &Units =
    &[("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 3600 * 1000), ("d", 24 * 3600 * 1000)];

impl Duration {
    pub(crate) const fn from_secs(seconds: u64) -> Self {
        Self { milliseconds: seconds * 1000 }
    }

    pub(crate) const fn as_millis(self) -> u64 {
        self.milliseconds
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(duration.milliseconds)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let milliseconds = units::read(text, UNITS);
        milliseconds.map(|milliseconds| Self { milliseconds }).map_err(|why| match why {
            Unreadable::Malformed => format!(
                "`{text}` is not a duration; write a whole number with its unit (ms, s, m, h, d), \
                 for example \"30s\""
            ),
            Unreadable::TooLarge => format!("`{text}` is longer than any clock runs"),
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::show(self.milliseconds, UNITS))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text(deserializer, "a duration such as \"30s\"")?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_written() {
        for (text, milliseconds) in
            [("0s", 0), ("100ms", 100), ("30s", 30_000), ("2m", 120_000), ("7d", 604_800_000)]
        {
            assert_eq!(text.parse::<Duration>().unwrap().as_millis(), milliseconds, "{text}");
        }
        for text in ["", "30", "s", "30 s", "-1s", "1.5s", "30sec", "99999999999999999999s"] {
            assert!(text.parse::<Duration>().unwrap_err().contains(text), "{text}");
        }
        assert!(format!("{}d", u64::MAX).parse::<Duration>().is_err());
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        for text in ["7d", "36h", "90s", "100ms", "1m"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }
}
