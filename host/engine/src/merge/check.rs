//! Finds out whether a step may merge a partial object: claims first, then conflicts. Changes nothing.

use super::{
    Step,
    combine::{positions, same},
    error::{Conflict, Error, show},
    node::{List, Node, StepId},
};
use crate::{
    claim::{Cover, Missing, Rights},
    contract::{ObjectKind, ObjectRef},
    path::{FieldPath, Key, Segment},
};

/// What a check needs to know beside the trees.
pub(crate) struct Check<'a> {
    step: &'a str,
    id: StepId,
    rights: &'a Rights,
    kind: &'a ObjectKind,
    object: &'a ObjectRef,
    /// The steps that wrote so far: names, and whether their values are confidential.
    steps: &'a [Step],
    trail: Vec<Place<'a>>,
}

/// A segment of the path to the place that is being looked at.
#[derive(Clone, Copy)]
enum Place<'a> {
    Field(&'a str),
    Entry(&'a Key),
}

impl<'a> Check<'a> {
    pub(crate) fn new(
        step: (&'a str, StepId),
        rights: &'a Rights,
        kind: &'a ObjectKind,
        object: &'a ObjectRef,
        steps: &'a [Step],
    ) -> Self {
        let (step, id) = step;
        Self { step, id, rights, kind, object, steps, trail: Vec::with_capacity(12) }
    }

    /// Looks at a whole partial object. What says which object it is needs no claim.
    pub(crate) fn object(&mut self, cover: &Cover<'_>, before: Option<&'a Node>, after: &'a Node) -> Result<(), Error> {
        let Node::Map(fields, _) = after else { return Ok(()) };
        for (name, after) in fields {
            let before = before.and_then(|before| before.field(name));
            match name.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => self.metadata(cover, before, after)?,
                _ => self.field(cover, name, before, after)?,
            }
        }
        Ok(())
    }

    fn metadata(&mut self, cover: &Cover<'_>, before: Option<&'a Node>, after: &'a Node) -> Result<(), Error> {
        let Node::Map(fields, _) = after else { return Ok(()) };
        self.trail.push(Place::Field("metadata"));
        let cover = cover.field("metadata");
        for (name, after) in fields {
            if name != "name" && name != "namespace" {
                self.field(&cover, name, before.and_then(|before| before.field(name)), after)?;
            }
        }
        self.trail.pop();
        Ok(())
    }

    /// Looks at one place: `before` is what is there, `after` what the step says.
    pub(crate) fn node(&mut self, cover: &Cover<'_>, before: Option<&'a Node>, after: &'a Node) -> Result<(), Error> {
        if before.is_some_and(|before| after.is_idle(before)) {
            return Ok(());
        }
        if !after.has_parts() {
            if let Some(missing) = cover.missing() {
                return Err(self.unclaimed(missing));
            }
            return self.leaf(before, after);
        }
        match (before, after) {
            (None | Some(Node::Map(..)), Node::Map(fields, _)) => {
                for (name, after) in fields {
                    self.field(cover, name, before.and_then(|before| before.field(name)), after)?;
                }
                Ok(())
            }
            (None, Node::List(list)) => self.entries(cover, &[], list),
            (Some(Node::List(before)), Node::List(list)) => self.entries(cover, &before.entries, list),
            _ => match cover.missing() {
                Some(missing) => Err(self.unclaimed(missing)),
                None => self.leaf(before, after),
            },
        }
    }

    fn field(
        &mut self,
        cover: &Cover<'_>,
        name: &'a str,
        before: Option<&'a Node>,
        after: &'a Node,
    ) -> Result<(), Error> {
        self.trail.push(Place::Field(name));
        if cover.is_all() {
            self.node(cover, before, after)?;
        } else {
            self.node(&cover.field(name), before, after)?;
        }
        self.trail.pop();
        Ok(())
    }

    fn entries(&mut self, cover: &Cover<'_>, before: &'a [(Key, Node)], list: &'a List) -> Result<(), Error> {
        let places = positions(before, &list.entries);
        if !cover.is_all() && !places.iter().flatten().is_sorted() {
            return Err(self.reordered());
        }
        for ((key, after), place) in list.entries.iter().zip(places) {
            let before = place.and_then(|place| before.get(place)).map(|(_, node)| node);
            self.trail.push(Place::Entry(key));
            let below;
            let cover = if cover.is_all() {
                cover
            } else {
                below = cover.entry(key);
                &below
            };
            self.entry(cover, before, after, list)?;
            self.trail.pop();
        }
        Ok(())
    }

    /// An entry that exists already may be named by everyone: its keys say where the rest belongs. To add one, or to change
    /// the order of those that are there, takes a claim on the entry, or on the list.
    fn entry(
        &mut self,
        cover: &Cover<'_>,
        before: Option<&'a Node>,
        after: &'a Node,
        list: &List,
    ) -> Result<(), Error> {
        match (before, after) {
            (Some(Node::Leaf(before, _)), Node::Leaf(after, _)) if same(before, after) => Ok(()),
            (_, Node::Map(fields, _)) => {
                for (name, after) in fields {
                    let is_key = list.keys.iter().any(|key| key.name == name);
                    if is_key && before.is_some() {
                        continue;
                    }
                    if is_key && let Some(missing) = cover.field(name).missing() {
                        return Err(self.unclaimed(missing));
                    }
                    self.field(cover, name, before.and_then(|before| before.field(name)), after)?;
                }
                Ok(())
            }
            _ => self.node(cover, before, after),
        }
    }

    fn leaf(&self, before: Option<&Node>, after: &Node) -> Result<(), Error> {
        let Some(before) = before else { return Ok(()) };
        let equal = match (before, after) {
            (Node::Leaf(before, _), Node::Leaf(after, _)) => same(before, after),
            // An empty list says nothing, so nobody can disagree with it.
            (Node::List(list), _) => list.entries.is_empty(),
            _ => false,
        };
        let foreign = before.foreign(self.id).filter(|_| !equal);
        let Some(owner) = foreign.and_then(|id| self.steps.get(usize::from(id))) else { return Ok(()) };
        let path = self.path();
        if self.rights.may_override(self.kind, &path) {
            return Ok(());
        }
        Err(Error::Conflict(Box::new(Conflict {
            step: self.step.to_owned(),
            owner: owner.name.clone(),
            object: self.object.clone(),
            path,
            value: show(after, self.rights.is_confidential()),
            owned: show(before, owner.confidential),
        })))
    }

    fn unclaimed(&self, missing: Missing) -> Error {
        Error::Claim { step: self.step.to_owned(), object: Box::new(self.object.clone()), path: self.path(), missing }
    }

    fn reordered(&self) -> Error {
        Error::Forbid {
            step: self.step.to_owned(),
            object: Box::new(self.object.clone()),
            path: self.path(),
            reason: "it would change the order of entries that are there; that takes a claim on the whole list",
        }
    }

    fn path(&self) -> FieldPath {
        let segments = self.trail.iter().map(|place| match place {
            Place::Field(name) => Segment::Field((*name).to_owned()),
            Place::Entry(key) => Segment::Entry((*key).clone()),
        });
        FieldPath::new(segments.collect())
    }
}
