//! The types that a field may have.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Error, Field, is_not, under};
use crate::json;

impl Field for String {
    const EXPECTED: &'static str = "a string";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Error> {
        value.as_str().map(str::to_owned).ok_or_else(|| is_not(Self::EXPECTED))
    }

    fn take_all(value: Value) -> Result<Self, Error> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(is_not(Self::EXPECTED)),
        }
    }

    fn read(text: &str) -> Result<Self, Error> {
        let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match plain.filter(|plain| !plain.as_bytes().contains(&b'\\')) {
            Some(plain) => Ok(plain.to_owned()),
            None => json::parse(text).ok_or_else(|| is_not("JSON")).and_then(Self::take_all),
        }
    }
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Error> {
        value.as_bool().ok_or_else(|| is_not(Self::EXPECTED))
    }

    fn read(text: &str) -> Result<Self, Error> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(is_not(Self::EXPECTED)),
        }
    }
}

impl Field for i64 {
    const EXPECTED: &'static str = "an integer";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Error> {
        value.as_i64().ok_or_else(|| is_not(Self::EXPECTED))
    }
}

impl Field for u16 {
    const EXPECTED: &'static str = "an integer from 0 to 65535";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Error> {
        value.as_u64().and_then(|number| number.try_into().ok()).ok_or_else(|| is_not(Self::EXPECTED))
    }
}

/// Any value, unchanged; null if the key is missing.
impl Field for Value {
    const EXPECTED: &'static str = "a value";

    fn take(value: &Value) -> Result<Self, Error> {
        Ok(value.clone())
    }

    fn take_all(value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}

impl<T: Field> Field for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn take(value: &Value) -> Result<Self, Error> {
        T::take(value).map(Some)
    }

    fn take_all(value: Value) -> Result<Self, Error> {
        T::take_all(value).map(Some)
    }

    fn read(text: &str) -> Result<Self, Error> {
        T::read(text).map(Some)
    }
}

impl<T: Field> Field for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn take(value: &Value) -> Result<Self, Error> {
        let items = value.as_array().ok_or_else(|| is_not(Self::EXPECTED))?;
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::take(item)?);
        }
        Ok(list)
    }

    fn take_all(value: Value) -> Result<Self, Error> {
        let Value::Array(items) = value else { return Err(is_not(Self::EXPECTED)) };
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::take_all(item)?);
        }
        Ok(list)
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    const EXPECTED: &'static str = "a map";

    fn take(value: &Value) -> Result<Self, Error> {
        Self::take_all(value.clone())
    }

    fn take_all(value: Value) -> Result<Self, Error> {
        let Value::Object(entries) = value else { return Err(is_not(Self::EXPECTED)) };
        let mut map = Self::new();
        for (key, entry) in entries {
            if !entry.is_null() {
                let entry = T::take_all(entry).map_err(|error| under(&key, error))?;
                map.insert(key, entry);
            }
        }
        Ok(map)
    }
}
