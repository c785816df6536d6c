//! What is wrong with a document: the field, the reason, and what the person can do.

use std::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something will not be done as written; the rest goes on.
    Warning,
    /// The document cannot be used; what runs stays as it is.
    Error,
}

/// One thing that is wrong with a document. Never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, as in `spec.sidecars[0].image`; empty for the document as a whole.
    pub path: String,
    /// What is the matter, lower case, no full stop.
    pub message: String,
    /// What the person can do.
    pub remedy: Option<String>,
    /// Whether it stops the document from being used.
    pub severity: Severity,
}

impl Problem {
    /// A problem that stops the document from being used.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), remedy: None, severity: Severity::Error }
    }

    /// A problem that a person should know of.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// The same problem with a way out.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether it stops the document from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// The path of a member: `spec` and `volume` give `spec.volume`, a name that is no plain word gives `spec.users["a.b"]`.
#[must_use]
pub fn member(path: &str, name: &str) -> String {
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{name:?}]"),
    }
}

/// A place in a document that is only spelled out if something is wrong there.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Where the walk began.
    Start(&'a str),
    /// A member of a map.
    Member(&'a Place<'a>, &'a str),
    /// An entry of a list.
    Entry(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(path) => f.write_str(path),
            Self::Member(place, name) => f.write_str(&member(&place.to_string(), name)),
            Self::Entry(place, index) => write!(f, "{place}[{index}]"),
        }
    }
}

/// The path of an entry of a list.
#[must_use]
pub fn entry(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// The known name that comes nearest to one that is unknown: written in another case, or a few letters off.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(name);
    let allowed = 1 + wanted.len() / 4;
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The remedy for an unknown name: the nearest one, or the list of all.
#[must_use]
pub fn instead<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean {near}?");
    }
    let known: Vec<_> = known.into_iter().collect();
    match known.len() {
        0 => "remove it".to_owned(),
        1..=16 => format!("known here: {}", known.join(", ")),
        _ => "remove it; kubectl explain lists the fields that exist".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_differs_in_case_or_a_few_letters() {
        let known = ["numberOfInstances", "teamId", "tls", "volume", "users"];
        for (name, expected) in [
            ("number_of_instances", Some("numberOfInstances")),
            ("teamID", Some("teamId")),
            ("volumes", Some("volume")),
            ("user", Some("users")),
            ("tsl", Some("tls")),
            ("sidecars", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

    #[test]
    fn paths_quote_what_is_no_plain_word() {
        assert_eq!(member("spec", "volume"), "spec.volume");
        assert_eq!(member("", "spec"), "spec");
        assert_eq!(member("spec.users", "a.b"), r#"spec.users["a.b"]"#);
        assert_eq!(entry("spec.sidecars", 2), "spec.sidecars[2]");
        let (spec, name) = (Place::Start("spec"), "a.b");
        assert_eq!(Place::Entry(&Place::Member(&spec, name), 1).to_string(), r#"spec["a.b"][1]"#);
    }

    #[test]
    fn a_problem_reads_as_place_reason_remedy() {
        let problem = Problem::error("spec.volume.size", "is missing").remedy("add it, as in 5Gi");
        assert_eq!(problem.to_string(), "spec.volume.size: is missing; add it, as in 5Gi");
    }
}
