//! The step's configuration.

/// The settings of the step.
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The longest motto, in bytes.
    pub max_length: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_length: 80 }
    }
}
