//! Keeping the Secrets with credentials: generated once, never overwritten.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use pgloom_decide::Plan;
use pgloom_decide::credential::{self, Act, Content, Data, Recovery, WantedSecret, Write};
use pgloom_decide::field_manager::MANAGER;
use pgloom_decide::members::Members;
use pgloom_decide::ownership::Origin;
use pgloom_decide::{BuiltIn, Kind};
use serde_json::{Value, json};

use super::apply::{Applied, reclaimed};
use super::{Error, Reconciliation};
use crate::apply::{self, Writer};
use crate::cache::{ClusterKey, api_resource};
use crate::execute::password::{self, generate};
use crate::execute::rotation::Calendar;
use crate::execute::task::fingerprint;
use crate::report::Event;

/// The placeholder of the cluster's name in `secret_name_template`.
const CLUSTER: &str = "{cluster}";

impl Reconciliation<'_> {
    /// Reads the wanted Secrets; `None` where nothing has changed since they were last found to be complete.
    ///
    /// # Errors
    /// The first Secret that is another cluster's.
    pub async fn read_credentials(&self, plan: &Plan) -> Result<Option<Found>, Error> {
        // Taken before anything is read: what changes after it is found by the next reconcile.
        let seen = self.fingerprint_of(&plan.secrets);
        if self.state.memory.lock().credentials == Some(seen) {
            return Ok(None);
        }
        self.state.memory.lock().credentials = None;
        let existing = Existing::read(&self.context.client, &self.home(), &plan.secrets).await?;
        let (identity, writer) = (self.identity(), self.writer());
        for secret in &plan.secrets {
            let Some(object) = existing.object(secret) else { continue };
            let origin = writer.origin(&object);
            if identity.is_secret_of_another(&object, &origin) {
                let (kind, name) = ("Secret".to_owned(), secret.name.clone());
                let reason = format!("it was made for another cluster; secret_name_template may lack {CLUSTER}");
                return Err(Error::Apply(apply::Error::Foreign { kind, name, reason }));
            }
        }
        Ok(Some(Found { seen, existing }))
    }

    /// Creates the Secrets that are missing, and lets those of infrastructure roles, and the labels, annotations and
    /// owners of all, follow. Those of an earlier manifest become this one's. `applied` gets what people should know,
    /// also where a later write fails. Returns why a Secret stays missing although nothing else depends on it.
    pub async fn ensure_credentials(
        &self,
        plan: &Plan,
        found: Option<Found>,
        members: &Members,
        applied: &mut Applied,
    ) -> Result<Option<Error>, Error> {
        let Some(Found { seen, existing }) = found else {
            applied.foreign_lists = Some(Vec::new());
            return Ok(None);
        };
        let warnings = &mut applied.warnings;
        let reclaimed = self.reclaim_secrets(plan, &existing).await?;
        let lacking = existing.lacking(|username| self.is_set_once(username), &plan.secrets);
        let recoveries = self.recoveries(plan, &lacking, members).await;
        let foreign: Vec<&str> = self.foreign_lists(plan, &existing);
        let is_known =
            |secret: &&WantedSecret| unknown(&recoveries, secret).is_none() && !foreign.contains(&secret.name.as_str());
        let known: Vec<WantedSecret> = plan.secrets.iter().filter(is_known).cloned().collect();
        let make = |username: &str| match recoveries.get(username) {
            Some(Recovery::Known(password)) => Ok(password.clone()),
            _ => generate(),
        };
        let first = self.calendar().next();
        let planned =
            credential::plan(&known, &first, |ns, name| existing.get(ns, name), make).map_err(Error::Password)?;
        let follows: Vec<Write> = known.iter().filter_map(|secret| existing.follow(secret, &planned)).collect();
        let mut created = false;
        for write in planned.writes.iter().chain(&follows) {
            write_secret(&self.writer(), write).await?;
            created |= write.act == Act::Create;
        }
        if created {
            self.context.recorder.publish(&self.about, &Event::normal("Secrets", "Secrets created")).await;
        }
        self.keep_passwords(&planned);
        warnings.extend(planned.findings.iter().map(|finding| Event::warning("Secrets", finding.to_string())));
        let mut unknown: Vec<Error> = plan.secrets.iter().filter_map(|secret| unknown(&recoveries, secret)).collect();
        // A member that starts needs the Secrets of the system users, so what comes after them waits.
        if let Some(of_system_user) = unknown.iter().position(|error| matches!(error, Error::Recover { .. })) {
            return Err(unknown.swap_remove(of_system_user));
        }
        warnings.extend(unknown.iter().map(|error| Event::warning("Secrets", error.to_string())));
        // A warning is reported as long as its cause exists, so that cause is read again. So are the Secrets that were
        // written: another one may have been deleted meanwhile.
        let in_order = planned.findings.is_empty() && planned.writes.is_empty() && follows.is_empty() && !reclaimed;
        let in_order = in_order && unknown.is_empty();
        // The deletion of a Secret that no watch reports is found by reading alone.
        let in_order = in_order && foreign.is_empty() && plan.secrets.iter().all(|secret| self.is_reported(secret));
        self.state.memory.lock().credentials = in_order.then_some(seen);
        applied.foreign_lists = Some(foreign.into_iter().map(str::to_owned).collect());
        Ok(unknown.into_iter().next())
    }

    /// The Secrets for user lists that exist and are not the cluster's. The password of a role is not written to a Secret
    /// that others have made: they would read it there.
    fn foreign_lists<'a>(&self, plan: &'a Plan, existing: &Existing) -> Vec<&'a str> {
        let writer = self.writer();
        let is_foreign = |secret: &&WantedSecret| {
            let is_list = matches!(secret.content, Content::UserList { .. });
            is_list && existing.object(secret).is_some_and(|object| !writer.origin(&object).is_own())
        };
        plan.secrets.iter().filter(is_foreign).map(|secret| secret.name.as_str()).collect()
    }

    /// Marks the Secrets of an earlier manifest, and those that the Zalando operator created in other namespaces, as those
    /// of this one; whether there were any.
    async fn reclaim_secrets(&self, plan: &Plan, existing: &Existing) -> Result<bool, Error> {
        let (identity, writer, mut any) = (self.identity(), self.writer(), false);
        for secret in &plan.secrets {
            let Some(object) = existing.object(secret) else { continue };
            let is_former = writer.origin(&object) == Origin::Former;
            if !is_former && !self.is_to_be_marked(secret, &object) {
                continue;
            }
            write_secret(&writer, &credential::annotate(secret, identity.marks(&secret.namespace))).await?;
            if is_former {
                let event = reclaimed("Secret", &secret.namespace, &secret.name);
                self.context.recorder.publish(&self.about, &event).await;
            }
            any = true;
        }
        Ok(any)
    }

    /// Whether a wanted Secret is one that the Zalando operator created in another namespace, and no cluster of the same
    /// name is there.
    fn is_to_be_marked(&self, secret: &WantedSecret, object: &Value) -> bool {
        let namesake = ClusterKey::new(&secret.namespace, &self.key.name);
        self.identity().may_mark_elsewhere(object) && self.context.store.manifest(&namesake).is_none()
    }

    /// Where most of the cluster's Secrets are.
    pub fn home(&self) -> Home {
        Home { namespace: self.key.namespace.to_string(), selector: self.identity().name_selector() }
    }

    /// Whether a watch reports a Secret; those in the cluster's own namespace are watched always.
    fn is_reported(&self, secret: &WantedSecret) -> bool {
        let objects = || self.context.store.objects(&ClusterKey::new(&secret.namespace, &self.key.name));
        secret.namespace == *self.key.namespace
            || objects().iter().any(|cached| cached.kind.is(BuiltIn::Secret) && *cached.name == *secret.name)
    }

    /// A hash of the wanted Secrets and of those that exist, in other namespaces too.
    pub fn fingerprint_of(&self, secrets: &[WantedSecret]) -> u64 {
        let elsewhere = secrets.iter().map(|secret| secret.namespace.as_str());
        let elsewhere: BTreeSet<&str> = elsewhere.filter(|namespace| *namespace != &*self.key.namespace).collect();
        let places = elsewhere.into_iter().map(|namespace| ClusterKey::new(namespace, &self.key.name));
        let existing = std::iter::once(self.key.clone()).chain(places).flat_map(|place| {
            let secrets = self.context.store.objects(&place).into_iter().filter(|kept| kept.kind.is(BuiltIn::Secret));
            secrets.map(|kept| (place.namespace.clone(), kept.name.clone(), kept.content)).collect::<Vec<_>>()
        });
        let existing: Vec<_> = existing.collect();
        let wanted = secrets.iter().map(|secret| {
            let (username, given, others) = match &secret.content {
                Content::Credential { username, given, rotation } => {
                    let given = given.as_ref().map(|password| fingerprint(&password.reveal()));
                    (username, Some((given, *rotation)), None)
                }
                Content::UserList { username, others } => (username, None, Some(others)),
            };
            (&secret.namespace, &secret.name, username, given, others)
        });
        // The labels, annotations and owners that the Secrets are to have.
        let metadata: Vec<_> = secrets
            .iter()
            .map(|secret| (&secret.labels, &secret.annotations, secret.owner.as_ref().map(ToString::to_string)))
            .collect();
        let interval = self.settings.config.integer("password_rotation_interval");
        fingerprint(&(existing, wanted.collect::<Vec<_>>(), metadata, interval))
    }

    /// The time, and the periods of the rotation of passwords.
    pub fn calendar(&self) -> Calendar {
        Calendar::of(&self.settings.config, Timestamp::now())
    }
}

/// Writes a Secret. One that is created gets the cluster's mark.
pub async fn write_secret(writer: &Writer, write: &Write) -> Result<(), Error> {
    let resource = api_resource(&Kind::new("v1", "Secret"));
    let api: Api<DynamicObject> = Api::namespaced_with(writer.client.clone(), &write.namespace, &resource);
    let manager = Some(MANAGER.to_owned());
    let answer = match write.act {
        Act::Create => {
            let mut body = write.body().clone();
            writer.identity.mark(&mut body);
            let Ok(body) = serde_json::from_value(body) else { return Ok(()) };
            api.create(&PostParams { field_manager: manager, ..PostParams::default() }, &body).await
        }
        Act::Patch => {
            let params = PatchParams { field_manager: manager, ..PatchParams::default() };
            api.patch(&write.name, &params, &Patch::Merge(write.body())).await
        }
    };
    let object = answer.map_err(|source| failed(&write.name, source))?;
    writer.metrics.wrote("Secret", if write.act == Act::Create { "create" } else { "apply" });
    if let Ok(object) = serde_json::to_value(object) {
        writer.store.record_write(object);
    }
    Ok(())
}

/// What the wanted Secrets hold, and the Secrets; a role whose Secret holds no password is an error.
pub async fn read(
    client: &Client,
    home: &Home,
    wanted: &[WantedSecret],
    calendar: &Calendar,
) -> Result<(credential::SecretChanges, Existing), Error> {
    let existing = Existing::read(client, home, wanted).await?;
    let missing = |username: &str| Err(password::Error::Missing(username.to_owned()));
    let plan = credential::plan(wanted, &calendar.next(), |ns, name| existing.get(ns, name), missing);
    Ok((plan.map_err(Error::Password)?, existing))
}

/// Where most of a cluster's Secrets are.
pub struct Home {
    /// The cluster's namespace.
    pub namespace: String,
    /// A selector of what has the cluster's name.
    pub selector: String,
}

/// The most Secrets in one answer. It limits the memory that an answer may take: each may be as large as 1 MiB.
const PAGE: u32 = 50;

/// The Secrets that were read for one reconcile.
pub struct Found {
    /// The hash of what was seen before they were read.
    seen: u64,
    existing: Existing,
}

impl Found {
    /// Whether one of the wanted Secrets does not exist.
    pub fn lacks(&self, wanted: &[WantedSecret]) -> bool {
        wanted.iter().any(|secret| self.existing.find(&secret.namespace, &secret.name).is_none())
    }
}

/// The wanted Secrets that exist, by namespace and name.
pub struct Existing(HashMap<(String, String), (Data, ObjectMeta)>);

impl Existing {
    /// Reads the Secrets of the cluster by lists, and by its name each one that those do not have: it may be missing, lack
    /// the label, or be in another namespace.
    async fn read(client: &Client, home: &Home, wanted: &[WantedSecret]) -> Result<Self, Error> {
        let mut existing = Self::list(client, home, wanted).await?;
        for secret in wanted {
            if existing.find(&secret.namespace, &secret.name).is_some() {
                continue;
            }
            let api: Api<Secret> = Api::namespaced(client.clone(), &secret.namespace);
            let found = api.get_opt(&secret.name).await.map_err(|source| failed(&secret.name, source))?;
            existing.0.extend(found.map(|found| Self::entry(&secret.namespace, found)));
        }
        Ok(existing)
    }

    /// The wanted Secrets among those with the cluster's name: at most as many as are wanted are read, and a page more.
    async fn list(client: &Client, home: &Home, wanted: &[WantedSecret]) -> Result<Self, Error> {
        let names: HashSet<&str> =
            wanted.iter().filter(|secret| secret.namespace == home.namespace).map(|secret| &*secret.name).collect();
        let api: Api<Secret> = Api::namespaced(client.clone(), &home.namespace);
        let mut params = ListParams::default().labels(&home.selector).limit(PAGE);
        let mut existing = HashMap::new();
        let pages = if names.len() < 2 { 0 } else { names.len().div_ceil(PAGE as usize) + 1 };
        for _ in 0..pages {
            let page = api.list(&params).await.map_err(|source| Error::Secrets(Box::new(source)))?;
            let found = page.items.into_iter();
            let found = found.filter(|secret| secret.metadata.name.as_deref().is_some_and(|name| names.contains(name)));
            existing.extend(found.map(|secret| Self::entry(&home.namespace, secret)));
            let next = page.metadata.continue_.filter(|token| !token.is_empty() && existing.len() < names.len());
            let Some(token) = next else { break };
            params = params.continue_token(&token);
        }
        Ok(Self(existing))
    }

    fn entry(namespace: &str, secret: Secret) -> ((String, String), (Data, ObjectMeta)) {
        let name = secret.metadata.name.clone().unwrap_or_default();
        ((namespace.to_owned(), name), (Data::from(&secret), secret.metadata))
    }

    fn find(&self, namespace: &str, name: &str) -> Option<&(Data, ObjectMeta)> {
        self.0.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The version of a Secret as it was read.
    pub fn version(&self, secret: &WantedSecret) -> Option<&str> {
        self.find(&secret.namespace, &secret.name)?.1.resource_version.as_deref()
    }

    /// A Secret without its data.
    fn object(&self, secret: &WantedSecret) -> Option<Value> {
        let (_, metadata) = self.find(&secret.namespace, &secret.name)?;
        Some(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Data> {
        self.find(namespace, name).map(|(data, _)| data.clone())
    }

    /// The patch of a Secret's labels, annotations and owner; none of one that is left as it is.
    fn follow(&self, secret: &WantedSecret, planned: &credential::SecretChanges) -> Option<Write> {
        let (Content::Credential { username, .. } | Content::UserList { username, .. }) = &secret.content;
        let (_, metadata) = self.find(&secret.namespace, &secret.name)?;
        planned.passwords.get(planned.login(username)).and_then(|_| credential::follow(secret, metadata))
    }

    /// Which of the roles for which `is_asked` is true have no password in a Secret.
    fn lacking(&self, is_asked: impl Fn(&str) -> bool, wanted: &[WantedSecret]) -> Vec<String> {
        let has = |secret: &WantedSecret| {
            self.find(&secret.namespace, &secret.name).is_some_and(|(data, _)| data.has_password())
        };
        let names = wanted.iter().filter(|secret| !has(secret)).filter_map(|secret| match &secret.content {
            Content::Credential { username, given: None, .. } => Some(username),
            Content::Credential { .. } | Content::UserList { .. } => None,
        });
        names.filter(|name| is_asked(name)).cloned().collect()
    }
}

/// Why a Secret is not created: its password is not known.
fn unknown(recoveries: &BTreeMap<String, Recovery>, secret: &WantedSecret) -> Option<Error> {
    let Content::Credential { username, .. } = &secret.content else { return None };
    let (user, name) = (username.clone(), secret.name.clone());
    match recoveries.get(username)? {
        Recovery::Unknown(reason) => Some(Error::Recover { username: user, name, reason: reason.clone() }),
        Recovery::NotSettable => Some(Error::SetPassword { username: user, name }),
        Recovery::Known(_) | Recovery::Generate => None,
    }
}

pub fn failed(name: &str, source: kube::Error) -> Error {
    Error::Secret { name: name.to_owned(), source: Box::new(source) }
}
