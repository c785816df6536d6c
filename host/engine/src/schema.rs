//! What the merge must know about every kind: which lists have merge keys, what is atomic, and what may be null.
//!
//! `cargo xtask schema` generates the table of the built-in kinds from the OpenAPI documents of an API server; the table of
//! custom resources comes from the same documents while the operator runs. [`openapi`] makes both, and defines how a
//! table writes a type. Kinds and fields that are in no table are merged as the server merges custom resources without
//! a schema: maps field by field, lists as a whole. The server's rules are those of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy>.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use serde::Deserialize;
use serde_json::Value;

pub mod openapi;

/// Why a table cannot be parsed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the merge table is invalid; generate that of the built-in kinds again with `cargo xtask schema`: {0}")]
pub struct Error(String);

/// The types of all built-in kinds, and of the custom resources that a pipeline creates. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Schemas {
    built_in: &'static Schema,
    custom: Option<Arc<Custom>>,
}

/// The types of custom resources, and the table that they are from.
#[derive(Debug)]
struct Custom {
    table: String,
    schema: Schema,
}

/// Equal if they are from equal tables.
impl PartialEq for Schemas {
    fn eq(&self, other: &Self) -> bool {
        fn table(schemas: &Schemas) -> Option<&str> {
            schemas.custom.as_ref().map(|custom| custom.table.as_str())
        }
        table(self) == table(other)
    }
}

/// The types of one table.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    kinds: HashMap<Name, Kind>,
    /// The type of a kind that is not in the table: only its metadata is known.
    unknown: TypeId,
}

/// A name in a table: a part of the text that is compiled in, or of one that was made while the operator runs.
type Name = Cow<'static, str>;

/// What a table says about a kind.
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
    /// As [`Self::ANY`], and every value may be null.
    pub const OPEN: Self = Self(2);
}

/// How values of a type are merged.
#[derive(Debug)]
pub enum Type {
    /// A leaf: string, number or boolean.
    Scalar,
    /// A map is merged field by field, any other value is a leaf.
    Any,
    /// As [`Self::Any`], and every value may be null.
    Open,
    /// A value of the type, or null.
    Nullable(TypeId),
    /// Any value, always a leaf.
    Atomic,
    /// A leaf that is a map.
    AtomicMap,
    /// A leaf that is a list with values of one type.
    AtomicList(TypeId),
    /// A map with values of one type.
    Map(TypeId),
    /// A list of distinct scalars.
    Set,
    /// A list whose entries are identified by merge keys.
    Keyed(Arc<[MergeKey]>, TypeId),
    /// A map with known fields, sorted by name; other fields are [`TypeId::ANY`].
    Struct(Vec<(Name, TypeId)>),
}

/// A merge key of a list.
#[derive(Debug, PartialEq)]
pub struct MergeKey {
    /// The field's name.
    pub name: Name,
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

impl Schemas {
    /// The built-in kinds only.
    ///
    /// # Errors
    /// If the table, which is compiled in, cannot be parsed.
    pub fn built_in() -> Result<Self, Error> {
        Ok(Self { built_in: Schema::embedded()?, custom: None })
    }

    /// The built-in kinds and those of this table, which [`openapi::custom`] makes.
    ///
    /// # Errors
    /// If one of the tables cannot be parsed.
    pub fn with_custom(table: &str) -> Result<Self, Error> {
        let schema = Schema::parse(table, |text| Cow::Owned(text.to_owned()))?;
        let custom = Custom { table: table.to_owned(), schema };
        Ok(Self { custom: Some(Arc::new(custom)), ..Self::built_in()? })
    }

    /// What the tables say about a kind, as in `("apps/v1", "StatefulSet")`, and the table that holds its types.
    pub fn kind(&self, api_version: &str, kind: &str) -> (&Schema, Kind) {
        let name = format!("{api_version} {kind}");
        let known = |schema: &Schema| schema.kinds.get(name.as_str()).copied();
        let custom = self.custom.as_deref().and_then(|custom| Some((&custom.schema, known(&custom.schema)?)));
        let unknown = |cluster_scoped| Kind { root: self.built_in.unknown, cluster_scoped };
        match custom {
            // A definition that accepts every field says nothing about metadata, which is the same for all kinds.
            Some((schema, kind)) if !schema.has_metadata(kind) => (self.built_in, unknown(kind.cluster_scoped)),
            Some(custom) => custom,
            None => (self.built_in, known(self.built_in).unwrap_or_else(|| unknown(false))),
        }
    }

    /// The built-in kinds of a version, as in `ConfigMap` for `v1`.
    pub fn built_in_kinds<'a>(api_version: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        let kinds = Schema::embedded().into_iter().flat_map(|schema| schema.kinds.keys());
        kinds.filter_map(|name| name.split_once(' ')).filter(move |(of, _)| *of == api_version).map(|(_, kind)| kind)
    }

    /// Whether the kind is a built-in one.
    pub fn is_built_in(&self, api_version: &str, kind: &str) -> bool {
        self.built_in.kinds.contains_key(format!("{api_version} {kind}").as_str())
    }
}

impl Schema {
    /// The table that is compiled in; parsed once per process.
    ///
    /// # Errors
    /// If the table cannot be parsed.
    pub fn embedded() -> Result<&'static Self, Error> {
        static SCHEMA: OnceLock<Result<Schema, Error>> = OnceLock::new();
        SCHEMA
            .get_or_init(|| Self::parse(include_str!("schema/table.json"), Cow::Borrowed))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// How values of the type are merged.
    pub fn get(&self, id: TypeId) -> &Type {
        // Only this schema creates ids, so the index is always valid. If not, a leaf is the strictest type.
        self.types.get(id.0 as usize).unwrap_or(&Type::Atomic)
    }

    /// Whether the metadata of a kind has a type.
    fn has_metadata(&self, kind: Kind) -> bool {
        matches!(self.get(self.get(kind.root).field("metadata")), Type::Struct(_))
    }

    /// `name` makes a [`Name`] of a part of the text.
    fn parse<'a>(text: &'a str, name: fn(&'a str) -> Name) -> Result<Self, Error> {
        let table: Table<'a> = serde_json::from_str(text).map_err(|error| Error(error.to_string()))?;
        let mut types = Types::new(&table, name);
        for (name, fields) in &table.structs {
            types.fill(name, fields)?;
        }
        let mut kinds = HashMap::with_capacity(table.kinds.len());
        for (kind, definition) in &table.kinds {
            kinds.insert(name(kind), Kind { root: types.id(definition)?, cluster_scoped: false });
        }
        for name in &table.cluster {
            if let Some(kind) = kinds.get_mut(*name) {
                kind.cluster_scoped = true;
            }
        }
        // A table of no kind has no metadata.
        let metadata = types.known.get("apimachinery.pkg.apis.meta.v1.ObjectMeta").copied().unwrap_or(TypeId::ANY);
        let unknown = types.add(Type::Struct(vec![(Cow::Borrowed("metadata"), metadata)]));
        Ok(Self { types: types.all, kinds, unknown })
    }
}

impl Type {
    /// The type of a field.
    pub fn field(&self, name: &str) -> TypeId {
        match self {
            Self::Struct(fields) => match fields.binary_search_by(|(field, _)| (**field).cmp(name)) {
                Ok(index) => fields.get(index).map_or(TypeId::ANY, |(_, id)| *id),
                Err(_) => TypeId::ANY,
            },
            Self::Map(values) => *values,
            Self::Open => TypeId::OPEN,
            _ => TypeId::ANY,
        }
    }

    /// The type of an entry of an atomic list.
    pub fn item(&self) -> TypeId {
        match self {
            Self::AtomicList(item) => *item,
            Self::Open => TypeId::OPEN,
            _ => TypeId::ANY,
        }
    }

    /// Whether a null is a value of the type. Elsewhere it is as if the field were left out.
    pub fn may_be_null(&self) -> bool {
        matches!(self, Self::Open | Self::Nullable(_))
    }
}

/// The types while the table is parsed.
struct Types<'a> {
    all: Vec<Type>,
    known: HashMap<&'a str, TypeId>,
    name: fn(&'a str) -> Name,
}

impl<'a> Types<'a> {
    /// Gives every struct an id first, so that other types can refer to it before its fields are parsed.
    fn new(table: &Table<'a>, name: fn(&'a str) -> Name) -> Self {
        // The first three have the ids of the constants of `TypeId`.
        let simple = [
            ("", Type::Scalar),
            ("*", Type::Any),
            ("**", Type::Open),
            ("!", Type::Atomic),
            ("!{}", Type::AtomicMap),
            ("[]", Type::AtomicList(TypeId::ANY)),
            ("[=]", Type::Set),
        ];
        let places = simple.into_iter().chain(table.structs.keys().map(|name| (*name, Type::Struct(Vec::new()))));
        let mut types = Self { all: Vec::new(), known: HashMap::new(), name };
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

    fn fill(&mut self, name: &str, fields: &BTreeMap<&'a str, &'a str>) -> Result<(), Error> {
        let fields = fields.iter().map(|(field, text)| Ok(((self.name)(field), self.id(text)?)));
        let fields = fields.collect::<Result<_, Error>>()?;
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
    fn id(&mut self, text: &'a str) -> Result<TypeId, Error> {
        if let Some(id) = self.known.get(text) {
            return Ok(*id);
        }
        let new = if let Some(values) = text.strip_prefix("{}") {
            Type::Map(self.id(values)?)
        } else if let Some(inner) = text.strip_prefix('?') {
            Type::Nullable(self.id(inner)?)
        } else if let Some(item) = text.strip_prefix("[]") {
            Type::AtomicList(self.id(item)?)
        } else if let Some((keys, element)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Type::Keyed(keys.split(',').map(|key| merge_key(key, self.name)).collect(), self.id(element)?)
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
fn merge_key<'a>(text: &'a str, own: fn(&'a str) -> Name) -> MergeKey {
    match text.split_once('=') {
        None => MergeKey { name: own(text), required: false, default: None },
        Some((name, "" | "0")) => MergeKey { name: own(name), required: true, default: None },
        Some((name, default)) => {
            let default = serde_json::from_str(default).unwrap_or_else(|_| Value::from(default));
            MergeKey { name: own(name), required: false, default: Some(default) }
        }
    }
}

#[cfg(test)]
mod openapi_tests;
#[cfg(test)]
mod tests;
