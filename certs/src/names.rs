//! Which names may stand in a certificate.

use std::net::IpAddr;

use crate::Error;

/// The longest common name [X.520 ub-common-name].
const COMMON_NAME_CHARS_MAX: usize = 64;
/// The longest DNS name in text [RFC 1035 2.3.4].
const DNS_NAME_BYTES_MAX: usize = 253;
/// The longest part between two dots [RFC 1035 2.3.4].
const DNS_LABEL_BYTES_MAX: usize = 63;

/// Accepts what may be the identity of a device: it becomes the common name, a file name, and with
/// the broker's `identity = "common-name"` a part of Topic Filters in access rules.
///
/// # Errors
/// [`Error::BadName`] with the rule that the name breaks.
pub fn check_identity(name: &str) -> Result<(), Error> {
    check_file_name(name)?;
    let reason = if name.chars().count() > COMMON_NAME_CHARS_MAX {
        "a common name has at most 64 characters"
    } else if name.contains(['+', '#']) {
        "'+' and '#' are wildcards in a Topic Filter"
    } else if name.trim() != name {
        "it begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.to_owned(), reason })
}

/// Accepts what people may read as the name of an authority.
///
/// # Errors
/// [`Error::BadName`] with the rule that the name breaks.
pub fn check_common_name(name: &str) -> Result<(), Error> {
    let reason = if !(1..=COMMON_NAME_CHARS_MAX).contains(&name.chars().count()) {
        "a common name has 1 to 64 characters"
    } else if name.chars().any(char::is_control) {
        "it contains a control character"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.to_owned(), reason })
}

/// Accepts a DNS name (also with `*` as its first part) or an IP address.
///
/// # Errors
/// [`Error::BadName`] with the rule that the name breaks.
pub fn check_host(name: &str) -> Result<(), Error> {
    if name.parse::<IpAddr>().is_ok() || is_dns_name(name.strip_prefix("*.").unwrap_or(name)) {
        return Ok(());
    }
    let reason = "a server is named by an IP address or by a DNS name of letters, digits, '-' and \
                  '.', without scheme or port (names in other scripts in their 'xn--' form)";
    Err(Error::BadName { name: name.to_owned(), reason })
}

/// Accepts what can be a file name without leaving its directory.
///
/// # Errors
/// [`Error::BadName`] with the rule that the name breaks.
pub fn check_file_name(name: &str) -> Result<(), Error> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.contains(['/', '\\']) {
        "it contains a slash, and it is also the name of a file"
    } else if name.starts_with(['.', '-']) {
        "it begins with '.' or '-', and it is also the name of a file"
    } else if name.chars().any(char::is_control) {
        "it contains a control character"
    } else if name.len() > 200 {
        "it has more than 200 bytes, and it is also the name of a file"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.to_owned(), reason })
}

/// Whether `name` can be a DNS name in a certificate.
pub(crate) fn is_dns_name(name: &str) -> bool {
    name.len() <= DNS_NAME_BYTES_MAX && name.split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    (1..=DNS_LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        for name in ["device-1", "pump 7", "a", "Pumpe-Süd", "a.b", "urn:dev:1", &"x".repeat(64)] {
            assert!(check_identity(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\\b", "-x", "a+", "#", "a\nb", " a", "a ", "a\0"] {
            assert!(check_identity(name).is_err(), "{name:?}");
        }
        assert!(check_identity(&"x".repeat(65)).is_err());
    }

    #[test]
    fn hosts() {
        for name in ["localhost", "a.example", "*.a.example", "127.0.0.1", "::1", "my_host", "x1-2"]
        {
            assert!(check_host(name).is_ok(), "{name}");
        }
        for name in
            ["", ".", "a..b", "a.", "-a", "a-", "tls://a", "a:8883", "[::1]", "*", "a.*", "ä"]
        {
            assert!(check_host(name).is_err(), "{name:?}");
        }
        assert!(check_host(&"x".repeat(64)).is_err());
    }
}
