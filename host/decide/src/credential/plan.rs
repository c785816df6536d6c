//! Compares the Secrets that a cluster needs with those that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};

use super::{Content, NEXT_ROTATION, PASSWORD, Password, USER_LIST, USERNAME, WantedSecret};
use crate::field_manager::{MANAGER, PREDECESSOR};
use crate::kind::Kind;
use crate::role::{Rotation, rotation_date};
use pgloom_api::Finding;
use pgloom_common::timestamp::with_offset;

/// The data of an existing Secret. It has no `Debug`, because it contains passwords.
#[derive(Clone, Default, PartialEq)]
pub struct Data(pub BTreeMap<String, Vec<u8>>);

impl From<&Secret> for Data {
    fn from(secret: &Secret) -> Self {
        let entries = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
        // Only files have `stringData`: the API server merges it into `data` and prefers it.
        let plain = secret.string_data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        Self(entries.chain(plain).collect())
    }
}

impl Data {
    fn text(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?;
        std::str::from_utf8(value).ok()
    }

    /// Whether it is what the host writes for a pooler, and nothing else.
    fn is_user_list(&self) -> bool {
        self.0.keys().all(|key| key == USER_LIST)
    }

    /// Whether there is a password, usable or not. Where there is none, one is generated.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.contains_key(PASSWORD)
    }
}

/// The kind of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Create the Secret: [`Write::body`] is the whole object. If it already exists, observe and plan again.
    Create,
    /// Merge-patch it: [`Write::body`] holds the data or the metadata that changes.
    Patch,
}

/// A write of a Secret. Its `Debug` output omits the body, which contains passwords.
#[derive(Clone, PartialEq)]
pub struct Write {
    /// The kind of the write.
    pub act: Act,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    body: Value,
}

impl Write {
    /// The body of the request. It contains passwords: for the API server only.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.act, self.namespace, self.name)
    }
}

/// The writes that a cluster's credentials need, and the passwords.
#[derive(Clone, Debug, Default)]
pub struct SecretChanges {
    /// The writes, in order. There is none for a Secret that is as desired.
    pub writes: Vec<Write>,
    /// By role name, the password of each role that has a Secret, as it will be after the writes. A login role of a rotation
    /// is here by its own name.
    pub passwords: BTreeMap<String, Password>,
    /// By role name, who logs in with an existing Secret of a role whose password changes or has changed.
    pub logins: BTreeMap<String, Login>,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// Who logs in with a role's Secret, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The role itself, or a login role of a rotation.
    pub username: String,
    /// The time of the next rotation as the Secret has it; `None` without the key.
    pub next_rotation: Option<String>,
}

/// Plans what to write. `first_rotation` is the time in RFC 3339 of the first rotation of a password that is to change from
/// now on, in UTC and full seconds. `existing` gives the data of a Secret by namespace and name; `generate` makes a password for
/// a role.
///
/// # Errors
/// That of `generate`.
pub fn plan<E>(
    wanted: &[WantedSecret],
    first_rotation: &str,
    existing: impl Fn(&str, &str) -> Option<Data>,
    mut generate: impl FnMut(&str) -> Result<Password, E>,
) -> Result<SecretChanges, E> {
    let mut plan = SecretChanges::default();
    let names: BTreeSet<&str> = wanted.iter().filter_map(WantedSecret::username).collect();
    for secret in wanted {
        let data = existing(&secret.namespace, &secret.name);
        match &secret.content {
            Content::Credential { username, given, rotation } => {
                let rotates = matches!(rotation, Rotation::NewRole | Rotation::InPlace);
                let wanted = Wanted {
                    secret,
                    username,
                    given: given.as_ref(),
                    may_have_rotated: *rotation != Rotation::Never,
                    others: &names,
                    first_rotation: rotates.then_some(first_rotation),
                };
                plan.credential(wanted, data, &mut generate)?;
            }
            Content::UserList { username, others } => plan.user_list(secret, username, others, data),
        }
    }
    Ok(plan)
}

/// What is wanted of a role's Secret.
struct Wanted<'a> {
    secret: &'a WantedSecret,
    username: &'a str,
    given: Option<&'a Password>,
    /// Whether the Secret may name a login role of a rotation.
    may_have_rotated: bool,
    /// The roles that have Secrets of their own.
    others: &'a BTreeSet<&'a str>,
    /// The time of the first rotation, if the password changes regularly.
    first_rotation: Option<&'a str>,
}

impl SecretChanges {
    /// The role that logs in with the Secret of a role.
    #[must_use]
    pub fn login<'a>(&'a self, role: &'a str) -> &'a str {
        self.logins.get(role).map_or(role, |login| &login.username)
    }

    fn credential<E>(
        &mut self,
        wanted: Wanted<'_>,
        data: Option<Data>,
        generate: &mut impl FnMut(&str) -> Result<Password, E>,
    ) -> Result<(), E> {
        let Wanted { secret, username, given, may_have_rotated, others, first_rotation } = wanted;
        let is_rotated = |name: &str| rotation_date(username, name).is_some() && !others.contains(name);
        let is_login = |name: &&str| *name == username || may_have_rotated && is_rotated(name);
        let (act, login) = match &data {
            None => (Act::Create, username),
            Some(data) => match data.text(USERNAME).filter(is_login) {
                Some(login) => (Act::Patch, login),
                None => {
                    self.foreign(secret, username);
                    return Ok(());
                }
            },
        };
        let kept = data.as_ref().and_then(|data| data.text(PASSWORD));
        let kept = kept.filter(|password| !password.is_empty()).map(Password::new);
        if given.is_none() && kept.is_none() && data.as_ref().is_some_and(Data::has_password) {
            // The database may have another password. A generated one would not be that of the database.
            self.unusable(secret, username);
            return Ok(());
        }
        let next = data.as_ref().and_then(|data| data.text(NEXT_ROTATION));
        // Both are in UTC and have the same length, so that the later one is the larger text.
        let is_due = |first: &&str| next.is_none_or(|next| !is_in_utc(next) || next > *first);
        let mut entries: Vec<(&str, &str)> =
            first_rotation.filter(is_due).map(|first| (NEXT_ROTATION, first)).into_iter().collect();
        let password = match (given, kept) {
            (None, Some(kept)) => kept,
            (Some(given), Some(kept)) if *given == kept => kept,
            (given, _) => given.cloned().map_or_else(|| generate(username), Ok)?,
        };
        if data.as_ref().and_then(|data| data.text(PASSWORD)) != Some(password.reveal()) {
            entries.extend([(USERNAME, login), (PASSWORD, password.reveal())]);
        }
        if !entries.is_empty() {
            self.write(secret, act, &entries);
        }
        if may_have_rotated && data.is_some() {
            let login = Login { username: login.to_owned(), next_rotation: next.map(str::to_owned) };
            self.logins.insert(username.to_owned(), login);
        }
        self.passwords.insert(login.to_owned(), password);
        Ok(())
    }

    /// A user list follows the credentials, so it is replaced when one changes. An infrastructure role without a password is
    /// left out.
    fn user_list(&mut self, secret: &WantedSecret, username: &str, others: &BTreeSet<String>, data: Option<Data>) {
        let Some(password) = self.passwords.get(username) else {
            let message = format!("Secret {} cannot be made: \"{username}\" has no credential", secret.name);
            self.findings.push(Finding::warning(message));
            return;
        };
        let others = others.iter().filter(|other| *other != username);
        let others = others.filter_map(|other| Some((other.as_str(), self.passwords.get(other)?)));
        let mut content = String::new();
        for (name, password) in std::iter::once((username, password)).chain(others) {
            content += &format!("{} {}\n", quoted(name), quoted(password.reveal()));
        }
        match data {
            None => self.write(secret, Act::Create, &[(USER_LIST, &content)]),
            Some(data) if data.text(USER_LIST) == Some(&content) => {}
            Some(data) if !data.is_user_list() => {
                let message = format!("Secret {} exists and is not a user list; it is left as it is", secret.name);
                self.findings.push(Finding::warning(message).remedy("delete it, so that the user list can be made"));
            }
            Some(_) => self.write(secret, Act::Patch, &[(USER_LIST, &content)]),
        }
    }

    fn foreign(&mut self, secret: &WantedSecret, username: &str) {
        let message = format!(
            "Secret {}/{} belongs to another user than \"{username}\" and is left as it is",
            secret.namespace, secret.name
        );
        self.findings.push(
            Finding::warning(message)
                .remedy(format!("set its key username to \"{username}\", or delete it so that a new one is made")),
        );
    }

    fn unusable(&mut self, secret: &WantedSecret, username: &str) {
        let message = format!(
            "Secret {}/{} has an empty password, or one that is not UTF-8, for \"{username}\" and is left as it is",
            secret.namespace, secret.name
        );
        self.findings.push(
            Finding::warning(message).remedy(
                "set its key password to the role's password, or remove the key so that a password is generated",
            ),
        );
    }

    fn write(&mut self, secret: &WantedSecret, act: Act, data: &[(&str, &str)]) {
        let data = encoded(data);
        let body = match act {
            Act::Create => {
                let mut object = secret.object();
                object["data"] = data;
                object
            }
            Act::Patch => json!({ "data": data }),
        };
        self.writes.push(Write { act, namespace: secret.namespace.clone(), name: secret.name.clone(), body });
    }
}

fn encoded(data: &[(&str, &str)]) -> Value {
    data.iter().map(|(key, value)| ((*key).to_string(), Value::from(STANDARD.encode(value)))).collect()
}

/// Whether it is a time in the form in which the host writes one, as in `2024-06-19T19:22:45Z`.
fn is_in_utc(text: &str) -> bool {
    text.len() == "2024-06-19T19:22:45Z".len() && text.ends_with('Z') && with_offset(text).is_ok()
}

/// The patch with which an existing Secret gets the credential of a rotation. It fails if the Secret has changed since it
/// was read.
#[must_use]
pub fn replace(secret: &WantedSecret, version: Option<&str>, login: &Login, password: &Password) -> Write {
    let next = login.next_rotation.as_deref().unwrap_or_default();
    let data = [(USERNAME, &*login.username), (PASSWORD, password.reveal()), (NEXT_ROTATION, next)];
    let body = json!({"metadata": {"resourceVersion": version}, "data": encoded(&data)});
    Write { act: Act::Patch, namespace: secret.namespace.clone(), name: secret.name.clone(), body }
}

/// The patch that gives an existing Secret its desired labels, annotations and owner. `None` if it has them, or if
/// neither this operator nor the Zalando operator wrote the Secret: then it belongs to its writer. The patch contains
/// no data.
///
/// Labels and annotations are only added, because other writers may have their own.
#[must_use]
pub fn follow(wanted: &WantedSecret, existing: &ObjectMeta) -> Option<Write> {
    let managers = existing.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    if !managers.into_iter().any(|manager| manager == MANAGER || manager == PREDECESSOR) {
        return None;
    }
    let mut metadata = Map::new();
    for (field, wanted, existing) in
        [("labels", &wanted.labels, &existing.labels), ("annotations", &wanted.annotations, &existing.annotations)]
    {
        let differs =
            |(key, value): &(&String, &String)| existing.as_ref().and_then(|all| all.get(*key)) != Some(*value);
        let changed: Map<String, Value> =
            wanted.iter().filter(differs).map(|(key, value)| (key.clone(), json!(value))).collect();
        if !changed.is_empty() {
            metadata.insert(field.into(), changed.into());
        }
    }
    if let Some(owners) = owners(wanted.owner.as_ref(), existing.owner_references.as_deref().unwrap_or_default()) {
        metadata.insert("ownerReferences".into(), owners);
        // The list is replaced as a whole, so the patch has to fail if the list has changed since it was read.
        metadata.insert("resourceVersion".into(), json!(existing.resource_version));
    }
    let body = json!({ "metadata": metadata });
    let (namespace, name) = (wanted.namespace.clone(), wanted.name.clone());
    (!metadata.is_empty()).then_some(Write { act: Act::Patch, namespace, name, body })
}

/// The patch that adds annotations to an existing Secret. Never holds data.
#[must_use]
pub fn annotate(secret: &WantedSecret, annotations: BTreeMap<String, String>) -> Write {
    let body = json!({"metadata": {"annotations": annotations}});
    Write { act: Act::Patch, namespace: secret.namespace.clone(), name: secret.name.clone(), body }
}

/// The desired owners of a Secret, if they differ from the existing ones. Owners that others set are kept; an object
/// has at most one controller.
fn owners(wanted: Option<&Value>, existing: &[OwnerReference]) -> Option<Value> {
    let is_cluster = |owner: &&OwnerReference| Kind::new(&owner.api_version, &owner.kind) == Kind::cluster();
    let is_wanted = |owner: &&OwnerReference| wanted.is_some_and(|wanted| wanted["uid"] == owner.uid);
    let others: Vec<_> = existing.iter().filter(|owner| !is_cluster(owner)).collect();
    let ours: Vec<_> = existing.iter().filter(is_cluster).collect();
    let is_controlled = others.iter().any(|owner| owner.controller == Some(true));
    let wanted = wanted.filter(|_| !is_controlled);
    let as_wanted = match wanted {
        Some(_) => ours.len() == 1 && ours.iter().any(is_wanted),
        None => ours.is_empty(),
    };
    (!as_wanted).then(|| {
        let others = others.into_iter().map(|owner| json!(owner));
        others.chain(wanted.cloned()).collect()
    })
}

/// A field of PgBouncer's
/// [`userlist.txt`](https://www.pgbouncer.org/config.html#authentication-file-format): in double quotes, a double quote
/// inside doubled.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
