//! A span of time as it stands in a configuration: `"30s"`.

use std::{fmt, str::FromStr, time};

use serde::{Deserialize, Deserializer, de};

/// A whole number of milliseconds with the unit that a person chose: ms, s, m, h, d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration {
    milliseconds: u64,
}

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 3600 * 1000), ("d", 24 * 3600 * 1000)];

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
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| scale);
        let (Ok(number), Some(scale)) = (number.parse::<u64>(), scale) else {
            return Err(format!(
                "`{text}` is not a duration; write a whole number with its unit (ms, s, m, h, d), \
                 for example \"30s\""
            ));
        };
        let milliseconds = number
            .checked_mul(*scale)
            .ok_or_else(|| format!("`{text}` is longer than any clock runs"))?;
        Ok(Self { milliseconds })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = UNITS
            .iter()
            .rev()
            .find(|(_, scale)| self.milliseconds.is_multiple_of(*scale))
            .expect("every whole number is a multiple of one");
        write!(f, "{}{unit}", self.milliseconds / scale)
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
