//! What a step may write: the claims of its plugin's description, narrowed by the grants of its pipeline.

use crate::{
    contract::ObjectKind,
    merge::Node,
    path::{FieldPath, Key, Pattern, Segment},
};

/// Fields of one kind that a step writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The kind of the objects.
    pub kind: ObjectKind,
    /// Whether the step may add objects of the kind.
    pub creates: bool,
    /// The fields; empty means all fields of the objects that the step itself created.
    pub paths: Vec<Pattern>,
}

/// Fields that a step may treat in a special way.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The kind of the objects; any, if it is not given.
    pub kind: Option<ObjectKind>,
    /// The fields.
    pub paths: Vec<Pattern>,
}

/// All that a step may do to the desired objects. Made once per step, when the pipeline is loaded.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    claims: Vec<Reach>,
    /// `None`: the pipeline grants what the description claims.
    grants: Option<Vec<Reach>>,
    overrides: Vec<Grant>,
    removes: Vec<Grant>,
    confidential: bool,
}

/// What stands between a step and a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The plugin's description does not claim it.
    Claim,
    /// The pipeline does not grant it to the step.
    Grant,
}

impl Rights {
    /// The rights that a plugin's description claims.
    pub fn new(claims: &[Claim]) -> Self {
        Self { claims: reaches(claims), ..Self::default() }
    }

    /// Narrows them to what the pipeline grants too.
    #[must_use]
    pub fn granted(mut self, grants: &[Claim]) -> Self {
        self.grants = Some(reaches(grants));
        self
    }

    /// Lets the step set other values than earlier steps did.
    #[must_use]
    pub fn overrides(mut self, grants: Vec<Grant>) -> Self {
        self.overrides = grants;
        self
    }

    /// Lets the step remove what earlier steps set.
    #[must_use]
    pub fn removes(mut self, grants: Vec<Grant>) -> Self {
        self.removes = grants;
        self
    }

    /// Says that the step reads Secrets: no value that it sets is ever shown.
    #[must_use]
    pub fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    pub(crate) fn is_confidential(&self) -> bool {
        self.confidential
    }

    pub(crate) fn may_create(&self, kind: &ObjectKind) -> Result<(), Missing> {
        let creates = |reaches: &[Reach]| reaches.iter().any(|reach| reach.creates && reach.kind == *kind);
        match &self.grants {
            _ if !creates(&self.claims) => Err(Missing::Claim),
            Some(grants) if !creates(grants) => Err(Missing::Grant),
            _ => Ok(()),
        }
    }

    pub(crate) fn may_override(&self, kind: &ObjectKind, path: &FieldPath) -> bool {
        covered(&self.overrides, kind, path)
    }

    pub(crate) fn may_remove(&self, kind: &ObjectKind, path: &FieldPath) -> bool {
        covered(&self.removes, kind, path)
    }

    /// Starts at the root of an object of the kind; `own`: the step created it.
    pub(crate) fn cover(&self, kind: &ObjectKind, own: bool) -> Cover<'_> {
        Cover {
            claimed: Reached::root(&self.claims, kind, own),
            granted: self.grants.as_ref().map_or(Reached::All, |grants| Reached::root(grants, kind, own)),
        }
    }
}

/// Why objects of kinds that live in no namespace are not a plugin's to make.
pub(crate) const CLUSTER_SCOPED: &str =
    "its kind lives in no namespace, and a plugin acts in the namespace of its cluster alone";

/// The kinds that plugins do not make, by group and kind, with the reason.
const HOST_KINDS: &[(&str, &str, &str)] = &[
    ("", "Namespace", "a plugin acts in the namespace of its cluster alone"),
    ("", "Secret", "the host keeps credentials; ask for them by a `credential` or `user-list` action"),
    ("", "ServiceAccount", RIGHTS),
    ("rbac.authorization.k8s.io", "Role", RIGHTS),
    ("rbac.authorization.k8s.io", "RoleBinding", RIGHTS),
    ("rbac.authorization.k8s.io", "ClusterRole", RIGHTS),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", RIGHTS),
    ("apiextensions.k8s.io", "CustomResourceDefinition", API),
    ("apiregistration.k8s.io", "APIService", API),
    ("admissionregistration.k8s.io", "*", API),
    ("acid.zalan.do", "*", "what the user wrote is not a plugin's to change"),
    ("pgloom.dev", "*", "the pipeline is not a plugin's to change"),
];
const RIGHTS: &str = "the host hands out identities and rights in the cluster, plugins do not";
const API: &str = "the API of the cluster is not a plugin's to change";

/// Why plugins do not make objects of the kind, if so.
pub(crate) fn host_kind(kind: &ObjectKind) -> Option<&'static str> {
    let group = group(&kind.api_version);
    let meant = |(host, name, _): &&(&str, &str, &str)| *host == group && (*name == "*" || *name == kind.kind);
    HOST_KINDS.iter().find(meant).map(|(_, _, reason)| *reason)
}

/// The group of an `apiVersion`; empty for the core group.
pub(crate) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The fields of `metadata` that are nobody's to set.
const METADATA: &[(&str, &str)] = &[
    ("creationTimestamp", SERVER),
    ("deletionGracePeriodSeconds", SERVER),
    ("deletionTimestamp", SERVER),
    ("finalizers", "the host decides when an object may go"),
    ("generateName", "an object is known by its name"),
    ("generation", SERVER),
    ("managedFields", SERVER),
    ("ownerReferences", "the host decides whose an object is"),
    ("resourceVersion", SERVER),
    ("selfLink", SERVER),
    ("uid", SERVER),
];
const SERVER: &str = "the API server sets it";
/// The fields of `spec` that only the step that created the object may set.
const CREATORS: &[&str] = &["selector", "volumeClaimTemplates"];
const CREATOR: &str = "only the step that created the object may decide on it";

/// The first field of a partial object that is not the step's to set, and why; `own`: the step created the object.
pub(crate) fn forbidden(root: &Node, own: bool) -> Option<(FieldPath, &'static str)> {
    let path =
        |segments: &[&str]| FieldPath::new(segments.iter().map(|name| Segment::Field((*name).to_owned())).collect());
    if root.field("status").is_some() {
        return Some((path(&["status"]), STATUS));
    }
    let metadata = root.field("metadata")?;
    if let Some((name, reason)) = METADATA.iter().find(|(name, _)| metadata.field(name).is_some()) {
        return Some((path(&["metadata", name]), reason));
    }
    let spec = root.field("spec").filter(|_| !own)?;
    let name = CREATORS.iter().find(|name| spec.field(name).is_some())?;
    Some((path(&["spec", name]), CREATOR))
}
const STATUS: &str = "a status says what is, not what is wanted";

/// Why a step may not remove the field or anything around it, if so.
pub(crate) fn unremovable(path: &FieldPath, own: bool) -> Option<&'static str> {
    let names: Vec<&str> = path.segments().iter().map_while(Segment::name).collect();
    match names.as_slice() {
        ["apiVersion" | "kind" | "metadata"] | ["metadata", "name" | "namespace", ..] => {
            Some("an object cannot be without it")
        }
        ["status", ..] => Some(STATUS),
        ["metadata", name, ..] => METADATA.iter().find(|(field, _)| field == name).map(|(_, reason)| *reason),
        ["spec"] if !own => Some(CREATOR),
        ["spec", name, ..] if !own && CREATORS.contains(name) => Some(CREATOR),
        _ => None,
    }
}

fn covered(grants: &[Grant], kind: &ObjectKind, path: &FieldPath) -> bool {
    grants
        .iter()
        .filter(|grant| grant.kind.as_ref().is_none_or(|granted| granted == kind))
        .any(|grant| grant.paths.iter().any(|pattern| pattern.covers(path.segments())))
}

/// All claims on one kind, as a tree that is walked along with an object.
#[derive(Clone, Debug)]
struct Reach {
    kind: ObjectKind,
    creates: bool,
    /// Whether a claim without paths means all of the step's own objects.
    own: bool,
    root: Tree,
}

#[derive(Clone, Debug, Default)]
struct Tree {
    /// A pattern ends here: all that lies below is covered.
    ends: bool,
    fields: Vec<(String, Tree)>,
    entries: Vec<(Key, Tree)>,
    any_field: Option<Box<Tree>>,
    any_entry: Option<Box<Tree>>,
}

fn reaches(claims: &[Claim]) -> Vec<Reach> {
    let mut reaches: Vec<Reach> = Vec::new();
    for claim in claims {
        let reach = place(
            &mut reaches,
            |reach| reach.kind == claim.kind,
            || Reach { kind: claim.kind.clone(), creates: false, own: false, root: Tree::default() },
        );
        reach.creates |= claim.creates;
        reach.own |= claim.paths.is_empty();
        for path in &claim.paths {
            reach.root.insert(path.segments());
        }
    }
    reaches
}

/// The element of the list that is meant, added if it is not there.
fn place<T>(list: &mut Vec<T>, meant: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let index = list.iter().position(meant).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    &mut list[index]
}

impl Tree {
    fn insert(&mut self, segments: &[Segment]) {
        let Some((first, rest)) = segments.split_first() else {
            self.ends = true;
            return;
        };
        let next = match first {
            Segment::Field(name) => {
                &mut place(&mut self.fields, |(field, _)| field == name, || (name.clone(), Self::default())).1
            }
            Segment::Entry(key) => {
                &mut place(&mut self.entries, |(entry, _)| entry == key, || (key.clone(), Self::default())).1
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
        let meant = self.entries.iter().filter(move |(entry, _)| entry.means(key));
        meant.map(|(_, tree)| tree).chain(self.any_entry.as_deref())
    }
}

/// How far the patterns of a step reach at one place of an object.
#[derive(Clone, Debug)]
pub(crate) struct Cover<'a> {
    claimed: Reached<'a>,
    granted: Reached<'a>,
}

#[derive(Clone, Debug)]
enum Reached<'a> {
    All,
    /// The patterns that are still open; none: nothing below is covered.
    Open(Vec<&'a Tree>),
}

impl<'a> Cover<'a> {
    /// Whether all from here on is covered.
    pub(crate) fn is_all(&self) -> bool {
        matches!((&self.claimed, &self.granted), (Reached::All, Reached::All))
    }

    /// What is missing for this place itself to be covered.
    pub(crate) fn missing(&self) -> Option<Missing> {
        match (&self.claimed, &self.granted) {
            (Reached::Open(_), _) => Some(Missing::Claim),
            (_, Reached::Open(_)) => Some(Missing::Grant),
            _ => None,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Self {
        Self { claimed: self.claimed.field(name), granted: self.granted.field(name) }
    }

    pub(crate) fn entry(&self, key: &Key) -> Self {
        Self { claimed: self.claimed.entry(key), granted: self.granted.entry(key) }
    }
}

impl<'a> Reached<'a> {
    fn root(reaches: &'a [Reach], kind: &ObjectKind, own: bool) -> Self {
        match reaches.iter().find(|reach| reach.kind == *kind) {
            Some(reach) if own && reach.own => Self::All,
            Some(reach) => Self::of(vec![&reach.root]),
            None => Self::Open(Vec::new()),
        }
    }

    fn of(open: Vec<&'a Tree>) -> Self {
        if open.iter().any(|tree| tree.ends) { Self::All } else { Self::Open(open) }
    }

    fn field(&self, name: &str) -> Self {
        self.below(|tree, open| open.extend(tree.field(name)))
    }

    fn entry(&self, key: &Key) -> Self {
        self.below(|tree, open| open.extend(tree.entry(key)))
    }

    fn below(&self, step: impl Fn(&'a Tree, &mut Vec<&'a Tree>)) -> Self {
        let Self::Open(trees) = self else { return Self::All };
        let mut open = Vec::new();
        for tree in trees {
            step(tree, &mut open);
        }
        Self::of(open)
    }
}
