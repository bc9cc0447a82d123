//! The revocation list of an authority.

use std::{path::Path, time::SystemTime};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use time::{Duration, OffsetDateTime};

use crate::{Authority, Entry, Error, Index, files};

/// The revocation list in the authority's directory, PEM.
pub const CRL_FILE: &str = "ca.crl";

/// What a revocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Certificates that were good until now.
    pub newly: usize,
    /// Certificates in the list.
    pub total: usize,
}

impl Authority {
    /// Revokes every certificate that was issued to one of `names`, then writes the new revocation
    /// list `ca.crl` into `dir`. With no name it writes the list anew. The list is valid as long as
    /// the authority: a forgotten renewal must not lock out a fleet.
    ///
    /// # Errors
    /// [`Error::NeverIssued`] when nothing was issued to one of the names, with nothing revoked;
    /// [`Error::BadIndex`], [`Error::Write`], [`Error::Make`].
    pub fn revoke(&self, dir: &Path, names: &[String]) -> Result<Revoked, Error> {
        let mut index = Index::open(dir)?;
        let is_known = |name: &String| index.entries().iter().any(|entry| entry.name == *name);
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            return Err(Error::NeverIssued { name: name.clone(), path: index.path().to_owned() });
        }
        let mut newly = 0;
        for name in names {
            newly += index.revoke(name, SystemTime::now())?;
        }
        let revoked: Vec<_> = index.entries().iter().filter_map(revoked_certificate).collect();
        let total = revoked.len();
        // The index stays locked until the list stands, so that a later list is never replaced by
        // an earlier one.
        files::replace(&dir.join(CRL_FILE), &self.revocation_list(revoked)?)?;
        Ok(Revoked { newly, total })
    }

    fn revocation_list(&self, revoked_certs: Vec<RevokedCertParams>) -> Result<String, Error> {
        let now = OffsetDateTime::now_utc();
        // Grows with every list [RFC 5280 5.2.3]; microseconds since 1970 need no record of it.
        let number = u64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or(0);
        CertificateRevocationListParams {
            // As with certificates: a verifier's clock may lag.
            this_update: now - Duration::days(1),
            next_update: self.expires().into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(self.issuer())
        .and_then(|list| list.pem())
        .map_err(|source| Error::Make { what: "the revocation list", source })
    }
}

fn revoked_certificate(entry: &Entry) -> Option<RevokedCertParams> {
    Some(RevokedCertParams {
        serial_number: SerialNumber::from_slice(entry.serial.as_bytes()),
        revocation_time: entry.revoked?.into(),
        reason_code: None,
        invalidity_date: None,
    })
}
