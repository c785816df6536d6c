//! Checks whether a step may merge a partial object: permissions first, then conflicts. Changes nothing.

use super::{
    error::{Conflict, Error, show},
    writer::Writer,
};
use crate::{
    model::ObjectRef,
    owners::StepId,
    path::{FieldPath, Key, Segment},
    permission::{Coverage, Missing, ObjectPermissions},
    tree::{List, Node, positions},
};

/// What a check needs beyond the two trees.
pub(super) struct Check<'a> {
    writer: Writer<'a>,
    /// The number of the writer's step.
    id: StepId,
    permissions: &'a ObjectPermissions<'a>,
    object: &'a ObjectRef,
    /// The steps that have contributed, by [`StepId`].
    steps: &'a [String],
    /// The path to the place that is being checked. It becomes a [`FieldPath`] only if there is an error.
    trail: Vec<Place<'a>>,
}

/// A segment of the path to the place that is being checked.
#[derive(Clone, Copy)]
enum Place<'a> {
    Field(&'a str),
    Entry(&'a Key),
}

impl<'a> Check<'a> {
    pub(super) fn new(
        (writer, id): (Writer<'a>, StepId),
        permissions: &'a ObjectPermissions<'a>,
        object: &'a ObjectRef,
        steps: &'a [String],
    ) -> Self {
        Self { writer, id, permissions, object, steps, trail: Vec::with_capacity(12) }
    }

    /// Checks a whole partial object. The fields that identify the object need no permission.
    pub(super) fn object(
        &mut self,
        coverage: &Coverage<'_>,
        before: Option<&'a Node>,
        after: &'a Node,
    ) -> Result<(), Error> {
        let Node::Map(fields, _) = after else { return Ok(()) };
        for (name, after) in fields {
            let before = before.and_then(|before| before.field(name));
            match name.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => self.metadata(coverage, before, after)?,
                _ => self.field(coverage, name, before, after)?,
            }
        }
        Ok(())
    }

    fn metadata(&mut self, coverage: &Coverage<'_>, before: Option<&'a Node>, after: &'a Node) -> Result<(), Error> {
        let Node::Map(fields, _) = after else { return Ok(()) };
        self.trail.push(Place::Field("metadata"));
        let coverage = coverage.field("metadata");
        for (name, after) in fields {
            if name != "name" && name != "namespace" {
                self.field(&coverage, name, before.and_then(|before| before.field(name)), after)?;
            }
        }
        self.trail.pop();
        Ok(())
    }

    /// Checks one place: `before` is the value so far, `after` the contributed one.
    fn node(&mut self, coverage: &Coverage<'_>, before: Option<&'a Node>, after: &'a Node) -> Result<(), Error> {
        if before.is_some_and(|before| after.is_noop(before)) {
            return Ok(());
        }
        if !after.has_parts() {
            if let Some(missing) = coverage.missing() {
                return Err(self.not_permitted(missing));
            }
            return self.leaf(before, after);
        }
        match (before, after) {
            (None | Some(Node::Map(..)), Node::Map(fields, _)) => {
                for (name, after) in fields {
                    self.field(coverage, name, before.and_then(|before| before.field(name)), after)?;
                }
                Ok(())
            }
            (None, Node::List(list)) => self.entries(coverage, &[], list),
            (Some(Node::List(before)), Node::List(list)) => self.entries(coverage, &before.entries, list),
            _ => match coverage.missing() {
                Some(missing) => Err(self.not_permitted(missing)),
                None => self.leaf(before, after),
            },
        }
    }

    fn field(
        &mut self,
        coverage: &Coverage<'_>,
        name: &'a str,
        before: Option<&'a Node>,
        after: &'a Node,
    ) -> Result<(), Error> {
        self.trail.push(Place::Field(name));
        if coverage.is_all() {
            self.node(coverage, before, after)?;
        } else {
            self.node(&coverage.field(name), before, after)?;
        }
        self.trail.pop();
        Ok(())
    }

    fn entries(&mut self, coverage: &Coverage<'_>, before: &'a [(Key, Node)], list: &'a List) -> Result<(), Error> {
        let places = positions(before, &list.entries);
        if !coverage.is_all() && !places.iter().flatten().is_sorted() {
            return Err(self.reordered());
        }
        for ((key, after), place) in list.entries.iter().zip(places) {
            let before = place.and_then(|place| before.get(place)).map(|(_, node)| node);
            self.trail.push(Place::Entry(key));
            let below;
            let coverage = if coverage.is_all() {
                coverage
            } else {
                below = coverage.entry(key);
                &below
            };
            self.entry(coverage, before, after, list)?;
            self.trail.pop();
        }
        Ok(())
    }

    /// Every step may name an entry that exists: the keys only say to which entry the other fields belong. To add an
    /// entry needs permission for the entry, to reorder entries permission for the whole list.
    fn entry(
        &mut self,
        coverage: &Coverage<'_>,
        before: Option<&'a Node>,
        after: &'a Node,
        list: &List,
    ) -> Result<(), Error> {
        match (before, after) {
            (Some(Node::Leaf(before, _)), Node::Leaf(after, _)) if before == after => Ok(()),
            (_, Node::Map(fields, _)) => {
                for (name, after) in fields {
                    let is_key = list.keys.iter().any(|key| key.name == *name);
                    if is_key && before.is_some() {
                        continue;
                    }
                    if is_key && let Some(missing) = coverage.field(name).missing() {
                        return Err(self.not_permitted(missing));
                    }
                    self.field(coverage, name, before.and_then(|before| before.field(name)), after)?;
                }
                Ok(())
            }
            _ => self.node(coverage, before, after),
        }
    }

    fn leaf(&self, before: Option<&Node>, after: &Node) -> Result<(), Error> {
        let Some(before) = before else { return Ok(()) };
        let equal = match (before, after) {
            (Node::Leaf(before, _), Node::Leaf(after, _)) => before == after,
            // An empty list sets nothing, so no value conflicts with it.
            (Node::List(list), _) => list.entries.is_empty(),
            _ => false,
        };
        let foreign = before.foreign(self.id).filter(|_| !equal);
        let Some(owner) = foreign.and_then(|id| self.steps.get(usize::from(id))) else { return Ok(()) };
        let path = self.path();
        if self.permissions.may_override(&path) {
            return Ok(());
        }
        Err(Error::Conflict(Box::new(Conflict {
            step: self.writer.step.to_owned(),
            owner: owner.clone(),
            object: self.object.clone(),
            path,
            value: show(after),
            owned: show(before),
        })))
    }

    fn not_permitted(&self, missing: Missing) -> Error {
        Error::Permission {
            step: self.writer.step.to_owned(),
            object: Box::new(self.object.clone()),
            path: self.path(),
            missing,
        }
    }

    fn reordered(&self) -> Error {
        Error::Reserved {
            step: self.writer.step.to_owned(),
            object: Box::new(self.object.clone()),
            path: self.path(),
            reason: "it would reorder existing entries, which needs a permission for the whole list",
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
