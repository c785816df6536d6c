//! Nothing: it is here so that the build dependencies count.

fn main() {}
