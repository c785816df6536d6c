//! What is kept of an existing object: compact JSON text.

use std::sync::Arc;

use pgloom_common::fingerprint::fingerprint;
use pgloom_decide::Kind;
use pgloom_decide::transform::Transformed;
use serde_json::Value;

/// An existing object.
#[derive(Clone)]
pub struct CachedObject {
    /// The kind.
    pub kind: Kind,
    /// `metadata.name`.
    pub name: Arc<str>,
    pub(super) text: Box<str>,
    pub(super) fields: Option<Box<str>>,
    /// `metadata.resourceVersion` as a number.
    pub version: u64,
    /// A hash of the object without status and resource version.
    pub content: u64,
    /// Whether the managed fields have an entry of the Zalando operator, see [`Transformed::inherited`].
    pub inherited: bool,
    /// The number of the watch that reported it.
    pub(super) watch: usize,
    /// The listing of that watch that reported it last.
    pub(super) generation: u32,
}

impl CachedObject {
    /// The object, parsed from its text.
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The fields that the operator applied, as `fieldsV1`; `None` if it never applied the object.
    pub fn fields(&self) -> Option<Value> {
        self.fields.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    /// Whether the operator applied the object.
    pub fn applied(&self) -> bool {
        self.fields.is_some()
    }

    pub(super) fn new(kind: &Kind, name: &str, transformed: Transformed, watch: usize, generation: u32) -> Self {
        let Transformed { object, version, fields, inherited } = transformed;
        Self {
            kind: kind.clone(),
            name: name.into(),
            content: content(&object),
            text: object.to_string().into(),
            fields: fields.map(|fields| fields.to_string().into()),
            version,
            inherited,
            watch,
            generation,
        }
    }

    /// Whether no part differs that a decision depends on.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.text == other.text && self.fields == other.fields && self.inherited == other.inherited
    }
}

/// A hash of an object without its status.
fn content(object: &Value) -> u64 {
    let fields = object.as_object().into_iter().flatten().filter(|(key, _)| *key != "status");
    fingerprint(&fields.map(|(key, value)| (key, value.to_string())).collect::<Vec<_>>())
}
