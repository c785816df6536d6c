//! `docs/conformance.md` has every check and every profile. `UPDATE=1` rewrites the lists.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use golden::{differs, report, repository};
use pgloom_conformance::page;

/// The text with what is between two comments replaced.
fn replaced(text: &str, name: &str, list: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}{list}{end}{after}")
}

#[test]
fn the_page_lists_every_check_and_every_profile() {
    let file = repository("docs/conformance.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = replaced(&text, "checks", &page::table());
    let text = replaced(&text, "profiles", &page::profiles());
    report(&differs(&file, &text).into_iter().collect::<Vec<_>>());
}
