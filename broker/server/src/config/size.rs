//! A number of bytes as it stands in a configuration: `"64KiB"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use super::units::{self, Units, Unreadable};

/// A whole number of bytes with the unit that a person chose: B, KiB, MiB, GiB, or kB, MB, GB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    bytes: u64,
}

const DECIMAL: &Units = &[("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
const BINARY: &Units = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl Size {
    pub(crate) const fn from_kib(kib: u64) -> Self {
        Self { bytes: kib << 10 }
    }

    pub(crate) const fn bytes(self) -> u64 {
        self.bytes
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = units::read(text, &[BINARY, DECIMAL].concat());
        bytes.map(|bytes| Self { bytes }).map_err(|why| match why {
            Unreadable::Malformed => format!(
                "`{text}` is not a size; write a whole number with its unit (B, KiB, MiB, GiB, or \
                 kB, MB, GB), for example \"64KiB\""
            ),
            Unreadable::TooLarge => format!("`{text}` is more than any machine holds"),
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::show(self.bytes, BINARY))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text(deserializer, "a size such as \"64KiB\"")?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_written() {
        for (text, bytes) in
            [("0B", 0), ("17B", 17), ("64KiB", 65_536), ("1MiB", 1_048_576), ("2kB", 2000)]
        {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
        for text in ["", "64", "KiB", "64 KiB", "-1B", "1.5MiB", "64kib", "64K"] {
            assert!(text.parse::<Size>().unwrap_err().contains(text), "{text}");
        }
        assert!(format!("{}GiB", u64::MAX).parse::<Size>().is_err());
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        for text in ["1MiB", "64KiB", "1000B", "3GiB", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
