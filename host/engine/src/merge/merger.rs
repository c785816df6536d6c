//! The desired objects of one run, while steps contribute to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use pgloom_api::{Finding, Privilege};
use pgloom_common::name::is_dns1123_subdomain;
use serde_json::{Map, Value};

use super::{
    check::Check,
    error::{Change, Error},
    quantity, reference,
    unknown::unknown_fields,
    writer::Writer,
};
use crate::{
    decision::Desired,
    model::{ObjectKind, ObjectRef},
    owners::StepId,
    ownership::{Leaves, Ownership, each_leaf},
    path::{FieldPath, Segment},
    permission::{Missing, ObjectPermissions},
    privilege::{self, Needed},
    reserved,
    schema::{Kind, Schema, Schemas},
    scope::Scope,
    tree::{Node, normalize},
};

/// The desired objects of one run. A clone is a cheap savepoint: the objects are shared until one of them changes.
#[derive(Clone)]
pub struct Merger {
    schemas: Schemas,
    pub(super) scope: Arc<Scope>,
    /// The names of the steps that have contributed, by [`StepId`].
    steps: Vec<String>,
    /// The ConfigMaps that pods of the step that contributes need, if it has no privilege for those of others.
    maps: Vec<NeededMap>,
    /// In order of creation.
    pub(super) objects: Vec<Arc<Object>>,
    /// The indices of the objects that have changed since the last [check](Self::check_selections).
    pub(super) changed: BTreeSet<usize>,
    /// Whether a container refers to variables.
    pub(super) has_references: bool,
}

#[derive(Clone)]
pub(super) struct Object {
    pub(super) identity: ObjectRef,
    pub(super) creator: StepId,
    pub(super) root: Node,
    /// What steps removed from it.
    pub(super) removed: BTreeMap<String, StepId>,
    /// Whether its pods have a token of their service account only if they say so: its creator may not give them one.
    pub(super) without_token: bool,
    /// The object as JSON text, from the first step that reads it to the next change.
    text: OnceLock<String>,
}

impl Object {
    /// The object to change it.
    pub(super) fn change(this: &mut Arc<Self>) -> &mut Self {
        let object = Arc::make_mut(this);
        object.text = OnceLock::new();
        object
    }

    fn text(&self) -> &str {
        // Serializing maps with string keys and JSON values does not fail.
        self.text.get_or_init(|| serde_json::to_string(&self.root).unwrap_or_default())
    }
}

/// A ConfigMap that pods need.
#[derive(Clone)]
struct NeededMap {
    name: String,
    /// The object with the pods.
    object: ObjectRef,
    /// The field that names the ConfigMap.
    path: String,
    /// What the step lacks for one that is not the cluster's.
    missing: Missing,
}

impl Merger {
    /// Starts without objects of the cluster.
    pub fn new(schemas: Schemas, scope: Scope) -> Self {
        Self {
            schemas,
            scope: Arc::new(scope),
            steps: Vec::new(),
            maps: Vec::new(),
            objects: Vec::new(),
            changed: BTreeSet::new(),
            has_references: false,
        }
    }

    /// Adds names of Secrets that are the cluster's.
    pub fn own_secrets(&mut self, names: impl IntoIterator<Item = String>) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            Arc::make_mut(&mut self.scope).secrets.extend(names);
        }
    }

    /// Merges a partial object: `apiVersion`, `kind`, `metadata.name` and the fields that the step sets.
    ///
    /// # Errors
    /// If the step lacks a permission, another step set a field to another value, or a value is not of its field's
    /// type. Nothing is changed then.
    pub fn apply(&mut self, writer: &Writer<'_>, mut fragment: Value) -> Result<(), Error> {
        normalize(&mut fragment);
        let (object, mut fields) = identify(writer.step, fragment)?;
        let kind = ObjectKind { api_version: object.api_version.clone(), kind: object.kind.clone() };
        let schemas = self.schemas.clone();
        let (schema, known) = schemas.kind(&kind.api_version, &kind.kind);
        let permissions = writer.permissions.of(&kind, &object, &self.scope.cluster);
        let checked = self.check_object(writer, &permissions, &object, &kind, known);
        let index = checked.map_err(|error| match error {
            Error::Name { step, object, missing, change: Change::Set(None) } => {
                let path = self.first_set(writer, &permissions, &object, (schema, known), &fields);
                Error::Name { step, object, missing, change: Change::Set(path) }
            }
            other => other,
        })?;
        self.set_namespace(writer.step, &object, &mut fields)?;
        let step = self.step(writer);
        let fields = Value::Object(fields);
        if let Some((path, problem)) = quantity::find(&kind, &fields) {
            let (step, object) = (writer.step.to_owned(), Box::new(object));
            return Err(Error::TypeMismatch { step, object, path, problem });
        }
        let lacks = |privilege| writer.permissions.missing(privilege).is_some();
        let needed = privilege::find(&kind, &fields, &self.scope, lacks);
        check_privilege(writer, &object, needed)?;
        self.note_config_maps(writer, &kind, &object, &fields);
        let mut root = Node::from_value(schema, known.root, fields, step)
            .map_err(|mismatch| Error::type_mismatch(writer.step, &object, mismatch))?;
        let before = index.and_then(|index| self.objects.get(index)).map(|before| &before.root);
        root.drop_anchors(before);
        let needed = privilege::member_label(&kind, &object.name, before, &root, &self.scope);
        check_privilege(writer, &object, needed)?;
        let is_granted = |path: &[Segment]| permissions.name_entry(path);
        let needed = privilege::database_command(&object, before, &root, step, (&self.scope, &is_granted));
        check_privilege(writer, &object, needed)?;
        self.check_fields((writer, step), &permissions, &object, index, &root)?;
        self.changed.insert(index.unwrap_or(self.objects.len()));
        self.has_references = self.has_references || reference::has_references(&object, &root);
        match index.and_then(|index| self.objects.get_mut(index)) {
            Some(before) => Object::change(before).root.combine(root),
            None => {
                let (removed, text, without_token) =
                    (BTreeMap::new(), OnceLock::new(), lacks(Privilege::ServiceAccount));
                let object = Object { identity: object, creator: step, root, removed, without_token, text };
                self.objects.push(Arc::new(object));
            }
        }
        Ok(())
    }

    /// A warning for each field of a partial object that its kind does not have.
    pub(crate) fn unknown_fields(&self, fragment: &Value) -> Vec<Finding> {
        unknown_fields(&self.schemas, fragment)
    }

    /// Notes the ConfigMaps that the object's pods need, if the step may not use those of others.
    fn note_config_maps(&mut self, writer: &Writer<'_>, kind: &ObjectKind, object: &ObjectRef, fields: &Value) {
        let Some(missing) = writer.permissions.missing(Privilege::ForeignConfigMap) else { return };
        let needed = privilege::config_maps(kind, fields).into_iter();
        self.maps.extend(needed.map(|(name, path)| NeededMap { name, object: object.clone(), path, missing }));
    }

    /// Checks, after all contributions of a step, that its pods need only the ConfigMaps that steps of this run make, or that
    /// the step has the privilege for others.
    ///
    /// # Errors
    /// The first field that names another ConfigMap.
    pub fn check_config_maps(&mut self, step: &str) -> Result<(), Error> {
        let is_made = |name: &str| {
            let is_it = |object: &Arc<Object>| {
                let ObjectRef { api_version, kind, name: made } = &object.identity;
                (api_version.as_str(), kind.as_str(), made.as_str()) == ("v1", "ConfigMap", name)
            };
            self.objects.iter().any(is_it)
        };
        let foreign = std::mem::take(&mut self.maps).into_iter().find(|map| !is_made(&map.name));
        let Some(NeededMap { object, path, missing, .. }) = foreign else { return Ok(()) };
        let (step, object, privilege) = (step.to_owned(), Box::new(object), Privilege::ForeignConfigMap);
        Err(Error::Privilege { step, object, path, privilege, missing })
    }

    /// Checks that the step may contribute to the object. Returns the object's index, if it exists.
    fn check_object(
        &self,
        writer: &Writer<'_>,
        permissions: &ObjectPermissions<'_>,
        object: &ObjectRef,
        kind: &ObjectKind,
        known: Kind,
    ) -> Result<Option<usize>, Error> {
        let (step, boxed) = (|| writer.step.to_owned(), || Box::new(object.clone()));
        let scoped = || known.cluster_scoped.then_some(reserved::CLUSTER_SCOPED);
        let reserved = reserved::kind(kind).or_else(scoped).or_else(|| reserved::name(object, &self.scope));
        if let Some(reason) = reserved {
            return Err(Error::Kind { step: step(), object: boxed(), reason });
        }
        if let Some(missing) = permissions.missing() {
            let exists = self.find(writer.step, object).is_ok_and(|found| found.is_some());
            let change = if exists { Change::Set(None) } else { Change::Create };
            return Err(Error::Name { step: step(), object: boxed(), missing, change });
        }
        let index = self.find(writer.step, object)?;
        match permissions.missing_to_create() {
            Some(missing) if index.is_none() => Err(Error::Create { step: step(), object: boxed(), missing }),
            _ => Ok(index),
        }
    }

    /// The first field that a step, which may do nothing to the object of an earlier step, would set.
    fn first_set(
        &self,
        writer: &Writer<'_>,
        permissions: &ObjectPermissions<'_>,
        object: &ObjectRef,
        (schema, known): (&Schema, Kind),
        fields: &Map<String, Value>,
    ) -> Option<FieldPath> {
        // Of no step that has contributed.
        let nobody = StepId::try_from(self.steps.len()).unwrap_or(StepId::MAX);
        let index = self.find(writer.step, object).ok().flatten();
        let root = Node::from_value(schema, known.root, Value::Object(fields.clone()), nobody).ok()?;
        match self.check_fields((writer, nobody), permissions, object, index, &root) {
            Err(Error::Permission { path, .. }) => Some(path),
            _ => None,
        }
    }

    /// Checks that the step may set these fields of the object.
    fn check_fields(
        &self,
        (writer, step): (&Writer<'_>, StepId),
        permissions: &ObjectPermissions<'_>,
        object: &ObjectRef,
        index: Option<usize>,
        root: &Node,
    ) -> Result<(), Error> {
        let before = index.and_then(|index| self.objects.get(index));
        let own = before.is_none_or(|before| before.creator == step);
        if let Some((path, reason)) = reserved::field(object, root, own, &self.scope) {
            return Err(Error::Reserved {
                step: writer.step.to_owned(),
                object: Box::new(object.clone()),
                path,
                reason,
            });
        }
        let coverage = permissions.coverage(own);
        let mut check = Check::new((*writer, step), permissions, object, &self.steps);
        check.object(&coverage, before.map(|before| &before.root), root)
    }

    /// The objects of these kinds as JSON text, in order of creation.
    pub fn desired<'a>(&'a self, kinds: &'a [ObjectKind]) -> impl Iterator<Item = (&'a ObjectRef, &'a str)> {
        let selected = |object: &&Arc<Object>| {
            let ObjectRef { api_version, kind, .. } = &object.identity;
            kinds.iter().any(|known| known.api_version == *api_version && known.kind == *kind)
        };
        self.objects.iter().filter(selected).map(|object| (&object.identity, object.text()))
    }

    /// About how much memory the objects take that are not those of another one.
    pub(crate) fn size_beyond(&self, other: Option<&Self>) -> usize {
        let is_shared = |(index, object): &(usize, &Arc<Object>)| {
            other.and_then(|other| other.objects.get(*index)).is_some_and(|other| Arc::ptr_eq(other, object))
        };
        let own = self.objects.iter().enumerate().filter(|object| !is_shared(object));
        own.map(|(_, object)| object.root.size() + object.text.get().map_or(0, String::len)).sum()
    }

    /// The objects in order of creation.
    pub fn finish(self) -> Vec<Desired> {
        let Self { steps, objects, .. } = self;
        let desired = objects.into_iter().map(|object| {
            let step = steps.get(usize::from(object.creator)).cloned().unwrap_or_default();
            let object = match Arc::try_unwrap(object) {
                Ok(own) => own.root.into_value(),
                Err(shared) => shared.root.to_value(),
            };
            Desired { object, step }
        });
        desired.collect()
    }

    /// For each object, in order of creation, its leaves by path.
    pub(crate) fn leaves(&self) -> Leaves {
        let of = |object: &Arc<Object>| {
            let mut leaves = BTreeMap::new();
            each_leaf(&object.root, &mut String::new(), &mut |path, leaf| {
                leaves.insert(path.to_owned(), leaf.to_value());
            });
            (object.identity.clone(), leaves)
        };
        self.objects.iter().map(of).collect()
    }

    /// For each object, in order of creation, who set its fields.
    pub fn owners(&self) -> Vec<Ownership> {
        let name = |step: StepId| self.steps.get(usize::from(step)).cloned().unwrap_or_default();
        let of = |object: &Arc<Object>| {
            let removed = object.removed.iter().map(|(path, step)| (path.clone(), name(*step))).collect();
            let mut ownership = Ownership { leaves: BTreeMap::new(), removed };
            each_leaf(&object.root, &mut String::new(), &mut |path, leaf| {
                // A later step may have set again what one removed.
                ownership.removed.remove(path);
                ownership.leaves.insert(path.to_owned(), leaf.owners().iter().map(name).collect());
            });
            ownership
        };
        self.objects.iter().map(of).collect()
    }

    /// The number of a step; a step that has not contributed before gets a new one.
    pub(super) fn step(&mut self, writer: &Writer<'_>) -> StepId {
        let index = self.steps.iter().position(|step| step == writer.step).unwrap_or_else(|| {
            self.steps.push(writer.step.to_owned());
            self.steps.len() - 1
        });
        // A pipeline document has at most a few dozen steps, so the number always fits.
        StepId::try_from(index).unwrap_or(StepId::MAX)
    }

    /// The index of an object, if it exists. Another version of the same group means the same object on the server, but
    /// its fields may differ, so the two cannot be merged.
    pub(super) fn find(&self, step: &str, object: &ObjectRef) -> Result<Option<usize>, Error> {
        let same = |other: &Arc<Object>| {
            let ObjectRef { api_version, kind, name } = &other.identity;
            *name == object.name
                && *kind == object.kind
                && reserved::group(api_version) == reserved::group(&object.api_version)
        };
        let index = self.objects.iter().position(same);
        match index.and_then(|index| self.objects.get(index)) {
            Some(known) if known.identity.api_version != object.api_version => Err(Error::Identify {
                step: step.to_owned(),
                field: "apiVersion",
                problem: format!(
                    "{} {} was created as {}, not {}",
                    object.kind, object.name, known.identity.api_version, object.api_version
                ),
            }),
            _ => Ok(index),
        }
    }

    /// Sets the object's namespace to the cluster's; a fragment must not name another one.
    fn set_namespace(&self, step: &str, object: &ObjectRef, fields: &mut Map<String, Value>) -> Result<(), Error> {
        let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
        match metadata.get("namespace") {
            Some(Value::String(namespace)) if *namespace != self.scope.namespace => Err(Error::Reserved {
                step: step.to_owned(),
                object: Box::new(object.clone()),
                path: FieldPath::new(vec![
                    Segment::Field("metadata".to_owned()),
                    Segment::Field("namespace".to_owned()),
                ]),
                reason: "an object must be in the namespace of its cluster",
            }),
            _ => {
                metadata.insert("namespace".to_owned(), Value::from(self.scope.namespace.as_str()));
                Ok(())
            }
        }
    }
}

/// Checks that the step has the privilege that a field needs.
fn check_privilege(writer: &Writer<'_>, object: &ObjectRef, needed: Option<Needed>) -> Result<(), Error> {
    let Some(Needed { path, privilege }) = needed else { return Ok(()) };
    let Some(missing) = writer.permissions.missing(privilege) else { return Ok(()) };
    let (step, object) = (writer.step.to_owned(), Box::new(object.clone()));
    Err(Error::Privilege { step, object, path, privilege, missing })
}

/// Which object a fragment is part of, and the fragment's fields.
fn identify(step: &str, fragment: Value) -> Result<(ObjectRef, Map<String, Value>), Error> {
    let missing = |field, problem: &str| Error::Identify { step: step.to_owned(), field, problem: problem.to_owned() };
    let Value::Object(fields) = fragment else {
        return Err(missing("apiVersion", "it is not a JSON object"));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let api_version = text(fields.get("apiVersion")).ok_or_else(|| missing("apiVersion", "it is missing"))?;
    let kind = text(fields.get("kind")).ok_or_else(|| missing("kind", "it is missing"))?;
    let name = fields.get("metadata").and_then(|metadata| text(metadata.get("name")));
    let name = name.ok_or_else(|| missing("metadata.name", "it is missing"))?;
    if !is_dns1123_subdomain(&name) {
        let rule = "has to be at most 253 lower case letters, digits, `-` and `.`, with a letter or digit at each end \
                    and at each `.`; check the keys of the operator configuration that are part of names";
        return Err(missing("metadata.name", &format!("{name:?} {rule}")));
    }
    Ok((ObjectRef { api_version, kind, name }, fields))
}
