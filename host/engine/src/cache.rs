//! Compiled code on disk, keyed by the component's digest and the engine that compiled it.

use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A folder of compiled components. Whoever can write to it can run code in this process, so only its owner may.
pub(crate) struct Cache {
    folder: PathBuf,
    engine: String,
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made.
    #[error("failed to create folder {folder}: {source}; give another one with --cache-dir")]
    CreateFolder {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Others may write to the folder.
    #[error("folder {folder} may be written by others; run `chmod 700 {folder}` or give another one with --cache-dir")]
    CheckFolder {
        /// The folder.
        folder: PathBuf,
    },
}

/// SHA-256 of the code, which stands before it in the file.
const SEAL: usize = 32;

impl Cache {
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, Error> {
        create_private(folder).map_err(|source| Error::CreateFolder { folder: folder.to_owned(), source })?;
        if !is_private(folder) {
            return Err(Error::CheckFolder { folder: folder.to_owned() });
        }
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), engine: format!("{:016x}", hasher.finish()) })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.cwasm", digest.trim_start_matches("sha256:"), self.engine))
    }

    /// The compiled component, if it is there and whole.
    pub(crate) fn get(&self, digest: &str, engine: &Engine) -> Option<Component> {
        let bytes = std::fs::read(self.path(digest)).ok()?;
        let (seal, code) = bytes.split_at_checked(SEAL)?;
        if Sha256::digest(code).as_slice() != seal {
            tracing::warn!(%digest, "Compiled code is damaged, compiling anew");
            return None;
        }
        // SAFETY: the code was written by `put` of the same engine version (it is part of the name), is whole (checked above),
        // and lies in a folder that only our own user may write (checked in `open`).
        #[allow(unsafe_code, reason = "the only way to load code that was compiled before")]
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect_err(|error| tracing::warn!(%digest, %error, "Compiled code cannot be used, compiling anew"))
            .ok()
    }

    /// Keeps a compiled component. Failing is no harm: the next start compiles again.
    pub(crate) fn put(&self, digest: &str, component: &Component) {
        if let Err(error) = self.write(digest, component) {
            tracing::warn!(%digest, %error, "Compiled code cannot be kept");
        }
    }

    fn write(&self, digest: &str, component: &Component) -> Result<(), Box<dyn std::error::Error>> {
        let code = component.serialize()?;
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
