//! The values of a stream of JSON objects, as kubectl reads them: one after another, or with `---` between them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Deserializer as Reader, Error, Map, Value};

use super::scalar::whole_or_fraction;
use super::tree::Fault;

/// Every value of a text. `None` if it is not JSON throughout, as a text of YAML.
///
/// # Errors
/// If an object has a key twice, or what follows an object is not JSON.
pub fn documents(text: &str) -> Option<Result<Vec<Value>, Fault>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut documents = Vec::new();
    let mut start = 0;
    loop {
        let rest = next(text, start)?;
        if rest == text.len() {
            return Some(Ok(documents)).filter(|_| start > 0);
        }
        let mut values = Reader::from_str(&text[rest..]).into_iter::<Strict>();
        match values.next()? {
            Ok(Strict(value)) => documents.push(value),
            Err(error) if error.classify() == Category::Data => return Some(Err(fault(&text[..rest], &error))),
            Err(_) => return None,
        }
        start = rest + values.byte_offset();
    }
}

/// Where the next object starts, or the end of the text; `None` if something else follows.
fn next(text: &str, start: usize) -> Option<usize> {
    let blank = |from: usize| from + text[from..].len() - text[from..].trim_start().len();
    let mut place = blank(start);
    while text[place..].starts_with("---") {
        place = blank(place + "---".len());
    }
    (place == text.len() || text[place..].starts_with('{')).then_some(place)
}

fn fault(before: &str, error: &Error) -> Fault {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let line = before.matches('\n').count() + error.line();
    let column = match error.line() {
        1 => before.rsplit('\n').next().unwrap_or_default().chars().count() + error.column(),
        _ => error.column(),
    };
    Fault { line, column, message }
}

/// A value in which no object has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(whole_or_fraction(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = entries.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(super::twice(&name)));
            }
            let Strict(value) = entries.next_value()?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}
