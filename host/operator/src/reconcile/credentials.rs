//! Keeping the Secrets with credentials: generated once, never overwritten.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use pgloom_decide::Kind;
use pgloom_decide::Plan;
use pgloom_decide::credential::{self, Act, Content, Data, Wanted, Write};
use pgloom_decide::members::Members;
use pgloom_decide::transform::MANAGER;

use super::{Error, Reconciliation};
use crate::cache::api_resource;
use crate::execute::password::{self, generate};
use crate::execute::task::fingerprint;
use crate::report::Event;

impl Reconciliation<'_> {
    /// Creates the Secrets that are missing, and lets those of infrastructure roles follow. Where nothing has changed
    /// since the last reconcile nothing is read. `warnings` gets what people should know, also where a later write
    /// fails.
    pub async fn ensure_credentials(
        &self,
        plan: &Plan,
        members: &Members,
        warnings: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let seen = self.fingerprint_of(&plan.secrets);
        if self.state.memory.lock().credentials == Some(seen) {
            return Ok(());
        }
        let existing = Existing::read(&self.context.client, &plan.secrets).await?;
        let lacking = existing.lacking(&self.system_users(), &plan.secrets);
        let recovered = self.recovered(&lacking, members, warnings).await;
        let make = |username: &str| recovered.get(username).cloned().map_or_else(generate, Ok);
        let planned =
            credential::plan(&plan.secrets, |ns, name| existing.get(ns, name), make).map_err(Error::Password)?;
        let mut created = false;
        for write in &planned.writes {
            self.write_secret(write).await?;
            created |= write.act == Act::Create;
        }
        if created {
            self.context.recorder.publish(&self.about, &Event::normal("Secrets", "Secrets created")).await;
        }
        self.keep_passwords(&planned);
        let in_order = planned.findings.is_empty();
        warnings.extend(planned.findings.iter().map(|finding| Event::warning("Secrets", finding.to_string())));
        // A warning is reported as long as its cause exists, so that cause is read again.
        self.state.memory.lock().credentials = in_order.then(|| self.fingerprint_of(&plan.secrets));
        Ok(())
    }

    async fn write_secret(&self, write: &Write) -> Result<(), Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.context.client.clone(),
            &write.namespace,
            &api_resource(&Kind::new("v1", "Secret")),
        );
        let manager = Some(MANAGER.to_owned());
        let answer = match write.act {
            Act::Create => {
                let mut body = write.body().clone();
                self.identity().mark(&mut body);
                let Ok(body) = serde_json::from_value(body) else { return Ok(()) };
                api.create(&PostParams { field_manager: manager, ..PostParams::default() }, &body).await
            }
            Act::Patch => {
                let params = PatchParams { field_manager: manager, ..PatchParams::default() };
                api.patch(&write.name, &params, &Patch::Merge(write.body())).await
            }
        };
        let object = answer.map_err(|source| failed(&write.name, source))?;
        self.context.metrics.wrote("Secret", if write.act == Act::Create { "create" } else { "apply" });
        if let Ok(object) = serde_json::to_value(object) {
            self.context.store.record_write(object);
        }
        Ok(())
    }

    /// A hash of the wanted Secrets and of those that exist.
    pub fn fingerprint_of(&self, wanted: &[Wanted]) -> u64 {
        let objects = self.context.store.objects(self.key);
        let existing =
            objects.iter().filter(|kept| kept.kind.is("Secret")).map(|kept| (kept.name.clone(), kept.content));
        let wanted = wanted.iter().map(|secret| {
            let (username, given) = match &secret.content {
                Content::Credential { username, given } => {
                    (username, given.as_ref().map(|password| fingerprint(&password.reveal())))
                }
                Content::UserList { username } => (username, None),
            };
            (&secret.namespace, &secret.name, username, given)
        });
        fingerprint(&(existing.collect::<Vec<_>>(), wanted.collect::<Vec<_>>()))
    }
}

/// What the wanted Secrets hold; a role whose Secret holds no password is an error.
pub async fn read(client: &Client, wanted: &[Wanted]) -> Result<credential::Plan, Error> {
    let existing = Existing::read(client, wanted).await?;
    let missing = |username: &str| Err(password::Error::Missing(username.to_owned()));
    credential::plan(wanted, |ns, name| existing.get(ns, name), missing).map_err(Error::Password)
}

/// The data of the wanted Secrets that exist, by namespace and name.
struct Existing(HashMap<(String, String), Data>);

impl Existing {
    async fn read(client: &Client, wanted: &[Wanted]) -> Result<Self, Error> {
        let mut existing = HashMap::new();
        for secret in wanted {
            let api: Api<Secret> = Api::namespaced(client.clone(), &secret.namespace);
            let found = api.get_opt(&secret.name).await.map_err(|source| failed(&secret.name, source))?;
            if let Some(found) = found {
                existing.insert((secret.namespace.clone(), secret.name.clone()), Data::from(&found));
            }
        }
        Ok(Self(existing))
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Data> {
        self.0.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Which of the users have no Secret.
    fn lacking(&self, users: &[String; 2], wanted: &[Wanted]) -> Vec<String> {
        let without = wanted.iter().filter(|secret| self.get(&secret.namespace, &secret.name).is_none());
        let names = without.filter_map(|secret| match &secret.content {
            Content::Credential { username, .. } => Some(username),
            Content::UserList { .. } => None,
        });
        names.filter(|name| users.contains(name)).cloned().collect()
    }
}

fn failed(name: &str, source: kube::Error) -> Error {
    Error::Secret { name: name.to_owned(), source: Box::new(source) }
}
