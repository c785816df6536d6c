//! Field paths, as in `spec.template.spec.containers[name=postgres].env[name=SCOPE].value`, and patterns of them.
//!
//! Fields are joined by dots. A field with other characters than letters, digits, `_` and `-` is quoted in brackets, as
//! in `metadata.annotations["a.b/c"]`. An entry of a list is written in brackets by its merge keys, as in
//! `[containerPort=8080,protocol=TCP]`, an item of a set by its value, as in `[=x]`. A value is written without quotes
//! where that is unambiguous, and as JSON otherwise: `[name="8080"]` is a string, `[port=8080]` a number. In a pattern
//! `*` means every field of a map and `[*]` every entry of a list.

use std::{
    fmt::{self, Display, Write},
    iter::Peekable,
    str::{Chars, FromStr},
};

use serde_json::Value;

/// The reason why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a field path: {reason}")]
pub struct Error {
    text: String,
    reason: &'static str,
}

/// The path of one field of an object, or of one entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

/// A pattern of paths. It covers the fields that it matches and everything below them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Vec<Segment>);

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A field of a struct or map.
    Field(String),
    /// An entry of a list.
    Entry(Key),
    /// Every field; in patterns only.
    AnyField,
    /// Every entry; in patterns only.
    AnyEntry,
}

/// The key of an entry of a list: `name=value` for each of its merge keys, sorted; `=value` for an item of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<String>);

impl Key {
    /// The key of an entry with these merge keys. An item of a set has one key, without a name.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut parts: Vec<String> = keys
            .into_iter()
            .map(|(name, value)| {
                let mut part = String::with_capacity(name.len() + 16);
                part.push_str(name);
                part.push('=');
                push_value(&mut part, value);
                part
            })
            .collect();
        parts.sort_unstable();
        Self(parts)
    }

    /// Whether this key, which may leave out some merge keys, matches the entry with the full key.
    pub fn means(&self, full: &Self) -> bool {
        self.0.iter().all(|part| full.0.contains(part))
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl FieldPath {
    /// The path of these segments, from the root.
    pub fn new(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// The segments, from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl Pattern {
    /// The segments, from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether the pattern matches the path or one of its parents.
    pub fn covers(&self, path: &[Segment]) -> bool {
        self.0.len() <= path.len() && self.0.iter().zip(path).all(|(pattern, segment)| pattern.matches(segment))
    }
}

impl Segment {
    /// Whether this segment of a pattern matches a segment of a path.
    pub fn matches(&self, segment: &Self) -> bool {
        match (self, segment) {
            (Self::AnyField, Self::Field(_)) | (Self::AnyEntry, Self::Entry(_)) => true,
            (Self::Entry(key), Self::Entry(full)) => key.means(full),
            _ => self == segment,
        }
    }

    /// The name, if the segment is a field.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Field(name) => Some(name),
            _ => None,
        }
    }
}

impl Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_segments(f, &self.0)
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_segments(f, &self.0)
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map(Self)
    }
}

impl FromStr for FieldPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let segments = parse(text)?;
        if segments.iter().any(|segment| matches!(segment, Segment::AnyField | Segment::AnyEntry)) {
            return Err(Error { text: text.to_owned(), reason: "it must name one field, and `*` means many" });
        }
        Ok(Self(segments))
    }
}

/// Appends a field to a path.
pub(crate) fn push_field(out: &mut String, name: &str) {
    if is_plain_field(name) {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    } else {
        out.push('[');
        push_quoted(out, name);
        out.push(']');
    }
}

/// Appends an entry to a path.
pub(crate) fn push_entry(out: &mut String, key: &Key) {
    out.push('[');
    for (index, part) in key.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(part);
    }
    out.push(']');
}

fn write_segments(f: &mut fmt::Formatter<'_>, segments: &[Segment]) -> fmt::Result {
    let mut out = String::new();
    for segment in segments {
        match segment {
            Segment::Field(name) => push_field(&mut out, name),
            Segment::Entry(key) => push_entry(&mut out, key),
            Segment::AnyField if out.is_empty() => out.push('*'),
            Segment::AnyField => out.push_str(".*"),
            Segment::AnyEntry => out.push_str("[*]"),
        }
    }
    f.write_str(&out)
}

fn is_plain_field(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether a text needs no quotes in a key: it has no character of the grammar and is not a JSON value.
fn is_plain_value(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':');
    let Some(first) = text.bytes().next() else { return false };
    // Of the texts that start with a letter only three are JSON values, so the usual text needs no parser.
    text.bytes().all(plain)
        && match first {
            b'0'..=b'9' | b'-' => serde_json::from_str::<Value>(text).is_err(),
            _ => !matches!(text, "true" | "false" | "null"),
        }
}

fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) if is_plain_value(text) => out.push_str(text),
        Value::String(text) => push_quoted(out, text),
        other => {
            // Writing to a `String` does not fail.
            let _ = write!(out, "{other}");
        }
    }
}

fn push_quoted(out: &mut String, text: &str) {
    let _ = write!(out, "{}", Value::from(text));
}

fn parse(text: &str) -> Result<Vec<Segment>, Error> {
    let fail = |reason| Error { text: text.to_owned(), reason };
    let mut segments = Vec::new();
    let mut rest = text.chars().peekable();
    if rest.peek().is_none() {
        return Err(fail("it is empty"));
    }
    while let Some(&next) = rest.peek() {
        match next {
            '[' => {
                rest.next();
                segments.push(bracket(&mut rest).map_err(fail)?);
            }
            '.' if segments.is_empty() => return Err(fail("it starts with a dot")),
            _ => {
                if next == '.' {
                    rest.next();
                } else if !segments.is_empty() {
                    return Err(fail("after `]` comes a dot or a bracket"));
                }
                segments.push(field(&mut rest).map_err(fail)?);
            }
        }
    }
    Ok(segments)
}

type Rest<'a> = Peekable<Chars<'a>>;

fn field(rest: &mut Rest<'_>) -> Result<Segment, &'static str> {
    let mut name = String::new();
    while let Some(next) = rest.next_if(|next| !matches!(next, '.' | '[')) {
        if matches!(next, ']' | '"' | '=' | ',') || next.is_whitespace() {
            return Err("a field with other characters is written in brackets and quotes, as in `[\"a.b/c\"]`");
        }
        name.push(next);
    }
    match name.as_str() {
        "" => Err("a field's name is missing"),
        "*" => Ok(Segment::AnyField),
        _ => Ok(Segment::Field(name)),
    }
}

/// Parses the text between brackets, and the closing one.
fn bracket(rest: &mut Rest<'_>) -> Result<Segment, &'static str> {
    match rest.peek() {
        Some('"') => {
            let name = quoted(rest)?;
            close(rest)?;
            Ok(Segment::Field(name))
        }
        Some('*') => {
            rest.next();
            close(rest)?;
            Ok(Segment::AnyEntry)
        }
        _ => entry(rest),
    }
}

fn close(rest: &mut Rest<'_>) -> Result<(), &'static str> {
    rest.next_if_eq(&']').map(drop).ok_or("a closing bracket is missing")
}

fn entry(rest: &mut Rest<'_>) -> Result<Segment, &'static str> {
    let mut keys: Vec<(String, Value)> = Vec::new();
    loop {
        let mut name = String::new();
        while let Some(next) = rest.next_if(|next| !matches!(next, '=' | ']' | ',' | '[' | '"')) {
            name.push(next);
        }
        rest.next_if_eq(&'=')
            .ok_or("an entry of a list is written by its keys, as in `[name=postgres]`; an index is not possible")?;
        if keys.iter().any(|(known, _)| *known == name) {
            return Err("a key appears twice");
        }
        keys.push((name, value(rest)?));
        if rest.next_if_eq(&',').is_none() {
            break;
        }
    }
    close(rest)?;
    Ok(Segment::Entry(Key::new(keys.iter().map(|(name, value)| (name.as_str(), value)))))
}

fn value(rest: &mut Rest<'_>) -> Result<Value, &'static str> {
    if rest.peek() == Some(&'"') {
        return quoted(rest).map(Value::String);
    }
    let mut text = String::new();
    while let Some(next) = rest.next_if(|next| !matches!(next, ',' | ']')) {
        text.push(next);
    }
    if text.is_empty() {
        return Err("a key's value is missing; the empty text is written `\"\"`");
    }
    // A number, a boolean or null is parsed as such; everything else is a string.
    Ok(match serde_json::from_str(&text) {
        Ok(scalar @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => scalar,
        _ => Value::String(text),
    })
}

/// A JSON string.
fn quoted(rest: &mut Rest<'_>) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut escaped = false;
    for next in rest.by_ref() {
        text.push(next);
        match next {
            '"' if !escaped && text.len() > 1 => {
                return serde_json::from_str(&text).map_err(|_| "a quoted text is not valid JSON");
            }
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Err("a closing quote is missing")
}

#[cfg(test)]
mod tests;
