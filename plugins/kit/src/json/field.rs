//! Fields of JSON objects as types: a small replacement for serde's derived deserializers.
//!
//! A type derives nothing: [`fields!`](crate::fields) names each field's key. Null means the same as no key, because a
//! YAML key without a value is null.
//!
//! Why not serde's derive: its code grows with every field. For one plugin's 35 fields it adds 70 KB to a component,
//! `fields!` adds 20 KB; the whole component is 62 KB instead of 108 KB.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::json;

mod macros;
mod types;

pub(crate) use macros::by_serde;

/// A field's value is not of the field's type.
#[derive(Debug, PartialEq)]
pub struct Error {
    /// The keys from the outermost object to the field, joined by dots; empty for the value itself.
    pub path: String,
    /// What is expected there, with its article, as in `a string`.
    pub expected: Cow<'static, str>,
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.path)?;
        formatter.write_str(" is not ")?;
        formatter.write_str(&self.expected)
    }
}

/// A type that a field may have. [`Reader`] uses its default for a field that is wrong, until it reports the error.
pub trait Field: Default {
    /// What is expected, with its article, as in `a string`.
    const EXPECTED: &'static str;
    /// Whether a missing key is an error.
    const REQUIRED: bool = false;

    /// Converts a value.
    ///
    /// # Errors
    /// If the value has another type.
    fn take(value: &Value) -> Result<Self, Error>;

    /// Converts a value that is not used afterwards, so that nothing has to be copied.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    fn take_all(value: Value) -> Result<Self, Error> {
        Self::take(&value)
    }

    /// Reads JSON text.
    ///
    /// # Errors
    /// As [`take`](Self::take), or if the text is not JSON.
    fn read(text: &str) -> Result<Self, Error> {
        json::parse(text).ok_or_else(|| is_not("JSON")).and_then(Self::take_all)
    }
}

/// Reads an object field by field and keeps the first error, so that the code for each field is one call.
pub struct Reader<'a> {
    object: Object<'a>,
    error: Option<Error>,
}

/// The object that is read.
#[derive(Clone, Copy)]
enum Object<'a> {
    /// The value is not an object.
    None,
    Parsed(&'a Map<String, Value>),
    Raw(&'a [(&'a str, &'a str)]),
}

/// The JSON text of an object, split into the texts of its fields. A field's value is parsed when it is read.
pub struct RawObject<'a>(Option<Vec<(&'a str, &'a str)>>);

impl<'a> RawObject<'a> {
    /// Splits the text. [`Reader`] reports an error if it is not an object.
    pub fn of(text: &'a str) -> Self {
        Self(json::fields(text))
    }
}

impl<'a> Reader<'a> {
    /// Reads a value, which has to be an object.
    pub fn of(value: &'a Value) -> Self {
        match value.as_object() {
            Some(object) => Self { object: Object::Parsed(object), error: None },
            None => Self { object: Object::None, error: Some(is_not("an object")) },
        }
    }

    /// Reads the text of an object.
    pub fn of_raw(object: &'a RawObject<'a>) -> Self {
        match &object.0 {
            Some(fields) => Self { object: Object::Raw(fields), error: None },
            None => Self { object: Object::None, error: Some(is_not("an object")) },
        }
    }

    /// The JSON text of a field of a [`RawObject`]; none if the key is missing or null.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        let Object::Raw(fields) = self.object else { return None };
        // Most keys differ in length, which is cheaper to compare than their bytes.
        let (_, text) = fields.iter().find(|(name, _)| name.len() == key.len() && *name == key)?;
        (*text != "null").then_some(text)
    }

    /// The field with this key; its type's default if the field is wrong.
    // Not inlined: this is the code that every field shares.
    #[inline(never)]
    pub fn take<T: Field>(&mut self, key: &str) -> T {
        let taken = match self.object {
            Object::Parsed(object) => object.get(key).filter(|value| !value.is_null()).map(T::take),
            Object::Raw(_) => self.text(key).map(T::read),
            Object::None => return T::default(),
        };
        let error = match taken {
            Some(Ok(taken)) => return taken,
            Some(Err(error)) => error,
            None if T::REQUIRED => is_not(T::EXPECTED),
            None => return T::default(),
        };
        self.fail(key, error);
        T::default()
    }

    #[cold]
    fn fail(&mut self, key: &str, error: Error) {
        if self.error.is_none() {
            self.error = Some(under(key, error));
        }
    }

    /// `whole`, if every field that was taken has its type.
    ///
    /// # Errors
    /// The first error of a field.
    pub fn finish<T>(self, whole: T) -> Result<T, Error> {
        match self.error {
            None => Ok(whole),
            Some(error) => Err(error),
        }
    }
}

#[cold]
fn is_not(expected: &'static str) -> Error {
    Error { path: String::new(), expected: Cow::Borrowed(expected) }
}

#[cold]
fn under(key: &str, Error { path, expected }: Error) -> Error {
    let path = if path.is_empty() { key.to_owned() } else { format!("{key}.{path}") };
    Error { path, expected }
}

/// The text of an optional field; empty if it is missing. For the API, an empty string mostly means a missing field.
pub fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// The fields of a manifest's `spec` that a plugin reads: made by [`spec!`](crate::spec), or any type that serde reads.
pub trait Spec: Sized {
    /// Reads `spec`, which comes as its JSON text and as that text split into fields.
    ///
    /// # Errors
    /// The first field that does not have its type.
    fn read(whole: &str, fields: &RawObject<'_>) -> Result<Self, Error>;
}

impl<T: DeserializeOwned> Spec for T {
    fn read(whole: &str, _fields: &RawObject<'_>) -> Result<Self, Error> {
        serde_json::from_str(whole).map_err(|error| Error {
            path: String::new(),
            expected: Cow::Owned(format!("as its documentation says: {error}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    crate::fields! {
        struct Inner {
            name: String = "name",
            tags: Vec<String> = "tags",
        }
    }

    crate::fields! {
        struct Outer {
            count: i64 = "count",
            inner: Option<Inner> = "inner",
            labels: BTreeMap<String, String> = "labels",
        }
    }

    fn read(value: Value) -> Result<Outer, String> {
        Outer::take(&value).map_err(|error| error.to_string())
    }

    #[test]
    fn null_is_the_same_as_no_key() {
        let outer = read(json!({"count": 2, "inner": null, "labels": {"k": null}, "other": 1})).unwrap();
        assert_eq!((outer.count, outer.inner.is_none(), outer.labels.len()), (2, true, 0));
        let outer = read(json!({"count": 2, "inner": {"name": "a", "tags": ["b"]}, "labels": {"k": "v"}})).unwrap();
        let inner = outer.inner.unwrap();
        assert_eq!((inner.name.as_str(), inner.tags.len(), outer.labels["k"].as_str()), ("a", 1, "v"));
    }

    #[test]
    fn an_error_names_the_path_of_the_field() {
        for (value, expected) in [
            (json!({}), "count is not an integer"),
            (json!({"count": "2"}), "count is not an integer"),
            (json!({"count": 2, "inner": []}), "inner is not an object"),
            (json!({"count": 2, "inner": {}}), "inner.name is not a string"),
            (json!({"count": 2, "labels": {"k": 1}}), "labels.k is not a string"),
        ] {
            assert_eq!(read(value).err().as_deref(), Some(expected));
        }
    }
}
