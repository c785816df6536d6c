//! Never responds.

use pgloom_kit::bindings::contract::{Failure, Request, Response};

conformance_guests::guest!("spin-forever", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let mut count: u64 = request.cluster.len() as u64;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}
