//! What a step may write: what its plugin's description asks for, as far as the grants of its pipeline give it.

use std::collections::BTreeSet;

use pgloom_api::Privilege;
use pgloom_common::name::covers;

use crate::{
    model::{ObjectKind, ObjectRef},
    path::{FieldPath, Key, Pattern, Segment},
};

/// Objects of one kind, and what may be done to them: an entry of a description, or a grant.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectRights {
    /// The kind of the objects.
    pub kind: ObjectKind,
    /// The names of the objects, as patterns: `{cluster}` is the cluster's name, a `*` any characters.
    pub names: Vec<String>,
    /// Whether such objects may be created.
    pub creates: bool,
    /// The fields that may be set; empty means all fields of the objects that the step created.
    pub fields: Vec<Pattern>,
    /// The fields that may be set to another value than that of an earlier step.
    pub overrides: Vec<Pattern>,
    /// The fields that may be removed.
    pub removes: Vec<Pattern>,
}

/// One side of the permissions of a step: what is asked for, or what is granted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rights {
    /// The objects.
    pub objects: Vec<ObjectRights>,
    /// The privileges.
    pub privileges: BTreeSet<Privilege>,
}

/// All that a step may do to the desired objects. Built once per step, when the pipeline is loaded.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    asked: Side,
    granted: Side,
}

/// Why a step may not write something: what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The plugin's description does not ask for it.
    Description,
    /// The pipeline does not grant it to the step.
    Grant,
}

impl Permissions {
    /// What is asked for and granted.
    pub fn new(asked: &Rights, granted: &Rights) -> Self {
        Self { asked: Side::of(asked), granted: Side::of(granted) }
    }

    /// What is asked for, and all of it is granted.
    pub fn granted(asked: &Rights) -> Self {
        Self::new(asked, asked)
    }

    /// What the step may do to an object of a cluster.
    pub(crate) fn of(&self, kind: &ObjectKind, object: &ObjectRef, cluster: &str) -> ObjectPermissions<'_> {
        ObjectPermissions {
            asked: self.asked.of_object(kind, &object.name, cluster),
            granted: self.granted.of_object(kind, &object.name, cluster),
        }
    }

    /// What is missing for a privilege.
    pub(crate) fn missing(&self, privilege: Privilege) -> Option<Missing> {
        first_missing(|side| side.privileges.contains(&privilege), &self.asked, &self.granted)
    }
}

fn first_missing<T>(has: impl Fn(&T) -> bool, asked: &T, granted: &T) -> Option<Missing> {
    match (has(asked), has(granted)) {
        (false, _) => Some(Missing::Description),
        (_, false) => Some(Missing::Grant),
        _ => None,
    }
}

#[derive(Clone, Debug, Default)]
struct Side {
    objects: Vec<ObjectTree>,
    privileges: BTreeSet<Privilege>,
}

/// [`ObjectRights`] with the fields as a tree, so that a check walks it together with the object.
#[derive(Clone, Debug)]
struct ObjectTree {
    kind: ObjectKind,
    names: Vec<String>,
    creates: bool,
    /// Whether all fields of the step's own objects may be set.
    own: bool,
    root: PatternTree,
    overrides: Vec<Pattern>,
    removes: Vec<Pattern>,
}

impl Side {
    fn of(rights: &Rights) -> Self {
        let tree = |rights: &ObjectRights| {
            let mut root = PatternTree::default();
            rights.fields.iter().for_each(|field| root.insert(field.segments()));
            ObjectTree {
                kind: rights.kind.clone(),
                names: rights.names.clone(),
                creates: rights.creates,
                own: rights.fields.is_empty(),
                root,
                overrides: rights.overrides.clone(),
                removes: rights.removes.clone(),
            }
        };
        Self { objects: rights.objects.iter().map(tree).collect(), privileges: rights.privileges.clone() }
    }

    /// The rights to an object of this kind and name.
    fn of_object<'a>(&'a self, kind: &ObjectKind, name: &str, cluster: &str) -> Vec<&'a ObjectTree> {
        let is_meant = |rights: &&ObjectTree| {
            rights.kind == *kind && rights.names.iter().any(|pattern| covers(pattern, cluster, name))
        };
        self.objects.iter().filter(is_meant).collect()
    }
}

/// What a step may do to one object.
pub(crate) struct ObjectPermissions<'a> {
    asked: Vec<&'a ObjectTree>,
    granted: Vec<&'a ObjectTree>,
}

impl<'a> ObjectPermissions<'a> {
    /// What is missing for an object of this name, whatever is done to it.
    pub(crate) fn missing(&self) -> Option<Missing> {
        first_missing(|side| !side.is_empty(), &self.asked, &self.granted)
    }

    /// What is missing for creating the object.
    pub(crate) fn missing_to_create(&self) -> Option<Missing> {
        first_missing(|side| side.iter().any(|rights| rights.creates), &self.asked, &self.granted)
    }

    /// Whether the step may set the field to another value than that of an earlier step.
    pub(crate) fn may_override(&self, path: &FieldPath) -> bool {
        first_missing(|side| any_covers(side, |rights| &rights.overrides, path), &self.asked, &self.granted).is_none()
    }

    /// What is missing for removing the field.
    pub(crate) fn missing_to_remove(&self, path: &FieldPath) -> Option<Missing> {
        first_missing(|side| any_covers(side, |rights| &rights.removes, path), &self.asked, &self.granted)
    }

    /// Whether the step is asked and granted to set this entry of a list, or fields of it, by its own keys: not by a pattern for
    /// all entries, and not by one for all of the list.
    pub(crate) fn name_entry(&self, path: &[Segment]) -> bool {
        let names = |side: &Vec<&ObjectTree>| side.iter().any(|rights| rights.root.names_entry(path));
        first_missing(names, &self.asked, &self.granted).is_none()
    }

    /// The coverage at the root of the object; `own`: the step created it.
    pub(crate) fn coverage(&self, own: bool) -> Coverage<'a> {
        Coverage { asked: Covered::root(&self.asked, own), granted: Covered::root(&self.granted, own) }
    }
}

fn any_covers(side: &[&ObjectTree], patterns: impl Fn(&ObjectTree) -> &Vec<Pattern>, path: &FieldPath) -> bool {
    side.iter().any(|rights| patterns(rights).iter().any(|pattern| pattern.covers(path.segments())))
}

#[derive(Clone, Debug, Default)]
struct PatternTree {
    /// A pattern ends here: everything below is covered.
    ends: bool,
    fields: Vec<(String, PatternTree)>,
    entries: Vec<(Key, PatternTree)>,
    any_field: Option<Box<PatternTree>>,
    any_entry: Option<Box<PatternTree>>,
}

/// The element of the list that `matches`; `new` is appended if there is none.
fn find_or_push<T>(list: &mut Vec<T>, matches: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let index = list.iter().position(matches).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    &mut list[index]
}

impl PatternTree {
    fn insert(&mut self, segments: &[Segment]) {
        let Some((first, rest)) = segments.split_first() else {
            self.ends = true;
            return;
        };
        let next = match first {
            Segment::Field(name) => {
                &mut find_or_push(&mut self.fields, |(field, _)| field == name, || (name.clone(), Self::default())).1
            }
            Segment::Entry(key) => {
                &mut find_or_push(&mut self.entries, |(entry, _)| entry == key, || (key.clone(), Self::default())).1
            }
            Segment::AnyField => self.any_field.get_or_insert_default(),
            Segment::AnyEntry => self.any_entry.get_or_insert_default(),
        };
        next.insert(rest);
    }

    /// Whether a pattern names the entry at the end of the path by its keys.
    fn names_entry(&self, path: &[Segment]) -> bool {
        match path {
            [Segment::Entry(key)] => self.entries.iter().any(|(entry, _)| entry.means(key)),
            [Segment::Field(name), rest @ ..] => self.field(name).any(|tree| tree.names_entry(rest)),
            [Segment::Entry(key), rest @ ..] => self.entry(key).any(|tree| tree.names_entry(rest)),
            _ => false,
        }
    }

    fn field(&self, name: &str) -> impl Iterator<Item = &Self> {
        let named = self.fields.iter().filter(move |(field, _)| field == name);
        named.map(|(_, tree)| tree).chain(self.any_field.as_deref())
    }

    fn entry(&self, key: &Key) -> impl Iterator<Item = &Self> {
        let matching = self.entries.iter().filter(move |(entry, _)| entry.means(key));
        matching.map(|(_, tree)| tree).chain(self.any_entry.as_deref())
    }
}

/// What the permissions of a step cover at one place of an object.
#[derive(Clone, Debug)]
pub(crate) struct Coverage<'a> {
    asked: Covered<'a>,
    granted: Covered<'a>,
}

#[derive(Clone, Debug)]
enum Covered<'a> {
    /// The place and everything below it.
    All,
    /// Not the place itself. These patterns may end below it; without any, nothing below is covered.
    Below(Vec<&'a PatternTree>),
}

impl<'a> Coverage<'a> {
    /// Whether the place and everything below it is covered.
    pub(crate) fn is_all(&self) -> bool {
        matches!((&self.asked, &self.granted), (Covered::All, Covered::All))
    }

    /// What is missing, if the place itself is not covered.
    pub(crate) fn missing(&self) -> Option<Missing> {
        match (&self.asked, &self.granted) {
            (Covered::Below(_), _) => Some(Missing::Description),
            (_, Covered::Below(_)) => Some(Missing::Grant),
            _ => None,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Self {
        Self { asked: self.asked.field(name), granted: self.granted.field(name) }
    }

    pub(crate) fn entry(&self, key: &Key) -> Self {
        Self { asked: self.asked.entry(key), granted: self.granted.entry(key) }
    }
}

impl<'a> Covered<'a> {
    fn root(side: &[&'a ObjectTree], own: bool) -> Self {
        if own && side.iter().any(|rights| rights.own) {
            return Self::All;
        }
        Self::of(side.iter().map(|rights| &rights.root).collect())
    }

    fn of(open: Vec<&'a PatternTree>) -> Self {
        if open.iter().any(|tree| tree.ends) { Self::All } else { Self::Below(open) }
    }

    fn field(&self, name: &str) -> Self {
        self.below(|tree, open| open.extend(tree.field(name)))
    }

    fn entry(&self, key: &Key) -> Self {
        self.below(|tree, open| open.extend(tree.entry(key)))
    }

    fn below(&self, step: impl Fn(&'a PatternTree, &mut Vec<&'a PatternTree>)) -> Self {
        let Self::Below(trees) = self else { return Self::All };
        let mut open = Vec::new();
        for tree in trees {
            step(tree, &mut open);
        }
        Self::of(open)
    }
}
