//! What a step may write: the `writes` of its plugin's description, narrowed by the grants of its pipeline.
//!
//! The contract calls an entry of `writes` a claim. Here it is a permission, so that "claim" means a volume claim only.

use crate::{
    model::ObjectKind,
    path::{FieldPath, Key, Pattern, Segment},
};

/// Fields of one kind that a step may write.
#[derive(Clone, Debug, PartialEq)]
pub struct WritePermission {
    /// The kind of the objects.
    pub kind: ObjectKind,
    /// Whether the step may create objects of the kind.
    pub creates: bool,
    /// The fields; empty means all fields of the objects that the step created.
    pub paths: Vec<Pattern>,
}

/// Fields that a step may override or remove.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldPermission {
    /// The kind of the objects; `None` means every kind.
    pub kind: Option<ObjectKind>,
    /// The fields.
    pub paths: Vec<Pattern>,
}

/// All that a step may do to the desired objects. Built once per step, when the pipeline is loaded.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    described: Vec<KindPermissions>,
    /// `None`: the pipeline grants all that the description names.
    granted: Option<Vec<KindPermissions>>,
    overrides: Vec<FieldPermission>,
    removes: Vec<FieldPermission>,
    confidential: bool,
}

/// Why a step may not write a field: what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The plugin's description does not name the field.
    Description,
    /// The pipeline does not grant the field to the step.
    Grant,
}

impl Permissions {
    /// The permissions that a plugin's description asks for.
    pub fn new(writes: &[WritePermission]) -> Self {
        Self { described: by_kind(writes), ..Self::default() }
    }

    /// Narrows them to what the pipeline grants, too.
    #[must_use]
    pub fn granted(mut self, grants: &[WritePermission]) -> Self {
        self.granted = Some(by_kind(grants));
        self
    }

    /// Lets the step change values that earlier steps set.
    #[must_use]
    pub fn overrides(mut self, grants: Vec<FieldPermission>) -> Self {
        self.overrides = grants;
        self
    }

    /// Lets the step remove what earlier steps set.
    #[must_use]
    pub fn removes(mut self, grants: Vec<FieldPermission>) -> Self {
        self.removes = grants;
        self
    }

    /// Marks the step as one that reads Secrets: no error shows a value that it sets.
    #[must_use]
    pub fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    pub(crate) fn is_confidential(&self) -> bool {
        self.confidential
    }

    pub(crate) fn check_create(&self, kind: &ObjectKind) -> Result<(), Missing> {
        let creates = |kinds: &[KindPermissions]| kinds.iter().any(|known| known.creates && known.kind == *kind);
        match &self.granted {
            _ if !creates(&self.described) => Err(Missing::Description),
            Some(granted) if !creates(granted) => Err(Missing::Grant),
            _ => Ok(()),
        }
    }

    pub(crate) fn may_override(&self, kind: &ObjectKind, path: &FieldPath) -> bool {
        covers(&self.overrides, kind, path)
    }

    pub(crate) fn may_remove(&self, kind: &ObjectKind, path: &FieldPath) -> bool {
        covers(&self.removes, kind, path)
    }

    /// The coverage at the root of an object of the kind; `own`: the step created the object.
    pub(crate) fn coverage(&self, kind: &ObjectKind, own: bool) -> Coverage<'_> {
        Coverage {
            described: Covered::root(&self.described, kind, own),
            granted: self.granted.as_ref().map_or(Covered::All, |granted| Covered::root(granted, kind, own)),
        }
    }
}

fn covers(permissions: &[FieldPermission], kind: &ObjectKind, path: &FieldPath) -> bool {
    permissions
        .iter()
        .filter(|permission| permission.kind.as_ref().is_none_or(|permitted| permitted == kind))
        .any(|permission| permission.paths.iter().any(|pattern| pattern.covers(path.segments())))
}

/// All permissions for one kind. The patterns are a tree, so that a check walks it together with the object.
#[derive(Clone, Debug)]
struct KindPermissions {
    kind: ObjectKind,
    creates: bool,
    /// Whether a permission without paths covers all of the step's own objects.
    own: bool,
    root: PatternTree,
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

fn by_kind(permissions: &[WritePermission]) -> Vec<KindPermissions> {
    let mut kinds: Vec<KindPermissions> = Vec::new();
    for permission in permissions {
        let known = find_or_push(
            &mut kinds,
            |known| known.kind == permission.kind,
            || KindPermissions {
                kind: permission.kind.clone(),
                creates: false,
                own: false,
                root: PatternTree::default(),
            },
        );
        known.creates |= permission.creates;
        known.own |= permission.paths.is_empty();
        for path in &permission.paths {
            known.root.insert(path.segments());
        }
    }
    kinds
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
    described: Covered<'a>,
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
        matches!((&self.described, &self.granted), (Covered::All, Covered::All))
    }

    /// What is missing, if the place itself is not covered.
    pub(crate) fn missing(&self) -> Option<Missing> {
        match (&self.described, &self.granted) {
            (Covered::Below(_), _) => Some(Missing::Description),
            (_, Covered::Below(_)) => Some(Missing::Grant),
            _ => None,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Self {
        Self { described: self.described.field(name), granted: self.granted.field(name) }
    }

    pub(crate) fn entry(&self, key: &Key) -> Self {
        Self { described: self.described.entry(key), granted: self.granted.entry(key) }
    }
}

impl<'a> Covered<'a> {
    fn root(kinds: &'a [KindPermissions], kind: &ObjectKind, own: bool) -> Self {
        match kinds.iter().find(|known| known.kind == *kind) {
            Some(known) if own && known.own => Self::All,
            Some(known) => Self::of(vec![&known.root]),
            None => Self::Below(Vec::new()),
        }
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
