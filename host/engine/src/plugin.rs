//! One loaded plugin: verified, compiled, described.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::call::{self, Limits, State};
use crate::contract::{BindingsPre, Description, Request, Response};
use crate::runtime::Engine;
use crate::wasi;

/// The interface that a plugin exports; its version is the contract's.
const EXPORT: &str = "pgloom:plugin/mutate-resources@0.1.0";
/// The only import of the contract.
const IMPORT: &str = "pgloom:plugin/log@0.1.0";

/// A plugin that is ready to be called.
pub struct Plugin {
    /// `sha256:…` of the component.
    pub digest: String,
    /// What it says of itself.
    pub description: Description,
    body: Body,
}

type Native = dyn Fn(&Request) -> Result<Response, call::Error> + Send + Sync;

enum Body {
    Component { engine: Arc<Engine>, component: BindingsPre<State> },
    Native(Box<Native>),
}

/// Why a component is not a plugin, by phase of loading.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what the pipeline pinned.
    #[error(
        "the component has digest {actual}, the pipeline wants {wanted}; pin the new digest if the change is meant"
    )]
    VerifyDigest {
        /// What the file has.
        actual: String,
        /// What the pipeline pins.
        wanted: String,
    },
    /// It is not WebAssembly at all.
    #[error("the file is not WebAssembly; name a component, as `cargo xtask components` makes it")]
    VerifyMagic,
    /// It is a core module.
    #[error("the file is a core module, not a component; make a component of it, as `cargo xtask components` does")]
    VerifyLayer,
    /// It speaks another version of the contract.
    #[error(
        "the component exports `{actual}`, this host speaks `{EXPORT}`; build it against that version of the contract"
    )]
    VerifyWorld {
        /// The export or import of another version.
        actual: String,
    },
    /// It has no plugin's export.
    #[error("the component does not export `{EXPORT}`; implement `mutate-resources`")]
    VerifyExport,
    /// It imports more than the world.
    #[error("the component imports {}, a plugin may import `log` only; build it without them", list(.0))]
    VerifyImports(Vec<String>),
    /// It does not compile.
    #[error("the component does not compile, it may be truncated: {0}")]
    Compile(String),
    /// It could not be described.
    #[error("the component could not describe itself")]
    Describe(#[source] call::Error),
    /// Its description breaks a rule of the contract.
    #[error("the component's description is wrong: {0}")]
    CheckDescription(String),
}

impl Error {
    /// The phase of loading: `verify`, `compile` or `describe`.
    pub fn phase(&self) -> &'static str {
        match self {
            Self::VerifyDigest { .. }
            | Self::VerifyMagic
            | Self::VerifyLayer
            | Self::VerifyWorld { .. }
            | Self::VerifyExport
            | Self::VerifyImports(_) => "verify",
            Self::Compile(_) => "compile",
            Self::Describe(_) | Self::CheckDescription(_) => "describe",
        }
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Plugin {
    /// Loads a component: verifies its digest, layer, export and imports, compiles it (or takes the compiled code from the
    /// cache), and asks it what it is.
    ///
    /// # Errors
    /// By phase; see [`Error`].
    pub fn load(engine: &Arc<Engine>, bytes: &[u8], pinned: Option<&str>) -> Result<Self, Error> {
        let digest = digest(bytes);
        if let Some(wanted) = pinned.filter(|&wanted| wanted != digest) {
            return Err(Error::VerifyDigest { actual: digest, wanted: wanted.to_owned() });
        }
        check_layer(bytes)?;
        let component = compile(engine, bytes, &digest)?;
        let mut linker = engine.linker.clone();
        wasi::add_to_linker(&mut linker, &component).map_err(|error| Error::Compile(format!("{error:#}")))?;
        let component = linker
            .instantiate_pre(&component)
            .and_then(BindingsPre::new)
            .map_err(|error| Error::Compile(format!("{error:#}")))?;
        let description = call::describe(engine, &component, &Limits::default()).map_err(Error::Describe)?;
        check_description(&description)?;
        Ok(Self { digest, description, body: Body::Component { engine: Arc::clone(engine), component } })
    }

    /// A plugin that is called natively. For tests and benchmarks: the same logic without WebAssembly around it.
    pub fn native(
        description: Description,
        mutate: impl Fn(&Request) -> Result<Response, call::Error> + Send + Sync + 'static,
    ) -> Self {
        Self { digest: "native".to_owned(), description, body: Body::Native(Box::new(mutate)) }
    }

    /// Calls the plugin in a fresh instance.
    ///
    /// # Errors
    /// If the plugin refuses, traps, or exceeds a limit.
    pub fn mutate(&self, request: &Request, limits: &Limits) -> Result<Response, call::Error> {
        match &self.body {
            Body::Component { engine, component } => call::mutate(engine, component, limits, request),
            Body::Native(mutate) => mutate(request),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.description.name, self.description.version, self.digest)
    }
}

/// `sha256:…` of a component.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes 4 to 8 of a binary: version and layer. 1 and 0 is a core module, 0d and 1 a component.
fn check_layer(bytes: &[u8]) -> Result<(), Error> {
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Error::VerifyLayer),
        [0, b'a', b's', b'm', ..] => Ok(()),
        _ => Err(Error::VerifyMagic),
    }
}

fn compile(engine: &Engine, bytes: &[u8], digest: &str) -> Result<Component, Error> {
    if let Some(component) = engine.cache.as_ref().and_then(|cache| cache.get(digest, &engine.wasm)) {
        check_world(&component)?;
        return Ok(component);
    }
    let component = Component::from_binary(&engine.wasm, bytes)
        .map_err(|error| Error::Compile(format!("{:#}", error.root_cause())))?;
    check_world(&component)?;
    if let Some(cache) = &engine.cache {
        cache.put(digest, &component);
    }
    Ok(component)
}

fn check_world(component: &Component) -> Result<(), Error> {
    let ty = component.component_type();
    let engine = component.engine();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let imports: Vec<&str> = ty.imports(engine).map(|(name, _)| name).collect();
    if !exports.contains(&EXPORT) {
        let other = exports.iter().find(|name| name.starts_with("pgloom:plugin/mutate-resources"));
        return Err(other.map_or(Error::VerifyExport, |&other| Error::VerifyWorld { actual: other.to_owned() }));
    }
    let foreign: Vec<String> =
        imports.iter().filter(|&&name| name != IMPORT && !wasi::is_wasi(name)).map(|&name| name.to_owned()).collect();
    if foreign.is_empty() { Ok(()) } else { Err(Error::VerifyImports(foreign)) }
}

fn check_description(description: &Description) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::CheckDescription(what));
    let name = &description.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        return wrong(format!("name {name:?} is not lower case letters, digits and hyphens"));
    }
    if let Err(error) = semver::Version::parse(&description.version) {
        return wrong(format!("version {:?} is not semver: {error}", description.version));
    }
    for requirement in &description.requires {
        if let Err(error) = semver::VersionReq::parse(&requirement.version) {
            return wrong(format!(
                "the version required of {} is not a semver requirement: {error}",
                requirement.plugin
            ));
        }
    }
    for (what, text) in
        [("configuration schema", &description.config_schema), ("configuration example", &description.config_example)]
    {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
            return wrong(format!("the {what} is not JSON: {error}"));
        }
    }
    Ok(())
}
