//! A development certificate authority.

use std::{fs, net::IpAddr, path::Path, time::SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, string::Ia5String,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Error, Issued, Serial, files, names};

/// The authority's certificate in its directory, PEM.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// The authority's private key in its directory, PEM.
pub const KEY_FILE: &str = "ca.key";
/// How long an authority is good for where nobody says otherwise, days.
pub const ROOT_DAYS: u32 = 3650;
/// How long a server's or device's certificate is good for where nobody says otherwise, days. Some
/// clients refuse a server certificate that lasts longer.
pub const LEAF_DAYS: u32 = 825;

/// The longest validity, days; beyond it lie years that a certificate cannot express.
const DAYS_MAX: u32 = 36_500;
/// How long before its making a certificate becomes valid, for clocks that lag or show local time.
const BACKDATE: Duration = Duration::days(1);
/// Stands in the subject of every authority made here, and tells it from all others.
const ORGANIZATION: &str = "Flotilla development (not for production)";

/// A certificate authority: its certificate with the key that signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    expires: OffsetDateTime,
}

impl Authority {
    /// Makes a new authority with a new key. `common_name` is what people read in the certificate.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::BadValidity`], [`Error::Make`].
    pub fn generate(common_name: &str, validity_days: u32) -> Result<Self, Error> {
        names::check_common_name(common_name)?;
        let now = OffsetDateTime::now_utc();
        let expires = now + validity(validity_days)?;
        let mut params = CertificateParams::default();
        params.not_before = now - BACKDATE;
        params.not_after = expires;
        params.distinguished_name = subject(Some(common_name));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key()?;
        let certificate = params
            .self_signed(&key)
            .map_err(|source| Error::Make { what: "the authority's certificate", source })?;
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem: certificate.pem(), expires })
    }

    /// Reads `ca.pem` and `ca.key` from `dir`.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Unusable`] with the file, what is wrong with it and what to do;
    /// [`Error::Foreign`] when the authority was not made by [`Authority::generate`].
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let certificate_path = dir.join(CERTIFICATE_FILE);
        let key_path = dir.join(KEY_FILE);
        let unusable = |path: &Path, reason: String| Error::Unusable { path: path.into(), reason };

        let certificate_pem = read(&certificate_path)?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|e| unusable(&certificate_path, format!("it is not a PEM file ({e})")))?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents)
            .map_err(|e| unusable(&certificate_path, format!("it is not a certificate ({e})")))?;
        if !was_made_here(&certificate) {
            return Err(Error::Foreign { path: certificate_path });
        }

        let key = KeyPair::from_pem(&read(&key_path)?)
            .map_err(|e| unusable(&key_path, format!("it is not a private key ({e})")))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            let reason = format!(
                "it is not the key of {}; put the pair that was made together into one directory",
                certificate_path.display()
            );
            return Err(unusable(&key_path, reason));
        }
        let expires = certificate.validity().not_after.to_datetime();
        if expires <= OffsetDateTime::now_utc() {
            let reason = format!(
                "it has expired at {}; make a new authority in another directory",
                certificate.validity().not_after
            );
            return Err(unusable(&certificate_path, reason));
        }
        let issuer = Issuer::from_ca_cert_der(&pem.contents.as_slice().into(), key)
            .map_err(|e| unusable(&certificate_path, format!("it is not an authority's ({e})")))?;
        Ok(Self { issuer, certificate_pem, expires })
    }

    /// Writes `ca.pem`, `ca.key` (readable by its owner only) and an empty revocation list `ca.crl`
    /// into `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Exists`] when one of the first two is there, with nothing written; [`Error::Write`].
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        crate::refuse_existing(dir, "ca")?;
        files::make_directory(dir)?;
        files::write_secret(&dir.join(KEY_FILE), &self.issuer.key().serialize_pem())?;
        files::write_public(&dir.join(CERTIFICATE_FILE), &self.certificate_pem)?;
        self.revoke(dir, &[]).map(|_| ())
    }

    /// The authority's certificate, PEM: what clients and servers are told to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    /// The end of the authority's validity; nothing it issues lasts longer.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires.into()
    }

    /// Issues a certificate for a server that clients reach under `names`, DNS names or IP
    /// addresses. All of them become subject alternative names. It ends with the authority, if that
    /// is earlier.
    ///
    /// # Errors
    /// [`Error::NoNames`], [`Error::BadName`], [`Error::BadValidity`], [`Error::Make`].
    pub fn issue_server(&self, names: &[String], validity_days: u32) -> Result<Issued, Error> {
        let first = names.first().ok_or(Error::NoNames)?;
        // A common name holds 64 characters; verifiers read the alternative names.
        let mut params = leaf(Some(first.as_str()).filter(|name| name.len() <= 64));
        params.subject_alt_names =
            names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, validity_days)
    }

    /// Issues a certificate for a device. `identity` becomes its common name, and its DNS
    /// alternative name where it can be one. It ends with the authority, if that is earlier.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::BadValidity`], [`Error::Make`].
    pub fn issue_device(&self, identity: &str, validity_days: u32) -> Result<Issued, Error> {
        names::check_identity(identity)?;
        let mut params = leaf(Some(identity));
        if names::is_dns_name(identity) {
            params.subject_alt_names = vec![SanType::DnsName(ia5(identity)?)];
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, validity_days)
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    fn issue(&self, mut params: CertificateParams, validity_days: u32) -> Result<Issued, Error> {
        let now = OffsetDateTime::now_utc();
        params.not_before = now - BACKDATE;
        params.not_after = (now + validity(validity_days)?).min(self.expires);
        let key = new_key()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|source| Error::Make { what: "a certificate", source })?;
        let (_, parsed) = X509Certificate::from_der(certificate.der())
            .expect("a certificate that was encoded a moment ago can be decoded");
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            serial: Serial::new(parsed.raw_serial()),
            expires: params.not_after.into(),
        })
    }
}

/// What servers and devices have in common.
fn leaf(common_name: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn subject(common_name: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANIZATION);
    if let Some(common_name) = common_name {
        name.push(DnType::CommonName, common_name);
    }
    name
}

fn was_made_here(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca()
        && certificate
            .subject()
            .iter_organization()
            .any(|organization| organization.as_str() == Ok(ORGANIZATION))
}

fn alternative_name(name: &str) -> Result<SanType, Error> {
    names::check_host(name)?;
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(ia5(name)?),
    })
}

fn ia5(name: &str) -> Result<Ia5String, Error> {
    Ia5String::try_from(name).map_err(|source| Error::Make { what: "an alternative name", source })
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(|source| Error::Make { what: "a key", source })
}

fn validity(days: u32) -> Result<Duration, Error> {
    if (1..=DAYS_MAX).contains(&days) {
        Ok(Duration::days(days.into()))
    } else {
        Err(Error::BadValidity { days })
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
        advice: "Make an authority with 'flotilla-certs ca', or name its directory with --dir.",
    })
}
