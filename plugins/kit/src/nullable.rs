//! Fields that a person may leave empty: a YAML key without a value is null, and means the same as no key.

use serde::{Deserialize, Deserializer};

/// Reads null as the default: for `#[serde(default, deserialize_with = "or_default")]`.
///
/// # Errors
/// If the value is neither null nor a `T`.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
