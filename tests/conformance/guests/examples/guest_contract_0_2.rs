//! Contract 0.2 without the kit: creates a ConfigMap that holds the request. Its component is kept as bytes, see
//! `tests/conformance/canned`.

wit_bindgen::generate!({ path: "../../../wit/0.2", world: "plugin" });

use exports::pgloom::plugin::mutate_resources::{
    Contribution, Description, Failure, Guest, HostInfo, ObjectKind, ObjectPermission, Request, Response,
};

struct Contract;

impl Guest for Contract {
    fn describe(host: HostInfo) -> Result<Description, String> {
        if host.version.is_empty() {
            return Err("the host has no version".to_owned());
        }
        Ok(Description {
            name: "contract".to_owned(),
            version: "0.2.0".to_owned(),
            summary: "Creates a ConfigMap that holds the request.".to_owned(),
            config_schema: r#"{"type":"object","properties":{"greeting":{"type":"string","default":"hello"}}}"#
                .to_owned(),
            config_example: r#"{"greeting":"hello"}"#.to_owned(),
            config_keys: Vec::new(),
            credentials: Vec::new(),
            relevant: Vec::new(),
            desired: Vec::new(),
            observed: Vec::new(),
            objects: vec![ObjectPermission {
                kind: ObjectKind { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() },
                names: vec!["{cluster}-*".to_owned()],
                creates: true,
                fields: Vec::new(),
                overrides: Vec::new(),
                removes: Vec::new(),
                optional: false,
            }],
            privileges: Vec::new(),
            actions: Vec::new(),
            requires: Vec::new(),
        })
    }

    fn mutate(request: Request) -> Result<Response, Failure> {
        let name = request.cluster.split("\"name\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let name = name.ok_or_else(|| Failure::Internal("the cluster has no name".to_owned()))?;
        // Within a JSON text the quotes of the configuration are escaped.
        let config = request.config.replace('"', "\\\"");
        pgloom::plugin::log::log(pgloom::plugin::log::Level::Debug, "called");
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}-contract"}},"data":{{"config":"{config}"}}}}"#
        );
        Ok(Response {
            contributions: vec![Contribution::Apply(object)],
            actions: Vec::new(),
            findings: Vec::new(),
            conditions: Vec::new(),
        })
    }
}

#[cfg(target_arch = "wasm32")]
export!(Contract);
