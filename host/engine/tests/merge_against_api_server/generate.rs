//! Generated cases: an object that one manager creates, and the fragments of others.
//!
//! Each field has a few possible values, of which the first is the most likely, so that managers set the same fields
//! and often agree. The cases avoid fields for which the server's answer depends on more than the fragments: null and
//! fields whose default depends on other fields (the object's history decides), empty maps and atomic lists (the server
//! may drop them), atomic values with defaults inside and quantities that are not canonical (the server rewrites them
//! and then detects a change).

use std::fmt;

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    strategy::BoxedStrategy,
};
use serde_json::{Map, Value, json};

mod kinds;
mod pod;

/// An object as fragments.
#[derive(Clone)]
pub struct Case {
    pub api_version: &'static str,
    pub kind: &'static str,
    /// The first one creates the object.
    pub fragments: Vec<Fragment>,
}

/// The fragment of one manager.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// The partial object without its identity.
    pub part: Value,
    /// Whether it overrides other managers.
    pub force: bool,
}

impl Case {
    /// The partial object as it is sent.
    pub fn object(&self, fragment: &Fragment, name: &str) -> Value {
        let mut object = fragment.part.clone();
        object["apiVersion"] = json!(self.api_version);
        object["kind"] = json!(self.kind);
        object["metadata"]["name"] = json!(name);
        object
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)?;
        for (index, fragment) in self.fragments.iter().enumerate() {
            write!(f, "\nstep-{index}{}: {}", if fragment.force { " (force)" } else { "" }, fragment.part)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A case of any kind.
pub fn case() -> impl Strategy<Value = Case> {
    select(kinds::all()).prop_flat_map(|kind| {
        let first = Just(Fragment { part: kind.base.clone(), force: false });
        let later = (kind.part.clone(), prop::bool::weighted(0.25)).prop_map(|(part, force)| Fragment { part, force });
        (first, prop::collection::vec(later, 1..5)).prop_map(move |(first, later)| Case {
            api_version: kind.api_version,
            kind: kind.kind,
            fragments: std::iter::once(first).chain(later).collect(),
        })
    })
}

type Values = BoxedStrategy<Value>;

/// One of the values, mostly the first.
fn one_of<T: Into<Value>>(words: impl IntoIterator<Item = T>) -> Values {
    let weighted =
        words.into_iter().enumerate().map(|(index, word)| (if index == 0 { 3 } else { 1 }, Just(word.into())));
    prop::strategy::Union::new_weighted(weighted.collect()).boxed()
}

/// How likely a fragment sets a field. Lists with merge keys are the most likely, because their merge is the hardest.
const MOSTLY: f64 = 0.95;
const OFTEN: f64 = 0.6;
const SOMETIMES: f64 = 0.3;
const SELDOM: f64 = 0.06;

/// A map with some of the fields.
fn some<const N: usize>(fields: [(&'static str, f64, Values); N]) -> Values {
    with(json!({}), fields)
}

/// A map with all of `fixed` and some of the other fields.
fn with<const N: usize>(fixed: Value, fields: [(&'static str, f64, Values); N]) -> Values {
    let (names, values): (Vec<_>, Vec<_>) =
        fields.into_iter().map(|(name, likely, values)| (name, prop::option::weighted(likely, values))).unzip();
    let fixed = fixed.as_object().cloned().unwrap_or_default();
    values
        .prop_map(move |values| {
            let mut map: Map<String, Value> = fixed.clone();
            let set = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
            // An empty map is left out: whether the server keeps it depends on the field.
            let set = set.filter(|(_, value)| value.as_object().is_none_or(|map| !map.is_empty()));
            map.extend(set);
            Value::Object(map)
        })
        .boxed()
}

/// A list of some of the entries, in any order.
fn list<const N: usize>(entries: [Values; N]) -> Values {
    (Vec::from(entries), subsequence((0..N).collect::<Vec<_>>(), 0..=N).prop_shuffle())
        .prop_map(|(values, chosen)| chosen.into_iter().map(|index| values[index].clone()).collect::<Value>())
        .boxed()
}

/// Labels or annotations.
fn marks() -> Values {
    some([
        ("team", SOMETIMES, one_of(["acid", "other"])),
        ("example.com/a.b", SOMETIMES, one_of(["1", "2"])),
        ("note", SOMETIMES, one_of(["x", "y"])),
        ("cluster-name", SOMETIMES, one_of(["minimal"])),
    ])
}
