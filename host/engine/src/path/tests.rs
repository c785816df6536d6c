//! Paths and patterns as text.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[test]
fn a_path_is_written_as_it_is_read() {
    for text in [
        "spec.template.spec.containers[name=postgres].env[name=SCOPE].value",
        "spec.ports[port=5432,protocol=TCP].targetPort",
        "spec.volumeMounts[mountPath=/home/postgres/pgdata]",
        "metadata.annotations[\"a.b/c\"]",
        "metadata.finalizers[=foreground]",
        "data[\"\"]",
        "[\"a.b\"].c",
        "a[name=\"8080\"]",
        "a[name=\"\"]",
        "a[name=\"x, y]\"]",
        "a[name=\"say \\\"hi\\\"\"].b",
        "a[\"*\"]",
    ] {
        assert_eq!(path(text).to_string(), text);
    }
}

#[test]
fn there_is_one_way_to_write_a_path() {
    for (lenient, written) in [
        ("a[\"b\"]", "a.b"),
        ("a[=\"x\"]", "a[=x]"),
        ("a[protocol=TCP,port=1]", "a[port=1,protocol=TCP]"),
        ("a.b/c", "a[\"b/c\"]"),
        ("a[name=x y]", "a[name=\"x y\"]"),
    ] {
        assert_eq!(path(lenient).to_string(), written);
    }
}

#[test]
fn text_and_number_are_told_apart_in_a_key() {
    assert_ne!(path("a[port=8080]"), path("a[port=\"8080\"]"));
    assert_ne!(Key::new([("port", &json!(8080))]), Key::new([("port", &json!("8080"))]));
}

#[test]
fn a_text_that_is_not_a_path_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "empty"),
        (".a", "starts with a dot"),
        ("a..b", "name is missing"),
        ("a[0]", "an index is not possible"),
        ("a[name=x", "closing bracket"),
        ("a[name=]", "value is missing"),
        ("a[name=x,name=y]", "twice"),
        ("a[name=x]b", "a dot or a bracket"),
        ("a[\"x]", "closing quote"),
        ("a b", "in brackets and quotes"),
        ("a[*].b", "`*` means many"),
        ("a.*", "`*` means many"),
    ] {
        let error = text.parse::<FieldPath>().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(text), "{text}: {error}");
    }
}

#[test]
fn a_pattern_covers_what_it_names_and_all_below_and_nothing_else() {
    let covers = |pattern: &str, of: &str| self::pattern(pattern).covers(path(of).segments());
    assert!(covers("spec", "spec.replicas"));
    assert!(covers("spec.containers[*].env", "spec.containers[name=a].env[name=B].value"));
    assert!(covers("spec.containers[name=a]", "spec.containers[name=a].image"));
    assert!(covers("metadata.*", "metadata.labels.team"));
    assert!(covers("spec.ports[port=1]", "spec.ports[port=1,protocol=TCP].name"));
    assert!(!covers("spec.replicas", "spec"));
    assert!(!covers("spec.containers[name=a]", "spec.containers[name=b].image"));
    assert!(!covers("spec.containers.*", "spec.containers[name=a]"));
    assert!(!covers("spec.ports[port=1,protocol=UDP]", "spec.ports[port=1,protocol=TCP]"));
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![".*".prop_map(Value::from), any::<i64>().prop_map(Value::from), any::<bool>().prop_map(Value::from)]
}

fn segment() -> impl Strategy<Value = Segment> {
    let keys = prop::collection::btree_map("[a-z]{1,5}", scalar(), 1..3);
    prop_oneof![
        ".*".prop_map(Segment::Field),
        "[a-z]{1,5}".prop_map(Segment::Field),
        keys.prop_map(|keys| Segment::Entry(Key::new(keys.iter().map(|(name, value)| (name.as_str(), value))))),
        scalar().prop_map(|item| Segment::Entry(Key::new([("", &item)]))),
        Just(Segment::AnyField),
        Just(Segment::AnyEntry),
    ]
}

proptest! {
    #[test]
    fn every_path_is_parsed_as_it_is_written(segments in prop::collection::vec(segment(), 1..6)) {
        let written = Pattern(segments.clone()).to_string();
        prop_assert_eq!(written.parse::<Pattern>(), Ok(Pattern(segments)), "{}", written);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.to_string().parse::<Pattern>(), Ok(pattern));
        }
    }
}
