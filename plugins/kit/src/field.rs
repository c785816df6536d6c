//! Fields of JSON objects as types, without the weight that a general deserializer puts on a guest.
//!
//! A type derives nothing: [`fields!`](crate::fields) names each field's key, and null is the same as no key, because a YAML
//! key without a value is null.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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
}

/// Reads an object field by field and remembers the first that is wrong.
pub struct Reader<'a> {
    object: Option<&'a Map<String, Value>>,
    wrong: Option<Wrong>,
}

impl<'a> Reader<'a> {
    /// Starts with an object; anything else is wrong.
    pub fn of(value: &'a Value) -> Self {
        let object = value.as_object();
        Self { object, wrong: object.is_none().then(|| wrong("an object")) }
    }

    /// The field with this key.
    #[inline(never)]
    pub fn take<T: Field>(&mut self, key: &str) -> T {
        let problem = match self.value(key) {
            Some(value) => match T::take(value) {
                Ok(taken) => return taken,
                Err(wrong) => wrong,
            },
            None if T::REQUIRED => wrong(T::WANTED),
            None => return T::default(),
        };
        self.note(key, problem);
        T::default()
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
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
}

impl Field for bool {
    const WANTED: &'static str = "true or false";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(|| wrong(Self::WANTED))
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
}

impl<T: Field> Field for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn take(value: &Value) -> Result<Self, Wrong> {
        T::take(value).map(Some)
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
}

impl<T: Field> Field for BTreeMap<String, T> {
    const WANTED: &'static str = "a map";

    fn take(value: &Value) -> Result<Self, Wrong> {
        let entries = value.as_object().ok_or_else(|| wrong(Self::WANTED))?;
        let mut map = Self::new();
        for (key, entry) in entries.iter().filter(|(_, entry)| !entry.is_null()) {
            map.insert(key.clone(), T::take(entry).map_err(|wrong| under(key, wrong))?);
        }
        Ok(map)
    }
}

/// The fields of a manifest's `spec` that a plugin reads: made by [`spec!`](crate::spec), or any type that serde reads.
pub trait Spec: Sized {
    /// Reads the fields.
    ///
    /// # Errors
    /// With the first field that is not of its type.
    fn read(spec: &Value) -> Result<Self, Wrong>;
}

impl<T: DeserializeOwned> Spec for T {
    fn read(spec: &Value) -> Result<Self, Wrong> {
        Self::deserialize(spec).map_err(|error| Wrong {
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

        impl $crate::field::Field for $name {
            const WANTED: &'static str = "an object";

            fn take(value: &$crate::Value) -> ::std::result::Result<Self, $crate::field::Wrong> {
                #[allow(unused_mut, reason = "a struct may have no fields")]
                let mut reader = $crate::field::Reader::of(value);
                let whole = Self { $( $field: reader.take($key), )* };
                reader.finish(whole)
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
            fn read(spec: &$crate::Value) -> ::std::result::Result<Self, $crate::field::Wrong> {
                <Self as $crate::field::Field>::take(spec)
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
