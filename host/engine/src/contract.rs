//! The versions of the contract that this host supports: which one a component is built against, and calls of it in the
//! engine's own types.
//!
//! The modules from the top down: `v0_2`, `v0_1`, `shared`.

#[macro_use]
mod shared;
mod v0_1;
mod v0_2;

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::model::{Description, Failure, HostInfo, Request, Response};
use crate::state::State;

/// The export of every plugin, without its version.
const EXPORT: &str = "pgloom:plugin/mutate-resources@";
/// The only interface that a plugin may import, without its version.
const IMPORT: &str = "pgloom:plugin/log@";

/// What this host can do beyond the first release of the newest version; `wit/README.md` lists the names.
const FEATURES: &[&str] = &[];

/// A version of the contract. Its patch versions have the same functions and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V0_1,
    V0_2,
}

/// The versions that this host supports, as texts for messages.
pub const SUPPORTED: &str = "0.1 and 0.2";
/// The newest of them.
pub const NEWEST: &str = "0.2";

impl Version {
    /// The version with this text, as in `0.2.0`; `None` if the host does not support it.
    fn parse(text: &str) -> Option<Self> {
        let version = semver::Version::parse(text).ok().filter(|version| version.pre.is_empty())?;
        match (version.major, version.minor) {
            (0, 1) => Some(Self::V0_1),
            (0, 2) => Some(Self::V0_2),
            _ => None,
        }
    }
}

/// What a component exports of the contract.
#[derive(Debug, PartialEq)]
pub(crate) enum Export {
    /// A version that the host supports, and its text.
    Supported(Version, String),
    /// Another version: the name of the export.
    Unsupported(String),
    /// Nothing.
    Missing,
}

/// The contract's version by the names of a component's exports.
pub(crate) fn export<'a>(exports: impl IntoIterator<Item = &'a str>) -> Export {
    let versions = exports.into_iter().filter_map(|name| Some((name, name.strip_prefix(EXPORT)?)));
    let mut found = Export::Missing;
    for (name, text) in versions {
        found = match Version::parse(text) {
            Some(version) => return Export::Supported(version, text.to_owned()),
            None => Export::Unsupported(name.to_owned()),
        };
    }
    found
}

/// Whether an import is the log of this version of the contract.
pub(crate) fn is_log(import: &str, version: Version) -> bool {
    import.strip_prefix(IMPORT).and_then(Version::parse) == Some(version)
}

/// Defines what plugins of every version may import.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v0_1::add_to_linker(linker)?;
    v0_2::add_to_linker(linker)
}

/// A component whose exports were found.
#[derive(Clone)]
pub(crate) enum Prepared {
    V0_1(v0_1::Prepared),
    V0_2(v0_2::Prepared),
}

impl Prepared {
    /// Finds the exports of a component of this version.
    pub(crate) fn new(version: Version, component: InstancePre<State>) -> wasmtime::Result<Self> {
        Ok(match version {
            Version::V0_1 => Self::V0_1(v0_1::Prepared::new(component)?),
            Version::V0_2 => Self::V0_2(v0_2::Prepared::new(component)?),
        })
    }

    /// Starts a fresh instance.
    pub(crate) fn instantiate(&self, mut store: impl AsContextMut<Data = State>) -> wasmtime::Result<Instance> {
        Ok(match self {
            Self::V0_1(component) => Instance::V0_1(component.instantiate(&mut store)?),
            Self::V0_2(component) => Instance::V0_2(component.instantiate(&mut store)?),
        })
    }
}

/// A running instance.
pub(crate) enum Instance {
    V0_1(v0_1::Instance),
    V0_2(v0_2::Instance),
}

impl Instance {
    /// Calls `describe`. The inner error is the plugin's sentence on why it cannot run on this host.
    pub(crate) fn describe(&self, store: StoreContextMut<'_, State>) -> wasmtime::Result<Result<Description, String>> {
        match self {
            Self::V0_1(instance) => v0_1::describe(instance, store).map(Ok),
            Self::V0_2(instance) => v0_2::describe(instance, store, host_info()),
        }
    }

    /// Calls `mutate`.
    pub(crate) fn mutate(
        &self,
        store: StoreContextMut<'_, State>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, Failure>> {
        match self {
            Self::V0_1(instance) => v0_1::mutate(instance, store, request),
            Self::V0_2(instance) => v0_2::mutate(instance, store, request),
        }
    }
}

fn host_info() -> HostInfo {
    HostInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests;
