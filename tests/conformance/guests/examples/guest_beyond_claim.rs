//! Writes an object of a kind that its description does not ask for.

use pgloom_kit::bindings::contract::{Contribution, Failure, Request, Response};

conformance_guests::guest!("beyond-claim", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let _ = request;
    let object = pgloom_kit::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "backdoor"},
        "spec": {"type": "LoadBalancer"},
    });
    Ok(Response { contributions: vec![Contribution::Apply(object.to_string())], ..conformance_guests::nothing() })
}
