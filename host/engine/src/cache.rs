//! Compiled code on disk, keyed by the component's digest and the engine that compiled it.
//!
//! Compiling is the slowest part of a start, and a restart usually has the same plugins. wasmtime's own cache hashes
//! the bytes again and removes entries by size and age; here the key is the digest that the pipeline has already
//! verified.
//!
//! Compiled code runs without the checks of WebAssembly, so what is loaded must be what this host compiled: the folder
//! is private to its user, and each file starts with the SHA-256 of its code. The hash finds damage, as a full disk or
//! a crash leaves it. It is no protection against a writer, who could write a matching hash: that is what the folder's
//! mode is for.

use std::io::Write;
use std::path::{Path, PathBuf};

use pgloom_common::fingerprint::fingerprint;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A folder of compiled components. Who can write to the folder can run code in this process.
pub(crate) struct Cache {
    folder: PathBuf,
    /// The hash of the engine's version and settings: code of another engine is not found.
    engine: String,
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder could not be created.
    #[error("failed to create folder {folder}: {source}; give another one with --cache-dir")]
    CreateFolder {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Other users may write to the folder.
    #[error(
        "folder {folder} is writable by other users; run `chmod 700 {folder}` or give another one with --cache-dir"
    )]
    CheckFolder {
        /// The folder.
        folder: PathBuf,
    },
}

/// The bytes of the SHA-256 of the code, which precedes the code in the file.
const HASH_BYTES: usize = 32;

impl Cache {
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, Error> {
        create_private(folder).map_err(|source| Error::CreateFolder { folder: folder.to_owned(), source })?;
        if !is_private(folder) {
            return Err(Error::CheckFolder { folder: folder.to_owned() });
        }
        // Another Rust release may hash differently. Then the code is compiled again, nothing else.
        let engine = fingerprint(&engine.precompile_compatibility_hash());
        Ok(Self { folder: folder.to_owned(), engine: format!("{engine:016x}") })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.cwasm", digest.trim_start_matches("sha256:"), self.engine))
    }

    /// The compiled component, if there is one and its file is not damaged.
    pub(crate) fn get(&self, digest: &str, engine: &Engine) -> Option<Component> {
        let bytes = std::fs::read(self.path(digest)).ok()?;
        let (hash, code) = bytes.split_at_checked(HASH_BYTES)?;
        if Sha256::digest(code).as_slice() != hash {
            tracing::warn!(%digest, "compiled code is damaged, compiling again");
            return None;
        }
        // SAFETY: `put` of an engine of the same version and settings wrote the code (both are part of the name), it is
        // not damaged (checked above), and only the folder's owner may write to the folder (checked in `open`).
        #[allow(unsafe_code, reason = "the only way to load code that was compiled before")]
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect_err(|error| tracing::warn!(%digest, %error, "compiled code cannot be loaded, compiling again"))
            .ok()
    }

    /// Writes a compiled component. A failure is logged only, because the next start can compile again.
    pub(crate) fn put(&self, digest: &str, component: &Component) {
        if let Err(error) = self.write(digest, component) {
            tracing::warn!(%digest, %error, "compiled code cannot be written");
        }
    }

    fn write(&self, digest: &str, component: &Component) -> Result<(), Box<dyn std::error::Error>> {
        let code = component.serialize()?;
        // First under a temporary name: another process never reads a half-written file.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&Sha256::digest(&code))?;
        file.write_all(&code)?;
        file.persist(self.path(digest))?;
        Ok(())
    }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(unix)]
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(not(unix))]
fn is_private(_folder: &Path) -> bool {
    true
}
