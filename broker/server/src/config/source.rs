//! The text of a configuration file, with the lines on which its keys stand.

use std::{ops::Range, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{self, value::Error as FieldsError},
    forward_to_deserialize_any,
};
use toml::de::{DeTable, DeValue};

use super::{durability::Rule, refusal::Refusal, written};

/// A parsed file, in which `${NAME}` has been replaced.
pub(crate) struct Source<'a> {
    file: Option<&'a Path>,
    text: &'a str,
    table: toml::Spanned<DeTable<'a>>,
}

impl<'a> Source<'a> {
    /// Parses `text`; `variable` looks an environment variable up.
    pub(crate) fn parse(
        file: Option<&'a Path>,
        text: &'a str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let table = DeTable::parse(text).map_err(|error| Refusal {
            file: file.map(Path::to_path_buf),
            line: error.span().map(|span| line(text, span.start)),
            key: String::new(),
            reason: format!("this is not TOML: {}", error.message()),
        })?;
        let mut source = Self { file, text, table };
        replace_variables(source.table.get_mut(), variable)
            .map_err(|(span, reason)| source.refusal(Some(span), reason))?;
        Ok(source)
    }

    /// What the user wrote.
    pub(crate) fn written(&self) -> Result<written::Written, Refusal> {
        self.known_keys_only()?;
        let deserializer = toml::de::Deserializer::from(self.table.clone());
        written::Written::deserialize(deserializer)
            .map_err(|error| self.refusal(error.span(), error.message().replace('\n', ", ")))
    }

    /// Adds file and line to a refusal that knows its key; one of the command line has neither.
    pub(crate) fn locate(&self, refusal: Refusal) -> Refusal {
        if refusal.key.starts_with("--") {
            return refusal;
        }
        let line = self.span_of(&refusal.key).map(|span| line(self.text, span.start));
        Refusal { file: self.file.map(Path::to_path_buf), line, ..refusal }
    }

    fn refusal(&self, span: Option<Range<usize>>, reason: String) -> Refusal {
        Refusal {
            file: self.file.map(Path::to_path_buf),
            line: span.as_ref().map(|span| line(self.text, span.start)),
            key: span.and_then(|span| key_at(self.table.get_ref(), &span, "")).unwrap_or_default(),
            reason,
        }
    }

    fn known_keys_only(&self) -> Result<(), Refusal> {
        for (name, value) in self.table.get_ref() {
            let Some(fields) = fields_of_section(name.get_ref()) else {
                return Err(self.unknown("", name, fields_of::<written::Written>()));
            };
            let tables: Vec<&DeTable<'_>> = match value.get_ref() {
                DeValue::Table(table) => vec![table],
                DeValue::Array(array) => {
                    array.iter().filter_map(|item| item.get_ref().as_table()).collect()
                }
                _ => continue,
            };
            for key in tables.iter().flat_map(|table| table.keys()) {
                if !fields.contains(&key.get_ref().as_ref()) {
                    return Err(self.unknown(name.get_ref(), key, fields));
                }
            }
        }
        Ok(())
    }

    fn unknown(
        &self,
        section: &str,
        key: &toml::Spanned<std::borrow::Cow<'_, str>>,
        known: &[&str],
    ) -> Refusal {
        let name = key.get_ref();
        let elsewhere = fields_of::<written::Written>().iter().copied().find(|other| {
            *other != section
                && fields_of_section(other).is_some_and(|f| f.contains(&name.as_ref()))
        });
        let advice = match (elsewhere, nearest(name, known)) {
            (Some(other), _) => format!("; it belongs into [{other}]"),
            (None, Some(near)) => format!("; the nearest known key is `{near}`"),
            (None, None) => format!("; known keys here: {}", known.join(", ")),
        };
        Refusal {
            file: self.file.map(Path::to_path_buf),
            line: Some(line(self.text, key.span().start)),
            key: join(section, name),
            reason: format!("unknown key{advice}"),
        }
    }

    /// `limits.receive_max`, `listener[1].bind`
    fn span_of(&self, path: &str) -> Option<Range<usize>> {
        let (section, key) = path.split_once('.').unwrap_or((path, ""));
        let (section, index) = match section.split_once('[') {
            Some((section, index)) => (section, index.trim_end_matches(']').parse().ok()?),
            None => (section, 0),
        };
        let (name, value) = self.table.get_ref().get_key_value(section)?;
        let (span, table) = match value.get_ref() {
            DeValue::Array(array) => {
                let Some(item) = array.get(index) else { return Some(name.span()) };
                (item.span(), item.get_ref().as_table()?)
            }
            DeValue::Table(table) => (name.span(), table),
            _ => return Some(name.span()),
        };
        Some(table.get_key_value(key).map_or(span, |(name, _)| name.span()))
    }
}

/// The keys of a top-level table; `None` when there is no such table.
pub(crate) fn fields_of_section(section: &str) -> Option<&'static [&'static str]> {
    Some(match section {
        "node" => fields_of::<written::Node>(),
        "listener" => fields_of::<written::Listener>(),
        "auth" => fields_of::<written::Auth>(),
        "session" => fields_of::<written::Session>(),
        "limits" => fields_of::<written::Limits>(),
        "store" => fields_of::<written::Store>(),
        "durability" => fields_of::<Rule>(),
        "retained" => fields_of::<written::Retained>(),
        "ops" => fields_of::<written::Ops>(),
        "log" => fields_of::<written::Log>(),
        _ => return None,
    })
}

/// The fields a type reads, as it declares them to whoever deserializes it.
pub(crate) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Fields<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = FieldsError;

        fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, FieldsError> {
            Err(de::Error::custom("only the fields are asked for"))
        }

        fn deserialize_struct<V: de::Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, FieldsError> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    drop(T::deserialize(Fields(&mut fields)));
    fields
}

/// The known word that `name` may have been meant to be.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 2)
        .map(|(_, known)| known)
}

fn replace_variables(
    table: &mut DeTable<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), (Range<usize>, String)> {
    table.iter_mut().try_for_each(|(_, value)| replace_in_value(value, variable))
}

fn replace_in_value(
    value: &mut toml::Spanned<DeValue<'_>>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), (Range<usize>, String)> {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains('$') => {
            *text = expand(text, variable).map_err(|reason| (span, reason))?.into();
            Ok(())
        }
        DeValue::Array(array) => {
            array.iter_mut().try_for_each(|value| replace_in_value(value, variable))
        }
        DeValue::Table(table) => replace_variables(table, variable),
        _ => Ok(()),
    }
}

fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some(name) = after.strip_prefix('{') {
            let (name, after) =
                name.split_once('}').ok_or_else(|| format!("`{text}`: `${{` without `}}`"))?;
            let value = variable(name).ok_or_else(|| {
                format!("the environment variable {name} is not set; set it, or write the value")
            })?;
            expanded.push_str(&value);
            after
        } else {
            expanded.push('$');
            after
        };
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The key whose value holds `span`, or whose own name does.
fn key_at(table: &DeTable<'_>, span: &Range<usize>, section: &str) -> Option<String> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (name, value) in table {
        let path = join(section, name.get_ref());
        let inner = match value.get_ref() {
            DeValue::Table(table) => key_at(table, span, &path),
            DeValue::Array(array) => array
                .iter()
                .filter_map(|item| item.get_ref().as_table())
                .find_map(|table| key_at(table, span, &path)),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        if holds(value.span()) || holds(name.span()) {
            return Some(path);
        }
    }
    None
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}
