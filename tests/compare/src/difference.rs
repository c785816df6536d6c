//! The differences between two values, each with its path.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// A difference at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// As in `spec.template.spec.containers[postgres].env[PGVERSION].value`; `<list>#order` if only the order differs.
    pub path: String,
    /// The Zalando operator's value; `None` if it has none.
    pub theirs: Option<Value>,
    /// pgloom's value; `None` if it has none.
    pub ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        write!(f, "{}\n      made:    {}\n      decided: {}", self.path, text(&self.theirs), text(&self.ours))
    }
}

/// All differences, by path.
pub fn between(theirs: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(theirs), Some(ours), &mut found);
    found
}

fn compare(path: &str, theirs: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs == ours => {}
        (Some(Value::Object(theirs)), Some(Value::Object(ours))) => compare_maps(path, theirs, ours, found),
        (Some(Value::Array(theirs)), Some(Value::Array(ours))) => compare_lists(path, theirs, ours, found),
        _ => found.push(Difference { path: path.to_owned(), theirs: theirs.cloned(), ours: ours.cloned() }),
    }
}

fn compare_maps(path: &str, theirs: &Map<String, Value>, ours: &Map<String, Value>, found: &mut Vec<Difference>) {
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    for key in keys {
        let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        compare(&place, theirs.get(key), ours.get(key), found);
    }
}

fn compare_lists(path: &str, theirs: &[Value], ours: &[Value], found: &mut Vec<Difference>) {
    let Some((theirs_named, ours_named)) = named(theirs).zip(named(ours)) else {
        for index in 0..theirs.len().max(ours.len()) {
            compare(&format!("{path}[{index}]"), theirs.get(index), ours.get(index), found);
        }
        return;
    };
    let keys: BTreeSet<&str> = theirs_named.iter().chain(&ours_named).copied().collect();
    let at = |names: &[&str], key: &str| names.iter().position(|name| *name == key);
    for key in &keys {
        let (left, right) = (at(&theirs_named, key), at(&ours_named, key));
        let place = format!("{path}[{key}]");
        compare(&place, left.and_then(|index| theirs.get(index)), right.and_then(|index| ours.get(index)), found);
    }
    let shared = |names: &[&str], others: &[&str]| -> Vec<Value> {
        names.iter().filter(|name| others.contains(name)).map(|name| Value::from(*name)).collect()
    };
    let (left, right) = (shared(&theirs_named, &ours_named), shared(&ours_named, &theirs_named));
    if left != right {
        found.push(Difference { path: format!("{path}#order"), theirs: Some(left.into()), ours: Some(right.into()) });
    }
}

/// The names of a list's entries, if each has a unique one.
fn named(list: &[Value]) -> Option<Vec<&str>> {
    let names: Option<Vec<&str>> = list.iter().map(|entry| entry.get("name")?.as_str()).collect();
    let names = names?;
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    (distinct.len() == names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(theirs: &Value, ours: &Value) -> Vec<String> {
        between(theirs, ours).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn entries_with_names_meet_by_name_and_their_order_is_told_apart() {
        let theirs = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        let ours = json!({"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]});
        assert_eq!(paths(&theirs, &ours), ["env[A].value", "env#order"]);
    }

    #[test]
    fn what_only_one_side_has_is_a_difference() {
        assert_eq!(paths(&json!({"a": 1, "l": [1]}), &json!({"b": 1, "l": [1, 2]})), ["a", "b", "l[1]"]);
        assert_eq!(paths(&json!([{"name": "x"}]), &json!([{"name": "x"}, {"name": "y"}])), ["[y]"]);
    }
}
