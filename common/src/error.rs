//! Errors as text.

use std::error::Error;

/// What the API server says of a field that can only be set when the object is created. Its answer has this text alone:
/// the reason of the cause, `FieldValueInvalid`, is that of every other value that it refuses.
///
/// See [`FieldImmutableErrorMsg`](https://pkg.go.dev/k8s.io/apimachinery/pkg/api/validation#pkg-constants).
pub const FIELD_IMMUTABLE: &str = "field is immutable";

/// The error and its sources in one line, as in `failed to load the plugin: the component does not compile`.
///
/// What an error's own text repeats of its source is left out, and so is the name of a Rust type before it: kube's errors
/// are `ApiError: MESSAGE (Status { ... })`, and their source is the message. A remedy after the text of the source stays.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string();
        if let Some(source) = next
            && let Some((before, remedy)) = text.split_once(&format!(": {source}; "))
        {
            parts.push(format!("{before}: {}; {remedy}", error_chain(source)));
            break;
        }
        let own = next.map_or(&*text, |source| own_text(&text, &source.to_string()));
        if !own.is_empty() {
            parts.push(own.to_owned());
        }
    }
    parts.join(": ")
}

/// What the text of an error says beside that of its source.
fn own_text<'a>(text: &'a str, source: &str) -> &'a str {
    let repeated = text.find(&format!(": {source}")).filter(|_| !source.is_empty());
    let own = if text == source { "" } else { repeated.and_then(|at| text.get(..at)).unwrap_or(text) };
    let is_type = repeated.is_some() && own.ends_with("Error") && !own.contains(' ');
    if is_type { "" } else { own }
}

/// The text of the innermost source alone, as in `the component does not compile`.
#[must_use]
pub fn root_cause(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// The text, cut at a character so that it has at most so many bytes; what was cut ends in `...`.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub(3));
    format!("{}...", text.get(..end).unwrap_or_default())
}

/// The text in one line, [`cut`] to so many bytes: control characters, line breaks and what turns the direction of writing
/// become spaces. For texts of others, which could begin a line of a log, move the cursor of a terminal or show words in
/// another order.
#[must_use]
pub fn one_line(text: &str, bytes: usize) -> String {
    let text = cut(text, bytes);
    let breaks = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.split(breaks).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn every_source_is_named_once_outermost_first_and_the_innermost_is_the_root_cause() {
        let error =
            Layer("failed to apply", Some(Box::new(Layer("request failed", Some(Box::new(Layer("timeout", None)))))));
        assert_eq!(error_chain(&error), "failed to apply: request failed: timeout");
        assert_eq!(root_cause(&error), "timeout");
        assert_eq!(error_chain(&Layer("alone", None)), "alone");
        assert_eq!(root_cause(&Layer("alone", None)), "alone");
    }

    #[test]
    fn what_an_error_repeats_of_its_source_is_said_once_and_without_the_name_of_a_type() {
        let status = Layer("quantities must match: InternalError", None);
        let api =
            "ApiError: quantities must match: InternalError (Status { code: 500, message: \"quantities must match\" })";
        let error = Layer("failed to write StatefulSet c", Some(Box::new(Layer(api, Some(Box::new(status))))));
        assert_eq!(error_chain(&error), "failed to write StatefulSet c: quantities must match: InternalError");
        let list = Layer("failed to list: HyperError: refused", Some(Box::new(Layer("HyperError: refused", None))));
        assert_eq!(error_chain(&list), "failed to list: HyperError: refused");
        let transparent = Layer("timeout", Some(Box::new(Layer("timeout", None))));
        assert_eq!(error_chain(&transparent), "timeout");
    }

    #[test]
    fn a_remedy_behind_the_text_of_the_source_stays() {
        let denied = Layer("cannot be created", Some(Box::new(Layer("denied", None))));
        let error = Layer("folder /x: cannot be created; give another one", Some(Box::new(denied)));
        assert_eq!(error_chain(&error), "folder /x: cannot be created: denied; give another one");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "lo...");
        assert_eq!(cut("ääää", 6), "ä...");
    }

    #[test]
    fn a_text_of_others_is_one_line_without_control_characters() {
        assert_eq!(one_line("a\u{202e}b\u{2066}c\u{200f}", 100), "a b c");
        assert_eq!(one_line("a\r\n\tb\u{1b}[2J\u{2028}c\0", 100), "a b [2J c");
        assert_eq!(one_line("two  spaces", 100), "two  spaces");
        assert_eq!(one_line("a\nlonger text", 8), "a lon...");
        assert_eq!(one_line("\n", 8), "");
    }
}
