//! Logs a hundred thousand lines, then responds.

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("chatty", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    for line in 0..100_000 {
        pgloom_kit::log::log(pgloom_kit::log::Level::Info, &format!("line {line} of {}", request.cluster.len()));
    }
    Ok(conformance_guests::nothing())
}
