//! The tables of `docs/compatibility.md` that are generated from the lists of deviations.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::deviation::Deviation;

const END: &str = "<!-- end -->\n";

/// The path of the document.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md")
}

/// A document with the table of a list generated.
///
/// # Errors
/// If the document has no place for the table.
pub fn with_table(document: &str, list: &str, deviations: &[Deviation]) -> Result<String> {
    let begin = format!("<!-- made from tests/compare/{list} by `UPDATE=1 cargo test --release -p compare` -->\n");
    let missing = || format!("the document lacks the lines {begin}{END}");
    let (before, rest) = document.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{begin}{}{END}{after}", table(deviations)))
}

fn table(deviations: &[Deviation]) -> String {
    if deviations.is_empty() {
        return "In the recorded cases no field of any object differs.\n".to_owned();
    }
    let mut text = "| Object | Field | Why |\n|---|---|---|\n".to_owned();
    for deviation in deviations {
        let field =
            if deviation.field.is_empty() { "(the object)".to_owned() } else { format!("`{}`", deviation.field) };
        let limited = if deviation.case == "*" { String::new() } else { format!(" (case `{}`)", deviation.case) };
        _ = writeln!(text, "| `{}`{limited} | {field} | {} |", deviation.object, deviation.reason.trim());
    }
    text
}
