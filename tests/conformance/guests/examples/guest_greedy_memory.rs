//! Allocates memory without end.

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("greedy-memory", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let mut hoard: Vec<Vec<u8>> = vec![request.cluster.into_bytes()];
    loop {
        hoard.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}
