//! Paths of fields in a document, as in `spec.users["a.b"]` and `spec.sidecars[0].image`.

use std::fmt;

use serde_json::Value;

/// The value at a JSON pointer, as [`Value::pointer`], which copies each name of the pointer twice.
#[must_use]
pub fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    match pointer.strip_prefix('/') {
        Some(names) if !pointer.contains('~') => names.split('/').try_fold(value, |value, name| match value {
            Value::Object(fields) => fields.get(name),
            other => other.pointer(&format!("/{name}")),
        }),
        _ => value.pointer(pointer),
    }
}

/// The path of a member: `spec` and `volume` give `spec.volume`, a name with other characters gives
/// `spec.users["a.b"]`.
#[must_use]
pub fn member(path: &str, name: &str) -> String {
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{name:?}]"),
    }
}

/// The path of an entry of a list.
#[must_use]
pub fn entry(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// A path as a linked list, which a recursive walk builds without allocating. It is converted to text only for a
/// finding.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Where the walk began.
    Start(&'a str),
    /// A member of a map.
    Member(&'a Place<'a>, &'a str),
    /// An entry of a list.
    Entry(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(path) => f.write_str(path),
            Self::Member(place, name) => f.write_str(&member(&place.to_string(), name)),
            Self::Entry(place, index) => write!(f, "{place}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_quote_names_with_other_characters() {
        assert_eq!(member("spec", "volume"), "spec.volume");
        assert_eq!(member("", "spec"), "spec");
        assert_eq!(member("spec.users", "a.b"), r#"spec.users["a.b"]"#);
        assert_eq!(entry("spec.sidecars", 2), "spec.sidecars[2]");
        let (spec, name) = (Place::Start("spec"), "a.b");
        assert_eq!(Place::Entry(&Place::Member(&spec, name), 1).to_string(), r#"spec["a.b"][1]"#);
    }
    #[test]
    fn a_pointer_finds_what_serde_json_finds() {
        let value = serde_json::json!({"": {"": 1}, "a": {"b": [{"c": 1}, 2], "d/e": 3, "~": 4}});
        for pointer in
            ["", "/", "//", "/a", "a", "/a/b/0/c", "/a/b/1", "/a/b/01", "/a/b/2", "/a/d~1e", "/a/~0", "/a/b/c"]
        {
            assert_eq!(at(&value, pointer), value.pointer(pointer), "{pointer}");
        }
    }
}
