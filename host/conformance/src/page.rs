//! The list of checks, as `docs/conformance.md` has it.

use crate::checks::{ALL, Profile};

/// The table of the checks.
#[must_use]
pub fn table() -> String {
    let mut text = "| check | what a pass proves | how a failure is mended |\n|---|---|---|\n".to_owned();
    for check in &ALL {
        text.push_str(&format!("| `{}` | {} | {} |\n", check.id, check.proves, check.remedy));
    }
    text
}

/// The list of the profiles.
#[must_use]
pub fn profiles() -> String {
    let mut text = String::new();
    for profile in Profile::ALL {
        let ids: Vec<String> = profile.checks().map(|check| format!("`{}`", check.id)).collect();
        text.push_str(&format!("- `{}`: {}\n", profile.name(), ids.join(", ")));
    }
    text
}
