//! The intended differences: a list for each release, each difference with its reason.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Intended differences. In the patterns `*` matches any text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The pattern of the cases.
    #[serde(default = "every")]
    pub case: String,
    /// The pattern of the objects, as `Kind/name`.
    pub object: String,
    /// The pattern of the fields, as in `spec.template.spec.containers[postgres].image`; empty for the object as a
    /// whole.
    #[serde(default)]
    pub field: String,
    /// The reason: a sentence.
    pub reason: String,
}

impl Deviation {
    /// Whether a difference is one of these.
    pub fn covers(&self, case: &str, object: &str, field: &str) -> bool {
        matches(&self.case, case) && matches(&self.object, object) && matches(&self.field, field)
    }
}

fn every() -> String {
    "*".to_owned()
}

/// The list for the newest release.
pub const NEWEST: &str = "deviations.yaml";
/// The list for release 1.5, that of the user guide.
pub const GUIDE: &str = "since-1.5.yaml";

/// Reads a list.
///
/// # Errors
/// If it cannot be read.
pub fn read(list: &str) -> Result<Vec<Deviation>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(list);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_yaml_ng::from_str(&text).with_context(|| path.display().to_string())
}

/// Whether a text matches a pattern.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    (0..=text.len()).any(|at| text.get(at..).is_some_and(|tail| matches(rest, tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("*", "", true),
            ("spec.*[x].image", "spec.containers[x].image", true),
            ("spec", "spec.image", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
