//! Makes a merge table of the OpenAPI documents that an API server publishes; pure.
//!
//! A table holds what a merge must know about kinds that can be applied, and nothing else. A type is written as
//!
//! | text                            | meaning                                                              |
//! |---------------------------------|----------------------------------------------------------------------|
//! | (empty)                         | a scalar                                                             |
//! | `*`                             | any value: maps are merged field by field, lists are atomic          |
//! | `**`                            | as `*`, and every value in it may be null                            |
//! | `?T`                            | a value of type T, or null                                           |
//! | `!`                             | any value, atomic                                                    |
//! | `!{}`                           | an atomic map                                                        |
//! | `{}T`                           | a map whose values are of type T                                     |
//! | `[]T`                           | an atomic list; T, which may be left out, says what may be null      |
//! | `[=]`                           | a set of scalars                                                     |
//! | `[port=0,protocol=TCP]T`        | a list of T matched by these keys; `=` gives the default of a key    |
//! | anything else                   | the name of a struct                                                 |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The start of a reference to a definition in an OpenAPI v3 document.
const REF: &str = "#/components/schemas/";
/// The start of the name of every definition of Kubernetes itself.
const PREFIX: &str = "io.k8s.";
/// What follows [`PREFIX`] in the name of a built-in kind. Other kinds are custom resources, which are not in the
/// table.
const BUILT_IN: [&str; 3] = ["api.", "apiextensions-apiserver.", "kube-aggregator."];
/// The definition of the metadata of every object.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// The content type of server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// Why no table can be made of the documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No document has a built-in kind that can be applied.
    #[error("no document has a kind that can be applied; use the documents of /openapi/v3")]
    FindKinds,
    /// A definition is not as the server's rules say.
    #[error("definition {definition}: {problem}")]
    ReadDefinition {
        /// The name of the definition; fields below it are joined by slashes.
        definition: String,
        /// What is wrong.
        problem: String,
    },
}

type Result<T, E = Error> = std::result::Result<T, E>;

fn unreadable(definition: &str, problem: impl Into<String>) -> Error {
    Error::ReadDefinition { definition: definition.to_owned(), problem: problem.into() }
}

/// Makes the table of the built-in kinds from the `/openapi/v3/…` documents of a server, in any order. The same documents
/// give the same text.
///
/// # Errors
/// If a definition cannot be read, or no document has a built-in kind.
pub fn built_in(documents: &[Value]) -> Result<String> {
    let kinds = applied_kinds(documents, |_, definition| is_built_in(definition));
    if kinds.is_empty() { Err(Error::FindKinds) } else { table(documents, &kinds, false) }
}

/// Makes the table of these custom resources, each as in `monitoring.coreos.com/v1 ServiceMonitor`. A kind that is in no
/// document is left out.
///
/// # Errors
/// If a definition cannot be read.
pub fn custom(documents: &[Value], wanted: &BTreeSet<String>) -> Result<String> {
    let is_wanted = |kind: &str, definition: &str| wanted.contains(kind) && !is_built_in(definition);
    table(documents, &applied_kinds(documents, is_wanted), true)
}

/// A kind that can be applied.
struct Applied {
    /// The name of its definition.
    definition: String,
    /// Whether its objects are cluster-scoped.
    cluster_scoped: bool,
}

/// The kinds that can be applied, as in `apps/v1 StatefulSet`.
fn applied_kinds(documents: &[Value], is_wanted: impl Fn(&str, &str) -> bool) -> BTreeMap<String, Applied> {
    let mut kinds = BTreeMap::new();
    for document in documents {
        for (path, operations) in object(document, "paths") {
            let Some((kind, definition)) = applied_kind(operations) else {
                continue;
            };
            // Only the object itself, no subresource.
            if path.ends_with("/{name}") && is_wanted(&kind, &definition) {
                let cluster_scoped = !path.contains("/namespaces/{namespace}/");
                kinds.insert(kind, Applied { definition, cluster_scoped });
            }
        }
    }
    kinds
}

/// The table of these kinds. `nulls`: what may be null inside atomic lists is written, too.
fn table(documents: &[Value], kinds: &BTreeMap<String, Applied>, nulls: bool) -> Result<String> {
    let definitions = definitions(documents);
    let mut structs = Structs { definitions: &definitions, nulls, done: BTreeMap::new() };
    // Every kind has it, and so have kinds that are in no table.
    let mut roots: BTreeSet<&str> = kinds.values().map(|kind| kind.definition.as_str()).collect();
    for root in &roots {
        structs.reference(root)?;
    }
    // The host refuses a status, so its types are not needed.
    for root in &roots {
        if let Some(fields) = structs.done.get_mut(*root) {
            fields.remove("status");
        }
    }
    if definitions.contains_key(METADATA) {
        structs.reference(METADATA)?;
        // A definition that accepts every field has no struct of its own. Its metadata are those of all kinds.
        let metadata = || BTreeMap::from([("metadata".to_owned(), short(METADATA).to_owned())]);
        for root in &roots {
            structs.done.entry((*root).to_owned()).or_insert_with(metadata);
        }
        roots.insert(METADATA);
    }
    let structs = reachable(&structs.done, &roots);
    Ok(render(kinds, &structs))
}

fn is_built_in(definition: &str) -> bool {
    let rest = definition.strip_prefix(PREFIX);
    rest.is_some_and(|rest| BUILT_IN.iter().any(|start| rest.starts_with(start)))
}

/// The definitions of all documents, by name. A definition is the same in every document that has it.
fn definitions(documents: &[Value]) -> BTreeMap<&str, &Value> {
    let mut all = BTreeMap::new();
    for document in documents {
        let schemas = document.get("components").map(|components| object(components, "schemas"));
        for (name, definition) in schemas.into_iter().flatten() {
            all.insert(name.as_str(), definition);
        }
    }
    all
}

/// The kind that a path's `patch` operation applies, and the name of the definition of the object that it returns.
fn applied_kind(operations: &Value) -> Option<(String, String)> {
    let patch = operations.get("patch")?;
    patch.pointer("/requestBody/content")?.get(APPLY)?;
    let kind = patch.get("x-kubernetes-group-version-kind")?;
    let text = |field: &str| kind.get(field).and_then(Value::as_str).unwrap_or_default();
    let api_version = match text("group") {
        "" => text("version").to_owned(),
        group => format!("{group}/{}", text("version")),
    };
    let answer = patch.pointer("/responses/200/content/application~1json/schema")?;
    Some((format!("{api_version} {}", text("kind")), target(answer)?.to_owned()))
}

/// The structs that have been reached, by full name: their fields and the fields' types.
struct Structs<'a> {
    definitions: &'a BTreeMap<&'a str, &'a Value>,
    /// Whether the entries of atomic lists have types.
    nulls: bool,
    done: BTreeMap<String, BTreeMap<String, String>>,
}

impl Structs<'_> {
    /// The type of a definition; its struct is added to `done`.
    fn reference(&mut self, name: &str) -> Result<String> {
        let missing = || unreadable(name, "it is not in the documents");
        let definition = self.definitions.get(name).copied().ok_or_else(missing)?;
        // An embedded object of any kind has no schema; the server merges it as one value.
        if name == "io.k8s.apimachinery.pkg.runtime.RawExtension" {
            return Ok("!".to_owned());
        }
        self.inline(definition, name)
    }

    /// The type of a schema, which is a reference to a definition or a type itself; `place` names it.
    fn of(&mut self, schema: &Value, place: &str) -> Result<String> {
        let text = match target(schema) {
            Some(_) if map_type(schema, place)? == Some("atomic") => "!{}".to_owned(),
            Some(name) => self.reference(name)?,
            None => self.inline(schema, place)?,
        };
        let nullable = schema.get("nullable").and_then(Value::as_bool).unwrap_or_default();
        Ok(if nullable { format!("?{text}") } else { text })
    }

    fn inline(&mut self, schema: &Value, place: &str) -> Result<String> {
        let is = |field: &str| schema.get(field).and_then(Value::as_bool).unwrap_or_default();
        Ok(match schema.get("type").and_then(Value::as_str) {
            Some("string" | "integer" | "number" | "boolean") => String::new(),
            // Only scalars have `oneOf`: quantities, and integers that may be strings.
            None if schema.get("oneOf").is_some() || is("x-kubernetes-int-or-string") => String::new(),
            Some("object") if map_type(schema, place)? == Some("atomic") => "!{}".to_owned(),
            None | Some("object") if object(schema, "properties").next().is_some() => self.fields(schema, place)?,
            None | Some("object") if is("x-kubernetes-preserve-unknown-fields") => "**".to_owned(),
            None => "*".to_owned(),
            Some("object") => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => format!("{{}}{}", self.of(values, &format!("{place}/*"))?),
                _ => "{}*".to_owned(),
            },
            Some("array") => self.list(schema, place)?,
            Some(other) => return Err(unreadable(place, format!("unknown type {other}"))),
        })
    }

    /// A struct with the name `place`; it is added to `done`.
    fn fields(&mut self, schema: &Value, place: &str) -> Result<String> {
        if !self.done.contains_key(place) {
            // The name first, because a type may contain itself.
            self.done.insert(place.to_owned(), BTreeMap::new());
            let mut fields = BTreeMap::new();
            for (field, schema) in object(schema, "properties") {
                fields.insert(field.clone(), self.of(schema, &format!("{place}/{field}"))?);
            }
            self.done.insert(place.to_owned(), fields);
        }
        Ok(short(place).to_owned())
    }

    fn list(&mut self, schema: &Value, place: &str) -> Result<String> {
        let (relation, keys) = relation(schema, place)?;
        let items = schema.get("items").ok_or_else(|| unreadable(place, "a list without items"))?;
        let place = format!("{place}/entry");
        Ok(match relation {
            Relation::Atomic if self.nulls => format!("[]{}", self.of(items, &place)?),
            Relation::Atomic => "[]".to_owned(),
            Relation::Set => "[=]".to_owned(),
            Relation::Map => {
                let element = self.of(items, &place)?;
                let keys: Vec<String> = keys.iter().map(|key| self.key(key, items)).collect();
                format!("[{}]{element}", keys.join(","))
            }
        })
    }

    /// A merge key with its default, if the server publishes one.
    fn key(&self, key: &str, items: &Value) -> String {
        let element = target(items).and_then(|name| self.definitions.get(name).copied()).unwrap_or(items);
        match element.get("properties").and_then(|fields| fields.get(key)?.get("default")) {
            Some(Value::String(default)) => format!("{key}={default}"),
            Some(default) => format!("{key}={default}"),
            None => key.to_owned(),
        }
    }
}

enum Relation {
    Atomic,
    Set,
    Map,
}

/// How a list is merged, by the server's rules: its list type, else its older patch strategy, else atomic.
fn relation(schema: &Value, place: &str) -> Result<(Relation, Vec<String>)> {
    let text = |field: &str| schema.get(field).and_then(Value::as_str);
    Ok(match (text("x-kubernetes-list-type"), text("x-kubernetes-patch-strategy")) {
        (Some("atomic"), _) | (None, None | Some("retainKeys")) => (Relation::Atomic, Vec::new()),
        (Some("set"), _) => (Relation::Set, Vec::new()),
        (Some("map"), _) => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let keys = keys.ok_or_else(|| unreadable(place, "a list of maps without keys"))?.iter();
            let key = |key: &Value| key.as_str().map(str::to_owned);
            let keys = keys.map(|text| key(text).ok_or_else(|| unreadable(place, "a key that is no string")));
            (Relation::Map, keys.collect::<Result<_>>()?)
        }
        (None, Some("merge" | "merge,retainKeys")) => match text("x-kubernetes-patch-merge-key") {
            Some(key) => (Relation::Map, vec![key.to_owned()]),
            None => (Relation::Set, Vec::new()),
        },
        (list, patch) => {
            return Err(unreadable(place, format!("unknown list type {list:?} or patch strategy {patch:?}")));
        }
    })
}

fn map_type<'a>(schema: &'a Value, place: &str) -> Result<Option<&'a str>> {
    match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
        Some(other) if other != "atomic" && other != "granular" => {
            Err(unreadable(place, format!("unknown map type {other}")))
        }
        found => Ok(found),
    }
}

/// The name of the definition that a schema refers to, directly or in an `allOf` of one element.
fn target(schema: &Value) -> Option<&str> {
    let reference = schema.get("$ref").or_else(|| match schema.get("allOf")?.as_array()?.as_slice() {
        [only] => only.get("$ref"),
        _ => None,
    });
    reference?.as_str()?.strip_prefix(REF)
}

fn object<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(field).and_then(Value::as_object).into_iter().flatten()
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The structs that the roots refer to, directly or not, by short name.
fn reachable(
    structs: &BTreeMap<String, BTreeMap<String, String>>,
    roots: &BTreeSet<&str>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut open: Vec<String> = roots.iter().map(|root| short(root).to_owned()).collect();
    let all: BTreeMap<&str, &BTreeMap<String, String>> =
        structs.iter().map(|(name, fields)| (short(name), fields)).collect();
    let mut kept = BTreeMap::new();
    while let Some(name) = open.pop() {
        let Some(fields) = all.get(name.as_str()).filter(|_| !kept.contains_key(&name)) else {
            continue;
        };
        // The name at the end of a type, after the prefixes of lists and maps.
        open.extend(fields.values().filter_map(|text| text.rsplit([']', '}', '?']).next()).map(str::to_owned));
        kept.insert(name, (*fields).clone());
    }
    kept
}

/// One line per kind and per struct, so that a new Kubernetes version reads as a small diff.
fn render(kinds: &BTreeMap<String, Applied>, structs: &BTreeMap<String, BTreeMap<String, String>>) -> String {
    let line = |name: &str, value: Value| format!("{}: {value}", json!(name));
    let cluster = kinds.iter().filter(|(_, applied)| applied.cluster_scoped);
    let cluster: Vec<String> = cluster.map(|(kind, _)| json!(kind).to_string()).collect();
    let kinds = kinds.iter().map(|(kind, applied)| line(kind, json!(short(&applied.definition))));
    let kinds: Vec<String> = kinds.collect();
    let structs: Vec<String> = structs
        .iter()
        .map(|(name, fields)| {
            line(name, fields.iter().map(|(field, text)| (field.clone(), json!(text))).collect::<Map<_, _>>().into())
        })
        .collect();
    format!(
        "{{\n\"kinds\": {{\n{}\n}},\n\"cluster\": [\n{}\n],\n\"structs\": {{\n{}\n}}\n}}\n",
        kinds.join(",\n"),
        cluster.join(",\n"),
        structs.join(",\n")
    )
}
