//! The configuration file.

use std::io::Write;

use flotilla::config::{Overrides, load};

/// Any file is settings, or is refused with a sentence.
pub(crate) fn read_any(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("it has room");
    if let Err(refusal) = load(Some(file.path()), &Overrides::default()) {
        assert!(!refusal.to_string().is_empty(), "a refusal says something");
    }
}
