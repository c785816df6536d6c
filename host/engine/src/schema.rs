//! What the merge must know about every built-in kind: which lists have merge keys, and what is atomic.
//!
//! `cargo xtask schema` generates the table from the OpenAPI documents of an API server; `xtask/src/schema/table.rs`
//! defines how the table writes a type. Kinds and fields that are not in the table are merged as the server merges
//! custom resources without a schema: maps field by field, lists as a whole. The server's rules are those of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use serde::Deserialize;
use serde_json::Value;

/// Why the table cannot be parsed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the merge table of the built-in kinds is invalid; generate it again with `cargo xtask schema`: {0}")]
pub struct Error(String);

/// The types of all built-in kinds.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    kinds: HashMap<&'static str, Kind>,
    /// The type of a kind that is not in the table: only its metadata is known.
    unknown: TypeId,
}

/// What the table says about a kind.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The type of its objects.
    pub root: TypeId,
    /// Whether its objects are cluster-scoped.
    pub cluster_scoped: bool,
}

/// A type, as an index into [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u32);

impl TypeId {
    /// A string, number or boolean.
    pub const SCALAR: Self = Self(0);
    /// Any value: maps are merged field by field, lists are atomic.
    pub const ANY: Self = Self(1);
}

/// How values of a type are merged.
#[derive(Debug)]
pub enum Type {
    /// A leaf: string, number or boolean.
    Scalar,
    /// A map is merged field by field, any other value is a leaf.
    Any,
    /// Any value, always a leaf.
    Atomic,
    /// A leaf that is a map.
    AtomicMap,
    /// A leaf that is a list.
    AtomicList,
    /// A map with values of one type.
    Map(TypeId),
    /// A list of distinct scalars.
    Set,
    /// A list whose entries are identified by merge keys.
    Keyed(Vec<MergeKey>, TypeId),
    /// A map with known fields, sorted by name; other fields are [`TypeId::ANY`].
    Struct(Vec<(&'static str, TypeId)>),
}

/// A merge key of a list.
#[derive(Debug, PartialEq)]
pub struct MergeKey {
    /// The field's name.
    pub name: &'static str,
    /// Whether an entry that leaves the key out is refused.
    pub required: bool,
    /// The value of the key in an entry that leaves it out.
    pub default: Option<Value>,
}

#[derive(Deserialize)]
struct Table<'a> {
    #[serde(borrow)]
    kinds: BTreeMap<&'a str, &'a str>,
    cluster: Vec<&'a str>,
    structs: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
}

impl Schema {
    /// The table that is compiled in; parsed once per process.
    ///
    /// # Errors
    /// If the table cannot be parsed.
    pub fn embedded() -> Result<&'static Self, Error> {
        static SCHEMA: OnceLock<Result<Schema, Error>> = OnceLock::new();
        SCHEMA.get_or_init(|| Self::parse(include_str!("schema/table.json"))).as_ref().map_err(Clone::clone)
    }

    /// What the table says about a kind, as in `("apps/v1", "StatefulSet")`.
    pub fn kind(&self, api_version: &str, kind: &str) -> Kind {
        let name = format!("{api_version} {kind}");
        self.kinds.get(name.as_str()).copied().unwrap_or(Kind { root: self.unknown, cluster_scoped: false })
    }

    /// How values of the type are merged.
    pub fn get(&self, id: TypeId) -> &Type {
        // Only this schema creates ids, so the index is always valid. If not, a leaf is the strictest type.
        self.types.get(id.0 as usize).unwrap_or(&Type::Atomic)
    }

    fn parse(text: &'static str) -> Result<Self, Error> {
        let table: Table<'static> = serde_json::from_str(text).map_err(|error| Error(error.to_string()))?;
        let mut types = Types::new(&table);
        for (name, fields) in &table.structs {
            types.fill(name, fields)?;
        }
        let mut kinds = HashMap::with_capacity(table.kinds.len());
        for (name, definition) in &table.kinds {
            kinds.insert(*name, Kind { root: types.id(definition)?, cluster_scoped: false });
        }
        for name in &table.cluster {
            if let Some(kind) = kinds.get_mut(name) {
                kind.cluster_scoped = true;
            }
        }
        let metadata = types.id("apimachinery.pkg.apis.meta.v1.ObjectMeta")?;
        let unknown = types.add(Type::Struct(vec![("metadata", metadata)]));
        Ok(Self { types: types.all, kinds, unknown })
    }
}

impl Type {
    /// The type of a field.
    pub fn field(&self, name: &str) -> TypeId {
        match self {
            Self::Struct(fields) => match fields.binary_search_by(|(field, _)| (*field).cmp(name)) {
                Ok(index) => fields.get(index).map_or(TypeId::ANY, |(_, id)| *id),
                Err(_) => TypeId::ANY,
            },
            Self::Map(values) => *values,
            _ => TypeId::ANY,
        }
    }
}

/// The types while the table is parsed.
struct Types {
    all: Vec<Type>,
    known: HashMap<&'static str, TypeId>,
}

impl Types {
    /// Gives every struct an id first, so that other types can refer to it before its fields are parsed.
    fn new(table: &Table<'static>) -> Self {
        let simple = [
            ("", Type::Scalar),
            ("*", Type::Any),
            ("!", Type::Atomic),
            ("!{}", Type::AtomicMap),
            ("[]", Type::AtomicList),
            ("[=]", Type::Set),
        ];
        let places = simple.into_iter().chain(table.structs.keys().map(|name| (*name, Type::Struct(Vec::new()))));
        let mut types = Self { all: Vec::new(), known: HashMap::new() };
        for (name, place) in places {
            let id = types.add(place);
            types.known.insert(name, id);
        }
        types
    }

    fn add(&mut self, new: Type) -> TypeId {
        self.all.push(new);
        // The table has a few hundred types, so the index fits.
        TypeId(self.all.len() as u32 - 1)
    }

    fn fill(&mut self, name: &str, fields: &BTreeMap<&'static str, &'static str>) -> Result<(), Error> {
        let fields = fields.iter().map(|(field, text)| Ok((*field, self.id(text)?))).collect::<Result<_, Error>>()?;
        let id = self.id_of_struct(name)?;
        if let Some(place) = self.all.get_mut(id.0 as usize) {
            *place = Type::Struct(fields);
        }
        Ok(())
    }

    fn id_of_struct(&self, name: &str) -> Result<TypeId, Error> {
        self.known.get(name).copied().ok_or_else(|| Error(format!("type `{name}` is not defined")))
    }

    /// The id of the type that the table writes as `text`.
    fn id(&mut self, text: &'static str) -> Result<TypeId, Error> {
        if let Some(id) = self.known.get(text) {
            return Ok(*id);
        }
        let new = if let Some(values) = text.strip_prefix("{}") {
            Type::Map(self.id(values)?)
        } else if let Some((keys, element)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Type::Keyed(keys.split(',').map(merge_key).collect(), self.id(element)?)
        } else {
            return self.id_of_struct(text);
        };
        let id = self.add(new);
        self.known.insert(text, id);
        Ok(id)
    }
}

/// Parses a merge key as the table writes it, as in `protocol=TCP`.
///
/// For a required field the server publishes the empty string or zero as its default (Go's zero value). That is no
/// default: an entry that leaves such a key out is refused.
fn merge_key(text: &'static str) -> MergeKey {
    match text.split_once('=') {
        None => MergeKey { name: text, required: false, default: None },
        Some((name, "" | "0")) => MergeKey { name, required: true, default: None },
        Some((name, default)) => {
            let default = serde_json::from_str(default).unwrap_or_else(|_| Value::from(default));
            MergeKey { name, required: false, default: Some(default) }
        }
    }
}

#[cfg(test)]
mod tests;
