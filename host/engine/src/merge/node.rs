//! A desired object, or a part of one, as a tree: every leaf with its value and the step that set it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{
    Serialize,
    ser::{SerializeMap, SerializeSeq, Serializer},
};
use serde_json::{Map, Value};

use super::Error;
use crate::{
    contract::ObjectRef,
    path::{FieldPath, Key, Segment},
    schema::{MergeKey, Schema, Type, TypeId},
};

/// A step, by its place in the list of steps that wrote something.
pub(crate) type StepId = u16;

/// One value of the tree. It may hold what only a step that reads Secrets knows, so it cannot be printed.
#[derive(Clone)]
pub(crate) enum Node {
    /// A scalar, or an atomic list or map; never null.
    Leaf(Value, StepId),
    /// A struct or map, with who set it first; while it is empty it is a leaf itself.
    Map(BTreeMap<String, Node>, StepId),
    /// A list whose entries are known by keys.
    List(List),
}

/// A set, or a list with merge keys.
#[derive(Clone)]
pub(crate) struct List {
    /// The merge keys; none: it is a set.
    pub(crate) keys: &'static [MergeKey],
    pub(crate) entries: Vec<(Key, Node)>,
    pub(crate) step: StepId,
}

/// Where and why a value does not have the shape of its type.
pub(crate) struct Misfit {
    /// From the place upwards.
    path: Vec<Segment>,
    problem: String,
}

impl Misfit {
    fn new(problem: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: problem.into() }
    }

    fn below(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }

    /// The error of the step that contributed the value.
    pub(crate) fn error(mut self, step: &str, object: &ObjectRef) -> Error {
        self.path.reverse();
        Error::Shape {
            step: step.to_owned(),
            object: Box::new(object.clone()),
            path: FieldPath::new(self.path),
            problem: self.problem,
        }
    }
}

impl Node {
    /// The tree of a tidy value of the type, all of it set by one step.
    pub(crate) fn shape(schema: &'static Schema, id: TypeId, value: Value, step: StepId) -> Result<Self, Misfit> {
        match (schema.get(id), value) {
            (known @ (Type::Struct(_) | Type::Map(_) | Type::Any), Value::Object(fields)) => {
                Self::shape_fields(schema, known, fields, step)
            }
            (Type::Set, Value::Array(items)) => shape_entries(&[], items, step, |item| shape_item(item, step)),
            (Type::Keyed(keys, element), Value::Array(items)) => shape_entries(keys, items, step, |item| {
                let key = entry_key(keys, &item)?;
                match Self::shape(schema, *element, item, step) {
                    Ok(node) => Ok((key, node)),
                    Err(misfit) => Err(misfit.below(Segment::Entry(key))),
                }
            }),
            (Type::Struct(_) | Type::Map(_) | Type::AtomicMap, other) if !other.is_object() => {
                Err(misfit("a map", &other))
            }
            (Type::Set | Type::Keyed(..) | Type::AtomicList, other) if !other.is_array() => {
                Err(misfit("a list", &other))
            }
            (Type::Scalar, other) if other.is_object() || other.is_array() => Err(misfit("a scalar", &other)),
            (_, leaf) => Ok(Self::Leaf(leaf, step)),
        }
    }

    fn shape_fields(
        schema: &'static Schema,
        known: &'static Type,
        fields: Map<String, Value>,
        step: StepId,
    ) -> Result<Self, Misfit> {
        let mut nodes = BTreeMap::new();
        for (name, value) in fields {
            match Self::shape(schema, known.field(&name), value, step) {
                Ok(node) => nodes.insert(name, node),
                Err(misfit) => return Err(misfit.below(Segment::Field(name))),
            };
        }
        Ok(Self::Map(nodes, step))
    }

    /// A field of a map.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields, _) => fields.get(name),
            _ => None,
        }
    }

    /// Whether it is a map or list of single fields or entries, and has some.
    pub(crate) fn has_parts(&self) -> bool {
        match self {
            Self::Leaf(..) => false,
            Self::Map(fields, _) => !fields.is_empty(),
            Self::List(list) => !list.entries.is_empty(),
        }
    }

    /// The step that set the leaf; of a map or list, the one that made it.
    pub(crate) fn step(&self) -> StepId {
        match self {
            Self::Leaf(_, step) | Self::Map(_, step) => *step,
            Self::List(list) => list.step,
        }
    }

    /// The first other step that set a leaf of it.
    pub(crate) fn foreign(&self, step: StepId) -> Option<StepId> {
        match self {
            Self::Map(fields, _) if self.has_parts() => fields.values().find_map(|node| node.foreign(step)),
            Self::List(list) if self.has_parts() => list.entries.iter().find_map(|(_, node)| node.foreign(step)),
            leaf => Some(leaf.step()).filter(|owner| *owner != step),
        }
    }

    /// The value.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Leaf(value, _) => value,
            Self::Map(fields, _) => {
                Value::Object(fields.into_iter().map(|(name, node)| (name, node.into_value())).collect())
            }
            Self::List(list) => Value::Array(list.entries.into_iter().map(|(_, node)| node.into_value()).collect()),
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leaf(value, _) => value.serialize(serializer),
            Self::Map(fields, _) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, node) in fields {
                    map.serialize_entry(name, node)?;
                }
                map.end()
            }
            Self::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.entries.len()))?;
                for (_, node) in &list.entries {
                    seq.serialize_element(node)?;
                }
                seq.end()
            }
        }
    }
}

fn shape_item(item: Value, step: StepId) -> Result<(Key, Node), Misfit> {
    if item.is_object() || item.is_array() || item.is_null() {
        return Err(misfit("a scalar, as all items of a set", &item));
    }
    Ok((Key::new([("", &item)]), Node::Leaf(item, step)))
}

fn shape_entries(
    keys: &'static [MergeKey],
    items: Vec<Value>,
    step: StepId,
    shape: impl Fn(Value) -> Result<(Key, Node), Misfit>,
) -> Result<Node, Misfit> {
    let entries = items.into_iter().map(shape).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some((twice, _)) = entries.iter().find(|(key, _)| !seen.insert(key)) {
        return Err(Misfit::new("it is there twice in one partial object").below(Segment::Entry(twice.clone())));
    }
    Ok(Node::List(List { keys, entries, step }))
}

/// What an entry is known by: its merge keys, with the defaults of those that it leaves out.
fn entry_key(keys: &'static [MergeKey], entry: &Value) -> Result<Key, Misfit> {
    let Value::Object(fields) = entry else {
        return Err(misfit("a map with the merge keys of the list", entry));
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        match fields.get(key.name) {
            Some(Value::Object(_) | Value::Array(_)) => {
                return Err(Misfit::new(format!("the merge key `{}` has to be a scalar", key.name)));
            }
            Some(value) => found.push((key.name, value)),
            None if key.required => {
                return Err(Misfit::new(format!("an entry lacks the merge key `{}`", key.name)));
            }
            None => found.extend(key.default.as_ref().map(|default| (key.name, default))),
        }
    }
    if found.is_empty() {
        return Err(Misfit::new("an entry has none of the list's merge keys"));
    }
    Ok(Key::new(found))
}

/// Makes one value of those that mean the same. Null says nothing, as if the field were left out: what the API server makes
/// of it hangs on the field's default and on how it keeps the object. A whole number is written without a fraction.
pub(crate) fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|_, value| {
            tidy(value);
            !value.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < WHOLE);
            // Below the bound the conversion is exact.
            if let Some(whole) = whole {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

/// Up to here every whole number has a floating point number of its own.
const WHOLE: f64 = 9_007_199_254_740_992.0;

fn misfit(expected: &str, found: &Value) -> Misfit {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    };
    Misfit::new(format!("it has to be {expected} and is {found}"))
}
