//! Asks for more memory than there is, goes on without it, and panics for another reason.

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("survivor", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let mut hoard: Vec<u8> = Vec::new();
    let refused = hoard.try_reserve(1 << 30).is_err();
    pgloom_kit::log::log(pgloom_kit::log::Level::Error, "the last line before the end\n2026-01-01 ERROR forged");
    panic!("{refused} {}", request.cluster.len())
}
