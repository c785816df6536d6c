//! Traps at once.

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("trap", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let _ = request;
    panic!("this guest always panics")
}
