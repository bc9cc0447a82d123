//! The files that a configuration names.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::{
    auth::Passwords,
    config::{ServerCertificate, Settings},
    net::{development::DevelopmentCertificate, tls},
};

/// What the files say that a configuration names.
pub(crate) struct Files {
    /// By listener.
    pub(crate) tls: Vec<Option<Arc<ServerConfig>>>,
    /// Of `[auth] password_file`.
    pub(crate) passwords: Option<Passwords>,
}

impl Files {
    /// Reads them all. Development certificates that do not exist yet are left out.
    ///
    /// # Errors
    /// A sentence, for the first that cannot be read or used.
    pub(crate) fn read(settings: &Settings) -> Result<Self, String> {
        let development = DevelopmentCertificate::new(&settings.certificates_dir());
        let mut configs = Vec::new();
        for listener in &settings.listeners {
            let tls = listener.tls.as_ref().filter(|tls| {
                tls.certificate != ServerCertificate::Development || development.key.exists()
            });
            let config = tls.map(|tls| {
                tls::configure(tls, (&development.certificate, &development.key))
                    .map_err(|error| format!("{}: {error}", listener.bind))
            });
            configs.push(config.transpose()?);
        }
        let passwords = settings.password_file.as_deref().map(Passwords::load).transpose();
        Ok(Self { tls: configs, passwords: passwords.map_err(|error| error.to_string())? })
    }
}
