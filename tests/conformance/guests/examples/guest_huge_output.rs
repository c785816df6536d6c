//! Responds with a hundred megabytes: one text, ten times.

use pgloom_kit::bindings::contract::{Contribution, Failure, Request, Response};

conformance_guests::guest!("huge-output", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let _ = request;
    let text = "x".repeat(10 << 20);
    let contributions = (0..10).map(|_| Contribution::Apply(text.clone())).collect();
    Ok(Response { contributions, ..conformance_guests::nothing() })
}
