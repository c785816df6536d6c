//! A command line that is not valid: such an error has an exit code of its own.

use std::fmt;

use pgloom_common::name::{is_dns1123_label, is_dns1123_subdomain};

/// An error of the command line that is found after its flags are parsed.
#[derive(Debug)]
struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The error of flags or arguments: what is wrong with them, and the remedy.
pub fn usage(sentence: impl Into<String>) -> anyhow::Error {
    Usage(sentence.into()).into()
}

/// Whether an error is one of the command line.
pub fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<Usage>()
}

/// Parses the name of an object.
///
/// # Errors
/// If the API server would refuse it.
pub fn object_name(text: &str) -> Result<String, String> {
    let remedy = "use small letters, digits, '-' and '.', at most 253";
    if is_dns1123_subdomain(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("no object can have this name; {remedy}"))
    }
}

/// Parses the name of a namespace.
///
/// # Errors
/// If the API server would refuse it.
pub fn namespace(text: &str) -> Result<String, String> {
    let remedy = "use small letters, digits and '-', at most 63";
    if is_dns1123_label(text) { Ok(text.to_owned()) } else { Err(format!("no namespace can have this name; {remedy}")) }
}
