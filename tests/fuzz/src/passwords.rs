//! The password file.

use std::io::Write;

use flotilla::auth::{Outcome, PasswordFileError, Passwords};

/// Before the first NUL stands a file, behind each a step of SCRAM-SHA-256: any file is users, or is
/// refused with a sentence that names the line; whatever users there are, steps have an end.
pub(crate) fn load_any(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text).expect("it has room");
    let passwords = match Passwords::load(file.path()) {
        Ok(passwords) => passwords,
        Err(PasswordFileError::Line { line, reason, .. }) => {
            assert!((1..=text.len()).contains(&line) && !reason.is_empty(), "{line} {reason}");
            return;
        }
        Err(PasswordFileError::Read { .. }) => {
            assert!(std::str::from_utf8(text).is_err(), "it is there, and text");
            return;
        }
        Err(refusal) => panic!("{refusal}"),
    };
    let mut kept: Option<Vec<u8>> = None;
    for message in parts.take(10) {
        kept = match passwords.converse(message, kept.as_deref()) {
            Outcome::Challenge { data, kept: next } => {
                assert!(kept.is_none(), "there is one challenge");
                assert!(data.starts_with(b"r="), "it begins with the nonce");
                Some(next)
            }
            Outcome::Proven { user, .. } => panic!("{user} has proven a password of nobody"),
            Outcome::Refused => None,
        };
    }
}
