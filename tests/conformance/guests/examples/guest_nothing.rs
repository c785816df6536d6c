//! Does nothing: what its call costs is the floor of every call.

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("nothing", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let _ = request;
    Ok(conformance_guests::nothing())
}
