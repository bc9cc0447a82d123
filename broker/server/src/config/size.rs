//! A number of bytes as it stands in a configuration: `"64KiB"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// A whole number of bytes with the unit that a person chose: B, KiB, MiB, GiB, or kB, MB, GB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    bytes: u64,
}

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

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
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| scale);
        let (Ok(number), Some(scale)) = (number.parse::<u64>(), scale) else {
            return Err(format!(
                "`{text}` is not a size; write a whole number with its unit (B, KiB, MiB, GiB, or \
                 kB, MB, GB), for example \"64KiB\""
            ));
        };
        let bytes = number
            .checked_mul(*scale)
            .ok_or_else(|| format!("`{text}` is more than any machine holds"))?;
        Ok(Self { bytes })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|&(_, scale)| self.bytes >= scale && self.bytes.is_multiple_of(scale))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.bytes / scale)
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
