//! Builds the engine's merge table from the OpenAPI documents that an API server publishes; pure.
//!
//! The table holds what a merge must know about every kind that can be applied, and nothing else. A type is written as
//!
//! | text                            | meaning                                                              |
//! |---------------------------------|----------------------------------------------------------------------|
//! | (empty)                         | a scalar                                                             |
//! | `*`                             | any value: maps are merged field by field, lists are atomic          |
//! | `!`                             | any value, atomic                                                    |
//! | `!{}`                           | an atomic map                                                        |
//! | `{}T`                           | a map whose values are of type T                                     |
//! | `[]`                            | an atomic list                                                       |
//! | `[=]`                           | a set of scalars                                                     |
//! | `[port=0,protocol=TCP]T`        | a list of T matched by these keys; `=` gives the default of a key    |
//! | anything else                   | the name of a struct                                                 |

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// The start of a reference to a definition in an OpenAPI v3 document.
const REF: &str = "#/components/schemas/";
/// The start of the name of every definition of Kubernetes itself.
const PREFIX: &str = "io.k8s.";
/// What follows [`PREFIX`] in the name of a built-in kind. Other kinds are custom resources, which are not in the
/// table.
const BUILT_IN: [&str; 3] = ["api.", "apiextensions-apiserver.", "kube-aggregator."];
/// The content type of server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

/// Builds the table from the `/openapi/v3/…` documents of a server, in any order. The same documents give the same
/// text.
pub fn build(documents: &[Value]) -> Result<String> {
    let definitions = definitions(documents);
    let mut kinds = BTreeMap::new();
    let mut cluster = BTreeSet::new();
    for document in documents {
        for (path, operations) in object(document, "paths") {
            let Some((kind, definition)) = applied_kind(operations) else {
                continue;
            };
            // Only the object itself, no subresource, and only built-in kinds.
            if !path.ends_with("/{name}") || !is_built_in(&definition) {
                continue;
            }
            if !path.contains("/namespaces/{namespace}/") {
                cluster.insert(kind.clone());
            }
            kinds.insert(kind, definition);
        }
    }
    if kinds.is_empty() {
        bail!("no document has a kind that can be applied; use the documents of /openapi/v3");
    }
    let mut structs = Structs { definitions: &definitions, done: BTreeMap::new() };
    let roots: BTreeSet<&str> = kinds.values().map(String::as_str).collect();
    for root in &roots {
        structs.reference(root)?;
    }
    // The host refuses a status, so its types are not needed.
    for root in &roots {
        if let Some(fields) = structs.done.get_mut(*root) {
            fields.remove("status");
        }
    }
    let structs = reachable(structs.done, &roots);
    Ok(render(&kinds, &cluster, &structs))
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
    done: BTreeMap<&'a str, BTreeMap<String, String>>,
}

impl<'a> Structs<'a> {
    /// The type of a definition; its struct is added to `done`.
    fn reference(&mut self, name: &str) -> Result<String> {
        let (&name, &definition) = self
            .definitions
            .get_key_value(name)
            .with_context(|| format!("definition {name} is not in the documents"))?;
        // An embedded object of any kind has no schema; the server merges it as one value.
        if name == "io.k8s.apimachinery.pkg.runtime.RawExtension" {
            return Ok("!".to_owned());
        }
        let atomic = map_type(definition)? == Some("atomic");
        if object(definition, "properties").next().is_none() || atomic {
            return self.inline(definition).with_context(|| format!("in definition {name}"));
        }
        if !self.done.contains_key(name) {
            // The name first, because a type may contain itself.
            self.done.insert(name, BTreeMap::new());
            let mut fields = BTreeMap::new();
            for (field, schema) in object(definition, "properties") {
                let text = self.of(schema).with_context(|| format!("in field {field} of definition {name}"))?;
                fields.insert(field.clone(), text);
            }
            self.done.insert(name, fields);
        }
        Ok(short(name).to_owned())
    }

    /// The type of a schema, which is a reference to a definition or a type itself.
    fn of(&mut self, schema: &Value) -> Result<String> {
        match target(schema) {
            Some(_) if map_type(schema)? == Some("atomic") => Ok("!{}".to_owned()),
            Some(name) => self.reference(name),
            None => self.inline(schema),
        }
    }

    fn inline(&mut self, schema: &Value) -> Result<String> {
        Ok(match schema.get("type").and_then(Value::as_str) {
            Some("string" | "integer" | "number" | "boolean") => String::new(),
            // Only scalars have `oneOf`: quantities, and integers that may be strings.
            None if schema.get("oneOf").is_some() => String::new(),
            None => "*".to_owned(),
            Some("object") if map_type(schema)? == Some("atomic") => "!{}".to_owned(),
            Some("object") => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => format!("{{}}{}", self.of(values)?),
                _ => "{}*".to_owned(),
            },
            Some("array") => self.list(schema)?,
            Some(other) => bail!("unknown type {other}"),
        })
    }

    fn list(&mut self, schema: &Value) -> Result<String> {
        let (relation, keys) = relation(schema)?;
        let items = schema.get("items").context("a list without items")?;
        Ok(match relation {
            Relation::Atomic => "[]".to_owned(),
            Relation::Set => "[=]".to_owned(),
            Relation::Map => {
                let element = self.of(items)?;
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
fn relation(schema: &Value) -> Result<(Relation, Vec<String>)> {
    let text = |field: &str| schema.get(field).and_then(Value::as_str);
    Ok(match (text("x-kubernetes-list-type"), text("x-kubernetes-patch-strategy")) {
        (Some("atomic"), _) | (None, None | Some("retainKeys")) => (Relation::Atomic, Vec::new()),
        (Some("set"), _) => (Relation::Set, Vec::new()),
        (Some("map"), _) => {
            let keys = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array)
                .context("a list of maps without keys")?;
            let keys = keys.iter().map(|key| key.as_str().map(str::to_owned).context("a key that is no string"));
            (Relation::Map, keys.collect::<Result<_>>()?)
        }
        (None, Some("merge" | "merge,retainKeys")) => match text("x-kubernetes-patch-merge-key") {
            Some(key) => (Relation::Map, vec![key.to_owned()]),
            None => (Relation::Set, Vec::new()),
        },
        (list, patch) => bail!("unknown list type {list:?} or patch strategy {patch:?}"),
    })
}

fn map_type(schema: &Value) -> Result<Option<&str>> {
    match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
        Some(other) if other != "atomic" && other != "granular" => bail!("unknown map type {other}"),
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
    structs: BTreeMap<&str, BTreeMap<String, String>>,
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
        open.extend(fields.values().filter_map(|text| text.rsplit([']', '}']).next()).map(str::to_owned));
        kept.insert(name, (*fields).clone());
    }
    kept
}

/// One line per kind and per struct, so that a new Kubernetes version reads as a small diff.
fn render(
    kinds: &BTreeMap<String, String>,
    cluster: &BTreeSet<String>,
    structs: &BTreeMap<String, BTreeMap<String, String>>,
) -> String {
    let line = |name: &str, value: Value| format!("{}: {value}", json!(name));
    let kinds: Vec<String> = kinds.iter().map(|(kind, definition)| line(kind, json!(short(definition)))).collect();
    let cluster: Vec<String> = cluster.iter().map(|kind| json!(kind).to_string()).collect();
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
