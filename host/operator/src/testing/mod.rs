//! A fake API server, and the check of its requests against the operator's rights. For tests only.

mod fake_api_server;
mod rbac;

pub use fake_api_server::{FakeApiServer, Write};
