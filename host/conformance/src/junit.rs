//! The report for CI servers, in the form of JUnit's XML (<https://github.com/testmoapp/junitxml>). No times: they differ
//! from machine to machine.

use crate::report::{Report, State};

/// The document.
#[must_use]
pub fn xml(report: &Report) -> String {
    let suite = escaped(&format!("conformance of {}", report.plugin.name));
    let count = |is: &dyn Fn(State) -> bool| report.checks.iter().filter(|row| is(row.result)).count();
    let (failures, skipped) = (count(&State::is_failure), count(&is_skipped));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failures}\" \
         skipped=\"{skipped}\">\n",
        report.checks.len()
    );
    for row in &report.checks {
        let (id, detail, remedy) = (escaped(&row.id), escaped(&row.detail), escaped(&row.remedy));
        let result = match row.result {
            State::Passed => String::new(),
            state if state.is_failure() => format!("<failure message=\"{detail}\">{remedy}</failure>"),
            _ => format!("<skipped message=\"{detail}\"/>"),
        };
        text.push_str(&format!("  <testcase classname=\"{suite}\" name=\"{id}\">{result}</testcase>\n"));
    }
    text + "</testsuite>\n"
}

fn is_skipped(state: State) -> bool {
    matches!(state, State::Skipped | State::ExpectedFailure)
}

/// The text in an attribute or an element. XML has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Profile;

    #[test]
    fn what_a_plugin_says_cannot_break_the_document() {
        let report = Report::not_loaded(String::new(), Profile::Core, "load", "\"</failure>&\u{1b}\n");
        let xml = xml(&report);
        assert!(xml.contains("<failure message=\"&quot;&lt;/failure&gt;&amp;?&#10;\">"), "{xml}");
        assert!(xml.contains("failures=\"1\" skipped="), "{xml}");
    }
}
