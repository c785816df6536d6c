//! Contributes a text that is not JSON.

use pgloom_kit::bindings::contract::{Contribution, Failure, Request, Response};

conformance_guests::guest!("broken-json", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let _ = request;
    let contributions = vec![Contribution::Apply("{\"apiVersion\": \"v1\", ".to_owned())];
    Ok(Response { contributions, ..conformance_guests::nothing() })
}
