//! Components that do what a script says: one guest, `script.wasm`, with the script written into its bytes. So every
//! behaviour is a component with a digest of its own, and one build is sufficient for all.

use serde_json::{Value, json};

use crate::guest;

/// By which the guest marks the place of its script, see `guests/examples/guest_script.rs`.
const MARKER: &[u8] = b"pgloom-conformance-script:";
/// The bytes of the marker and the script.
const SIZE: usize = 16 << 10;

/// A guest: what it says about itself, and what it does when it is called.
#[derive(Clone, Debug)]
pub struct Script {
    description: Value,
    act: Value,
}

impl Script {
    /// A plugin of this name that asks for nothing and answers nothing.
    pub fn new(name: &str) -> Self {
        let description = json!({
            "name": name, "version": "0.1.0", "summary": "A guest of the conformance tests.",
            "config_schema": "{}", "config_example": "{}",
        });
        Self { description, act: json!({"answer": {}}) }
    }

    /// With another value in the description, whose fields are named as in `wit/`, with underscores.
    #[must_use]
    pub fn describes(mut self, field: &str, value: Value) -> Self {
        self.description[field] = value;
        self
    }

    /// With an entry more in a list of the description. `guests/src/read.rs` says which fields an entry has.
    #[must_use]
    pub fn asks(mut self, list: &str, entry: Value) -> Self {
        push(&mut self.description[list], entry);
        self
    }

    /// Asks to create objects of a kind, as in `apps/v1 Deployment`.
    #[must_use]
    pub fn creates(self, kind: &str, names: &[&str]) -> Self {
        let (api_version, kind) = parts(kind);
        self.asks("objects", json!({"api_version": api_version, "kind": kind, "names": names, "creates": true}))
    }

    /// Asks to set fields of objects, to override them and to remove them.
    #[must_use]
    pub fn sets(self, kind: &str, names: &[&str], fields: &[&str]) -> Self {
        let (api_version, kind) = parts(kind);
        let entry = json!({
            "api_version": api_version, "kind": kind, "names": names,
            "fields": fields, "overrides": fields, "removes": fields,
        });
        self.asks("objects", entry)
    }

    /// Asks for the credential at a key of the operator configuration.
    #[must_use]
    pub fn credential(self, key: &str) -> Self {
        self.asks("config_keys", json!(key)).asks("credentials", json!({"config": key}))
    }

    /// Asks for actions of a kind, as in `user-list`.
    #[must_use]
    pub fn action(self, kind: &str, subjects: &[&str]) -> Self {
        self.asks("actions", json!({"kind": kind, "subjects": subjects}))
    }

    /// Works without the last permission of a list that it asks for.
    #[must_use]
    pub fn optional(mut self, list: &str) -> Self {
        if let Some(entry) = self.description[list].as_array_mut().and_then(|list| list.last_mut()) {
            entry["optional"] = json!(true);
        }
        self
    }

    /// Does this when it is called, as `guests/examples/guest_script.rs` names it: `unit` is repeated `size` times.
    #[must_use]
    pub fn acts(mut self, act: &str, (before, unit, size, after): (&str, &str, usize, &str)) -> Self {
        self.act = json!({act: {"before": before, "unit": unit, "size": size, "after": after}});
        self
    }

    /// Is called only if the manifest has a value at the pointer.
    #[must_use]
    pub fn when(self, pointer: &str) -> Self {
        self.asks("relevant", json!(pointer))
    }

    /// Reads the cluster's own objects of a kind.
    #[must_use]
    pub fn observes(self, kind: &str) -> Self {
        let (api_version, kind) = parts(kind);
        self.asks("observed", json!({"id": "own", "api_version": api_version, "kind": kind}))
    }

    /// Answers only if there is an existing object that it observes.
    #[must_use]
    pub fn only_if_observed(mut self) -> Self {
        self.act = json!({"answer-if-observed": self.act["answer"]});
        self
    }

    /// Contributes an object. `{cluster}` in it is the cluster's name.
    #[must_use]
    pub fn applies(self, object: &Value) -> Self {
        self.contributes(&object.to_string())
    }

    /// Contributes a text.
    #[must_use]
    pub fn contributes(self, text: &str) -> Self {
        self.answers("contributions", json!(text))
    }

    /// Removes a field of an object.
    #[must_use]
    pub fn removes(self, kind: &str, name: &str, path: &str) -> Self {
        let (api_version, kind) = parts(kind);
        let removal = json!({"api_version": api_version, "kind": kind, "name": name, "path": path});
        self.answers("contributions", removal)
    }

    /// Requests an action of a kind with these parameters.
    #[must_use]
    pub fn requests(self, key: &str, kind: &str, mut parameters: Value) -> Self {
        parameters["key"] = json!(key);
        parameters["kind"] = json!(kind);
        self.answers("actions", parameters)
    }

    /// With an entry more in a list of the answer.
    #[must_use]
    pub fn answers(mut self, list: &str, entry: Value) -> Self {
        push(&mut self.act["answer"][list], entry);
        self
    }

    /// The grants for all that the description asks for.
    pub fn grants(&self) -> Value {
        let list = |name: &str| self.description[name].as_array().cloned().unwrap_or_default();
        let object = |asked: &Value| {
            let field = |name: &str| asked.get(name).cloned().unwrap_or_else(|| json!([]));
            json!({
                "apiVersion": asked["api_version"], "kind": asked["kind"], "names": asked["names"],
                "creates": asked["creates"] == json!(true), "fields": field("fields"),
                "overrides": field("overrides"), "removes": field("removes"),
            })
        };
        let credential = |asked: &Value| json!(format!("config:{}", asked["config"].as_str().unwrap_or_default()));
        let action = |asked: &Value| json!({"kind": asked["kind"], "subjects": asked["subjects"]});
        let kind = |asked: &Value| json!({"apiVersion": asked["api_version"], "kind": asked["kind"]});
        json!({
            "desired": list("desired").iter().map(kind).collect::<Value>(),
            "config": list("config_keys"),
            "objects": list("objects").iter().map(object).collect::<Value>(),
            "privileges": list("privileges").iter().map(|asked| asked["name"].clone()).collect::<Value>(),
            "credentials": list("credentials").iter().map(credential).collect::<Value>(),
            "actions": list("actions").iter().map(action).collect::<Value>(),
        })
    }

    /// The component.
    ///
    /// # Panics
    /// If the guest is not built, or the script is too long.
    pub fn component(&self) -> Vec<u8> {
        let script = json!({"description": self.description, "act": self.act}).to_string();
        let mut bytes = guest("script.wasm");
        let place = bytes.windows(MARKER.len()).position(|part| part == MARKER);
        let room = SIZE - MARKER.len();
        assert!(script.len() <= room, "a script of {} bytes, there is room for {room}", script.len());
        #[allow(clippy::expect_used, reason = "a test cannot go on without its guest")]
        let place = place.expect("script.wasm has the marker of its script") + MARKER.len();
        for (byte, new) in bytes.iter_mut().skip(place).zip(script.bytes()) {
            *byte = new;
        }
        bytes
    }
}

fn push(list: &mut Value, entry: Value) {
    match list {
        Value::Array(entries) => entries.push(entry),
        missing => *missing = json!([entry]),
    }
}

/// The `apiVersion` and the kind of a text, as in `apps/v1 Deployment`.
fn parts(kind: &str) -> (&str, &str) {
    kind.split_once(' ').unwrap_or((kind, ""))
}
