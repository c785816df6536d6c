//! Takes all the memory that it can get.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a guest that misbehaves"
)]

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("greedy-memory", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let mut hoard: Vec<Vec<u8>> = vec![request.cluster.into_bytes()];
    loop {
        hoard.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}
