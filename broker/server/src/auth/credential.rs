//! What a password file keeps of one password.

use std::{fmt, num::NonZeroU32};

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::{self, phc},
};

use super::scram::Verifier;

/// A hash by which a password can be checked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// For clients that say the password in CONNECT.
    Argon2(phc::PasswordHash),
    /// For these, and for clients that authenticate with SCRAM-SHA-256.
    Scram(Verifier),
}

/// How to hash a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// argon2id.
    Argon2,
    /// SCRAM-SHA-256 with so many iterations.
    Scram(NonZeroU32),
}

impl Credential {
    /// Hashes a password. Slow on purpose.
    ///
    /// # Errors
    /// When the hash cannot be made.
    pub(crate) fn of(password: &[u8], kind: Kind) -> Result<Self, password_hash::Error> {
        match kind {
            Kind::Argon2 => Argon2::default().hash_password(password).map(Self::Argon2),
            Kind::Scram(iterations) => Ok(Self::Scram(Verifier::of(password, iterations))),
        }
    }

    /// What stands behind a name in a password file; `None`: neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(verifier) = Verifier::parse(text) {
            return Some(Self::Scram(verifier));
        }
        let hash = phc::PasswordHash::new(text).ok()?;
        let is_argon2id = hash.algorithm == phc::Ident::new_unwrap("argon2id");
        (is_argon2id && hash.hash.is_some()).then_some(Self::Argon2(hash))
    }

    /// Whether this is the password. Slow on purpose.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(password, hash).is_ok(),
            Self::Scram(verifier) => verifier.verify(password),
        }
    }

    /// By which SCRAM goes.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::Argon2(_) => None,
            Self::Scram(verifier) => Some(verifier),
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2(hash) => hash.fmt(f),
            Self::Scram(verifier) => verifier.fmt(f),
        }
    }
}
