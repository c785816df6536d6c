//! Files of YAML or JSON documents: read as kubectl reads them, and written so that kubectl reads what was meant.
//!
//! kubectl reads YAML 1.1, as far as its library does: `yes` is true, `0640` is 416, a merge key replaces what is before
//! it. The crate `serde_yaml_ng` reads YAML 1.2, and hides whether a text was in quotes, so the events of a parser are
//! read. A key that is given twice is refused, of which kubectl takes the last. Unknown fields are checked by the schema.
//! A text of JSON is read as JSON, which has surrogate pairs and several objects in a row.

mod json;
mod scalar;
mod tree;
mod write;

use serde_json::Value;

pub(crate) use scalar::integer;
pub use write::write;

/// The reason why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not YAML, or not YAML that Kubernetes accepts.
    #[error("{place}: {message}")]
    Read {
        /// Line and column.
        place: String,
        /// The reason.
        message: String,
    },
    /// The text has no document, or only comments.
    #[error("there is no document; give at least one object")]
    Empty,
}

/// Reads every document of a text, in order. Empty ones are left out; a `v1` `List` gives its items.
///
/// # Errors
/// If a document is not YAML, has a key twice or a key that is not a text, or if there is no document.
pub fn read(text: &str) -> Result<Vec<Value>, Error> {
    let mut documents = Vec::new();
    let values = match json::documents(text) {
        Some(values) => values.map_err(|found| fault("JSON", found)),
        None => tree::documents(text).map_err(|found| fault("YAML", found)),
    };
    values?.into_iter().for_each(|value| flatten(value, &mut documents));
    if documents.is_empty() { Err(Error::Empty) } else { Ok(documents) }
}

/// Why a key that is given twice is refused.
fn twice(name: &str) -> String {
    format!("the key {name:?} is given twice; remove one")
}

fn fault(form: &str, tree::Fault { line, column, message }: tree::Fault) -> Error {
    Error::Read {
        place: format!("line {line}, column {column}"),
        message: format!("is not {form} that Kubernetes accepts: {message}"),
    }
}

/// The objects of a value: those of a list, as `kubectl get` prints it, or the value itself.
fn flatten(value: Value, documents: &mut Vec<Value>) {
    match value {
        Value::Null => {}
        Value::Object(mut fields)
            if fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
                && fields.get("items").is_some_and(Value::is_array) =>
        {
            if let Some(Value::Array(items)) = fields.remove("items") {
                items.into_iter().for_each(|item| flatten(item, documents));
            }
        }
        other => documents.push(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_lists_and_json_give_objects_in_order() {
        let text = "# first\n---\nkind: A\n---\n# nothing\n---\n{\"kind\": \"B\"}\n---\nkind: List\nitems: [{kind: C}, {kind: D}]\n";
        assert_eq!(
            read(text).unwrap(),
            [json!({"kind": "A"}), json!({"kind": "B"}), json!({"kind": "C"}), json!({"kind": "D"})]
        );
    }

    #[test]
    fn a_stream_of_json_gives_every_object_and_has_surrogate_pairs() {
        let text = "{\"kind\": \"A\", \"a\": \"\\ud83d\\ude00\\u00e9\", \"n\": [1.0, 1.5, -3]}\n{\"kind\": \"List\", \"items\": [{\"kind\": \"B\"}]}\n---\n{\n\t\"kind\": \"C\"}\n";
        let expected =
            [json!({"kind": "A", "a": "😀é", "n": [1, 1.5, -3]}), json!({"kind": "B"}), json!({"kind": "C"})];
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read(&format!("\u{feff}---\n{text}")).unwrap(), expected);
        assert_eq!(read("{\"kind\": \"A\"}\n---\nkind: B\n").unwrap(), [json!({"kind": "A"}), json!({"kind": "B"})]);
    }

    #[test]
    fn an_error_in_a_stream_of_json_has_line_and_column() {
        for text in ["{\"a\": 1}\n{\"b\": 1,\n \"b\": 2}", "{\"a\": 1}\n---\n{\n \"b\": 1, \"b\": 2}"] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("is not JSON that Kubernetes accepts: the key \"b\" is given twice"), "{message}");
            assert!(message.starts_with(if text.contains("---") { "line 4," } else { "line 3," }), "{message}");
        }
        assert!(read("{\"a\": 1}\n{\"b\": }\n{").is_err());
    }

    #[test]
    fn aliases_are_resolved() {
        assert_eq!(read("a: &x 10\nb: *x\n").unwrap(), [json!({"a": 10, "b": 10})]);
    }

    #[test]
    fn an_error_has_line_and_column() {
        for (text, place, part) in [
            ("a: b: c\n", "line 1, column 5", "is not YAML"),
            ("a: [1, 2\n", "line 2, column 1", "is not YAML"),
            ("a:\n\t- b\n", "line 2, column 2", "is not YAML"),
            ("a: 1\nb: 2\na: 3\n", "line 3, column 1", "the key \"a\" is given twice; remove one"),
            ("spec:\n  ~: x\n", "line 2, column 3", "the key null is not a text; write it in quotes"),
            ("a: &x {b: *x}\n", "line 1, column 11", "the value of an anchor contains itself"),
            ("<<: 1\n", "line 1, column 5", "the merge key << needs a map or a list of maps"),
            ("a: *nowhere\n", "line 1, column 4", "is not YAML"),
            ("a: .nan\n", "line 1, column 4", "is not a number in JSON"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with(place) && message.contains(part), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_file_without_a_document_is_refused() {
        for text in ["", "# nothing\n", "---\n---\n"] {
            assert_eq!(read(text).unwrap_err().to_string(), "there is no document; give at least one object");
        }
    }

    #[test]
    fn a_file_that_grows_by_its_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let refs = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{refs}]\n");
        }
        assert!(read(&text).is_err());
        assert!(read(&format!("a: {}{}", "[".repeat(200), "]".repeat(200))).is_err());
    }

    /// What `golden/yaml/main.go` recorded of the library with which kubectl reads.
    #[derive(serde::Deserialize)]
    struct Recorded {
        text: String,
        value: Option<Value>,
    }

    #[test]
    fn every_text_is_read_as_kubectl_reads_it() {
        let recorded: Vec<Recorded> = serde_json::from_str(include_str!("../golden/yaml/recorded.json")).unwrap();
        let differs = |Recorded { text, value }: &Recorded| {
            let found = tree::documents(text).map_err(|fault| fault.message);
            let same = match (value, &found) {
                (Some(value), Ok(documents)) => documents == std::slice::from_ref(value),
                (None, found) => found.is_err(),
                _ => false,
            };
            (!same).then(|| format!("{text:?}: kubectl reads {value:?}, this {found:?}"))
        };
        let differences: Vec<_> = recorded.iter().filter_map(differs).collect();
        assert!(differences.is_empty() && recorded.len() > 100, "{}", differences.join("\n"));
    }

    /// Texts that some reader of YAML takes for something else, and such as are hard to write.
    const HARD: &[&str] = &[
        "",
        " ",
        "~",
        "=",
        "<<",
        "-",
        "?",
        ":",
        "!",
        "&a",
        "*a",
        "@",
        "`",
        "%",
        "#",
        "|",
        ">",
        "{",
        "[",
        "]",
        ",",
        "'",
        "\"",
        "on",
        "On",
        "yes",
        "n",
        "Y",
        "oFF",
        "null",
        "Null",
        "true",
        "tRUE",
        ".nan",
        ".NaN",
        ".inf",
        "-.INF",
        "+.inf",
        ".5",
        "5.",
        "1",
        "-1",
        "+1",
        "01",
        "0777",
        "0o7",
        "0x1F",
        "0b1",
        "1_000",
        "1e3",
        "1E-3",
        "12:30",
        "12:30:00",
        "-1:30.5",
        "2024-02-20",
        "2024-2-2",
        "2024-02-20T10:00:00Z",
        "2024-02-20 10:00:00",
        "a: b",
        "a #b",
        "a:",
        "- a",
        "? a",
        "a\nb",
        "a\n",
        "\na",
        " a",
        "a ",
        "a\n\n",
        "\ta",
        "a\tb",
        "\u{feff}",
        "\u{e000}",
        "\u{2028}",
        "\u{85}",
        "\u{7f}",
        "\u{0}",
        "é",
        "😀",
        "---",
        "...",
        "--- a",
        "a\n---\nb",
        "\r\n",
        "a\rb",
        "0",
        "00",
        "1.0",
        "1.2.3",
        "::",
        "12:30:00:00",
        "0:",
    ];

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for text in HARD {
            for value in
                [json!(text), json!([text]), json!({"a": text, "b": [[text], {"c": text}]}), json!({ *text: 1 })]
            {
                let written = write(&value).unwrap();
                assert_eq!(
                    read(&written).unwrap_or_else(|error| panic!("{written:?}: {error}")),
                    [value],
                    "{written:?}"
                );
            }
        }
        let all = Value::from(HARD.to_vec());
        assert_eq!(read(&write(&all).unwrap()).unwrap(), [all]);
    }

    #[test]
    fn only_what_is_ambiguous_is_written_in_quotes() {
        let value = json!({"a": "on", "b": "1_000", "c": "12:30:00", "d": "100m", "e": "v1.2.3", "f": true, "y": 1});
        let written = "a: 'on'\nb: '1_000'\nc: '12:30:00'\nd: 100m\ne: v1.2.3\nf: true\n'y': 1\n";
        assert_eq!(write(&value).unwrap(), written);
    }

    #[test]
    fn a_list_of_lists_and_a_typed_list_give_their_objects() {
        let text = "\u{feff}kind: PostgresqlList\nitems:\n- {kind: List, items: [{kind: A}, null]}\n- {kind: B}\n";
        assert_eq!(read(text).unwrap(), [json!({"kind": "A"}), json!({"kind": "B"})]);
    }
}
