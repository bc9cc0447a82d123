//! The configuration: from a file, the environment, the command line to [`Settings`].

mod bind;
mod choice;
mod durability;
mod duration;
mod refusal;
mod settings;
mod size;
mod source;
#[cfg(test)]
mod tests;
mod units;
mod written;

use std::{fmt, fs, path::Path};

use serde::{Deserializer, de};

pub(crate) use bind::Bind;
pub(crate) use choice::{IdentitySource, Level, Sync};
pub use refusal::Refusal;
pub use settings::Settings;
pub(crate) use settings::{Access, ListenerSettings, ServerCertificate, TlsSettings};

/// What the command line says over the configuration file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--data`
    pub(crate) data: Option<std::path::PathBuf>,
    /// `--listen`; if there is any, the file's listeners do not count.
    pub(crate) listen: Vec<Bind>,
    /// `--log-level`
    pub(crate) level: Option<Level>,
}

/// Every key with its default, unit, meaning.
pub(crate) const REFERENCE: &str = include_str!("reference.toml");

/// Reads `file`, or takes the defaults when there is none.
///
/// # Errors
/// What is wrong with the file, its first fault.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Settings, Refusal> {
    let Some(file) = file else {
        return Settings::new(written::Written::default(), Path::new(""), overrides);
    };
    let text = fs::read_to_string(file).map_err(|error| Refusal {
        file: Some(file.to_owned()),
        line: None,
        key: String::new(),
        reason: format!(
            "the configuration cannot be read: {error}; `flotilla default-config` prints one to \
             start from"
        ),
    })?;
    let directory = file.parent().unwrap_or(Path::new(""));
    read(Some(file), &text, directory, overrides, &|name| std::env::var(name).ok())
}

fn read(
    file: Option<&Path>,
    text: &str,
    directory: &Path,
    overrides: &Overrides,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Refusal> {
    let source = source::Source::parse(file, text, variable)?;
    Settings::new(source.written()?, directory, overrides).map_err(|refusal| source.locate(refusal))
}

/// Reads a string for a type that is written as one.
fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<String, D::Error> {
    struct Text(&'static str);

    impl de::Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_str(Text(expected))
}
