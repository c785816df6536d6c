//! The JSON of an answer, parsed within limits: a short text can become a large tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// The most values in all partial objects of an answer: maps, lists and scalars. In the host a value takes up to two
/// kilobytes, and in the text as little as two bytes, so that the limit in bytes is no limit of memory. The largest
/// answer of a shipped plugin has about a thousand values.
pub(crate) const MAX_VALUES: usize = 20_000;
/// The most levels of maps and lists in one partial object. The deepest field of a pod is at level 15.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why a text of an answer is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not JSON.
    #[error("the answer violates the contract: a contribution is not JSON: {0}")]
    Parse(serde_json::Error),
    /// It has too many values.
    #[error("the answer has more than {MAX_VALUES} values in its JSON, which is the limit; answer with less")]
    Values,
    /// It is nested too deeply.
    #[error("the answer has JSON of more than {MAX_DEPTH} levels, which is the limit; nest it less")]
    Depth,
}

/// Parses the texts of one answer, and counts their values together.
#[derive(Default)]
pub(super) struct Parser {
    values: usize,
    exceeded: Option<Error>,
}

impl Parser {
    /// Parses a text.
    ///
    /// # Errors
    /// If it is not JSON, or exceeds a limit: the rest of the text is not read then.
    pub(super) fn parse(&mut self, text: &str) -> Result<Value, Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let parsed = Seed { parser: self, depth: 0 }.deserialize(&mut deserializer);
        let parsed = parsed.and_then(|value| deserializer.end().map(|()| value));
        parsed.map_err(|error| self.exceeded.take().unwrap_or(Error::Parse(error)))
    }

    fn count(&mut self, depth: usize) -> Result<(), Error> {
        self.values += 1;
        match (self.values > MAX_VALUES, depth > MAX_DEPTH) {
            (true, _) => Err(Error::Values),
            (_, true) => Err(Error::Depth),
            _ => Ok(()),
        }
    }
}

/// Parses a value below `depth` maps and lists.
struct Seed<'a> {
    parser: &'a mut Parser,
    depth: usize,
}

impl Seed<'_> {
    fn below(&mut self) -> Seed<'_> {
        Seed { parser: self.parser, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if let Err(error) = self.parser.count(self.depth) {
            // The deserializer knows only its own errors, so the reason is kept beside it.
            self.parser.exceeded = Some(error);
            return Err(D::Error::custom("a limit is exceeded"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            // Another reader could take the other value.
            match map.entry(name) {
                Entry::Vacant(place) => drop(place.insert(fields.next_value_seed(self.below())?)),
                Entry::Occupied(place) => {
                    return Err(A::Error::custom(format_args!("the key {:?} is there twice", place.key())));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Value, Error> {
        Parser::default().parse(text)
    }

    #[test]
    fn a_text_within_the_limits_is_what_serde_json_reads() {
        let text = r#"{"a": [1, -2, 1.5, 2e3, true, null, "\u0061"], "b": {"c": {}}, "d": 18446744073709551615}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for wrong in ["", "{", "{} {}", "{\"a\" 1}", "nul"] {
            let expected = serde_json::from_str::<Value>(wrong).unwrap_err().to_string();
            assert_eq!(
                parse(wrong).unwrap_err().to_string(),
                format!("the answer violates the contract: a contribution is not JSON: {expected}")
            );
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_at_every_depth() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"[{"b": {"a": 1, "\u0061": 2}}]"#] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("the key \"a\" is there twice at line 1"), "{error}");
        }
    }

    #[test]
    fn the_values_of_all_texts_of_an_answer_are_counted_together() {
        let list = |length: usize| format!("[{}]", vec!["{}"; length].join(","));
        assert!(parse(&list(MAX_VALUES - 1)).is_ok());
        assert!(matches!(parse(&list(MAX_VALUES)), Err(Error::Values)));
        let mut parser = Parser::default();
        assert!(parser.parse(&list(MAX_VALUES / 2)).is_ok());
        assert!(matches!(parser.parse(&list(MAX_VALUES / 2)), Err(Error::Values)));
    }

    #[test]
    fn the_rest_of_a_text_that_exceeds_a_limit_is_not_read() {
        let text = format!("[{}", "[],".repeat(MAX_VALUES + 1));
        assert!(matches!(parse(&text), Err(Error::Values)), "the text is not even JSON");
    }

    #[test]
    fn maps_and_lists_are_nested_up_to_a_limit() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(matches!(parse(&nested(MAX_DEPTH + 1)), Err(Error::Depth)));
        assert!(matches!(parse(&nested(100_000)), Err(Error::Depth)));
        assert!(matches!(parse(&"{\"a\":".repeat(MAX_DEPTH + 1)), Err(Error::Depth)));
    }
}
