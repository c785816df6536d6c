//! Compiled code on disk, keyed by the component's digest and the engine that compiled it.
//!
//! Compiling is the slowest part of a start, and a restart usually has the same plugins. wasmtime's own cache hashes
//! the bytes again; here the key is the digest that the pipeline has already verified.
//!
//! Compiled code runs without the checks of WebAssembly, so what is loaded must be what this binary compiled: folder and
//! file belong to the user of this process or to root, no other user may write to them, and they are no symbolic links.
//! Each file starts with the SHA-256 of its code. The hash finds damage, as a full disk or a crash leaves it. It is no
//! protection against a writer, who could write a matching hash: that is what the owner and the mode are for.
//!
//! There are two folders: one is written, and swept; one came with the image, with the code of the shipped components.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pgloom_common::fingerprint::fingerprint;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Code that nothing loaded for this long is removed.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The code that is kept, in bytes: less than the volume of the operator's pod. The least recently used goes first.
const MAX_TOTAL: u64 = 192 << 20;
/// The ending of a file with code, and of one that is being written.
const ENDING: &str = ".cwasm";
const UNFINISHED: &str = ".part";
/// The bytes of the SHA-256 of the code, which precedes the code in the file.
const HASH_BYTES: usize = 32;
/// The bits of a mode that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The folders of compiled components. Who can write to them can run code in this process.
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    shipped: Option<PathBuf>,
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
    /// Others may write to the folder, or have made it.
    #[error(
        "folder {folder} is a link, belongs to another user, or is writable by others; make it your own with mode 700, or \
         give another one with --cache-dir"
    )]
    CheckFolder {
        /// The folder.
        folder: PathBuf,
    },
}

impl Cache {
    /// Opens the folders. That of the image need not exist, and is not used if others may write to it.
    pub(crate) fn open(folder: Option<&Path>, shipped: Option<&Path>, engine: &Engine) -> Result<Self, Error> {
        if let Some(folder) = folder {
            create_private(folder).map_err(|source| Error::CreateFolder { folder: folder.to_owned(), source })?;
            if !is_private_folder(folder) {
                return Err(Error::CheckFolder { folder: folder.to_owned() });
            }
            sweep(folder, MAX_TOTAL);
        }
        let shipped = shipped.filter(|folder| is_private_folder(folder)).map(Path::to_owned);
        // Another Rust release may hash differently. Then the code is compiled again, nothing else.
        let engine = fingerprint(&engine.precompile_compatibility_hash());
        Ok(Self { folder: folder.map(Path::to_owned), shipped, engine: format!("{engine:016x}") })
    }

    /// The compiled component, if there is one and its file is not damaged.
    pub(crate) fn get(&self, digest: &str, engine: &Engine) -> Option<Component> {
        let name = self.name(digest);
        let folders = self.folder.iter().chain(&self.shipped);
        folders.map(|folder| folder.join(&name)).find_map(|path| {
            let code = read(&path)?;
            let component = load(engine, &code);
            component.inspect_err(|error| tracing::warn!(%digest, %error, "compiled code cannot be loaded")).ok()
        })
    }

    /// Writes the code of a component. A failure is logged only, because the next start can compile again.
    pub(crate) fn put(&self, digest: &str, code: &[u8]) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = write(folder, &self.name(digest), code) {
            tracing::warn!(%digest, %error, "compiled code cannot be written");
        }
        sweep(folder, MAX_TOTAL);
    }

    fn name(&self, digest: &str) -> String {
        format!("{}-{}{ENDING}", digest.trim_start_matches("sha256:"), self.engine)
    }
}

/// The component of compiled code. The code must come from a process of this binary: from a file that only this user or
/// root can write, or from a child.
pub(crate) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: a process of this binary compiled the code (see above), and wasmtime checks that it did so with the same
    // version and settings.
    #[allow(unsafe_code, reason = "the only way to load code that was compiled before")]
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// The code of a file that only this user or root can write; `None` if there is none, or it is damaged. The time of the
/// file becomes now, so that it is swept later.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !is_private(&metadata) {
        tracing::warn!(path = %path.display(), "compiled code that others may write is not used");
        return None;
    }
    let mut hash = [0; HASH_BYTES];
    let mut code = Vec::new();
    file.read_exact(&mut hash).and_then(|()| file.read_to_end(&mut code)).ok()?;
    if Sha256::digest(&code).as_slice() != hash {
        tracing::warn!(path = %path.display(), "compiled code is damaged, compiling again");
        return None;
    }
    // Fails for the code of the image, which is not swept.
    _ = file.set_modified(SystemTime::now());
    Some(code)
}

fn write(folder: &Path, name: &str, code: &[u8]) -> std::io::Result<()> {
    // First under a temporary name: another process never reads a half-written file.
    let mut file = tempfile::Builder::new().suffix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    file.persist(folder.join(name))?;
    Ok(())
}

/// Removes code that was not used for long, and the least recently used beyond `most` bytes. The newest file stays.
fn sweep(folder: &Path, most: u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter(|entry| {
            let name = entry.file_name();
            [ENDING, UNFINISHED].iter().any(|ending| name.as_encoded_bytes().ends_with(ending.as_bytes()))
        })
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    let (mut total, now) = (0_u64, SystemTime::now());
    for (index, (used, size, path)) in files.iter().enumerate() {
        total = total.saturating_add(*size);
        let is_old = now.duration_since(*used).is_ok_and(|age| age > MAX_AGE);
        if index > 0 && (is_old || total > most) {
            // Another process may have removed it.
            _ = std::fs::remove_file(path);
        }
    }
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn is_private_folder(folder: &Path) -> bool {
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY).open(folder);
    opened.and_then(|folder| folder.metadata()).is_ok_and(|metadata| is_private(&metadata))
}

/// Whether only the user of this process and root can write.
fn is_private(metadata: &std::fs::Metadata) -> bool {
    // SAFETY: the call has no arguments and cannot fail.
    #[allow(unsafe_code, reason = "the standard library does not give the user of the process")]
    let user = unsafe { libc::geteuid() };
    is_trusted(metadata.uid(), user, metadata.mode())
}

fn is_trusted(owner: u32, user: u32, mode: u32) -> bool {
    (owner == user || owner == 0) && mode & WRITABLE_BY_OTHERS == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn engine() -> Engine {
        Engine::new(&crate::compile::config().unwrap()).unwrap()
    }

    #[test]
    fn code_of_another_user_and_code_that_others_can_write_is_not_trusted() {
        assert!(is_trusted(1000, 1000, 0o600) && is_trusted(0, 1000, 0o644));
        assert!(!is_trusted(1001, 1000, 0o600), "another user");
        assert!(!is_trusted(1000, 0, 0o600), "a user's file, read by root");
        assert!(!is_trusted(1000, 1000, 0o620) && !is_trusted(1000, 1000, 0o602));
    }

    #[test]
    fn a_folder_that_is_a_link_or_writable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        assert!(Cache::open(Some(&own), None, &engine()).is_ok());
        symlink(&own, &link).unwrap();
        assert!(matches!(Cache::open(Some(&link), None, &engine()), Err(Error::CheckFolder { .. })));
        std::fs::set_permissions(&own, PermissionsExt::from_mode(0o770)).unwrap();
        assert!(matches!(Cache::open(Some(&own), None, &engine()), Err(Error::CheckFolder { .. })));
    }

    #[test]
    fn a_file_that_is_a_link_writable_by_others_or_damaged_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.cwasm");
        write(folder.path(), "code.cwasm", b"code").unwrap();
        assert_eq!(read(&path).as_deref(), Some(&b"code"[..]));
        let link = folder.path().join("link.cwasm");
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link), None);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(read(&path), None);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, [0; 40]).unwrap();
        assert_eq!(read(&path), None);
    }

    #[test]
    fn what_was_not_used_for_long_or_does_not_fit_is_swept_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, days) in [("new.cwasm", 0), ("used.cwasm", 2), ("large.cwasm", 3), ("old.cwasm", 40), ("notes", 90)]
        {
            std::fs::write(folder.path().join(name), [0; 100]).unwrap();
            let file = File::options().write(true).open(folder.path().join(name)).unwrap();
            file.set_modified(now - Duration::from_secs(days * 24 * 3600)).unwrap();
        }
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        sweep(folder.path(), 1000);
        assert_eq!(names(), ["large.cwasm", "new.cwasm", "notes", "used.cwasm"]);
        sweep(folder.path(), 250);
        assert_eq!(names(), ["new.cwasm", "notes", "used.cwasm"]);
        sweep(folder.path(), 10);
        assert_eq!(names(), ["new.cwasm", "notes"], "the newest stays, however large");
    }
}
