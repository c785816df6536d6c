//! A part of CEL, the Common Expression Language: what a condition over a manifest needs, with the meaning that CEL gives it.
//!
//! | | |
//! |---|---|
//! | literals | `null`, `true`, `12`, `0x1f`, `1.5`, `"text"`, `'text'`, `r"raw"`, `[1, 2]`, `{"key": 1}` |
//! | access | `cluster.spec.volume.size`, `list[0]`, `map["key"]`, `has(cluster.spec.tls)` |
//! | comparison | `==`, `!=`, `<`, `<=`, `>`, `>=`, `in` |
//! | logic | `&&`, `\|\|`, `!`, `condition ? this : that` |
//! | arithmetic | `+`, `-`, `*`, `/`, `%`; `+` also joins texts and lists |
//! | functions | `size(x)`, `x.size()`, `text.startsWith(t)`, `text.endsWith(t)`, `text.contains(t)` |
//! | over lists | `list.exists(x, condition)`, `list.all(x, condition)` |
//!
//! Not there: time, bytes, unsigned numbers, regular expressions, conversions, `map` and `filter`. As in Kubernetes, a field that
//! is null is one that is not there, for `has`.

use pgloom_kit::Value;

mod eval;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

/// The variable that an expression is about.
const ROOT: &str = "cluster";

/// What is wrong with an expression, where, and what would do.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    /// The place, in characters from 0.
    at: usize,
    message: String,
    remedy: String,
}

impl Wrong {
    fn new(at: usize, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at, message: message.into(), remedy: remedy.into() }
    }

    /// The whole sentence; characters are counted from 1.
    pub fn sentence(&self) -> String {
        ["at character ", &(self.at + 1).to_string(), ": ", &self.message, "; ", &self.remedy].concat()
    }
}

/// Whether the expression holds for a manifest.
///
/// # Errors
/// If it cannot be read, does not fit the manifest, or gives something else than true or false.
pub fn holds(expression: &str, cluster: &Value) -> Result<bool, Wrong> {
    let tree = parser::parse(expression)?;
    let value = eval::value(&tree, cluster)?;
    value.as_bool().ok_or_else(|| {
        Wrong::new(
            0,
            ["it gives ", eval::kind(&value), " instead of true or false"].concat(),
            "compare the value with another",
        )
    })
}
