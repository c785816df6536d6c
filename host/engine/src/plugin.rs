//! One loaded plugin: verified, compiled, described.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::cache;
use crate::call::{self, Limits, Reply};
use crate::compile;
use crate::contract::{self, Export, Prepared, SUPPORTED, Version};
use crate::convert;
use crate::description;
use crate::engine::Engine;
use crate::model::{Description, Request, Response};
use crate::wasi;

/// A plugin that can be called.
pub struct Plugin {
    /// The component's digest, as in `sha256:9f86…`.
    pub digest: String,
    /// The version of the contract that the component is built against, as in `0.2.0`.
    pub contract: String,
    /// What the component returned from `describe`.
    pub description: Description,
    body: Body,
}

type Native = dyn Fn(&Request) -> Result<Response, call::Error> + Send + Sync;

enum Body {
    Component { engine: Arc<Engine>, component: Prepared },
    Native(Box<Native>),
}

/// A phase of loading a step, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reads the component's file.
    Fetch,
    /// Checks the digest, and that the component exports and imports what the contract says.
    Verify,
    /// Compiles the component, or loads its compiled code.
    Compile,
    /// Calls `describe` and checks the description.
    Describe,
    /// Checks the step's configuration and grants against the description.
    Configure,
}

impl Phase {
    /// The name in conditions and metrics, as in `fetch`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Compile => "compile",
            Self::Describe => "describe",
            Self::Configure => "configure",
        }
    }
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The digest is not the one that the pipeline pins.
    #[error(
        "the component has digest {actual}, the pipeline pins {pinned}; pin the new digest if the change is intended"
    )]
    VerifyDigest {
        /// The file's digest.
        actual: String,
        /// The pipeline's digest.
        pinned: String,
    },
    /// The file is not WebAssembly.
    #[error("the file is not WebAssembly; name a component, as `pgloom plugin build` makes it")]
    VerifyMagic,
    /// The file is a core module.
    #[error("the file is a core module, not a component; make one of it: pgloom plugin build FILE --output COMPONENT")]
    VerifyLayer,
    /// The component exports another version of the contract.
    #[error(
        "the component exports `{actual}`, this host supports versions {SUPPORTED} of the contract; build it against one of \
         them"
    )]
    VerifyWorld {
        /// The export, with its version.
        actual: String,
    },
    /// The component does not export the contract's interface.
    #[error(
        "the component does not export `pgloom:plugin/mutate-resources`; implement it in version {}",
        SUPPORTED.replace(" and ", " or ")
    )]
    VerifyExport,
    /// The component imports more than the contract allows.
    #[error("the component imports {}, a plugin may import `log` only; build it without them", list(.0))]
    VerifyImports(Vec<String>),
    /// The component could not be compiled.
    #[error("the component cannot be compiled")]
    Compile(#[from] compile::Error),
    /// The call of `describe` failed.
    #[error("the component could not be described")]
    Describe(#[source] call::Error),
    /// The plugin says that it cannot run on this host.
    #[error("the plugin cannot run on this host: {0}")]
    RefuseHost(String),
    /// The description is invalid.
    #[error("the component's description is invalid: {0}")]
    CheckDescription(String),
}

impl Error {
    /// The phase of loading that failed.
    pub fn phase(&self) -> Phase {
        match self {
            Self::VerifyDigest { .. }
            | Self::VerifyMagic
            | Self::VerifyLayer
            | Self::VerifyWorld { .. }
            | Self::VerifyExport
            | Self::VerifyImports(_) => Phase::Verify,
            Self::Compile(_) => Phase::Compile,
            Self::Describe(_) | Self::RefuseHost(_) | Self::CheckDescription(_) => Phase::Describe,
        }
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Plugin {
    /// Loads a component: verifies its digest, layer, export and imports, compiles it (or loads its compiled code from
    /// the cache), and calls `describe`.
    ///
    /// # Errors
    /// If one of these phases fails, see [`Error::phase`].
    pub fn load(engine: &Arc<Engine>, bytes: &[u8], pinned: Option<&str>) -> Result<Self, Error> {
        let digest = digest(bytes);
        if let Some(pinned) = pinned.filter(|&pinned| pinned != digest) {
            return Err(Error::VerifyDigest { actual: digest, pinned: pinned.to_owned() });
        }
        check_layer(bytes)?;
        let component = compile(engine, bytes, &digest)?;
        Self::of(engine, &component, digest)
    }

    /// The plugin of this digest, if its compiled code is kept; its file is not needed then.
    pub(crate) fn cached(engine: &Arc<Engine>, digest: &str) -> Option<Result<Self, Error>> {
        let component = engine.cache.get(digest, &engine.wasm)?;
        Some(Self::of(engine, &component, digest.to_owned()))
    }

    fn of(engine: &Arc<Engine>, component: &Component, digest: String) -> Result<Self, Error> {
        let (version, contract) = check_world(component)?;
        // A linker of its own: what the empty WASI defines depends on the component.
        let mut linker = engine.linker.clone();
        wasi::add_to_linker(&mut linker, component).map_err(|error| refused(&error))?;
        let component = linker
            .instantiate_pre(component)
            .and_then(|component| Prepared::new(version, component))
            .map_err(|error| refused(&error))?;
        let description = call::describe(engine, &component, &Limits::default()).map_err(Error::Describe)?;
        let description = description.map_err(|reason| Error::RefuseHost(convert::text(&reason)))?;
        description::check(&description).map_err(Error::CheckDescription)?;
        tracing::debug!(plugin = %description.name, version = %description.version, %digest, %contract, "plugin loaded");
        Ok(Self { digest, contract, description, body: Body::Component { engine: Arc::clone(engine), component } })
    }

    /// A plugin that is a native function, for tests and benchmarks: no engine, no limits.
    pub fn native(
        description: Description,
        mutate: impl Fn(&Request) -> Result<Response, call::Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            digest: "native".to_owned(),
            contract: "native".to_owned(),
            description,
            body: Body::Native(Box::new(mutate)),
        }
    }

    /// Calls `describe` again, in a fresh instance. A native plugin has one description.
    ///
    /// # Errors
    /// If the call fails, or the plugin says that it cannot run on this host.
    pub fn describe(&self) -> Result<Description, Error> {
        let Body::Component { engine, component } = &self.body else { return Ok(self.description.clone()) };
        let description = call::describe(engine, component, &Limits::default()).map_err(Error::Describe)?;
        description.map_err(|reason| Error::RefuseHost(convert::text(&reason)))
    }

    /// Calls the plugin in a fresh instance. A native plugin takes no fuel.
    pub fn mutate(&self, request: Request, limits: &Limits) -> Reply<Response> {
        match &self.body {
            Body::Component { engine, component } => call::mutate(engine, component, limits, request),
            Body::Native(mutate) => Reply::without_instance(mutate(&request)),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.description.name, self.description.version, self.digest)
    }
}

/// The digest of a component, as in `sha256:9f86…`.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Checks bytes 4 to 8, version and layer: `01 00 00 00` is a core module, `0d 00 01 00` a component. See
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>.
fn check_layer(bytes: &[u8]) -> Result<(), Error> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Error::VerifyLayer),
        [0, b'a', b's', b'm', ..] => Ok(()),
        _ => Err(Error::VerifyMagic),
    }
}

fn compile(engine: &Engine, bytes: &[u8], digest: &str) -> Result<Component, Error> {
    if let Some(component) = engine.cache.get(digest, &engine.wasm) {
        return Ok(component);
    }
    let code = match &engine.compiler {
        Some(compiler) => compiler.compile(bytes)?,
        None => engine.wasm.precompile_component(bytes).map_err(|error| refused(&error))?,
    };
    let component = cache::load(&engine.wasm, &code).map_err(|error| refused(&error))?;
    // Only a component that can be used is kept.
    check_world(&component)?;
    engine.cache.put(digest, &code);
    Ok(component)
}

fn refused(error: &wasmtime::Error) -> Error {
    Error::Compile(compile::Error::refused(&error.root_cause().to_string()))
}

/// The contract's version, if the component exports one that the host supports and imports nothing else than its log.
fn check_world(component: &Component) -> Result<(Version, String), Error> {
    let ty = component.component_type();
    let engine = component.engine();
    let (version, text) = match contract::export(ty.exports(engine).map(|(name, _)| name)) {
        Export::Supported(version, text) => (version, text),
        Export::Unsupported(actual) => return Err(Error::VerifyWorld { actual }),
        Export::Missing => return Err(Error::VerifyExport),
    };
    let is_foreign = |name: &&str| !contract::is_log(name, version) && !wasi::is_wasi(name);
    let imports = ty.imports(engine).map(|(name, _)| name);
    let foreign: Vec<String> = imports.filter(is_foreign).map(str::to_owned).collect();
    if foreign.is_empty() { Ok((version, text)) } else { Err(Error::VerifyImports(foreign)) }
}
