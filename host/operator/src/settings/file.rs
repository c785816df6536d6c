//! Files as the source of the pipeline. They are polled, because a mounted volume does not report changes reliably.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream::BoxStream;
use pgloom_api::document;
use pgloom_common::error::error_chain;
use tracing::error;

use super::Error;
use super::source::Found;

/// The time between two polls.
const POLL_PERIOD: Duration = Duration::from_secs(5);

/// How many folders below that of the plugins are polled: links may lead in a circle.
const DEPTH: u32 = 3;

/// Path, size and modification time of each component.
type Components = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Reads a document.
pub fn read(path: &Path) -> Result<Found, Error> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| Error::File(name.clone(), source))?;
    let mut documents = document::read(&text).map_err(|source| Error::Syntax(name.clone(), source))?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(Found { name, document }),
        _ => Err(Error::Several(name)),
    }
}

/// A stream of the document, one item after each change.
pub fn follow(path: PathBuf) -> BoxStream<'static, Found> {
    let first = std::fs::read(&path).unwrap_or_default();
    futures::stream::unfold((path, first), |(path, mut seen)| async move {
        loop {
            tokio::time::sleep(POLL_PERIOD).await;
            let now = std::fs::read(&path).unwrap_or_default();
            if now == seen {
                continue;
            }
            seen = now;
            match read(&path) {
                Ok(found) => return Some((found, (path, seen))),
                Err(problem) => {
                    error!(error = %error_chain(&problem), "new pipeline rejected, the old one stays in use")
                }
            }
        }
    })
    .boxed()
}

/// A stream of changes of the components in a folder: one item after each.
pub fn follow_components(plugins: PathBuf) -> BoxStream<'static, ()> {
    let first = components(&plugins);
    futures::stream::unfold((plugins, first), |(plugins, seen)| async move {
        loop {
            tokio::time::sleep(POLL_PERIOD).await;
            let now = components(&plugins);
            if now != seen {
                return Some(((), (plugins, now)));
            }
        }
    })
    .boxed()
}

fn components(plugins: &Path) -> Components {
    let mut files = Vec::new();
    add_components(plugins, DEPTH, &mut files);
    files.sort();
    files
}

/// Adds the components of a folder and of those below it. Links are followed: a volume of a ConfigMap has nothing else.
fn add_components(folder: &Path, depth: u32, files: &mut Components) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        // The kubelet keeps what the links of a volume lead to in folders like `..data`.
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if metadata.is_dir() && depth > 0 && !is_hidden {
            add_components(&path, depth - 1, files);
        } else if metadata.is_file() && path.extension().is_some_and(|extension| extension == "wasm") {
            files.push((path, metadata.len(), metadata.modified().ok()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_and_a_new_component_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("a.wasm");
        let before = components(folder.path());
        assert_eq!(before, components(folder.path()));
        std::fs::write(&plugin, "component").unwrap();
        let with_plugin = components(folder.path());
        assert_ne!(before, with_plugin);
        std::fs::write(&plugin, "another component").unwrap();
        assert_ne!(with_plugin, components(folder.path()));
    }

    #[test]
    fn a_changed_component_of_a_mounted_config_map_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("extra");
        let link = |to: &str, name: &str| {
            _ = std::fs::remove_file(volume.join(name));
            std::os::unix::fs::symlink(to, volume.join(name)).unwrap();
        };
        for (version, content) in [("..1", "component"), ("..2", "another component")] {
            std::fs::create_dir_all(volume.join(version)).unwrap();
            std::fs::write(volume.join(version).join("a.wasm"), content).unwrap();
        }
        link("..1", "..data");
        link("..data/a.wasm", "a.wasm");
        let before = components(folder.path());
        assert_eq!(before.iter().map(|(path, _, _)| path.clone()).collect::<Vec<_>>(), [volume.join("a.wasm")]);
        link("..2", "..data");
        assert_ne!(components(folder.path()), before);
    }

    #[test]
    fn a_document_that_is_not_there_or_not_yaml_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.yaml");
        assert!(read(&path).unwrap_err().to_string().starts_with("failed to read "));
        std::fs::write(&path, "a: [").unwrap();
        let error = error_chain(&read(&path).unwrap_err());
        assert!(error.contains("pipeline.yaml cannot be read") && error.contains("is not YAML"), "{error}");
        std::fs::write(&path, "kind: Pipeline\n---\nkind: Pipeline\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().ends_with("holds several documents; one is wanted"));
    }
}
