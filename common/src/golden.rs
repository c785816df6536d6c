//! The format of a plugin's golden folder: the files of a case, and the parts of what is expected.
//!
//! A case is a folder `golden/CASE` of the plugin's folder. Its files are YAML; all but the manifest may be absent.

use std::io;
use std::path::{Path, PathBuf};

/// The folder with the cases, in the folder of a plugin.
pub const FOLDER: &str = "golden";
/// The step of the plugin, in the folder of the plugin: `config` of it is the configuration of cases without one.
pub const STEP: &str = "step.yaml";
/// The manifest.
pub const MANIFEST: &str = "manifest.yaml";
/// The operator configuration: a ConfigMap or an OperatorConfiguration; without it the defaults.
pub const OPERATOR: &str = "operator.yaml";
/// The configuration of the step; without it that of [`STEP`].
pub const CONFIG: &str = "config.yaml";
/// The objects of earlier steps.
pub const DESIRED: &str = "desired.yaml";
/// The objects that exist.
pub const EXISTING: &str = "existing.yaml";
/// What is expected: the difference that the plugin makes, as a map with the parts below that are not empty.
pub const EXPECTED: &str = "expected.yaml";
/// The namespace of a manifest that names none.
pub const NAMESPACE: &str = "default";

/// The lines of a refusal; no other part is there then.
pub const REFUSED: &str = "refused";
/// The findings, each as [`finding`].
pub const FINDINGS: &str = "findings";
/// The conditions, each as [`condition`].
pub const CONDITIONS: &str = "conditions";
/// The actions, each as `KEY: …`.
pub const ACTIONS: &str = "actions";
/// The objects that are new or changed, whole as they would be applied.
pub const OBJECTS: &str = "objects";
/// The objects that are gone, each as `KIND NAME`.
pub const REMOVED: &str = "removed";

/// The folders of the cases of a plugin's folder, by name.
///
/// # Errors
/// If the folder cannot be read.
pub fn cases(plugin: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(plugin.join(FOLDER))?;
    let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

/// The name of a case, as messages have it.
#[must_use]
pub fn title(case: &Path) -> String {
    format!("{FOLDER}/{}", case.file_name().unwrap_or_default().to_string_lossy())
}

/// A finding as it is expected. `severity` is its name in lower case.
#[must_use]
pub fn finding(severity: &str, sentence: &str) -> String {
    format!("{severity}: {sentence}")
}

/// A condition as it is expected. `type_name` has the step's name before it, `status` is `True`, `False` or `Unknown`.
#[must_use]
pub fn condition(type_name: &str, status: &str, reason: &str, message: &str) -> String {
    format!("{type_name}={status} {reason}: {message}")
}
