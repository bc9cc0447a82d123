//! Options of TLS.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsFiles {
    /// Certificates of the authorities that may have signed the broker's, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Certificate of this client, PEM; with it TLS is mutual
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of this client, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Whatever name the broker's certificate has; the authority is looked at nevertheless
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl TlsFiles {
    /// Whether any of them is given.
    pub(crate) const fn is_any(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.insecure
    }
}
