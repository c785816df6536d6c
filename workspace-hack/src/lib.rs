//! An empty crate: it unifies the features of its dependencies, see `Cargo.toml`.
