//! An issued certificate with its key.

use std::{fmt, path::Path, time::SystemTime};

use crate::{Error, files};

/// A certificate that an authority issued, with the private key that belongs to it.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM (PKCS #8, not encrypted).
    pub key_pem: String,
    /// What identifies the certificate in a revocation list.
    pub serial: Serial,
    /// The end of its validity.
    pub expires: SystemTime,
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key` (readable by its owner only) into `dir`, which is made if
    /// it is not there.
    ///
    /// # Errors
    /// [`Error::Exists`] when one of the files is there, with nothing written; [`Error::BadName`]
    /// when `name` is not a file name; [`Error::Write`].
    pub fn save(&self, dir: &Path, name: &str) -> Result<(), Error> {
        refuse_existing(dir, name)?;
        files::make_directory(dir)?;
        files::write_secret(&dir.join(format!("{name}.key")), &self.key_pem)?;
        files::write_public(&dir.join(format!("{name}.pem")), &self.certificate_pem)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// Refuses when [`Issued::save`] would meet a file: asked before a whole fleet is made.
///
/// # Errors
/// [`Error::Exists`] with the file; [`Error::BadName`] when `name` is not a file name.
pub fn refuse_existing(dir: &Path, name: &str) -> Result<(), Error> {
    crate::check_file_name(name)?;
    for suffix in ["key", "pem"] {
        let path = dir.join(format!("{name}.{suffix}"));
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists { path });
        }
    }
    Ok(())
}

/// A certificate's serial number: at most 20 bytes, the most significant first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Takes the bytes as they stand in the certificate.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Reads what `Display` wrote.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        if text.is_empty()
            || !text.len().is_multiple_of(2)
            || !text.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return None;
        }
        let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        (0..text.len()).step_by(2).map(pair).collect::<Option<_>>().map(Self)
    }

    /// The bytes, the most significant first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_as_text() {
        let serial = Serial::new(&[0, 0x1f, 0xff]);
        assert_eq!(serial.to_string(), "001fff");
        assert_eq!(Serial::from_hex("001fff"), Some(serial));
        for text in ["", "1", "zz", "+1", "é"] {
            assert_eq!(Serial::from_hex(text), None, "{text}");
        }
    }
}
