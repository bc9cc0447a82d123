//! `[[durability]]`: which topics have which class.

use std::str::FromStr;

use flotilla_core::durability::{Class, Durability, check_filter};
use serde::{Deserialize, Deserializer, de};

use super::{choice::Sync, refusal::Refusal, source::nearest};

/// Rules that a message may have to be compared with.
const RULES_MAX: usize = 256;

/// `[[durability]]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) filter: String,
    pub(crate) class: Word,
}

/// A class as a user writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) Class);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const CLASSES: [Class; 3] = [Class::Memory, Class::Os, Class::Fsync];
        if let Some(class) = CLASSES.into_iter().find(|class| class.name() == text) {
            return Ok(Self(class));
        }
        let names = CLASSES.map(Class::name);
        let advice = nearest(text, &names)
            .map(|near| format!("; the nearest is \"{near}\""))
            .unwrap_or_default();
        Err(format!("`{text}` is not one of \"memory\", \"os\", \"fsync\"{advice}"))
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text(deserializer, "\"memory\", \"os\" or \"fsync\"")?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What is in force: the rules, and for every other topic what `[store] sync` says.
pub(super) fn durability(rules: Vec<Rule>, sync: Sync) -> Result<Durability, Refusal> {
    if rules.len() > RULES_MAX {
        let reason = format!("{} rules are too many: at most {RULES_MAX}", rules.len());
        return Err(Refusal::of_key("durability", reason));
    }
    let rules = rules.into_iter().enumerate().map(|(index, Rule { filter, class })| {
        check_filter(&filter)
            .map_err(|reason| Refusal::of_key(format!("durability[{index}].filter"), reason))?;
        Ok((filter.into_boxed_str(), class.0))
    });
    let default = match sync {
        Sync::Always => Class::Fsync,
        Sync::Every(_) | Sync::Never => Class::Os,
    };
    Ok(Durability::new(rules.collect::<Result<_, _>>()?, default))
}
