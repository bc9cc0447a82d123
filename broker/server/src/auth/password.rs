//! The password file: User Names with hashes of their passwords.

use std::{
    collections::HashMap,
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    credential::{Credential, Kind},
    scram::{self, Outcome, Users},
};

/// Who may connect with which password. One line a user: `NAME:$argon2id$…` or
/// `NAME:SCRAM-SHA-256$…`; lines that are empty or begin with `#` say nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords {
    users: HashMap<String, Credential>,
    /// The first user's: a name that is not there costs the same work as one that is.
    decoy: Option<Credential>,
    /// For the salts of users that are not there: the same as long as the first line is.
    secret: [u8; 32],
}

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The file is not there, or not to be read.
    #[error(
        "the password file {path} cannot be read: {source}; `flotilla passwd {path} USER` makes it"
    )]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be replaced.
    #[error("the password file {path} cannot be written: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not a user's.
    #[error("{path}:{line}: {reason}; `flotilla passwd {path} USER` writes such lines")]
    Line {
        /// In which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: &'static str,
    },
    /// Such a name cannot stand in the file.
    #[error("the name {name:?} cannot be used: {reason}")]
    Name {
        /// Of the user.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// There must be one.
    #[error("the password is empty; nothing was changed")]
    EmptyPassword,
    /// The hash could not be made.
    #[error("the password could not be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

impl Passwords {
    /// Reads a password file.
    ///
    /// # Errors
    /// When it cannot be read, or a line is not a user's.
    pub fn load(path: &Path) -> Result<Self, PasswordFileError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PasswordFileError::Read { path: path.to_owned(), source })?;
        let (mut users, mut decoy) = (HashMap::new(), None);
        for (number, line) in (1..).zip(text.lines()) {
            let refuse =
                |reason| PasswordFileError::Line { path: path.to_owned(), line: number, reason };
            let Some((name, credential)) = user_of(line).map_err(refuse)? else { continue };
            decoy.get_or_insert_with(|| credential.clone());
            if users.insert(name.to_owned(), credential).is_some() {
                return Err(refuse("this user has a line already"));
            }
        }
        let seed = decoy.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Self { users, decoy, secret: scram::sha_256(seed.as_bytes()) })
    }

    /// Whether the password is this user's. Slow on purpose, equally so for unknown users.
    pub(crate) fn verify(&self, name: &str, password: &[u8]) -> bool {
        let user = self.users.get(name);
        let Some(credential) = user.or(self.decoy.as_ref()) else { return false };
        credential.verify(password) && user.is_some()
    }

    /// The next step of SCRAM-SHA-256: `kept` is from the step before.
    pub fn converse(&self, message: &[u8], kept: Option<&[u8]>) -> Outcome {
        let find = |name: &str| self.users.get(name).and_then(Credential::verifier);
        let of_decoy = self.decoy.as_ref().and_then(Credential::verifier);
        let iterations = of_decoy.map_or(scram::ITERATIONS, scram::Verifier::iterations);
        let users = Users { find: &find, secret: &self.secret, iterations };
        scram::step(&users, message, kept)
    }

    /// How many users there are.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the hashes.
        f.debug_struct("Passwords").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// Adds a user or changes the password; says whether the user was there. The file is replaced as a
/// whole, so that a broker which reads it meanwhile finds the old one or the new one.
///
/// # Errors
/// When the file cannot be read or written, or the name cannot stand in it.
pub(crate) fn put(
    path: &Path,
    name: &str,
    password: &[u8],
    kind: Kind,
) -> Result<bool, PasswordFileError> {
    let refuse = |reason| PasswordFileError::Name { name: name.to_owned(), reason };
    check_name(name).map_err(refuse)?;
    let prepared = stringprep::saslprep(name).ok();
    if kind != Kind::Argon2 && prepared.as_deref() != Some(name) {
        return Err(refuse("SCRAM compares names in their normal form (RFC 4013), this is none"));
    }
    if password.is_empty() {
        return Err(PasswordFileError::EmptyPassword);
    }
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(PasswordFileError::Read { path: path.to_owned(), source }),
    };
    let credential = Credential::of(password, kind).map_err(PasswordFileError::Hash)?;
    let entry = format!("{name}:{credential}");
    let is_theirs = |line: &str| line.split_once(':').is_some_and(|(user, _)| user == name);
    let was_there = old.lines().any(is_theirs);
    let mut text: String = old
        .lines()
        .map(|line| if is_theirs(line) { &entry } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    if !was_there {
        text.push_str(&entry);
        text.push('\n');
    }
    replace(path, &text)
        .map_err(|source| PasswordFileError::Write { path: path.to_owned(), source })?;
    Ok(was_there)
}

fn user_of(line: &str) -> Result<Option<(&str, Credential)>, &'static str> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, hash) = line.split_once(':').ok_or("this is not NAME:HASH")?;
    check_name(name)?;
    Ok(Some((name, Credential::parse(hash.trim_end())?)))
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("it is empty")
    } else if name.contains(':') {
        Err("it contains a colon, which ends the name in the file")
    } else if name.starts_with('#') {
        Err("it begins with #, which begins a comment in the file")
    } else if name.chars().any(char::is_control) {
        Err("it contains a control character")
    } else {
        Ok(())
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let mode = fs::metadata(path).map_or(0o600, |known| known.permissions().mode() & 0o777);
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // What went wrong first is what matters.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        assert!(!put(&path, "alice", b"one", Kind::Argon2).unwrap());
        assert!(!put(&path, "Jürgen Ö", b"\xff\x00 binary", Kind::Argon2).unwrap());
        fs::write(&path, format!("# ours\n\n{}", fs::read_to_string(&path).unwrap())).unwrap();
        assert!(put(&path, "alice", b"two", Kind::Argon2).unwrap());

        let passwords = Passwords::load(&path).unwrap();
        assert_eq!(passwords.len(), 2);
        assert!(passwords.verify("alice", b"two"));
        assert!(passwords.verify("Jürgen Ö", b"\xff\x00 binary"));
        for (name, password) in
            [("alice", "one"), ("alice", ""), ("bob", "two"), ("", "two"), ("Alice", "two")]
        {
            assert!(!passwords.verify(name, password.as_bytes()), "{name} {password}");
        }
        assert!(fs::read_to_string(&path).unwrap().starts_with("# ours\n\nalice:$argon2id$"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        assert!(Passwords::load(&path).unwrap_err().to_string().contains("flotilla passwd"));
        for name in ["", "a:b", "#a", "a\nb"] {
            let refused = put(&path, name, b"x", Kind::Argon2);
            assert!(matches!(refused, Err(PasswordFileError::Name { .. })));
        }
        let refused = put(&path, "a", b"", Kind::Argon2);
        assert!(matches!(refused, Err(PasswordFileError::EmptyPassword)));
        let refused = put(&path, "a\u{AD}b", b"x", Kind::Scram(scram::ITERATIONS));
        assert!(matches!(refused, Err(PasswordFileError::Name { .. })));
        assert!(!path.exists());

        put(&path, "a", b"x", Kind::Argon2).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let with = |old: &str, new: &str| good.trim().replace("a:", "b:").replace(old, new);
        for (line, reason) in [
            ("b", "NAME:HASH"),
            ("b:secret", "argon2id"),
            ("b:$2b$12$abcdefghijklmnopqrstuv", "argon2id"),
            (":x", "empty"),
            (good.trim(), "already"),
            (&with("m=19456", "m=2097152"), "1 GiB"),
            (&with("t=2", "t=101"), "100 passes"),
            (&with("m=19456", "m=7"), "no password can be checked"),
        ] {
            fs::write(&path, format!("{good}{line}\n")).unwrap();
            let refusal = Passwords::load(&path).unwrap_err().to_string();
            assert!(refusal.contains(":2: ") && refusal.contains(reason), "{line}: {refusal}");
        }
    }

    /// One line serves both: who says the password, and who proves to know it.
    #[test]
    fn a_verifier_checks_passwords_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        put(&path, "alice", b"one", Kind::Argon2).unwrap();
        put(&path, "bob", b"two", Kind::Scram(scram::ITERATIONS_MIN)).unwrap();
        assert!(put(&path, "alice", b"one", Kind::Scram(scram::ITERATIONS_MIN)).unwrap());
        let passwords = Passwords::load(&path).unwrap();
        assert!(passwords.verify("alice", b"one") && passwords.verify("bob", b"two"));
        assert!(!passwords.verify("bob", b"one") && !passwords.verify("eve", b"one"));
        for name in ["bob", "eve"] {
            let asked = passwords.converse(format!("n,,n={name},r=x").as_bytes(), None);
            assert!(matches!(asked, Outcome::Challenge { .. }), "{name}");
        }
    }

    #[test]
    fn nobody_in_an_empty_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        fs::write(&path, "# none yet\n").unwrap();
        assert!(!Passwords::load(&path).unwrap().verify("a", b"x"));
    }
}
