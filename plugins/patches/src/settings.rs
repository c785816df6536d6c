//! The step's configuration.

use pgloom_kit::json::field::{Error, Field};
use pgloom_kit::{Result, Value, fields, invalid_config, json};

fields! {
    /// The patches.
    pub struct Settings {
        /// In the order in which they are applied.
        pub patches: Vec<Patch> = "patches",
    }
}

fields! {
    /// A partial object, and its condition.
    pub struct Patch {
        /// A CEL expression over the manifest; none means always.
        pub when: Option<String> = "when",
        /// The partial object.
        pub apply: Partial = "apply",
    }
}

/// A partial object: `apiVersion`, `kind`, `metadata.name` and any fields.
#[derive(Default)]
pub struct Partial(pub Value);

impl Field for Partial {
    const EXPECTED: &'static str = "a partial object with apiVersion, kind and metadata.name";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Error> {
        let is_text = |pointer: &str| value.pointer(pointer).is_some_and(Value::is_string);
        match ["/apiVersion", "/kind", "/metadata/name"].into_iter().all(is_text) {
            true => Ok(Self(value.clone())),
            false => Err(Error { path: String::new(), expected: Self::EXPECTED.into() }),
        }
    }
}

impl pgloom_kit::Settings for Settings {
    fn read(text: &str) -> Result<Self> {
        let value = json::parse(text).unwrap_or_default();
        Self::take(&value).map_err(|error| invalid_config(format!("the step's configuration: {error}")))
    }

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn example() -> String {
        include_str!("example.json").to_owned()
    }
}
