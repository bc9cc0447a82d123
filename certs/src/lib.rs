//! Certificates for a development fleet: an authority, what it issued, what it revoked.
//!
//! Meant for trying, testing, small closed fleets: the authority's key lies unencrypted beside its
//! certificate. An authority that was made elsewhere is refused, so that no production key is ever
//! used by accident. Every key is ECDSA P-256, every certificate X.509 version 3, and every
//! certificate is valid from one day before it was made, for clocks that lag.

mod authority;
mod error;
mod files;
mod index;
mod issued;
mod names;
mod revocation;

pub use authority::{Authority, CERTIFICATE_FILE, KEY_FILE, LEAF_DAYS, ROOT_DAYS};
pub use error::Error;
pub use index::{Entry, INDEX_FILE, Index, Kind};
pub use issued::{Issued, Serial, refuse_existing};
pub use names::{check_common_name, check_file_name, check_host, check_identity};
pub use revocation::{CRL_FILE, Revoked};
