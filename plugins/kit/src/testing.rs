//! Tests of plugins: a plugin is called natively, as the host calls its component, and its answer is checked.
//! [`golden::replay`] does so for the golden folder of a plugin.

mod config;
mod document;
pub mod golden;
mod pattern;
mod permission;
pub mod schema;
pub mod upstream;

use serde_json::{Value, json};

pub use self::config::{operator_config, operator_config_of};
use crate::bindings::contract::{self, Contribution, Guest, ObjectRef};
use crate::{Component, Failure, Plugin};

/// A call: the request, to which each method adds a part.
pub struct Call {
    request: contract::Request,
}

/// The answer of a plugin, with objects as JSON values.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// The partial objects, in order.
    pub objects: Vec<Value>,
    /// The whole response, as the contract has it.
    pub response: contract::Response,
}

impl Answer {
    /// The partial object of this kind and name.
    pub fn object(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// The messages of the findings, in order.
    pub fn messages(&self) -> Vec<&str> {
        self.response.findings.iter().map(|finding| finding.message.as_str()).collect()
    }
}

/// The text of a failure: the message, or the path and the message of the first finding.
pub fn reason(failure: &Failure) -> String {
    match failure {
        Failure::InvalidManifest(findings) => findings
            .first()
            .map(|finding| format!("{}: {}", finding.path.as_deref().unwrap_or_default(), finding.message))
            .unwrap_or_default(),
        Failure::InvalidConfig(message) | Failure::Internal(message) => message.clone(),
    }
}

impl Call {
    /// A call for a manifest: the whole `postgresql` object.
    pub fn new(manifest: &Value) -> Self {
        Self {
            request: contract::Request {
                cluster: manifest.to_string(),
                operator_config: json!({}).to_string(),
                config: json!({}).to_string(),
                desired: Vec::new(),
                observed: Vec::new(),
                actions: Vec::new(),
            },
        }
    }

    /// Sets the operator configuration: a flat object with all keys that the plugin reads, as [`operator_config`]
    /// returns.
    pub fn operator_config(mut self, config: &Value) -> Self {
        self.request.operator_config = config.to_string();
        self
    }

    /// Sets the step's configuration.
    pub fn settings(mut self, settings: &Value) -> Self {
        self.request.config = settings.to_string();
        self
    }

    /// Adds an object that earlier steps want.
    pub fn desired(mut self, object: &Value) -> Self {
        let identity = identity(object);
        self.request.desired.push(contract::DesiredObject { identity, object: object.to_string() });
        self
    }

    /// Adds an existing object that a selector found.
    pub fn observed(mut self, selector: &str, object: &Value) -> Self {
        let (selector, identity) = (selector.to_owned(), identity(object));
        self.request.observed.push(contract::ObservedObject { selector, identity, object: object.to_string() });
        self
    }

    /// Adds the state of an action that the plugin requested before.
    pub fn action(mut self, key: &str, phase: contract::ActionPhase, message: &str) -> Self {
        self.request.actions.push(contract::ActionState { key: key.to_owned(), phase, message: message.to_owned() });
        self
    }

    /// Calls `P` natively, as the host would: it receives the keys of the operator configuration that its description
    /// names, and the objects of its answer are checked against its description and against the types of the Kubernetes
    /// API.
    ///
    /// # Errors
    /// The failure of `P`.
    ///
    /// # Panics
    /// If the description does not ask for what the call gives or for what the answer does, with the line to add; or if
    /// an object has a field that its kind does not have, or a value of another type; see [`schema`].
    #[track_caller]
    #[expect(clippy::panic, reason = "a test of a plugin that asks for too little or misspells a field has to fail")]
    pub fn mutate<P: Plugin>(self) -> Result<Answer, Failure> {
        match self.answer::<P>() {
            Ok(answer) => answer,
            Err(problems) => panic!("{problems}"),
        }
    }

    /// The same; the error is what the description does not ask for, and what is wrong with an object.
    fn answer<P: Plugin>(mut self) -> Result<Result<Answer, Failure>, String> {
        let description = P::describe().build();
        self.request.operator_config = config::shown(&self.request.operator_config, &description.config_keys);
        let cluster: Value = serde_json::from_str(&self.request.cluster).unwrap_or_default();
        let cluster = cluster["metadata"]["name"].as_str().unwrap_or_default();
        let unread = permission::unread(&description, &self.request);
        if !unread.is_empty() {
            return Err(unread.join("\n"));
        }
        let response = match <Component<P> as Guest>::mutate(self.request) {
            Ok(response) => response,
            Err(failure) => return Ok(Err(failure)),
        };
        let forbidden = permission::forbidden(&description, &response, cluster);
        if !forbidden.is_empty() {
            return Err(forbidden.join("\n"));
        }
        let objects: Vec<Value> = response
            .contributions
            .iter()
            .filter_map(|contribution| match contribution {
                Contribution::Apply(json) => serde_json::from_str(json).ok(),
                Contribution::Remove(_) => None,
            })
            .collect();
        for object in &objects {
            let problems = schema::problems(object);
            if !problems.is_empty() {
                return Err(format!("{} {}:\n{}", object["kind"], object["metadata"]["name"], problems.join("\n")));
            }
        }
        Ok(Ok(Answer { objects, response }))
    }
}

fn identity(object: &Value) -> ObjectRef {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef { api_version: text("/apiVersion"), kind: text("/kind"), name: text("/metadata/name") }
}
