//! Which entries can be mounted; the others are left out, volume and mount alike, and told.

use pgloom_kit::container::DATA_MOUNT;
use pgloom_kit::{Notes, Result, invalid};

use crate::Volume;

/// The word that stands for every container.
pub const ALL: &str = "all";

/// The entries that are mounted, each with its place in the list.
pub fn volumes<'a>(entries: &'a [Volume], notes: &mut Notes) -> Result<Vec<(usize, &'a Volume)>> {
    let mut chosen: Vec<(usize, &Volume)> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let at = |field: &str| path(index, field);
        check(entry, at)?;
        if let Some((_, earlier)) = chosen.iter().find(|(_, earlier)| earlier.mount_path == entry.mount_path) {
            notes.warn(
                at("mountPath"),
                ["the volume ", &earlier.name, " is already mounted there; ", &entry.name, " is left out"].concat(),
                "mount it somewhere else",
            );
        } else if entry.mount_path == DATA_MOUNT {
            let message = ["the database's files are there; ", &entry.name, " is left out"].concat();
            notes.warn(at("mountPath"), message, "mount it somewhere else, as in a folder of that path");
        } else if entry.targets.len() > 1 && entry.targets.iter().any(|target| target == ALL) {
            let message = ["\"all\" stands alone or not at all; ", &entry.name, " is left out"].concat();
            notes.warn(at("targetContainers"), message, "write [all], or the containers by their names");
        } else if chosen.iter().any(|(_, earlier)| earlier.name == entry.name && earlier.source != entry.source) {
            let message = ["there is an earlier volume ", &entry.name, " with another source"].concat();
            return Err(invalid(at("name"), message, "give it another name"));
        } else {
            chosen.push((index, entry));
        }
    }
    Ok(chosen)
}

fn check(entry: &Volume, at: impl Fn(&str) -> String) -> Result<()> {
    for (field, value) in [("name", &entry.name), ("mountPath", &entry.mount_path)] {
        if value.is_empty() {
            return Err(invalid(at(field), ["the volume has no ", field].concat(), "write it"));
        }
    }
    if entry.source.as_object().is_none_or(|source| source.is_empty()) {
        let remedy = "write where the data comes from, as in configMap: {name: settings}";
        return Err(invalid(at("volumeSource"), "the volume has no source", remedy));
    }
    Ok(())
}

/// A field of an entry.
pub fn path(index: usize, field: &str) -> String {
    ["spec.additionalVolumes[", &index.to_string(), "].", field].concat()
}
