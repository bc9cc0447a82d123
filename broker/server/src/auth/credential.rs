//! What a password file keeps of one password.

use std::{fmt, num::NonZeroU32};

use argon2::{
    Argon2, Params, PasswordHasher, PasswordVerifier,
    password_hash::{self, phc},
};

use super::scram::Verifier;

// What one check of a password may cost at most; those that `flotilla passwd` writes cost 19 MiB, 2
// passes.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 100;
const LANES_MAX: u32 = 64;

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

    /// What stands behind a name in a password file.
    ///
    /// # Errors
    /// Why it cannot be used: it is neither, or a check would take more than a broker can spare.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(verifier) = Verifier::parse(text) {
            return Ok(Self::Scram(verifier));
        }
        let argon2id = phc::Ident::new_unwrap("argon2id");
        let hash = phc::PasswordHash::new(text).ok();
        let hash = hash.filter(|hash| hash.algorithm == argon2id && hash.hash.is_some()).ok_or(
            "after the name stands no argon2id hash ($argon2id$…) and no SCRAM verifier \
             (SCRAM-SHA-256$…)",
        )?;
        let params = Params::try_from(&hash)
            .map_err(|_| "no password can be checked with the parameters of its argon2id hash")?;
        let is_costly = params.m_cost() > MEMORY_KIB_MAX
            || params.t_cost() > PASSES_MAX
            || params.p_cost() > LANES_MAX;
        if is_costly {
            return Err("its argon2id hash takes more than 1 GiB, 100 passes or 64 lanes a check");
        }
        Ok(Self::Argon2(hash))
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
