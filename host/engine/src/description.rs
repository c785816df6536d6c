//! A description is checked as a whole when its component is loaded: what would fail at the first cluster, or never
//! run, is found here.

use std::fmt::Display;

use pgloom_api::config::KEYS;
use pgloom_api::pipeline::{Grants, KindGrant, ObjectGrant, ReadGrant};
use pgloom_api::placeholder::Source;
use pgloom_api::{ActionKind, Privilege, suggest};
use pgloom_common::name::{is_dns1123_label, is_dns1123_subdomain};
use serde_json::Value;

use crate::model::{Description, ObjectKind, ObjectPermission, Selection, Trigger};
use crate::path::Pattern;
use crate::reserved;
use crate::schema::Schemas;
use crate::validator;

/// The most entries of one list of a description, and of one list of a permission.
pub(crate) const MAX_ENTRIES: usize = 256;
/// The most selectors: each one by name is a request to the API server at every reconcile.
pub(crate) const MAX_SELECTORS: usize = 32;
/// The longest name, path or sentence, in bytes.
pub(crate) const MAX_TEXT: usize = 1 << 10;
/// The largest schema or example, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 256 << 10;

/// What is wrong with a description: the place, the problem and the remedy.
///
/// # Errors
/// The first problem.
pub(crate) fn check(description: &Description) -> Result<(), String> {
    check_sizes(description)?;
    check_identity(description)?;
    check_configuration(description)?;
    check_reads(description)?;
    description.objects.iter().enumerate().try_for_each(|(index, asked)| check_object(asked, index))?;
    check_privileges(description)?;
    check_actions(description)
}

fn check_sizes(description: &Description) -> Result<(), String> {
    let Description {
        name,
        version,
        summary,
        config_schema,
        config_example,
        config_keys,
        credentials,
        relevant,
        desired,
        observed,
        objects,
        privileges,
        actions,
        requires,
    } = description;
    for (list, length, limit) in [
        ("config-keys", config_keys.len(), MAX_ENTRIES),
        ("credentials", credentials.len(), MAX_ENTRIES),
        ("relevant", relevant.len(), MAX_ENTRIES),
        ("desired", desired.len(), MAX_ENTRIES),
        ("observed", observed.len(), MAX_SELECTORS),
        ("objects", objects.len(), MAX_ENTRIES),
        ("privileges", privileges.len(), MAX_ENTRIES),
        ("actions", actions.len(), MAX_ENTRIES),
        ("requires", requires.len(), MAX_ENTRIES),
    ] {
        if length > limit {
            return Err(format!("{list} has {length} entries, the limit is {limit}"));
        }
    }
    let of_objects = objects.iter().flat_map(|asked| [&asked.names, &asked.fields, &asked.overrides, &asked.removes]);
    let of_others = observed.iter().map(|asked| &asked.fields).chain(actions.iter().map(|asked| &asked.subjects));
    let lists: Vec<&Vec<String>> = of_objects.chain(of_others).collect();
    if let Some(list) = lists.iter().find(|list| list.len() > MAX_ENTRIES) {
        return Err(format!("a list of a permission has {} entries, the limit is {MAX_ENTRIES}", list.len()));
    }
    for text in [name, version, summary].into_iter().chain(config_keys).chain(lists.into_iter().flatten()) {
        if text.len() > MAX_TEXT {
            return Err(format!("a text has {} bytes, the limit is {MAX_TEXT}", text.len()));
        }
    }
    // It would forge lines of what is printed, or hide them. The other texts have forms of their own.
    if summary.chars().any(is_hidden) {
        return Err(format!("summary has line breaks or characters that are not seen: {summary:?}"));
    }
    for (what, text) in [("config-schema", config_schema), ("config-example", config_example)] {
        if text.len() > MAX_DOCUMENT {
            return Err(format!("{what} has {} bytes, the limit is {MAX_DOCUMENT}", text.len()));
        }
    }
    Ok(())
}

/// Whether a character moves the cursor of a terminal, or changes the direction or the visibility of what is around it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn check_identity(description: &Description) -> Result<(), String> {
    let name = &description.name;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
        return Err(format!("name {name:?} is not lower case letters, digits and hyphens"));
    }
    if let Err(error) = semver::Version::parse(&description.version) {
        return Err(format!("version {:?} is not semver: {error}", description.version));
    }
    for requirement in &description.requires {
        if let Err(error) = semver::VersionReq::parse(&requirement.version) {
            let plugin = &requirement.plugin;
            return Err(format!("the version required of {plugin} is not a semver requirement: {error}"));
        }
    }
    Ok(())
}

fn check_configuration(description: &Description) -> Result<(), String> {
    let json = |what: &str, text: &str| {
        serde_json::from_str::<Value>(text).map_err(|error| format!("the configuration {what} is not JSON: {error}"))
    };
    let schema = json("schema", &description.config_schema)?;
    let example = json("example", &description.config_example)?;
    if let Some(problem) = validator::problems(&schema, &example)?.into_iter().next() {
        return Err(format!("the configuration example is not what the schema accepts: {problem}"));
    }
    description.config_keys.iter().enumerate().try_for_each(|(index, key)| check_key(key, &at("config-keys", index)))
}

fn check_reads(description: &Description) -> Result<(), String> {
    for (index, trigger) in description.relevant.iter().enumerate() {
        match trigger {
            Trigger::Manifest(pointer) => check_pointer(pointer, &at("relevant", index))?,
            Trigger::Config(key) => check_key(key, &at("relevant", index))?,
        }
    }
    for (index, kind) in description.desired.iter().enumerate() {
        check_kind(kind, &at("desired", index))?;
    }
    for (index, selector) in description.observed.iter().enumerate() {
        let place = at("observed", index);
        check_kind(&selector.kind, &place)?;
        match &selector.from {
            Selection::Owned => {}
            Selection::Manifest(pointer) => check_pointer(pointer, &place)?,
            Selection::Config(key) => check_key(key, &place)?,
        }
        check_paths(&selector.fields, &format!("{place}.fields"))?;
        let is_twice = description.observed.iter().take(index).any(|earlier| earlier.id == selector.id);
        if selector.id.is_empty() || is_twice {
            return Err(format!("{place}: the id {:?} is empty or that of an earlier selector", selector.id));
        }
    }
    for (index, asked) in description.credentials.iter().enumerate() {
        let name = asked.source.to_string();
        if let Err(remedy) = Source::named(&name, "no field of this name holds one") {
            return Err(format!("{}: {name:?} is not a credential; {remedy}", at("credentials", index)));
        }
        if let Source::Config(key) = &asked.source
            && !description.config_keys.contains(key)
        {
            return Err(format!("{}: {key:?} is not in config-keys; add it", at("credentials", index)));
        }
    }
    Ok(())
}

/// What is wrong with the grants of a step, as they are in a pipeline: the place, the problem and what is allowed.
///
/// # Errors
/// The first problem.
pub(crate) fn check_grants(grants: &Grants) -> Result<(), String> {
    let at = |list: &str, index: usize| at(&format!("grants.{list}"), index);
    for (index, grant) in grants.objects.iter().enumerate() {
        let ObjectGrant { api_version, kind, names, fields, overrides, removes, .. } = grant;
        let place = at("objects", index);
        check_kind(&ObjectKind::new(api_version.as_str(), kind.as_str()), &place)?;
        check_names_and_paths(names, [fields, overrides, removes], &place)?;
    }
    for (index, ReadGrant { api_version, kind, from, fields }) in grants.reads.iter().enumerate() {
        let place = at("reads", index);
        check_kind(&ObjectKind::new(api_version.as_str(), kind.as_str()), &place)?;
        if let Some(key) = from.strip_prefix("config:") {
            check_key(key, &format!("{place}.from"))?;
        }
        check_paths(fields, &format!("{place}.fields"))?;
    }
    for (index, KindGrant { api_version, kind }) in grants.desired.iter().enumerate() {
        check_kind(&ObjectKind::new(api_version.as_str(), kind.as_str()), &at("desired", index))?;
    }
    for (index, grant) in grants.actions.iter().enumerate() {
        if grant.subjects.iter().any(String::is_empty) {
            return Err(format!("{}: a subject of {} is empty; name it, or write *", at("actions", index), grant.kind));
        }
    }
    Ok(())
}

fn check_object(asked: &ObjectPermission, index: usize) -> Result<(), String> {
    let place = at("objects", index);
    check_kind(&asked.kind, &place)?;
    if let Some(reason) = reserved::kind(&asked.kind) {
        return Err(format!("{place}: {} must not be contributed: {reason}", asked.kind));
    }
    check_names_and_paths(&asked.names, [&asked.fields, &asked.overrides, &asked.removes], &place)
}

/// Checks the names of objects, and the paths of `fields`, `overrides` and `removes`.
fn check_names_and_paths(names: &[String], paths: [&Vec<String>; 3], place: &str) -> Result<(), String> {
    let is_pattern = |name: &String| {
        let rest = name.replace("{cluster}", "").replace('*', "");
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        !name.is_empty() && rest.bytes().all(fits)
    };
    if names.is_empty() {
        return Err(format!("{place}: names is empty; name the objects, as in {{cluster}}-*"));
    }
    if let Some((index, name)) = names.iter().enumerate().find(|(_, name)| !is_pattern(name)) {
        let place = at(&format!("{place}.names"), index);
        return Err(format!("{place}: {name:?} is not a pattern of names; write it as in {{cluster}}-*"));
    }
    let lists = ["fields", "overrides", "removes"].into_iter().zip(paths);
    lists.into_iter().try_for_each(|(list, paths)| check_paths(paths, &format!("{place}.{list}")))
}

fn check_privileges(description: &Description) -> Result<(), String> {
    let known = || Privilege::ALL.into_iter().map(Privilege::name);
    for (index, asked) in description.privileges.iter().enumerate() {
        if Privilege::from_name(&asked.name).is_none() {
            let remedy = suggest::nearest_or(&asked.name, known(), "docs/security.md lists them");
            return Err(format!("{}: {:?} is not a privilege; {remedy}", at("privileges", index), asked.name));
        }
    }
    Ok(())
}

fn check_actions(description: &Description) -> Result<(), String> {
    for (index, asked) in description.actions.iter().enumerate() {
        let has_subjects = asked.kind != ActionKind::Promote;
        if asked.subjects.is_empty() == has_subjects && !asked.optional {
            let problem = if has_subjects { "has no subjects; name them" } else { "has subjects; remove them" };
            return Err(format!("{}: {} {problem}", at("actions", index), asked.kind));
        }
        if asked.subjects.iter().any(String::is_empty) {
            return Err(format!("{}: a subject of {} is empty", at("actions", index), asked.kind));
        }
    }
    Ok(())
}

fn at(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

fn check_pointer(pointer: &str, place: &impl Display) -> Result<(), String> {
    match pointer.starts_with('/') {
        true => Ok(()),
        false => Err(format!("{place}: {pointer:?} is not a JSON pointer; write it as in /spec/tls/secretName")),
    }
}

fn check_key(key: &str, place: &impl Display) -> Result<(), String> {
    if KEYS.iter().any(|known| known.name == key) {
        return Ok(());
    }
    let names = KEYS.iter().map(|known| known.name);
    let remedy = suggest::nearest_or(key, names, "docs/configuration.md lists them");
    Err(format!("{place}: {key:?} is not a key of the operator configuration; {remedy}"))
}

/// Refuses a kind that is not written as Kubernetes writes it. Both texts become parts of a URL, and rules about a kind
/// compare it as it is written.
fn check_kind(kind: &ObjectKind, place: &impl Display) -> Result<(), String> {
    let ObjectKind { api_version, kind } = kind;
    let (group, version) = api_version.split_once('/').map_or((None, &**api_version), |(group, of)| (Some(group), of));
    let starts_as_version =
        version.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if !is_dns1123_label(version) || !starts_as_version || !group.is_none_or(is_dns1123_subdomain) {
        return Err(format!("{place}: {api_version:?} is not an apiVersion; write it as in v1 or apps/v1"));
    }
    let is_word = kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) && kind.len() <= 63;
    if !is_word || !kind.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(format!("{place}: {kind:?} of {api_version:?} is not a kind"));
    }
    // Only custom resources may have a kind in lower case, as `postgresql` has.
    if reserved::is_of_kubernetes(api_version) && !kind.starts_with(|first: char| first.is_ascii_uppercase()) {
        let otherwise = "write it in CamelCase, as in ConfigMap";
        let remedy = suggest::nearest_or(kind, Schemas::built_in_kinds(api_version), otherwise);
        return Err(format!("{place}: {kind:?} of {api_version:?} is not a kind; {remedy}"));
    }
    Ok(())
}

fn check_paths(paths: &[String], place: &str) -> Result<(), String> {
    for (index, path) in paths.iter().enumerate() {
        if let Err(error) = path.parse::<Pattern>() {
            let remedy = "write it as in spec.template.spec.containers[*].env, or * for every field";
            return Err(format!("{}: {error}; {remedy}", at(place, index)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
