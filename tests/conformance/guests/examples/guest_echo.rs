//! Creates a ConfigMap that holds the request.

use pgloom_kit::bindings::contract::{Contribution, Failure, Request, Response};

conformance_guests::guest!("echo", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let object = pgloom_kit::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "echo"},
        "data": {"cluster": request.cluster, "config": request.config, "operator-config": request.operator_config},
    });
    Ok(Response { contributions: vec![Contribution::Apply(object.to_string())], ..conformance_guests::nothing() })
}
