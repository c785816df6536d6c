//! An empty build script: without one Cargo ignores the build dependencies.

fn main() {}
