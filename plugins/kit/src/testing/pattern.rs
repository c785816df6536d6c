//! Patterns of field paths, as in `spec.template.spec.containers[name=postgres].env[*]`; the host's are in
//! `host/engine/src/path.rs`.

use serde_json::Value;

/// A pattern: it covers the fields that it matches and everything below them.
pub(super) struct Pattern(Vec<Segment>);

/// One segment of a pattern.
pub(super) enum Segment {
    /// A field; every field, if it has no name.
    Field(Option<String>),
    /// An entry of a list by its merge keys; every entry, if it has none. An item of a set has a key without a name.
    Entry(Vec<(String, String)>),
}

impl Pattern {
    /// The pattern of a text, or a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        segments(text).map(Self).ok_or_else(|| {
            format!("`{text}` is not a field path; write it as in spec.template.spec.containers[name=postgres].env")
        })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl Segment {
    /// What is left of a pattern below this field.
    pub(super) fn field<'a>(pattern: &'a [Self], key: &str) -> Option<&'a [Self]> {
        match pattern.split_first()? {
            (Self::Field(name), rest) if name.as_deref().is_none_or(|name| name == key) => Some(rest),
            _ => None,
        }
    }

    /// What is left of a pattern below this entry of a list.
    pub(super) fn entry<'a>(pattern: &'a [Self], entry: &Value) -> Option<&'a [Self]> {
        match pattern.split_first()? {
            (Self::Entry(keys), rest) if keys.iter().all(|(name, value)| has(entry, name, value)) => Some(rest),
            _ => None,
        }
    }

    /// The path of a field.
    pub(super) fn path_of_field(path: &str, key: &str) -> String {
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        match (is_plain, path.is_empty()) {
            (true, true) => key.to_owned(),
            (true, false) => format!("{path}.{key}"),
            (false, _) => format!("{path}[{key:?}]"),
        }
    }

    /// The path of an entry of a list, by the first of its usual merge keys.
    pub(super) fn path_of_entry(path: &str, entry: &Value) -> String {
        let key = ["name", "mountPath", "containerPort", "port", "key"].iter().find_map(|key| {
            let value = entry.get(key)?;
            Some(format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        });
        format!("{path}[{}]", key.unwrap_or_else(|| "*".to_owned()))
    }
}

fn has(entry: &Value, name: &str, value: &str) -> bool {
    let found = if name.is_empty() { Some(entry) } else { entry.get(name) };
    found.is_some_and(|found| found.as_str() == Some(value) || found.to_string() == value)
}

fn segments(text: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let (name, behind) = quoted.split_once("\"]")?;
            segments.push(Segment::Field(Some(name.to_owned())));
            rest = behind;
        } else if let Some(bracket) = rest.strip_prefix('[') {
            let (keys, behind) = bracket.split_once(']')?;
            segments.push(Segment::Entry(if keys == "*" { Vec::new() } else { pairs(keys)? }));
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if name.is_empty() || name.contains(']') {
                return None;
            }
            segments.push(Segment::Field((name != "*").then(|| name.to_owned())));
            rest = behind;
        }
        if let Some(behind) = rest.strip_prefix('.') {
            if behind.is_empty() || behind.starts_with('[') {
                return None;
            }
            rest = behind;
        } else if !rest.is_empty() && !rest.starts_with('[') {
            return None;
        }
    }
    (!segments.is_empty()).then_some(segments)
}

/// `name=value,name=value`; values may be quoted as JSON.
fn pairs(keys: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let text = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
        Some((name.to_owned(), text))
    };
    keys.split(',').map(pair).collect()
}
