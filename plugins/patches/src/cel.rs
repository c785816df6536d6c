//! A subset of [CEL](https://github.com/google/cel-spec), the Common Expression Language, for conditions over a
//! manifest.
//!
//! Why not the crate `cel`: a component with it has 913 KB, with this module 100 KB.
//!
//! | | |
//! |---|---|
//! | literals | `null`, `true`, `12`, `0x1f`, `1.5`, `"text"`, `'text'`, `r"raw"`, `[1, 2]`, `{"key": 1}` |
//! | access | `cluster.spec.volume.size`, `list[0]`, `map["key"]`, `has(cluster.spec.tls)` |
//! | comparison | `==`, `!=`, `<`, `<=`, `>`, `>=`, `in` |
//! | logic | `&&`, `\|\|`, `!`, `condition ? this : that` |
//! | arithmetic | `+`, `-`, `*`, `/`, `%`; `+` also joins strings and lists |
//! | functions | `size(x)`, `x.size()`, `text.startsWith(t)`, `text.endsWith(t)`, `text.contains(t)` |
//! | over lists | `list.exists(x, condition)`, `list.all(x, condition)` |
//!
//! Not supported: time, bytes, unsigned numbers, regular expressions, conversions, `map` and `filter`. As in
//! Kubernetes, `has` is false for a field that is null.

use pgloom_kit::Value;

mod eval;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

/// The variable that holds the manifest.
const ROOT: &str = "cluster";

/// An error in an expression: its position, the problem, and how to solve it.
#[derive(Debug, PartialEq)]
pub struct Error {
    /// The position, in characters from 0.
    at: usize,
    message: String,
    remedy: String,
}

impl Error {
    fn new(at: usize, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at, message: message.into(), remedy: remedy.into() }
    }

    /// The error as a sentence; it counts characters from 1.
    pub fn sentence(&self) -> String {
        format!("at character {}: {}; {}", self.at + 1, self.message, self.remedy)
    }
}

/// Whether the expression is true for a manifest.
///
/// # Errors
/// If it cannot be parsed or evaluated, or if its value is not a bool.
pub fn holds(expression: &str, cluster: &Value) -> Result<bool, Error> {
    let tree = parser::parse(expression)?;
    let value = eval::value(&tree, cluster)?;
    value.as_bool().ok_or_else(|| {
        Error::new(
            0,
            format!("the expression is {} instead of a bool", eval::kind(&value)),
            "compare it with another value",
        )
    })
}
