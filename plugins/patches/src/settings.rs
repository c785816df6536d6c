//! The step's configuration.

use pgloom_kit::field::{Field, Wrong};
use pgloom_kit::{Result, Value, fields, invalid_config, json};

fields! {
    /// The patches.
    pub struct Settings {
        /// In the order in which they are applied.
        pub patches: Vec<Patch> = "patches",
    }
}

fields! {
    /// Fields, and when they are wanted.
    pub struct Patch {
        /// A condition over the manifest; without one they are always wanted.
        pub when: Option<String> = "when",
        /// The partial object.
        pub apply: Partial = "apply",
    }
}

/// A partial object: what it is about, and whatever it says.
#[derive(Default)]
pub struct Partial(pub Value);

impl Field for Partial {
    const WANTED: &'static str = "a partial object with apiVersion, kind and metadata.name";
    const REQUIRED: bool = true;

    fn take(value: &Value) -> Result<Self, Wrong> {
        let is_text = |pointer: &str| value.pointer(pointer).is_some_and(Value::is_string);
        match ["/apiVersion", "/kind", "/metadata/name"].into_iter().all(is_text) {
            true => Ok(Self(value.clone())),
            false => Err(Wrong { path: String::new(), wanted: Self::WANTED.into() }),
        }
    }
}

impl pgloom_kit::Settings for Settings {
    fn read(text: &str) -> Result<Self> {
        let value = json::parse(text).unwrap_or_default();
        Self::take(&value).map_err(|wrong| invalid_config(["the step's configuration: ", &wrong.to_string()].concat()))
    }

    fn schema() -> String {
        include_str!("schema.json").to_owned()
    }

    fn example() -> String {
        include_str!("example.json").to_owned()
    }
}
