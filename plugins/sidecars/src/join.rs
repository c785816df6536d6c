//! One list of sidecars out of several: of two with one name the first stays.

use pgloom_kit::container::{DATABASE, name_of};
use pgloom_kit::{Notes, Result, Value, invalid, invalid_config};

/// The sidecars so far, each with the path of its entry in the manifest, which is empty for one of the platform.
#[derive(Default)]
pub struct Sidecars(pub Vec<(String, Value)>);

impl Sidecars {
    /// Adds a sidecar unless its name is taken.
    ///
    /// # Errors
    /// If it has the name of the database's own container.
    pub fn add(&mut self, path: &str, sidecar: Value, notes: &mut Notes) -> Result<()> {
        let name = name_of(&sidecar);
        if name == DATABASE {
            return Err(taken_by_the_database(path));
        }
        match self.0.iter().find(|(_, earlier)| name_of(earlier) == name) {
            None => self.0.push((path.to_owned(), sidecar)),
            Some((earlier, _)) if path.is_empty() && earlier.is_empty() => notes.warn_platform(
                ["the operator configuration has more than one sidecar ", name, "; the first one runs"].concat(),
                "give each of sidecars and sidecar_docker_images a name of its own",
            ),
            Some((earlier, _)) if path.is_empty() => notes.warn(
                [earlier, ".name"].concat(),
                ["the sidecar ", name, " takes the place of the platform's"].concat(),
                "give it another name if both shall run",
            ),
            Some(_) => notes.warn(
                [path, ".name"].concat(),
                ["there is an earlier sidecar ", name, "; this one is left out"].concat(),
                "give it another name",
            ),
        }
        Ok(())
    }
}

fn taken_by_the_database(path: &str) -> pgloom_kit::Failure {
    if path.is_empty() {
        return invalid_config("sidecars: the name postgres is the database's own; give the sidecar another one");
    }
    invalid([path, ".name"].concat(), "the name postgres is the database's own", "give the sidecar another name")
}
