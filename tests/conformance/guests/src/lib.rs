//! What the guests have in common: a description that asks for ConfigMaps, an empty response, and scripts.

pub mod read;

use pgloom_kit::bindings::contract::{Description, ObjectKind, ObjectPermission, Response};

const CONFIG_SCHEMA: &str = r#"{
    "type": "object",
    "properties": {"greeting": {"type": "string", "default": "hello"}},
    "additionalProperties": false
}"#;

/// A valid description, which asks for ConfigMaps of any name.
pub fn description(name: &str) -> Description {
    Description {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        summary: "A guest of the conformance tests.".to_owned(),
        config_schema: CONFIG_SCHEMA.to_owned(),
        config_example: r#"{"greeting":"hello"}"#.to_owned(),
        config_keys: Vec::new(),
        credentials: Vec::new(),
        relevant: Vec::new(),
        desired: Vec::new(),
        observed: Vec::new(),
        objects: vec![ObjectPermission {
            kind: ObjectKind { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() },
            names: vec!["*".to_owned()],
            creates: true,
            fields: Vec::new(),
            overrides: Vec::new(),
            removes: Vec::new(),
            optional: false,
        }],
        privileges: Vec::new(),
        actions: Vec::new(),
        requires: Vec::new(),
    }
}

/// A response that contributes nothing.
pub fn nothing() -> Response {
    Response { contributions: Vec::new(), actions: Vec::new(), findings: Vec::new(), conditions: Vec::new() }
}

/// Exports a guest of this name, whose `mutate` is the given function.
#[macro_export]
macro_rules! guest {
    ($name:literal, $mutate:expr) => {
        struct Guest;

        impl pgloom_kit::bindings::contract::Guest for Guest {
            fn describe(
                host: pgloom_kit::bindings::contract::HostInfo,
            ) -> Result<pgloom_kit::bindings::contract::Description, String> {
                let _ = host;
                Ok($crate::description($name))
            }

            fn mutate(
                request: pgloom_kit::bindings::contract::Request,
            ) -> Result<pgloom_kit::bindings::contract::Response, pgloom_kit::bindings::contract::Failure> {
                $mutate(request)
            }
        }

        #[cfg(target_arch = "wasm32")]
        pgloom_kit::bindings::export_plugin!(Guest with_types_in pgloom_kit::bindings);
    };
}
