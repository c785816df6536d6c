//! A desired object, or a part of one, as a tree: every leaf has a value and the steps that set it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::{
    Serialize,
    ser::{SerializeMap, SerializeSeq, Serializer},
};
use serde_json::{Map, Value};

use crate::{
    owners::{Owners, StepId},
    path::{FieldPath, Key, Segment},
    schema::{MergeKey, Schema, Type, TypeId},
};

/// One value of the tree. It has no `Debug`, because it may hold a value from a Secret.
#[derive(Clone)]
pub(crate) enum Node {
    /// A scalar, or an atomic list or map; null only where the schema allows it.
    Leaf(Value, Owners),
    /// A struct or map, and the steps that set it. An empty one is a leaf itself.
    Map(BTreeMap<String, Node>, Owners),
    /// A list whose entries have keys.
    List(List),
}

/// A set, or a list with merge keys.
#[derive(Clone)]
pub(crate) struct List {
    /// The merge keys; empty for a set.
    pub(crate) keys: Arc<[MergeKey]>,
    pub(crate) entries: Vec<(Key, Node)>,
    pub(crate) owners: Owners,
    /// Whether an entry with nothing but its key only gives a place: its type has other fields, and without them the
    /// entry says nothing. A port, in contrast, may be its number alone.
    pub(crate) has_anchors: bool,
}

/// A value that is not of the type that the schema gives its field.
pub(crate) struct TypeMismatch {
    /// From the place up to the root: each caller adds its own segment while the error is returned.
    reversed: Vec<Segment>,
    /// What is wrong with the value.
    pub(crate) problem: String,
}

impl TypeMismatch {
    fn new(problem: impl Into<String>) -> Self {
        Self { reversed: Vec::new(), problem: problem.into() }
    }

    fn expected(expected: &str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn below(mut self, segment: Segment) -> Self {
        self.reversed.push(segment);
        self
    }

    /// Where the value is, from the root of the object.
    pub(crate) fn path(&self) -> FieldPath {
        FieldPath::new(self.reversed.iter().rev().cloned().collect())
    }
}

impl Node {
    /// Builds the tree of a [normalized](normalize) value, all of it set by one step.
    pub(crate) fn from_value(schema: &Schema, id: TypeId, value: Value, step: StepId) -> Result<Self, TypeMismatch> {
        match (schema.get(id), value) {
            (Type::Nullable(inner), value) if !value.is_null() => Self::from_value(schema, *inner, value, step),
            (known @ (Type::Struct(_) | Type::Map(_) | Type::Any | Type::Open), Value::Object(fields)) => {
                Self::from_fields(schema, known, fields, step)
            }
            (Type::Set, Value::Array(items)) => {
                list_from_items(Arc::default(), false, items, step, |item| set_entry(item, step))
            }
            (Type::Keyed(keys, element), Value::Array(items)) => {
                let has_anchors = has_anchors(schema, keys, *element);
                list_from_items(Arc::clone(keys), has_anchors, items, step, |item| {
                    let key = entry_key(keys, &item)?;
                    match Self::from_value(schema, *element, item, step) {
                        Ok(node) => Ok((key, node)),
                        Err(mismatch) => Err(mismatch.below(Segment::Entry(key))),
                    }
                })
            }
            (Type::Struct(_) | Type::Map(_) | Type::AtomicMap, other) if !other.is_object() => {
                Err(TypeMismatch::expected("a map", &other))
            }
            (Type::Set | Type::Keyed(..) | Type::AtomicList(_), other) if !other.is_array() => {
                Err(TypeMismatch::expected("a list", &other))
            }
            (Type::Scalar, other) if other.is_object() || other.is_array() => {
                Err(TypeMismatch::expected("a scalar", &other))
            }
            (known, mut leaf) => {
                drop_nulls(schema, known, &mut leaf);
                Ok(Self::Leaf(leaf, Owners::of(step)))
            }
        }
    }

    fn from_fields(
        schema: &Schema,
        known: &Type,
        fields: Map<String, Value>,
        step: StepId,
    ) -> Result<Self, TypeMismatch> {
        let mut nodes = BTreeMap::new();
        for (name, value) in fields {
            let id = known.field(&name);
            if value.is_null() && !schema.get(id).may_be_null() {
                continue;
            }
            match Self::from_value(schema, id, value, step) {
                Ok(node) => nodes.insert(name, node),
                Err(mismatch) => return Err(mismatch.below(Segment::Field(name))),
            };
        }
        Ok(Self::Map(nodes, Owners::of(step)))
    }

    /// Removes the anchors of places that do not exist: entries with nothing but their key, which only say where the
    /// entries around them belong. A list of nothing else is removed, too.
    pub(crate) fn drop_anchors(&mut self, before: Option<&Self>) {
        match self {
            Self::Leaf(..) => {}
            Self::Map(fields, _) => fields.retain(|name, node| {
                let had_parts = node.has_parts();
                node.drop_anchors(before.and_then(|before| before.field(name)));
                node.has_parts() || !had_parts || !matches!(node, Self::List(_))
            }),
            Self::List(list) => {
                let before: &[(Key, Self)] = match before {
                    Some(Self::List(before)) => &before.entries,
                    _ => &[],
                };
                let mut places = positions(before, &list.entries).into_iter();
                let (keys, has_anchors) = (Arc::clone(&list.keys), list.has_anchors);
                list.entries.retain_mut(|(_, node)| {
                    let place = places.next().flatten();
                    let known = place.and_then(|place| before.get(place)).map(|(_, node)| node);
                    let is_anchor =
                        has_anchors && node.fields().all(|(name, _)| keys.iter().any(|key| key.name == name));
                    node.drop_anchors(known);
                    known.is_some() || !is_anchor
                });
            }
        }
    }

    /// The fields of a map.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Self)> {
        let fields = match self {
            Self::Map(fields, _) => Some(fields),
            _ => None,
        };
        fields.into_iter().flatten().map(|(name, node)| (name.as_str(), node))
    }

    /// Whether it is this text.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        matches!(self, Self::Leaf(Value::String(value), _) if value == text)
    }

    /// A field of a map.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields, _) => fields.get(name),
            _ => None,
        }
    }

    /// Whether it is a map or list with at least one field or entry.
    pub(crate) fn has_parts(&self) -> bool {
        match self {
            Self::Leaf(..) => false,
            Self::Map(fields, _) => !fields.is_empty(),
            Self::List(list) => !list.entries.is_empty(),
        }
    }

    /// The steps that set the leaf; for a map or list, the steps that set it while it was empty.
    pub(crate) fn owners(&self) -> Owners {
        match self {
            Self::Leaf(_, owners) | Self::Map(_, owners) => *owners,
            Self::List(list) => list.owners,
        }
    }

    /// Adds the steps that set the leaf to the same value.
    pub(crate) fn own(&mut self, others: Owners) {
        match self {
            Self::Leaf(_, owners) | Self::Map(_, owners) => owners.add(others),
            Self::List(list) => list.owners.add(others),
        }
    }

    /// The first step other than `step` that set a leaf in it.
    pub(crate) fn foreign(&self, step: StepId) -> Option<StepId> {
        match self {
            Self::Map(fields, _) if self.has_parts() => fields.values().find_map(|node| node.foreign(step)),
            Self::List(list) if self.has_parts() => list.entries.iter().find_map(|(_, node)| node.foreign(step)),
            leaf => leaf.owners().other_than(step),
        }
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        /// A map of the standard library has room for 11 entries at a time.
        const ENTRIES: usize = 11;
        fn of_value(value: &Value) -> usize {
            match value {
                Value::String(text) => text.len(),
                Value::Array(items) => items.iter().map(|item| size_of::<Value>() + of_value(item)).sum(),
                Value::Object(fields) => {
                    let room = fields.len().next_multiple_of(ENTRIES) * size_of::<(String, Value)>();
                    room + fields.iter().map(|(name, value)| name.len() + of_value(value)).sum::<usize>()
                }
                _ => 0,
            }
        }
        match self {
            Self::Leaf(value, _) => of_value(value),
            Self::Map(fields, _) => {
                let room = fields.len().next_multiple_of(ENTRIES) * size_of::<(String, Self)>();
                room + fields.iter().map(|(name, node)| name.len() + node.size()).sum::<usize>()
            }
            // A key is a few texts.
            Self::List(list) => list.entries.iter().map(|(_, node)| 100 + size_of::<Self>() + node.size()).sum(),
        }
    }

    /// A copy of the value without the steps.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Leaf(value, _) => value.clone(),
            Self::Map(fields, _) => {
                Value::Object(fields.iter().map(|(name, node)| (name.clone(), node.to_value())).collect())
            }
            Self::List(list) => Value::Array(list.entries.iter().map(|(_, node)| node.to_value()).collect()),
        }
    }

    /// The value without the steps.
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

fn set_entry(item: Value, step: StepId) -> Result<(Key, Node), TypeMismatch> {
    if item.is_object() || item.is_array() || item.is_null() {
        return Err(TypeMismatch::expected("a scalar, as every item of a set is", &item));
    }
    Ok((Key::new([("", &item)]), Node::Leaf(item, Owners::of(step))))
}

fn list_from_items(
    keys: Arc<[MergeKey]>,
    has_anchors: bool,
    items: Vec<Value>,
    step: StepId,
    entry: impl Fn(Value) -> Result<(Key, Node), TypeMismatch>,
) -> Result<Node, TypeMismatch> {
    let entries = items.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some((twice, _)) = entries.iter().find(|(key, _)| !seen.insert(key)) {
        return Err(TypeMismatch::new("it appears twice in one partial object").below(Segment::Entry(twice.clone())));
    }
    Ok(Node::List(List { keys, entries, owners: Owners::of(step), has_anchors }))
}

/// A list of at most this many entries is searched, or searched for; else an index is built.
const MAX_SEARCHED: usize = 8;

/// For each entry of `of`, the index of the entry with the same key in `among`.
pub(crate) fn positions(among: &[(Key, Node)], of: &[(Key, Node)]) -> Vec<Option<usize>> {
    if among.len().min(of.len()) <= MAX_SEARCHED {
        return of.iter().map(|(key, _)| among.iter().position(|(other, _)| other == key)).collect();
    }
    let index: HashMap<&Key, usize> = among.iter().enumerate().map(|(index, (key, _))| (key, index)).collect();
    of.iter().map(|(key, _)| index.get(key).copied()).collect()
}

/// Whether the entries of a list may be anchors, see [`List::has_anchors`].
fn has_anchors(schema: &Schema, keys: &[MergeKey], element: TypeId) -> bool {
    let is_named = matches!(keys, [key] if key.name == "name");
    is_named && matches!(schema.get(element), Type::Struct(fields) if fields.len() > 1)
}

/// The key of an entry: its merge keys, with the defaults of the keys that it leaves out.
fn entry_key(keys: &[MergeKey], entry: &Value) -> Result<Key, TypeMismatch> {
    let Value::Object(fields) = entry else {
        return Err(TypeMismatch::expected("a map with the merge keys of the list", entry));
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        match fields.get(&*key.name).filter(|value| !value.is_null()) {
            Some(Value::Object(_) | Value::Array(_)) => {
                return Err(TypeMismatch::new(format!("the merge key `{}` must be a scalar", key.name)));
            }
            Some(value) => found.push((&*key.name, value)),
            None if key.required => {
                return Err(TypeMismatch::new(format!("an entry lacks the merge key `{}`", key.name)));
            }
            None => found.extend(key.default.as_ref().map(|default| (&*key.name, default))),
        }
    }
    if found.is_empty() {
        return Err(TypeMismatch::new("an entry has none of the list's merge keys"));
    }
    Ok(Key::new(found))
}

/// Removes the nulls in a leaf that the schema does not allow, as the API server does.
///
/// A null is then as if the field were left out: what the server does with it depends on the field's default and on how
/// the server stores the object.
fn drop_nulls(schema: &Schema, known: &Type, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let known = schema.get(known.field(name));
            drop_nulls(schema, known, value);
            !value.is_null() || known.may_be_null()
        }),
        Value::Array(items) => {
            let known = schema.get(known.item());
            items.iter_mut().for_each(|item| drop_nulls(schema, known, item));
        }
        _ => {}
    }
}

/// Brings numbers that mean the same into one form: a whole number loses its fraction, `1.0` becomes `1`.
pub(crate) fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(normalize),
        Value::Array(items) => items.iter_mut().for_each(normalize),
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

/// 2^53. Below it every whole number has an exact floating point number.
const WHOLE: f64 = 9_007_199_254_740_992.0;
