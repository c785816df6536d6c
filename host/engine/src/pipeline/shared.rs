//! What the steps of one run share.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::progress::Reused;
use crate::input::Input;
use crate::scope::Scope;

/// What the steps of one run share.
pub(super) struct Shared<'a> {
    pub(super) input: &'a Input,
    /// The manifest as JSON text, without credentials; written when the first step needs it.
    pub(super) cluster: OnceCell<String>,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) reused: Option<&'a Reused>,
}

impl<'a> Shared<'a> {
    pub(super) fn of(input: &'a Input, reused: Option<&'a Reused>) -> Self {
        let labels = input.cluster.pointer("/metadata/labels").and_then(Value::as_object);
        let pairs = labels.into_iter().flatten();
        Self {
            input,
            cluster: OnceCell::new(),
            name: text_at(&input.cluster, "/metadata/name"),
            namespace: text_at(&input.cluster, "/metadata/namespace"),
            labels: pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
            reused,
        }
    }

    /// The cluster whose objects are merged.
    pub(super) fn scope(&self) -> Scope {
        let input = self.input;
        Scope {
            namespace: self.namespace.clone(),
            cluster: self.name.clone(),
            secrets: input.secrets.names.clone(),
            labels: input.labels.clone(),
            members: input.members.clone(),
            role_label: input.role_label.clone(),
        }
    }
}

/// The text at a JSON pointer; empty if there is none.
pub(super) fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
