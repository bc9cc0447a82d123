//! Topic Names, Topic Filters, how they match.

use std::fmt;

use crate::wire::has_any;

/// The longest Topic Name or Topic Filter, in bytes. [MQTT-4.7.3-3]
pub const TOPIC_LEN_MAX: usize = u16::MAX as usize;

const SHARE_PREFIX: &str = "$share/";

/// Whether it may be published to: one byte or more, no wildcard, no U+0000, at most 65,535 bytes.
/// [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
pub fn is_valid_name(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= TOPIC_LEN_MAX
        && !has_any(topic.as_bytes(), |byte| matches!(byte, 0 | b'+' | b'#'))
}

/// Whether it is a Topic Filter by section 4.7, taken as it stands: `$share/` has no meaning here,
/// see [`parse_filter`].
pub fn is_valid_filter(filter: &str) -> bool {
    plain(filter).is_ok()
}

/// The Levels of a Topic Name or Topic Filter. Always at least one; any may be empty.
pub fn levels(topic: &str) -> impl Iterator<Item = &str> {
    topic.split('/')
}

/// Whether a Topic Filter matches a Topic Name, both valid. [MQTT 5, section 4.7]
///
/// A shared filter is matched by the part behind its Share Name. A filter that begins with a
/// wildcard does not match a topic that begins with `$`. [MQTT-4.7.2-1]
pub fn matches(filter: &str, topic: &str) -> bool {
    matches_bytes(filter.as_bytes(), topic.as_bytes())
}

/// As [`matches`], for whoever has bytes that are valid.
pub fn matches_bytes(mut filter: &[u8], mut topic: &[u8]) -> bool {
    if filter == topic {
        return true;
    }
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    // Both stand at the beginning of a Level.
    loop {
        let (level, filter_rest) = split_level(filter);
        let (topic_level, topic_rest) = split_level(topic);
        if level == b"#" {
            return true;
        }
        if level != b"+" && level != topic_level {
            return false;
        }
        match (filter_rest, topic_rest) {
            (Some(filter_rest), Some(topic_rest)) => (filter, topic) = (filter_rest, topic_rest),
            (filter_rest, None) => return matches!(filter_rest, None | Some(b"#")),
            (None, Some(_)) => return false,
        }
    }
}

/// The first Level, and what stands behind its `/`.
fn split_level(levels: &[u8]) -> (&[u8], Option<&[u8]>) {
    match levels.iter().position(|&byte| byte == b'/') {
        Some(end) => (&levels[..end], Some(&levels[end + 1..])),
        None => (levels, None),
    }
}

/// A valid Topic Filter, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Filter<'a> {
    /// A subscription of one session.
    Plain(&'a str),
    /// `$share/<share name>/<filter>`: a subscription of a group. [MQTT 5, section 4.8.2]
    Shared {
        /// The name of the group: one character or more, without `/`, `+` and `#`.
        share_name: &'a str,
        /// What the group subscribes to.
        filter: &'a str,
    },
}

impl<'a> Filter<'a> {
    /// The part that Topic Names are matched with.
    pub const fn filter(&self) -> &'a str {
        match self {
            Self::Plain(filter) | Self::Shared { filter, .. } => filter,
        }
    }
}

/// The part of a valid shared filter that Topic Names are matched with, as [`parse_filter`] finds it
/// without checking anything again; `None`: the filter is not shared.
pub fn shared_filter(filter: &str) -> Option<&str> {
    let (_, inner) = filter.strip_prefix(SHARE_PREFIX)?.split_once('/')?;
    Some(inner)
}

/// Takes a Topic Filter apart, as SUBSCRIBE and UNSUBSCRIBE carry it in both versions.
pub fn parse_filter(filter: &str) -> Result<Filter<'_>, FilterError> {
    let Some(shared) = filter.strip_prefix(SHARE_PREFIX) else {
        return plain(filter).map(|()| Filter::Plain(filter));
    };
    if filter.len() > TOPIC_LEN_MAX {
        return Err(FilterError::TooLong);
    }
    let (share_name, inner) = shared.split_once('/').ok_or(FilterError::ShareWithoutFilter)?;
    if share_name.is_empty() {
        return Err(FilterError::ShareNameEmpty);
    }
    if share_name.contains(['+', '#', '\0']) {
        return Err(FilterError::ShareNameInvalid);
    }
    match plain(inner) {
        Ok(()) => Ok(Filter::Shared { share_name, filter: inner }),
        Err(FilterError::Empty) => Err(FilterError::ShareWithoutFilter),
        Err(error) => Err(error),
    }
}

fn plain(filter: &str) -> Result<(), FilterError> {
    if filter.is_empty() {
        return Err(FilterError::Empty);
    }
    if filter.len() > TOPIC_LEN_MAX {
        return Err(FilterError::TooLong);
    }
    let mut ended = false;
    for level in levels(filter) {
        if ended {
            return Err(FilterError::MultiLevelNotLast);
        }
        ended = level == "#";
        if level.len() > 1 && level.contains(['+', '#']) {
            return Err(FilterError::WildcardBesideOthers);
        }
        if level.contains('\0') {
            return Err(FilterError::NulCharacter);
        }
    }
    Ok(())
}

/// What is wrong with a Topic Filter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FilterError {
    /// It is empty. [MQTT-4.7.3-1]
    Empty,
    /// It is longer than [`TOPIC_LEN_MAX`]. [MQTT-4.7.3-3]
    TooLong,
    /// It contains U+0000. [MQTT-4.7.3-2]
    NulCharacter,
    /// A level follows `#`. [MQTT-4.7.1-1]
    MultiLevelNotLast,
    /// `+` or `#` shares its level with other characters. [MQTT-4.7.1-1] [MQTT-4.7.1-2]
    WildcardBesideOthers,
    /// Nothing stands between `$share/` and the next `/`. [MQTT-4.8.2-1]
    ShareNameEmpty,
    /// The Share Name contains `+` or `#`. [MQTT-4.8.2-2]
    ShareNameInvalid,
    /// No Topic Filter follows the Share Name. [MQTT-4.8.2-2]
    ShareWithoutFilter,
}

impl FilterError {
    /// Whether it is about the `$share/<name>/` in front.
    pub(crate) const fn is_about_share(self) -> bool {
        matches!(self, Self::ShareNameEmpty | Self::ShareNameInvalid | Self::ShareWithoutFilter)
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a Topic Filter needs one character or more",
            Self::TooLong => "a Topic Filter has at most 65535 bytes",
            Self::NulCharacter => "a Topic Filter cannot contain the null character",
            Self::MultiLevelNotLast => "\"#\" must be the last level of a Topic Filter",
            Self::WildcardBesideOthers => "\"+\" and \"#\" must fill a whole level",
            Self::ShareNameEmpty => "\"$share/\" needs a Share Name behind it",
            Self::ShareNameInvalid => "a Share Name cannot contain \"+\" or \"#\"",
            Self::ShareWithoutFilter => "\"$share/<name>/\" needs a Topic Filter behind it",
        })
    }
}

impl std::error::Error for FilterError {}
