//! What a pipeline has to grant a plugin: from its description to grants, what grants lack, and grants as YAML.

use std::collections::BTreeSet;
use std::fmt::Write;

use pgloom_api::Privilege;
use pgloom_api::pipeline::{ActionGrant, Grants, KindGrant, ObjectGrant, ReadGrant};
use serde_json::Value;

use crate::hide::names_variable;
use crate::model::{ActionPermission, Description, ObjectKind, ObjectPermission, ObservedSelector, Trigger};
use crate::path::{Pattern, Segment};

/// The grants that a plugin needs: all that is not optional.
pub fn needed(description: &Description) -> Grants {
    grants(description, false)
}

/// The grants that give a plugin all that it asks for.
pub fn all(description: &Description) -> Grants {
    grants(description, true)
}

/// The grants of what is optional.
pub fn optional(description: &Description) -> Grants {
    let mut optional = description.clone();
    optional.observed.clear();
    optional.desired.clear();
    optional.config_keys.clear();
    optional.relevant.clear();
    optional.objects.retain(|asked| asked.optional);
    optional.privileges.retain(|asked| asked.optional);
    optional.credentials.retain(|asked| asked.optional);
    optional.actions.retain(|asked| asked.optional);
    all(&optional)
}

fn grants(description: &Description, with_optional: bool) -> Grants {
    let privileges = description.privileges.iter().filter(|asked| with_optional || !asked.optional);
    let credentials = description.credentials.iter().filter(|asked| with_optional || !asked.optional);
    let mut grants = Grants {
        objects: Vec::new(),
        reads: Vec::new(),
        desired: description.desired.iter().map(kind).collect(),
        config: config_keys(description),
        privileges: privileges.filter_map(|asked| Privilege::from_name(&asked.name)).collect(),
        credentials: credentials.map(|asked| asked.source.clone()).collect(),
        actions: Vec::new(),
    };
    for asked in description.objects.iter().filter(|asked| with_optional || !asked.optional) {
        add_object(&mut grants.objects, object(asked));
    }
    for grant in description.observed.iter().map(read) {
        if !grants.reads.contains(&grant) {
            grants.reads.push(grant);
        }
    }
    for asked in description.actions.iter().filter(|asked| with_optional || !asked.optional) {
        grants.actions.push(action(asked));
    }
    grants
}

fn object(asked: &ObjectPermission) -> ObjectGrant {
    ObjectGrant {
        api_version: asked.kind.api_version.clone(),
        kind: asked.kind.kind.clone(),
        names: asked.names.clone(),
        creates: asked.creates,
        fields: asked.fields.clone(),
        overrides: asked.overrides.clone(),
        removes: asked.removes.clone(),
    }
}

fn read(asked: &ObservedSelector) -> ReadGrant {
    ReadGrant {
        api_version: asked.kind.api_version.clone(),
        kind: asked.kind.kind.clone(),
        from: asked.from.to_string(),
        fields: asked.fields.clone(),
    }
}

fn kind(asked: &ObjectKind) -> KindGrant {
    KindGrant { api_version: asked.api_version.clone(), kind: asked.kind.clone() }
}

/// The keys of the operator configuration that a plugin reads. It is also told of a key by being called for it.
fn config_keys(description: &Description) -> BTreeSet<String> {
    let triggers = description.relevant.iter().filter_map(|trigger| match trigger {
        Trigger::Config(key) => Some(key),
        Trigger::Manifest(_) => None,
    });
    description.config_keys.iter().chain(triggers).cloned().collect()
}

fn action(asked: &ActionPermission) -> ActionGrant {
    ActionGrant { kind: asked.kind, subjects: asked.subjects.clone() }
}

/// Adds a grant. One that sets no fields, because it only overrides or removes, becomes part of one for the same
/// objects.
fn add_object(grants: &mut Vec<ObjectGrant>, new: ObjectGrant) {
    let is_same = |known: &&mut ObjectGrant| {
        (&known.api_version, &known.kind, &known.names) == (&new.api_version, &new.kind, &new.names)
            && (known.creates || !new.creates)
            && (known.fields.is_empty() == new.fields.is_empty() || new.fields.is_empty())
    };
    match grants.iter_mut().find(is_same) {
        Some(known) => {
            add_new(&mut known.fields, new.fields);
            add_new(&mut known.overrides, new.overrides);
            add_new(&mut known.removes, new.removes);
        }
        None => grants.push(new),
    }
}

/// Adds the paths that the list does not have.
fn add_new(list: &mut Vec<String>, paths: Vec<String>) {
    for path in paths {
        if !list.contains(&path) {
            list.push(path);
        }
    }
}

/// What a plugin needs and a pipeline does not grant. Empty grants if nothing is missing.
pub fn missing(description: &Description, granted: &Grants) -> Grants {
    lacking(&needed(description), granted)
}

/// What of `wanted` is not in `granted`.
pub fn lacking(wanted: &Grants, granted: &Grants) -> Grants {
    let has = |grants: &Grants| grants.privileges.contains(&Privilege::DatabaseCommand);
    let any_entry = has(wanted) && has(granted);
    Grants {
        objects: wanted
            .objects
            .iter()
            .filter_map(|wanted| missing_object(wanted, &granted.objects, any_entry))
            .collect(),
        reads: wanted.reads.iter().filter_map(|wanted| missing_read(wanted, &granted.reads)).collect(),
        desired: wanted.desired.difference(&granted.desired).cloned().collect(),
        config: wanted.config.difference(&granted.config).cloned().collect(),
        privileges: wanted.privileges.difference(&granted.privileges).copied().collect(),
        credentials: wanted.credentials.difference(&granted.credentials).cloned().collect(),
        actions: wanted.actions.iter().filter_map(|wanted| missing_action(wanted, &granted.actions)).collect(),
    }
}

/// The part of a wanted grant that no given one covers; a name that is covered only in part is in it. Without `any_entry` a
/// variable or a mount of a database's container is covered only by a path that names it: a path for all of them is one
/// for what the container runs.
fn missing_object(wanted: &ObjectGrant, granted: &[ObjectGrant], any_entry: bool) -> Option<ObjectGrant> {
    let same_kind: Vec<&ObjectGrant> =
        granted.iter().filter(|grant| grant.api_version == wanted.api_version && grant.kind == wanted.kind).collect();
    let mut missing = ObjectGrant {
        names: Vec::new(),
        creates: false,
        fields: Vec::new(),
        overrides: Vec::new(),
        removes: Vec::new(),
        ..wanted.clone()
    };
    for name in &wanted.names {
        let covering: Vec<&ObjectGrant> = same_kind
            .iter()
            .copied()
            .filter(|grant| grant.names.iter().any(|pattern| covers_pattern(pattern, name)))
            .collect();
        let uncovered = |wanted: &[String], given: fn(&ObjectGrant) -> &[String]| -> Vec<String> {
            let is_covered = |path: &&String| covering.iter().any(|grant| covers_path(given(grant), path));
            wanted.iter().filter(|path| !is_covered(path)).cloned().collect()
        };
        let creates = wanted.creates && !covering.iter().any(|grant| grant.creates);
        let own =
            wanted.fields.is_empty() && !covering.iter().any(|grant| grant.fields.is_empty() || covers_all(grant));
        let mut fields = uncovered(&wanted.fields, |grant| &grant.fields);
        if !any_entry && wanted.kind == "StatefulSet" {
            let unnamed = wanted.fields.iter().filter(|path| {
                names_entry(path) && !covering.iter().flat_map(|grant| &grant.fields).any(|given| names(given, path))
            });
            add_new(&mut fields, unnamed.cloned().collect());
        }
        let overrides = uncovered(&wanted.overrides, |grant| &grant.overrides);
        let removes = uncovered(&wanted.removes, |grant| &grant.removes);
        if creates || own || !fields.is_empty() || !overrides.is_empty() || !removes.is_empty() {
            missing.names.push(name.clone());
            // What creates an object sets its fields, too.
            missing.creates |= wanted.creates && (creates || own);
            add_new(&mut missing.fields, fields);
            add_new(&mut missing.overrides, overrides);
            add_new(&mut missing.removes, removes);
        }
    }
    (!missing.names.is_empty()).then_some(missing)
}

/// Whether a path names one variable or one mount of a container.
fn names_entry(path: &str) -> bool {
    let Ok(path) = path.parse::<Pattern>() else { return false };
    let is_list = |segment: &Segment| matches!(segment.name(), Some("env" | "volumeMounts"));
    path.segments().windows(2).any(|pair| matches!(pair, [list, Segment::Entry(_)] if is_list(list)))
}

/// Whether a granted path covers a wanted one, and names the same entry.
fn names(granted: &str, wanted: &str) -> bool {
    names_entry(granted) && covers_path(&[granted.to_owned()], wanted)
}

fn covers_all(grant: &ObjectGrant) -> bool {
    grant.fields.iter().any(|path| path == "*")
}

/// Whether one of the patterns covers all that the wanted pattern covers.
fn covers_path(granted: &[String], wanted: &str) -> bool {
    let Ok(wanted) = wanted.parse::<Pattern>() else { return false };
    let patterns = granted.iter().filter_map(|path| path.parse::<Pattern>().ok());
    patterns.into_iter().any(|pattern| pattern.covers(wanted.segments()))
}

/// The part of a wanted grant that no given one covers. A variable is covered only by a path that names it: who grants
/// all of a container need not know what is in its variables.
fn missing_read(wanted: &ReadGrant, granted: &[ReadGrant]) -> Option<ReadGrant> {
    let is_same = |grant: &&ReadGrant| {
        (&grant.api_version, &grant.kind, &grant.from) == (&wanted.api_version, &wanted.kind, &wanted.from)
    };
    let same: Vec<&ReadGrant> = granted.iter().filter(is_same).collect();
    let whole = same.iter().any(|grant| grant.fields.is_empty());
    let is_variable = |path: &String| path.parse().is_ok_and(|path| names_variable(&path));
    let is_covered = |path: &&String| match is_variable(path) {
        true => same
            .iter()
            .flat_map(|grant| &grant.fields)
            .any(|given| is_variable(given) && covers_path(std::slice::from_ref(given), path)),
        false => whole || same.iter().any(|grant| covers_path(&grant.fields, path)),
    };
    let fields: Vec<String> = wanted.fields.iter().filter(|path| !is_covered(path)).cloned().collect();
    let is_missing = if wanted.fields.is_empty() { !whole } else { !fields.is_empty() };
    is_missing.then(|| ReadGrant { fields, ..wanted.clone() })
}

fn missing_action(wanted: &ActionGrant, granted: &[ActionGrant]) -> Option<ActionGrant> {
    let same: Vec<&ActionGrant> = granted.iter().filter(|grant| grant.kind == wanted.kind).collect();
    let is_covered = |subject: &&String| {
        same.iter().flat_map(|grant| &grant.subjects).any(|pattern| covers_pattern(pattern, subject))
    };
    let subjects: Vec<String> = wanted.subjects.iter().filter(|subject| !is_covered(subject)).cloned().collect();
    (same.is_empty() || !subjects.is_empty()).then_some(ActionGrant { kind: wanted.kind, subjects })
}

/// Whether every name that the wanted pattern covers is covered by the granted one: a `*` or `{cluster}` in the wanted
/// pattern is covered by a `*`, or by the same at its place.
fn covers_pattern(granted: &str, wanted: &str) -> bool {
    let (granted, wanted) = (granted.as_bytes(), wanted.as_bytes());
    // The usual matching of a text with a pattern: on a mismatch the last `*` takes one character more.
    let (mut at, mut of, mut retry) = (0, 0, None);
    while of < wanted.len() {
        match granted.get(at) {
            Some(b'*') => {
                retry = Some((at, of));
                at += 1;
            }
            Some(byte) if wanted.get(of) == Some(byte) => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                at = star + 1;
                of = from + 1;
            }
        }
    }
    granted.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Whether nothing is granted.
pub fn is_empty(grants: &Grants) -> bool {
    *grants == Grants::default()
}

/// Grants as they are written in a Pipeline: the value of `grants`, each line after `indent` spaces; `{}` for none.
pub fn yaml(grants: &Grants, indent: usize) -> String {
    if is_empty(grants) {
        return format!("{:indent$}{{}}\n", "");
    }
    let mut out = Lines { text: String::new(), indent };
    if !grants.objects.is_empty() {
        out.line("objects:");
        grants.objects.iter().for_each(|grant| out.object(grant));
    }
    if !grants.reads.is_empty() {
        out.line("reads:");
        grants.reads.iter().for_each(|grant| out.read(grant));
    }
    if !grants.desired.is_empty() {
        out.line("desired:");
        for KindGrant { api_version, kind } in &grants.desired {
            out.kind(api_version, kind);
        }
    }
    let config: Vec<String> = grants.config.iter().cloned().collect();
    out.list("", "config", &config);
    let privileges: Vec<String> = grants.privileges.iter().map(ToString::to_string).collect();
    let credentials: Vec<String> = grants.credentials.iter().map(ToString::to_string).collect();
    out.list("", "privileges", &privileges);
    out.list("", "credentials", &credentials);
    if !grants.actions.is_empty() {
        out.line("actions:");
        for grant in &grants.actions {
            out.line(&format!("- kind: {}", grant.kind));
            out.list("  ", "subjects", &grant.subjects);
        }
    }
    out.text
}

/// The longest line of a list that is written in one line.
const WIDTH: usize = 118;

struct Lines {
    text: String,
    indent: usize,
}

impl Lines {
    fn line(&mut self, line: &str) {
        // Writing to a `String` does not fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = self.indent);
    }

    fn kind(&mut self, api_version: &str, kind: &str) {
        self.line(&format!("- apiVersion: {api_version}"));
        self.line(&format!("  kind: {kind}"));
    }

    fn object(&mut self, grant: &ObjectGrant) {
        self.kind(&grant.api_version, &grant.kind);
        self.list("  ", "names", &grant.names);
        if grant.creates {
            self.line("  creates: true");
        }
        self.list("  ", "fields", &grant.fields);
        self.list("  ", "overrides", &grant.overrides);
        self.list("  ", "removes", &grant.removes);
    }

    fn read(&mut self, grant: &ReadGrant) {
        self.kind(&grant.api_version, &grant.kind);
        self.line(&format!("  from: {}", quoted(&grant.from)));
        self.list("  ", "fields", &grant.fields);
    }

    fn list(&mut self, indent: &str, name: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        let line = format!("{indent}{name}: [{}]", items.join(", "));
        if self.indent + line.len() <= WIDTH {
            return self.line(&line);
        }
        self.line(&format!("{indent}{name}:"));
        items.iter().for_each(|item| self.line(&format!("{indent}- {item}")));
    }
}

/// A text as YAML, with quotes where they are needed.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    let starts_plain = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    match starts_plain && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests;
