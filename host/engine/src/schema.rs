//! What a merge needs to know of every built-in kind: which lists have merge keys, what is atomic.
//!
//! It is read from a table that `cargo xtask schema` writes from the API server's own OpenAPI; `xtask/src/schema/table.rs`
//! states how types are written in it. What the table does not know, kinds and fields alike, is merged as the server merges
//! custom resources without a schema: maps deeply, lists as a whole.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use serde::Deserialize;
use serde_json::Value;

/// Why the table cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the merge table of the built-in kinds is broken; write it anew with `cargo xtask schema`: {0}")]
pub struct Error(String);

/// The types of all built-in kinds.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    kinds: HashMap<&'static str, Kind>,
    /// A kind that the table does not know: only its metadata is what it always is.
    unknown: TypeId,
}

/// What is known of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The type of its objects.
    pub root: TypeId,
    /// Whether its objects live in no namespace.
    pub cluster_scoped: bool,
}

/// A type, by its place in [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u32);

impl TypeId {
    /// A string, number or boolean.
    pub const SCALAR: Self = Self(0);
    /// Anything: maps are merged deeply, lists are atomic.
    pub const ANY: Self = Self(1);
}

/// How values of a type are merged.
#[derive(Debug)]
pub enum Type {
    /// A leaf: string, number or boolean.
    Scalar,
    /// Maps deeply, everything else as a leaf.
    Any,
    /// A leaf, whatever it is.
    Atomic,
    /// A leaf that is a map.
    AtomicMap,
    /// A leaf that is a list.
    AtomicList,
    /// A map with values of one type.
    Map(TypeId),
    /// A list of different scalars.
    Set,
    /// A list whose entries are known by their merge keys.
    Keyed(Vec<MergeKey>, TypeId),
    /// A map with known fields, sorted by name; other fields are [`TypeId::ANY`].
    Struct(Vec<(&'static str, TypeId)>),
}

/// A merge key of a list.
#[derive(Debug, PartialEq)]
pub struct MergeKey {
    /// The field's name.
    pub name: &'static str,
    /// Whether an entry without it is refused.
    pub required: bool,
    /// What an entry without it means.
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
    /// The table that comes with this build; read once.
    pub fn embedded() -> Result<&'static Self, Error> {
        static SCHEMA: OnceLock<Result<Schema, Error>> = OnceLock::new();
        SCHEMA.get_or_init(|| Self::parse(include_str!("schema/table.json"))).as_ref().map_err(Clone::clone)
    }

    /// What is known of a kind.
    pub fn kind(&self, api_version: &str, kind: &str) -> Kind {
        let name = format!("{api_version} {kind}");
        self.kinds.get(name.as_str()).copied().unwrap_or(Kind { root: self.unknown, cluster_scoped: false })
    }

    /// How values of the type are merged.
    pub fn get(&self, id: TypeId) -> &Type {
        // Ids are made by this schema alone, so there is always one; leaves are the cautious reading.
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

/// The types while the table is being read.
struct Types {
    all: Vec<Type>,
    known: HashMap<&'static str, TypeId>,
}

impl Types {
    /// Gives every struct its place, so that it can be referred to before its fields are known.
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
        // The table has hundreds of types.
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
        self.known.get(name).copied().ok_or_else(|| Error(format!("it says nothing of `{name}`")))
    }

    /// The type that is written so.
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

/// A merge key as the table writes it. The server publishes the empty text and zero as the default of fields that have
/// none, but have to be there; an entry that leaves such a key out is a slip.
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
