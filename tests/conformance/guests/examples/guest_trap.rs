//! Traps at once.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a guest that misbehaves"
)]

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("trap", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let _ = request;
    panic!("this guest always panics")
}
