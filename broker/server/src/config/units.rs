//! Whole numbers with a unit, as people write them in a configuration.

/// Units with what one of them is of the smallest.
pub(super) type Units = [(&'static str, u64)];

/// Why a text is no number of these units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is not a whole number followed by a unit.
    Malformed,
    /// It has more of the smallest unit than a number may have.
    TooLarge,
}

/// Reads `text` as a number of the smallest unit.
///
/// # Errors
/// Why not.
pub(super) fn read(text: &str, units: &Units) -> Result<u64, Unreadable> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let (Ok(number), Some(scale)) = (number.parse::<u64>(), scale) else {
        return Err(Unreadable::Malformed);
    };
    number.checked_mul(scale).ok_or(Unreadable::TooLarge)
}

/// Writes a number of the smallest unit with the last of the units of which it is a multiple.
pub(super) fn show(number: u64, units: &Units) -> String {
    let fits = |(_, scale): &&(&str, u64)| number >= *scale && number.is_multiple_of(*scale);
    let (unit, scale) = units.iter().rev().find(fits).or(units.first()).unwrap_or(&("", 1));
    format!("{}{unit}", number / scale)
}
