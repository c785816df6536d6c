//! Merges the partial objects that steps contribute, as server-side apply would merge those of different managers.
//!
//! A contribution goes through three stages: its shape is found by the kind's schema, it is checked against the step's
//! rights and the values of earlier steps, and only then is it put in. So what is refused leaves no trace.
//!
//! The server's merge depends on how it stores objects; where that shows, ours goes by what was said. Null is the same as
//! silence, and equal values agree even if the server would have added defaults to the first. A claim on some entries of a
//! list is no right to reorder the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

mod check;
mod combine;
mod error;
mod node;
mod remove;

pub use error::{Conflict, Error};
pub(crate) use node::Node;

use self::{
    check::Check,
    node::{StepId, tidy},
};
use crate::{
    claim::{self, Rights},
    contract::{ObjectKind, ObjectRef},
    decision::Desired,
    ownership::owners,
    path::{FieldPath, Segment},
    schema::{Kind, Schema},
};

/// A step that contributes.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// Its name in the pipeline.
    pub step: &'a str,
    /// What it may do.
    pub rights: &'a Rights,
}

/// The desired objects of one run, while steps contribute to them. A clone is a cheap savepoint.
#[derive(Clone)]
pub struct Merger {
    schema: &'static Schema,
    namespace: String,
    steps: Vec<Step>,
    objects: Vec<Arc<Object>>,
}

/// A step that wrote something.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Whether it reads Secrets, so that its values are not shown.
    pub(crate) confidential: bool,
}

#[derive(Clone)]
struct Object {
    identity: ObjectRef,
    creator: StepId,
    root: Node,
}

impl Merger {
    /// Starts with no objects; all will live in the cluster's namespace.
    pub fn new(namespace: &str) -> Result<Self, Error> {
        Ok(Self {
            schema: Schema::embedded()?,
            namespace: namespace.to_owned(),
            steps: Vec::new(),
            objects: Vec::new(),
        })
    }

    /// Merges a partial object. What is refused changes nothing.
    pub fn apply(&mut self, writer: &Writer<'_>, mut fragment: Value) -> Result<(), Error> {
        tidy(&mut fragment);
        let (object, mut fields) = identify(writer.step, fragment)?;
        let kind = ObjectKind { api_version: object.api_version.clone(), kind: object.kind.clone() };
        let known = self.schema.kind(&kind.api_version, &kind.kind);
        let index = self.admit(writer, &object, &kind, known)?;
        self.place(writer.step, &object, &mut fields)?;
        let step = self.step(writer);
        let root = Node::shape(self.schema, known.root, Value::Object(fields), step);
        let root = root.map_err(|misfit| misfit.error(writer.step, &object))?;
        self.check((writer, step), &object, &kind, index, &root)?;
        match index.and_then(|index| self.objects.get_mut(index)) {
            Some(before) => Arc::make_mut(before).root.combine(root),
            None => self.objects.push(Arc::new(Object { identity: object, creator: step, root })),
        }
        Ok(())
    }

    /// Whether the step may contribute to such an object at all; and where the object is, if it was created.
    fn admit(
        &self,
        writer: &Writer<'_>,
        object: &ObjectRef,
        kind: &ObjectKind,
        known: Kind,
    ) -> Result<Option<usize>, Error> {
        let (step, boxed) = (|| writer.step.to_owned(), || Box::new(object.clone()));
        if let Some(reason) = claim::host_kind(kind).or(known.cluster_scoped.then_some(claim::CLUSTER_SCOPED)) {
            return Err(Error::Kind { step: step(), object: boxed(), reason });
        }
        let index = self.find(writer.step, object)?;
        match writer.rights.may_create(kind) {
            Err(missing) if index.is_none() => Err(Error::Create { step: step(), object: boxed(), missing }),
            _ => Ok(index),
        }
    }

    /// Whether the step may say this about the object.
    fn check(
        &self,
        (writer, step): (&Writer<'_>, StepId),
        object: &ObjectRef,
        kind: &ObjectKind,
        index: Option<usize>,
        root: &Node,
    ) -> Result<(), Error> {
        let before = index.and_then(|index| self.objects.get(index));
        let own = before.is_none_or(|before| before.creator == step);
        if let Some((path, reason)) = claim::forbidden(root, own) {
            return Err(Error::Forbid { step: writer.step.to_owned(), object: Box::new(object.clone()), path, reason });
        }
        let cover = writer.rights.cover(kind, own);
        let mut check = Check::new((writer.step, step), writer.rights, kind, object, &self.steps);
        check.object(&cover, before.map(|before| &before.root), root)
    }

    /// The objects of these kinds as JSON text, in order of creation.
    pub fn desired<'a>(&'a self, kinds: &'a [ObjectKind]) -> impl Iterator<Item = (&'a ObjectRef, String)> {
        let wanted = |object: &&Arc<Object>| {
            let ObjectRef { api_version, kind, .. } = &object.identity;
            kinds.iter().any(|wanted| wanted.api_version == *api_version && wanted.kind == *kind)
        };
        // Maps with text keys and JSON values can always be written.
        self.objects
            .iter()
            .filter(wanted)
            .map(|object| (&object.identity, serde_json::to_string(&object.root).unwrap_or_default()))
    }

    /// The objects in order of creation.
    pub fn finish(self) -> Vec<Desired> {
        let Self { steps, objects, .. } = self;
        let desired = objects.into_iter().map(|object| {
            let step = steps.get(usize::from(object.creator)).map(|step| step.name.clone()).unwrap_or_default();
            Desired { object: Arc::unwrap_or_clone(object).root.into_value(), step }
        });
        desired.collect()
    }

    /// Which step set each leaf, by field path, of the objects in order of creation.
    pub fn owners(&self) -> Vec<BTreeMap<String, String>> {
        self.objects.iter().map(|object| owners(&object.root, &self.steps)).collect()
    }

    /// The number of a step, which is new unless it contributed before.
    fn step(&mut self, writer: &Writer<'_>) -> StepId {
        let index = self.steps.iter().position(|step| step.name == writer.step).unwrap_or_else(|| {
            self.steps.push(Step { name: writer.step.to_owned(), confidential: writer.rights.is_confidential() });
            self.steps.len() - 1
        });
        // A pipeline has a handful of steps.
        StepId::try_from(index).unwrap_or(StepId::MAX)
    }

    /// Where an object is, if it was created. The same object under another version of its group would be two in one.
    fn find(&self, step: &str, object: &ObjectRef) -> Result<Option<usize>, Error> {
        let same = |other: &Arc<Object>| {
            let ObjectRef { api_version, kind, name } = &other.identity;
            *name == object.name
                && *kind == object.kind
                && claim::group(api_version) == claim::group(&object.api_version)
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

    /// Puts the object into the cluster's namespace, the only one it may name.
    fn place(&self, step: &str, object: &ObjectRef, fields: &mut Map<String, Value>) -> Result<(), Error> {
        let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
        match metadata.get("namespace") {
            Some(Value::String(namespace)) if *namespace != self.namespace => Err(Error::Forbid {
                step: step.to_owned(),
                object: Box::new(object.clone()),
                path: FieldPath::new(vec![
                    Segment::Field("metadata".to_owned()),
                    Segment::Field("namespace".to_owned()),
                ]),
                reason: "an object lives in the namespace of its cluster",
            }),
            _ => {
                metadata.insert("namespace".to_owned(), Value::from(self.namespace.as_str()));
                Ok(())
            }
        }
    }
}

/// Which object a fragment is part of.
fn identify(step: &str, fragment: Value) -> Result<(ObjectRef, Map<String, Value>), Error> {
    let missing = |field, problem: &str| Error::Identify { step: step.to_owned(), field, problem: problem.to_owned() };
    let Value::Object(fields) = fragment else {
        return Err(missing("apiVersion", "it is no JSON object"));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let api_version = text(fields.get("apiVersion")).ok_or_else(|| missing("apiVersion", "it is missing"))?;
    let kind = text(fields.get("kind")).ok_or_else(|| missing("kind", "it is missing"))?;
    let name = fields.get("metadata").and_then(|metadata| text(metadata.get("name")));
    let name = name.ok_or_else(|| missing("metadata.name", "it is missing"))?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if name.len() > 253 || !name.bytes().all(fits) {
        return Err(missing("metadata.name", "a name has up to 253 lower case letters, digits, `-` and `.`"));
    }
    Ok((ObjectRef { api_version, kind, name }, fields))
}

#[cfg(test)]
mod tests;
