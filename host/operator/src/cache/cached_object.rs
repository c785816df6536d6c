//! What is kept of an existing object: compact JSON text.

use std::sync::Arc;

use pgloom_common::fingerprint::fingerprint;
use pgloom_decide::Kind;
use pgloom_decide::transform::Transformed;
use serde_json::Value;

use super::store::Slot;

/// An existing object.
#[derive(Clone)]
pub struct CachedObject {
    /// The kind.
    pub kind: Kind,
    /// `metadata.name`.
    pub name: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) fields: Option<Arc<str>>,
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

    /// `before` is the object so far. Most events change nothing that is kept, so what is the same is shared with it.
    pub(super) fn new(
        (kind, name): &Slot,
        transformed: Transformed,
        before: Option<&Self>,
        (watch, generation): (usize, u32),
    ) -> Self {
        let Transformed { object, version, fields, inherited } = transformed;
        let text = object.to_string();
        let (text, content) = match before.filter(|before| *before.text == text) {
            Some(before) => (before.text.clone(), before.content),
            None => (text.into(), content(&object)),
        };
        let fields = fields.map(|fields| fields.to_string());
        let shared =
            before.and_then(|before| before.fields.as_ref()).filter(|before| fields.as_deref() == Some(before));
        let fields = shared.cloned().or_else(|| fields.map(Arc::from));
        let (kind, name) = (kind.clone(), name.clone());
        Self { kind, name, text, fields, version, content, inherited, watch, generation }
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
