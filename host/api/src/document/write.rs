//! The text of a document, which every reader of YAML reads as what was meant.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;

use super::scalar::is_ambiguous;

/// Characters without a meaning, of which the first two that a document does not have stand for quotes.
const PRIVATE: std::ops::RangeInclusive<char> = '\u{E000}'..='\u{F8FF}';

/// What stands for the quotes while a document is written.
#[derive(Clone, Copy)]
struct Marks {
    single: char,
    double: char,
}

/// Writes a value as one YAML document, without the line `---`.
///
/// The library writes `on`, `1_000` or `12:30:00` without quotes, as YAML 1.2 allows; kubectl reads YAML 1.1. It has no
/// setting for that, so such a text is given to it between two marks, which are quotes in the result. It also takes the line
/// breaks of Unicode for those of the document; a text with one is given to it with escapes.
///
/// # Errors
/// If the value cannot be written.
pub fn write<T: Serialize>(value: &T) -> Result<String, serde_yaml_ng::Error> {
    let value = serde_json::to_value(value).map_err(<serde_yaml_ng::Error as serde::ser::Error>::custom)?;
    let text = serde_yaml_ng::to_string(&value)?;
    let mut unused = PRIVATE.filter(|mark| !text.contains(*mark));
    let (Some(single), Some(double)) = (unused.next(), unused.next()) else { return Ok(text) };
    let quoted = serde_yaml_ng::to_string(&Quoted { value: &value, marks: Marks { single, double } })?;
    Ok(quoted.replace(single, "'").replace(double, "\""))
}

/// A value whose ambiguous texts are between two marks.
struct Quoted<'a> {
    value: &'a Value,
    marks: Marks,
}

impl Serialize for Quoted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, marks } = *self;
        match value {
            Value::String(text) => serializer.serialize_str(&marked(text, marks)),
            Value::Array(entries) => {
                let mut list = serializer.serialize_seq(Some(entries.len()))?;
                entries.iter().try_for_each(|value| list.serialize_element(&Quoted { value, marks }))?;
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(&*marked(key, marks), &Quoted { value, marks })?;
                }
                map.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

fn marked(text: &str, Marks { single, double }: Marks) -> Cow<'_, str> {
    let is_special =
        |c: char| c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}');
    if text.contains(is_special) {
        let escaped =
            |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\U{:08x}", u32::from(c)) };
        return format!("{double}{}{double}", text.chars().map(escaped).collect::<String>()).into();
    }
    // An ambiguous text has neither quotes nor line breaks.
    if is_ambiguous(text) && !text.contains(['\'', '\n']) {
        format!("{single}{text}{single}").into()
    } else {
        text.into()
    }
}
