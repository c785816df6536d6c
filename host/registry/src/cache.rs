//! What was pulled, on disk: manifests, components and statements by their digest, and the manifests of signatures by the
//! digest of what is signed.
//!
//! Nothing is believed of a file: a blob is hashed when it is read, and signatures are verified by the key each time. So
//! who can write to the folder can make the next pull ask the registry, and no more.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::Digest;

/// What was not used for this long is removed.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The bytes that are kept. The least recently used goes first.
const MAX_TOTAL: u64 = 96 << 20;
/// The beginnings of the names of files, and the ending of one that is being written.
const BLOB: &str = "sha256-";
const SIGNATURES: &str = "signatures-";
const UNFINISHED: &str = ".part";

/// The folder, or none.
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The blob with this digest, if it is kept, not damaged, and not longer than `most`.
    pub fn blob(&self, digest: &Digest, most: u64) -> Option<Vec<u8>> {
        let path = self.folder.as_ref()?.join(format!("{BLOB}{}", digest.hex()));
        let bytes = read(&path, most)?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        tracing::warn!(path = %path.display(), "what was pulled is damaged, pulling again");
        _ = std::fs::remove_file(path);
        None
    }

    /// The manifest of the signatures of this digest, which must be verified.
    pub fn signatures(&self, digest: &Digest, most: u64) -> Option<Vec<u8>> {
        read(&self.folder.as_ref()?.join(format!("{SIGNATURES}{}", digest.hex())), most)
    }

    /// Keeps a blob.
    pub fn keep(&self, bytes: &[u8]) {
        self.write(&format!("{BLOB}{}", Digest::of(bytes).hex()), bytes);
    }

    /// Keeps the manifest of the signatures of a digest.
    pub fn keep_signatures(&self, digest: &Digest, bytes: &[u8]) {
        self.write(&format!("{SIGNATURES}{}", digest.hex()), bytes);
    }

    /// A failure is logged only: the next pull asks the registry.
    fn write(&self, name: &str, bytes: &[u8]) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = write(folder, name, bytes) {
            tracing::warn!(folder = %folder.display(), %error, "what was pulled cannot be kept");
        }
        sweep(folder, MAX_TOTAL);
    }
}

/// The bytes of a regular file. Its time becomes now, so that it is swept later.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    (&file).take(most.saturating_add(1)).read_to_end(&mut bytes).ok()?;
    _ = file.set_modified(SystemTime::now());
    (bytes.len() as u64 <= most).then_some(bytes)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // First under a temporary name: another process never reads a half-written file.
    let mut file = tempfile::Builder::new().suffix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(name)).map(|_: File| ()).map_err(|error| error.error)
}

/// Removes what was not used for long, and the least recently used beyond `most` bytes. The newest file stays.
fn sweep(folder: &Path, most: u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(BLOB) || name.starts_with(SIGNATURES) || name.ends_with(UNFINISHED)
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
            _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_kept_is_found_by_its_digest_and_not_if_it_was_changed_or_is_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path().join("pulled")));
        let digest = Digest::of(b"component");
        cache.keep(b"component");
        assert_eq!(cache.blob(&digest, 9).as_deref(), Some(&b"component"[..]));
        assert_eq!(cache.blob(&digest, 8), None, "longer than the limit");
        let path = folder.path().join("pulled").join(format!("sha256-{}", digest.hex()));
        std::fs::write(&path, "forged!!!").unwrap();
        assert_eq!(cache.blob(&digest, 9), None);
        assert!(!path.exists(), "the next pull writes it");
        std::fs::write(folder.path().join("elsewhere"), "component").unwrap();
        symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert_eq!(cache.blob(&digest, 9), None);
    }

    #[test]
    fn what_was_not_used_for_long_or_does_not_fit_is_swept_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for (name, days) in
            [("sha256-new", 0), ("signatures-used", 2), ("sha256-large", 3), ("x.part", 40), ("notes", 90)]
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
        assert_eq!(names(), ["notes", "sha256-large", "sha256-new", "signatures-used"]);
        sweep(folder.path(), 250);
        assert_eq!(names(), ["notes", "sha256-new", "signatures-used"]);
    }
}
