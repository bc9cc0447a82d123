//! The identity in a client's certificate.

use std::fmt::Write;

use x509_parser::{
    objects::{oid_registry, oid2abbrev},
    prelude::{FromDer, GeneralName, X509Certificate, X509Name},
};

use crate::config::IdentitySource;

/// What the certificate says at `source`; `None`: nothing, or the source is not the certificate.
/// `der` has been verified, so it can be parsed.
pub(crate) fn identity(der: &[u8], source: IdentitySource) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let identity = match source {
        IdentitySource::Username => return None,
        IdentitySource::CommonName => {
            certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned()
        }
        IdentitySource::Subject => subject(certificate.subject()),
        IdentitySource::SanDns => alternative_name(&certificate, |name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })?,
        IdentitySource::SanUri => alternative_name(&certificate, |name| match name {
            GeneralName::URI(name) => Some(*name),
            _ => None,
        })?,
    };
    Some(identity).filter(|identity| !identity.is_empty())
}

fn alternative_name(
    certificate: &X509Certificate<'_>,
    pick: impl for<'a> Fn(&GeneralName<'a>) -> Option<&'a str>,
) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(pick).map(str::to_owned)
}

/// The subject as RFC 4514 writes it: the last part first, as in `CN=pump-7,O=Example`.
fn subject(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match (text.is_empty(), index) {
                (true, _) => {}
                (false, 0) => text.push(','),
                (false, _) => text.push('+'),
            }
            match oid2abbrev(attribute.attr_type(), oid_registry()) {
                Ok(short) => text.push_str(short),
                Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
            }
            text.push('=');
            match attribute.as_str() {
                Ok(value) => escape(value, &mut text),
                Err(_) => {
                    text.push('#');
                    for byte in attribute.as_slice() {
                        write!(text, "{byte:02x}").expect("a String takes everything");
                    }
                }
            }
        }
    }
    text
}

/// [RFC 4514, 2.4]
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, char) in value.chars().enumerate() {
        let is_special = matches!(char, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (char == ' ' && (at == 0 || at == last))
            || (char == '#' && at == 0);
        if is_special {
            text.push('\\');
        }
        if char == '\0' { text.push_str("\\00") } else { text.push(char) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flotilla_certs::Authority;

    fn device(name: &str) -> Vec<u8> {
        let issued = Authority::generate("Test CA", 10).unwrap().issue_device(name, 5).unwrap();
        let pem = x509_parser::pem::parse_x509_pem(issued.certificate_pem.as_bytes()).unwrap().1;
        pem.contents
    }

    #[test]
    fn by_source() {
        let der = device("pump-7.example");
        let of = |source| identity(&der, source);
        assert_eq!(of(IdentitySource::Username), None);
        assert_eq!(of(IdentitySource::CommonName).as_deref(), Some("pump-7.example"));
        assert_eq!(of(IdentitySource::SanDns).as_deref(), Some("pump-7.example"));
        assert_eq!(of(IdentitySource::SanUri), None);
        let subject = of(IdentitySource::Subject).unwrap();
        assert!(subject.starts_with("CN=pump-7.example,O="), "{subject}");
    }

    #[test]
    fn special_characters_are_escaped() {
        let subject = identity(&device("pump, 7"), IdentitySource::Subject).unwrap();
        assert!(subject.starts_with("CN=pump\\, 7,O="), "{subject}");
        let mut text = String::new();
        escape(" #a+\"b\\ ", &mut text);
        assert_eq!(text, "\\ #a\\+\\\"b\\\\\\ ");
    }

    #[test]
    fn garbage_is_nobody() {
        assert_eq!(identity(b"not a certificate", IdentitySource::CommonName), None);
    }
}
