//! Reads files of YAML or JSON documents, and components; errors name the file. A file may be a device or a pipe that
//! does not end, so each has a limit. Writes files as a whole.

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use pgloom_api::document;
use pgloom_operator::args::ComponentLimits;
use serde_json::Value;

/// The longest file of documents, in bytes. The API server takes 3 MiB for one object; a file may have many.
const MAX_DOCUMENTS: u64 = 64 << 20;

/// Every document of a file, `-` being standard input.
pub fn read_all(path: &Path) -> Result<Vec<Value>> {
    let (name, bytes) = if path == Path::new("-") {
        (
            "standard input".to_owned(),
            bounded(std::io::stdin().lock(), MAX_DOCUMENTS, SMALLER).context("standard input")?,
        )
    } else {
        (path.display().to_string(), read(path, MAX_DOCUMENTS)?)
    };
    let text = String::from_utf8(bytes).with_context(|| format!("{name}: not UTF-8; check the content"))?;
    document::read(&text).with_context(|| name)
}

/// The objects of a file, or of standard input for `-`, each with what makes it one of Kubernetes.
pub fn read_objects(path: &Path) -> Result<Vec<Value>> {
    let objects = read_all(path)?;
    check_objects(&objects, path)?;
    Ok(objects)
}

/// Refuses documents of a file that are no objects of Kubernetes.
pub fn check_objects(objects: &[Value], path: &Path) -> Result<()> {
    for (index, object) in objects.iter().enumerate() {
        let missing = ["/apiVersion", "/kind", "/metadata/name"]
            .into_iter()
            .find(|field| object.pointer(field).and_then(Value::as_str).is_none_or(str::is_empty));
        if let Some(field) = missing {
            let field = field.trim_start_matches('/').replace('/', ".");
            bail!(
                "{}: object {}: {field} is missing; give objects as `kubectl get --output yaml` prints them",
                path.display(),
                index + 1
            );
        }
    }
    Ok(())
}

/// Every document of a file, each a map. A file without documents has none.
pub fn read_maps(path: &Path) -> Result<Vec<Value>> {
    let name = path.display();
    let documents = match document::read(&text(path, MAX_DOCUMENTS)?) {
        Err(document::Error::Empty) => Vec::new(),
        read => read.with_context(|| name.to_string())?,
    };
    match documents.iter().position(|document| !document.is_object()) {
        None => Ok(documents),
        Some(at) => bail!("{name}: document {} is not a map; write it as `key: value`", at + 1),
    }
}

/// The only document of a file, a map.
pub fn read_map(path: &Path) -> Result<Value> {
    only(read_maps(path)?, path)
}

/// The longest file of a key or of credentials, in bytes.
const MAX_SHORT: u64 = 1 << 20;

/// The bytes of a file with a key or with credentials.
pub fn short(path: &Path) -> Result<Vec<u8>> {
    read(path, MAX_SHORT)
}

/// The same as a text.
pub fn short_text(path: &Path) -> Result<String> {
    text(path, MAX_SHORT)
}

/// The text of a file with at most this many bytes.
pub fn text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).with_context(|| format!("{}: not UTF-8; check the content", path.display()))
}

/// The bytes of a component, within the limit of its size.
pub fn component(path: &Path, limits: &ComponentLimits) -> Result<Vec<u8>> {
    read_within(path, limits.max_component(), LARGER_COMPONENT)
}

/// What can be done about a component that is too large.
const LARGER_COMPONENT: &str = "name a smaller file, or raise --max-component";

/// The longest file that a toolchain makes, in bytes.
const MAX_BUILT: u64 = 1 << 30;

/// The bytes of a module or a component that was built here.
pub fn built(path: &Path) -> Result<Vec<u8>> {
    read(path, MAX_BUILT)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_within(path, most, SMALLER)
}

/// What can be done about a file that is too large.
const SMALLER: &str = "name a smaller file";

fn read_within(path: &Path, most: u64, remedy: &str) -> Result<Vec<u8>> {
    let name = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("{name}: cannot be read; check the path"))?;
    bounded(file, most, remedy).with_context(|| name.to_string())
}

/// The bytes up to the end, `most` of them.
fn bounded(source: impl Read, most: u64, remedy: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most.saturating_add(1)).read_to_end(&mut bytes).context("cannot be read; check the path")?;
    if bytes.len() as u64 > most {
        bail!("has more than {} MiB; {remedy}", most >> 20);
    }
    Ok(bytes)
}

/// The only document of a file.
pub fn read_one(path: &Path) -> Result<Value> {
    only(read_all(path)?, path)
}

fn only(mut documents: Vec<Value>, path: &Path) -> Result<Value> {
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        (None, _) => bail!("{}: there is no document; give one object", path.display()),
        _ => bail!("{}: has several documents, only one is allowed", path.display()),
    }
}

/// Writes a file as a whole: if that fails, as on a full disk, the file is what it was before. Devices, pipes and links are
/// written to, and stay what they are.
///
/// # Errors
/// If it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let before = match std::fs::symlink_metadata(path) {
        // What may not be written is not replaced either.
        Ok(metadata) if metadata.is_file() => {
            std::fs::OpenOptions::new().write(true).open(path)?;
            Some(metadata.permissions())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        _ => return std::fs::write(path, bytes),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unfinished = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder);
    let mut unfinished = match unfinished {
        // A file may be written in a folder in which none may be made.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return std::fs::write(path, bytes),
        unfinished => unfinished?,
    };
    unfinished.write_all(bytes)?;
    if let Some(permissions) = before {
        unfinished.as_file().set_permissions(permissions)?;
    }
    unfinished.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_rights_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.yaml");
        replace(&path, b"first").unwrap();
        let made = folder.path().join("made");
        std::fs::write(&made, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&made), "a new file has the rights of any other one");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path) & 0o777), (b"second".to_vec(), 0o640));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_and_a_pipe_are_written_to_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"content").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"content");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        replace(&pipe, b"content").unwrap();
        assert_eq!(reader.join().unwrap(), b"content");
    }
}
