//! Fields of JSON objects as types, without the weight that a general deserializer puts on a guest.
//!
//! A type derives nothing: [`fields!`](crate::fields) names each field's key, and null is the same as no key, because a YAML
//! key without a value is null.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::json;

/// What a field has instead of a value of its type.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    /// The keys that lead there, joined by dots.
    pub path: String,
    /// What is wanted there.
    pub wanted: Cow<'static, str>,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.path)?;
        formatter.write_str(" is not ")?;
        formatter.write_str(&self.wanted)
    }
}

/// A type that a field may have. Its default stands in where something is wrong, until that is reported.
pub trait Field: Default {
    /// What is wanted, as in `a text`.
    const WANTED: &'static str;
    /// Whether the key has to be there.
    const REQUIRED: bool = false;

    /// Takes the value; none if it is of another type.
    fn take(value: &Value) -> Result<Self, Wrong>;

    /// Takes a value that nobody else needs.
    fn take_all(value: Value) -> Result<Self, Wrong> {
        Self::take(&value)
    }

    /// Reads the text of a value.
    fn read(text: &str) -> Result<Self, Wrong> {
        json::parse(text).ok_or_else(|| wrong("JSON")).and_then(Self::take_all)
    }
}

/// Reads an object field by field and remembers the first that is wrong.
pub struct Reader<'a> {
    source: Source<'a>,
    wrong: Option<Wrong>,
}

/// An object: a value, or the text of each field.
#[derive(Clone, Copy)]
enum Source<'a> {
    Nothing,
    Value(&'a Map<String, Value>),
    Text(&'a [(&'a str, &'a str)]),
}

/// The text of an object, taken apart into the texts of its fields.
pub struct Text<'a>(Option<Vec<(&'a str, &'a str)>>);

impl<'a> Text<'a> {
    /// Takes an object apart; anything else is wrong.
    pub fn of(text: &'a str) -> Self {
        Self(json::fields(text))
    }
}

impl<'a> Reader<'a> {
    /// Starts with an object; anything else is wrong.
    pub fn of(value: &'a Value) -> Self {
        match value.as_object() {
            Some(object) => Self { source: Source::Value(object), wrong: None },
            None => Self { source: Source::Nothing, wrong: Some(wrong("an object")) },
        }
    }

    /// Starts with the texts of an object's fields.
    pub fn of_text(text: &'a Text<'a>) -> Self {
        match &text.0 {
            Some(fields) => Self { source: Source::Text(fields), wrong: None },
            None => Self { source: Source::Nothing, wrong: Some(wrong("an object")) },
        }
    }

    /// The text of a field's value, if the object is text.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        let Source::Text(fields) = self.source else { return None };
        // Most keys differ in length, which is cheaper to see than that their letters do.
        let (_, text) = fields.iter().find(|(name, _)| name.len() == key.len() && *name == key)?;
        (*text != "null").then_some(text)
    }

    /// The field with this key.
    #[inline(never)]
    pub fn take<T: Field>(&mut self, key: &str) -> T {
        let taken = match self.source {
            Source::Value(object) => object.get(key).filter(|value| !value.is_null()).map(T::take),
            Source::Text(_) => self.text(key).map(T::read),
            Source::Nothing => return T::default(),
        };
        let problem = match taken {
            Some(Ok(taken)) => return taken,
            Some(Err(problem)) => problem,
            None if T::REQUIRED => wrong(T::WANTED),
            None => return T::default(),
        };
        self.note(key, problem);
        T::default()
    }

    #[cold]
    fn note(&mut self, key: &str, problem: Wrong) {
        if self.wrong.is_none() {
            self.wrong = Some(under(key, problem));
        }
    }

    /// The whole, if nothing was wrong.
    ///
    /// # Errors
    /// With the first field that was wrong.
    pub fn finish<T>(self, whole: T) -> Result<T, Wrong> {
        match self.wrong {
            None => Ok(whole),
            Some(wrong) => Err(wrong),
        }
    }
}

#[cold]
fn wrong(wanted: &'static str) -> Wrong {
    Wrong { path: String::new(), wanted: Cow::Borrowed(wanted) }
}

#[cold]
fn under(key: &str, Wrong { path, wanted }: Wrong) -> Wrong {
    let path = if path.is_empty() { key.to_owned() } else { [key, ".", &path].concat() };
    Wrong { path, wanted }
}

impl Field for String {
    const WANTED: &'static str = "a text";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Wrong> {
        value.as_str().map(str::to_owned).ok_or_else(|| wrong(Self::WANTED))
    }

    fn take_all(value: Value) -> Result<Self, Wrong> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong(Self::WANTED)),
        }
    }

    fn read(text: &str) -> Result<Self, Wrong> {
        let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match plain.filter(|plain| !plain.as_bytes().contains(&b'\\')) {
            Some(plain) => Ok(plain.to_owned()),
            None => json::parse(text).ok_or_else(|| wrong("JSON")).and_then(Self::take_all),
        }
    }
}

impl Field for bool {
    const WANTED: &'static str = "true or false";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(|| wrong(Self::WANTED))
    }

    fn read(text: &str) -> Result<Self, Wrong> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(wrong(Self::WANTED)),
        }
    }
}

impl Field for i64 {
    const WANTED: &'static str = "a whole number";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Wrong> {
        value.as_i64().ok_or_else(|| wrong(Self::WANTED))
    }
}

impl Field for u16 {
    const WANTED: &'static str = "a number from 0 to 65535";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Wrong> {
        value.as_u64().and_then(|number| number.try_into().ok()).ok_or_else(|| wrong(Self::WANTED))
    }
}

/// As it is; null if the key is not there.
impl Field for Value {
    const WANTED: &'static str = "a value";

    fn take(value: &Value) -> Result<Self, Wrong> {
        Ok(value.clone())
    }

    fn take_all(value: Value) -> Result<Self, Wrong> {
        Ok(value)
    }
}

impl<T: Field> Field for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn take(value: &Value) -> Result<Self, Wrong> {
        T::take(value).map(Some)
    }

    fn take_all(value: Value) -> Result<Self, Wrong> {
        T::take_all(value).map(Some)
    }

    fn read(text: &str) -> Result<Self, Wrong> {
        T::read(text).map(Some)
    }
}

impl<T: Field> Field for Vec<T> {
    const WANTED: &'static str = "a list";

    fn take(value: &Value) -> Result<Self, Wrong> {
        let items = value.as_array().ok_or_else(|| wrong(Self::WANTED))?;
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::take(item)?);
        }
        Ok(list)
    }

    fn take_all(value: Value) -> Result<Self, Wrong> {
        let Value::Array(items) = value else { return Err(wrong(Self::WANTED)) };
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::take_all(item)?);
        }
        Ok(list)
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    const WANTED: &'static str = "a map";

    fn take(value: &Value) -> Result<Self, Wrong> {
        Self::take_all(value.clone())
    }

    fn take_all(value: Value) -> Result<Self, Wrong> {
        let Value::Object(entries) = value else { return Err(wrong(Self::WANTED)) };
        let mut map = Self::new();
        for (key, entry) in entries {
            if !entry.is_null() {
                let entry = T::take_all(entry).map_err(|wrong| under(&key, wrong))?;
                map.insert(key, entry);
            }
        }
        Ok(map)
    }
}

/// The fields of a manifest's `spec` that a plugin reads: made by [`spec!`](crate::spec), or any type that serde reads.
pub trait Spec: Sized {
    /// Reads the fields: of the whole text, or of that text taken apart.
    ///
    /// # Errors
    /// With the first field that is not of its type.
    fn read(whole: &str, fields: &Text<'_>) -> Result<Self, Wrong>;
}

impl<T: DeserializeOwned> Spec for T {
    fn read(whole: &str, _fields: &Text<'_>) -> Result<Self, Wrong> {
        serde_json::from_str(whole).map_err(|error| Wrong {
            path: String::new(),
            wanted: Cow::Owned(["as its documentation says: ", &error.to_string()].concat()),
        })
    }
}

/// Defines a struct of fields of a JSON object: each names its key. It implements [`Field`].
#[macro_export]
macro_rules! fields {
    (
        $(#[$outer:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$inner:meta])* $field_visibility:vis $field:ident : $type:ty = $key:expr ),* $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Default)]
        $visibility struct $name {
            $( $(#[$inner])* $field_visibility $field: $type, )*
        }

        impl $name {
            #[doc(hidden)]
            #[allow(unused_mut, reason = "a struct may have no fields")]
            pub fn take_fields(mut reader: $crate::field::Reader<'_>) -> ::std::result::Result<Self, $crate::field::Wrong> {
                let whole = Self { $( $field: reader.take($key), )* };
                reader.finish(whole)
            }
        }

        impl $crate::field::Field for $name {
            const WANTED: &'static str = "an object";

            fn take(value: &$crate::Value) -> ::std::result::Result<Self, $crate::field::Wrong> {
                Self::take_fields($crate::field::Reader::of(value))
            }

            fn read(text: &str) -> ::std::result::Result<Self, $crate::field::Wrong> {
                Self::take_fields($crate::field::Reader::of_text(&$crate::field::Text::of(text)))
            }
        }
    };
}

/// Defines the struct of the fields of `spec` that a plugin reads, as [`fields!`](crate::fields) does.
#[macro_export]
macro_rules! spec {
    ($(#[$outer:meta])* $visibility:vis struct $name:ident $fields:tt) => {
        $crate::fields! { $(#[$outer])* $visibility struct $name $fields }

        impl $crate::field::Spec for $name {
            fn read(_whole: &str, fields: &$crate::field::Text<'_>) -> ::std::result::Result<Self, $crate::field::Wrong> {
                Self::take_fields($crate::field::Reader::of_text(fields))
            }
        }
    };
}

/// Lets serde read what [`fields!`](crate::fields) defined, so that it can stand in a type that serde reads.
macro_rules! by_serde {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::field::Field>::take(&value).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use by_serde;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        Outer::take(&value).map_err(|wrong| wrong.to_string())
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
    fn what_is_wrong_is_named_with_its_path() {
        for (value, expected) in [
            (json!({}), "count is not a whole number"),
            (json!({"count": "2"}), "count is not a whole number"),
            (json!({"count": 2, "inner": []}), "inner is not an object"),
            (json!({"count": 2, "inner": {}}), "inner.name is not a text"),
            (json!({"count": 2, "labels": {"k": 1}}), "labels.k is not a text"),
        ] {
            assert_eq!(read(value).err().as_deref(), Some(expected));
        }
    }
}
