//! One Level of a topic or filter, kept.

use std::fmt;

/// 16 bytes; text of up to [`SHORT`] bytes needs no more, a longer one has memory of its own.
pub(crate) enum Level {
    Short {
        len: u8,
        bytes: [u8; SHORT],
    },
    /// Boxed twice, so that this is a thin pointer.
    Long(Box<Box<[u8]>>),
}

/// Most names of sites, devices and channels are no longer.
const SHORT: usize = 14;

impl Level {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::Short { len: 0, bytes: [0; SHORT] }
    }
}

impl From<&[u8]> for Level {
    fn from(text: &[u8]) -> Self {
        if text.len() > SHORT {
            return Self::Long(Box::new(text.into()));
        }
        let mut bytes = [0; SHORT];
        bytes[..text.len()].copy_from_slice(text);
        Self::Short { len: text.len() as u8, bytes }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_text_of_any_length() {
        assert_eq!(size_of::<Level>(), 16);
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, 65_535] {
            let text = "é".repeat(len / 2) + &"x".repeat(len % 2);
            assert_eq!(Level::from(text.as_bytes()).as_bytes(), text.as_bytes());
        }
    }
}
