//! The `pgloom` binary.
fn main() {}
