//! The values of a YAML stream, document by document, as kubectl reads them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::scalar::plain;

/// The deepest nesting that is accepted. No configuration is nested more deeply; such a file would overflow the stack.
const MAX_DEPTH: usize = 96;
/// The most values that are accepted. Aliases can make a small file grow beyond the memory.
const MAX_NODES: usize = 1_000_000;

/// Why a text cannot be read, and where: line and column from 1.
#[derive(Debug)]
pub struct Fault {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// The reason.
    pub message: String,
}

impl Fault {
    fn new(place: Marker, message: impl Into<String>) -> Self {
        Self { line: place.line(), column: place.col() + 1, message: message.into() }
    }
}

/// Every document of a text.
pub fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::DocumentStart(_) => {
                reader.anchors.clear();
                reader.nodes = 0;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
            node => documents.push(reader.value(node, span, 0)?),
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// The values that aliases stand for, by the number of their anchor.
    anchors: BTreeMap<usize, Value>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        self.parser.next().transpose().map_err(|error| Fault::new(*error.marker(), error.info()))
    }

    /// The event within a node that is not complete yet.
    fn inner(&mut self, start: Span) -> Result<(Event<'a>, Span), Fault> {
        self.next()?.ok_or_else(|| Fault::new(start.start, "ends too early"))
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, Fault> {
        self.count(1, span)?;
        if depth > MAX_DEPTH {
            return Err(Fault::new(span.start, "is nested too deeply"));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref()).map_err(|message| Fault::new(span.start, message))?;
                (anchor, value)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(span, depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(span, depth)?),
            Event::Alias(anchor) => (0, self.alias(anchor, span, depth)?),
            _ => return Err(Fault::new(span.start, "has no value where one is needed")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Value, Fault> {
        let mut entries = Vec::new();
        loop {
            match self.inner(start)? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(entries)),
                (event, span) => entries.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Value, Fault> {
        let mut fields = Map::new();
        let mut own = BTreeSet::new();
        loop {
            let (event, span) = self.inner(start)?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Object(fields));
            }
            let merges = is_merge(&event);
            let key = self.value(event, span, depth + 1)?;
            let (event, place) = self.inner(start)?;
            let value = self.value(event, place, depth + 1)?;
            if merges {
                merge(&mut fields, value, place)?;
                continue;
            }
            let name = name(key, span)?;
            if !own.insert(name.clone()) {
                return Err(Fault::new(span.start, super::twice(&name)));
            }
            fields.insert(name, value);
        }
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Value, Fault> {
        let Some(value) = self.anchors.get(&anchor) else {
            return Err(Fault::new(span.start, "the value of an anchor contains itself"));
        };
        let (nodes, height) = size(value);
        if depth + height > MAX_DEPTH {
            return Err(Fault::new(span.start, "is nested too deeply"));
        }
        let value = if self.nodes + nodes <= MAX_NODES { value.clone() } else { Value::Null };
        self.count(nodes, span)?;
        Ok(value)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES { Err(Fault::new(span.start, "has too many values")) } else { Ok(()) }
    }
}

/// The number of values, and how deeply they are nested.
fn size(value: &Value) -> (usize, usize) {
    let mut sizes: Box<dyn Iterator<Item = (usize, usize)>> = match value {
        Value::Array(entries) => Box::new(entries.iter().map(size)),
        Value::Object(fields) => Box::new(fields.values().map(size)),
        _ => return (1, 0),
    };
    let (nodes, height) = sizes.by_ref().fold((1, 0), |(nodes, height), (more, deep)| (nodes + more, height.max(deep)));
    (nodes, height + 1)
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(text) } else { Ok(text.into()) };
    };
    let core = tag.is_yaml_core_schema().then_some(tag.suffix.as_str());
    let fits: fn(&Value) -> bool = match core {
        Some("null") => Value::is_null,
        Some("bool") => Value::is_boolean,
        Some("int") => |value| value.is_i64() || value.is_u64(),
        Some("float") => Value::is_number,
        Some("binary") => {
            let bytes = STANDARD.decode(text.replace(char::is_whitespace, "")).map_err(|error| error.to_string())?;
            return Ok(String::from_utf8_lossy(&bytes).into());
        }
        _ => return Ok(text.into()),
    };
    Some(plain(text)?).filter(fits).ok_or_else(|| format!("{text:?} is not of the type {}", tag.suffix))
}

fn is_merge(key: &Event<'_>) -> bool {
    matches!(key, Event::Scalar(text, ScalarStyle::Plain, _, tag) if text == "<<"
        && tag.as_ref().is_none_or(|tag| tag.suffix == "merge"))
}

/// The text of a key: kubectl writes numbers and switches as texts.
fn name(key: Value, span: Span) -> Result<String, Fault> {
    match key {
        Value::String(name) => Ok(name),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        key => Err(Fault::new(span.start, format!("the key {key} is not a text; write it in quotes"))),
    }
}

/// Puts the fields of a merge key, `<<`, into a map. As with kubectl they replace those before it, and are replaced by
/// those after it; of a list the first map counts.
fn merge(fields: &mut Map<String, Value>, value: Value, place: Span) -> Result<(), Fault> {
    let maps = match value {
        Value::Array(maps) => maps,
        map => vec![map],
    };
    for map in maps.into_iter().rev() {
        let Value::Object(map) = map else {
            return Err(Fault::new(
                place.start,
                "the merge key << needs a map or a list of maps; name an anchor of one",
            ));
        };
        fields.extend(map);
    }
    Ok(())
}
