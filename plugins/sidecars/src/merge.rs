//! Merges the sidecars of the manifest and of the platform: of several with one name the first one runs.

use pgloom_kit::container::{DATABASE, name_of};
use pgloom_kit::{Result, Value, Warnings, invalid, invalid_config};

/// The merged sidecars, each with the path of its entry in the manifest; the path is empty for a sidecar of the
/// platform.
#[derive(Default)]
pub struct Merged(pub Vec<(String, Value)>);

impl Merged {
    /// Adds a sidecar, unless there is one with its name.
    ///
    /// # Errors
    /// If it has the name of the database's container.
    pub fn add(&mut self, path: &str, sidecar: Value, warnings: &mut Warnings) -> Result<()> {
        let name = name_of(&sidecar);
        if name == DATABASE {
            return Err(reserved_name(path));
        }
        match self.0.iter().find(|(_, earlier)| name_of(earlier) == name) {
            None => self.0.push((path.to_owned(), sidecar)),
            Some((earlier, _)) if path.is_empty() && earlier.is_empty() => warnings.warn_platform(
                format!("the operator configuration has several sidecars {name}; the first one runs"),
                "give each entry of sidecars and sidecar_docker_images another name",
            ),
            Some((earlier, _)) if path.is_empty() => warnings.warn(
                format!("{earlier}.name"),
                format!("the sidecar {name} replaces the platform's sidecar of that name"),
                "choose another name if both have to run",
            ),
            Some(_) => warnings.warn(
                format!("{path}.name"),
                format!("{name} is the name of an earlier sidecar; this one does not run"),
                "choose another name",
            ),
        }
        Ok(())
    }
}

fn reserved_name(path: &str) -> pgloom_kit::Failure {
    if path.is_empty() {
        return invalid_config("sidecars: postgres is the name of the database's container; choose another name");
    }
    invalid(format!("{path}.name"), "postgres is the name of the database's container", "choose another name")
}
