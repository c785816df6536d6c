//! Applying the plan in its order, with the credentials in their place, and pruning what is no longer desired.

use std::collections::BTreeSet;
use std::sync::Arc;

use pgloom_decide::apply_order::{rank, rank_of};
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::members::Members;
use pgloom_decide::ownership::{kinds_to_record, recorded_kinds, recorded_namespaces};
use pgloom_decide::rollout::{ScaleDown, Switchover, ordinal, scale_down};
use pgloom_decide::status::Condition;
use pgloom_decide::{BuiltIn, Kind, Plan};
use serde_json::{Value, json};

use super::decide::Decided;
use super::hold::opening;
use super::preconditions::Checked;
use super::progress::{Step, Underway};
use super::requeue::Requeue;
use super::{Error, Reconciliation};
use crate::apply::{Operation, Written};
use crate::cache::{CachedObject, ClusterKey};
use crate::report::Event;

/// Why the StatefulSet is not changed.
const DEGRADED: &str = "a step failed, so a StatefulSet that exists stays as it is until every step answers";

/// What was applied.
#[derive(Default)]
pub struct Applied {
    /// Objects that cannot be as desired yet.
    pub underway: Option<Underway>,
    /// The change of leader that comes before the number of members gets smaller.
    pub handover: Option<Switchover>,
    /// Why the number of members does not get smaller yet.
    pub held: Option<String>,
    /// The condition `Applied`; `None` if not everything was applied.
    pub condition: Option<Condition>,
    /// What people should know of the Secrets.
    pub warnings: Vec<Event>,
    /// The objects that the API server refused, and those of other owners: the kind and the name of each, and why.
    pub refused: Vec<(Kind, String, Error)>,
    /// The Secrets for user lists that are not the cluster's; `None` if the Secrets were not written.
    pub foreign_lists: Option<Vec<String>>,
    /// When the number of members may get smaller, as far as that is known.
    pub requeue: Requeue,
}

impl Reconciliation<'_> {
    /// Applies the plan: the service account and its role binding, then the objects in their order.
    pub async fn apply(&self, decided: &Decided, members: &Members) -> Step<Applied> {
        let mut applied = Applied::default();
        let result = self.apply_all(decided, members, &mut applied).await;
        Step { found: applied, result }
    }

    async fn apply_all(&self, decided: &Decided, members: &Members, applied: &mut Applied) -> Result<(), Error> {
        let plan = &decided.plan;
        let mut objects = plan.filled().map_err(Error::Decide)?;
        if plan.degraded && self.stateful_set().is_some() {
            // Without the answer of a step the template lacks what that step adds, and every pod would be replaced.
            objects.retain(|object| ObjectKey::of(object).built_in() != Some(BuiltIn::StatefulSet));
        }
        let Checked { secrets: credentials, foreign } = self.check(plan, &objects).await?;
        let foreign = self.with_setters(decided, &objects, foreign).await;
        objects.retain(|object| {
            let (object_kind, object_name) = (Kind::of(object), ObjectKey::of(object).name);
            !foreign.iter().any(|(kind, name, _)| name == object_name && Some(kind) == object_kind.as_ref())
        });
        applied.refused.extend(foreign);
        self.report_creating().await?;
        self.ensure_service_account(plan).await;
        self.record_new_kinds(plan).await?;
        self.record_new_namespaces(plan).await?;
        self.keep_leader(&mut objects, decided, members, applied).await;
        applied.underway = applied.held.as_ref().map(Underway::changing);
        // What uses credentials comes after them: a pod that mounts a Secret does not start without it.
        let secrets_from = objects.partition_point(|object| rank_of(object) < rank(Some(BuiltIn::Secret)));
        let (before, after) = objects.split_at(secrets_from);
        self.write(decided, before, applied).await?;
        let unset = self.ensure_credentials(plan, credentials, members, applied).await?;
        self.write(decided, after, applied).await?;
        self.follow_claims(after).await?;
        self.follow_certificates(plan, after).await?;
        if !applied.refused.is_empty() {
            return Ok(());
        }
        applied.condition = Some(match (&applied.held, unset) {
            (Some(reason), _) => Condition::fails("Applied", "ScaleDownWaits", reason),
            (None, _) if plan.degraded => Condition::fails("Applied", "StepFailed", DEGRADED),
            (None, Some(error)) => Condition::fails("Applied", error.category(), error.to_string()),
            (None, None) => Condition::holds("Applied", "Applied", "every object is as desired"),
        });
        Ok(())
    }

    /// Keeps the number of members as it is while the leader is one of those that would go, or while it is not certain
    /// that it is not.
    async fn keep_leader(&self, objects: &mut [Value], decided: &Decided, members: &Members, applied: &mut Applied) {
        let exist = self.existing_members(members);
        let Some((set, wanted)) = smaller_set(objects, &self.key.name, exist) else { return };
        let report = match members.leader() {
            Some((leader, _)) if wanted > 0 => self.patroni_report(&leader.pod, members).await,
            _ => None,
        };
        let reason = match scale_down(wanted, &members.all, report.as_ref()) {
            // A member that goes is one that is down.
            ScaleDown::Allowed => match self.busy().filter(|_| wanted > 0) {
                None => return,
                Some(busy) => busy.to_owned(),
            },
            ScaleDown::Wait(reason) => reason,
            ScaleDown::HandOver(handover) => self.hold(decided).unwrap_or_else(|| {
                let reason = format!("{} leads and is one of the members that go", handover.from);
                applied.handover = Some(handover);
                reason
            }),
        };
        set["spec"]["replicas"] = json!(exist);
        applied.requeue = opening(&self.windows(decided));
        applied.held = Some(format!("{exist} members stay until {wanted} are enough: {reason}"));
    }

    /// The number of members that exist: what the StatefulSet asks for or, where it is being replaced, what its pods show. A
    /// new StatefulSet adopts the pods, and deletes those beyond its number.
    fn existing_members(&self, members: &Members) -> usize {
        if self.stateful_set().is_some() {
            return self.wanted();
        }
        let highest = members.all.iter().filter_map(|member| ordinal(&member.pod)).max();
        highest.map_or(0, |highest| highest as usize + 1)
    }

    /// Writes the objects. One that the API server refuses holds no other one, except where a template names it.
    async fn write(&self, decided: &Decided, objects: &[Value], applied: &mut Applied) -> Result<(), Error> {
        let (maps, others) = objects.split_at(objects.partition_point(is_before_templates));
        self.write_all(decided, maps, applied).await?;
        let mut rest = Vec::new();
        for object in others {
            match applied.refused.iter().find(|(kind, name, _)| kind.is(BuiltIn::ConfigMap) && mounts(object, name)) {
                // A pod would start with a ConfigMap of others.
                Some((_, name, error)) if error.is_foreign() || self.exists(object) => {
                    let key = ObjectKey::of(object);
                    let reason = format!("{} {} stays as it is until ConfigMap {name} is written", key.kind, key.name);
                    applied.underway =
                        Underway::all(applied.underway.take().into_iter().chain([Underway::waiting(reason)]));
                }
                _ => rest.push(object.clone()),
            }
        }
        self.write_all(decided, &rest, applied).await
    }

    /// Whether an object of the kind and name is the cluster's already.
    fn exists(&self, object: &Value) -> bool {
        let (kind, name) = (Kind::of(object), ObjectKey::of(object).name);
        let is_it =
            |kept: &Arc<CachedObject>| *kept.name == *name && kind.as_ref().is_some_and(|kind| kept.kind.is_same(kind));
        self.context.store.objects(self.key).iter().any(is_it)
    }

    async fn write_all(&self, decided: &Decided, objects: &[Value], applied: &mut Applied) -> Result<(), Error> {
        let answer = self.writer().apply(self.key, objects).await.map_err(Error::Apply)?;
        applied.refused.extend(self.with_setters(decided, objects, answer.refused).await);
        applied.warnings.extend(answer.kept.map(|note| Event::warning("StatefulSet", note)));
        let waiting = answer.waiting.map(Underway::changing);
        applied.underway = Underway::all(applied.underway.take().into_iter().chain(waiting));
        for written in &answer.written {
            if written.reclaimed {
                let event = reclaimed(&written.kind.kind, &self.key.namespace, &written.name);
                self.context.recorder.publish(&self.about, &event).await;
            }
            if let Some(event) = event_of(self.key, written) {
                self.context.recorder.publish(&self.about, &event).await;
            }
        }
        Ok(())
    }

    /// Records the kinds that the plan adds, before an object of them is made.
    async fn record_new_kinds(&self, plan: &Plan) -> Result<(), Error> {
        let recorded = recorded_kinds(&self.manifest);
        let made = kinds_to_record(plan.objects.iter().map(|desired| &desired.object));
        let new: Vec<Kind> = made.into_iter().filter(|kind| !recorded.contains(kind)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut kinds = [recorded, new].concat();
        kinds.sort();
        self.record_kinds(&kinds).await
    }

    /// Records the other namespaces of the plan's Secrets, before a Secret is created there.
    async fn record_new_namespaces(&self, plan: &Plan) -> Result<(), Error> {
        let recorded = recorded_namespaces(&self.manifest);
        let named = plan.secrets.iter().map(|secret| secret.namespace.clone());
        let others = named.filter(|namespace| *namespace != *self.key.namespace);
        let all: BTreeSet<String> = recorded.iter().cloned().chain(others).collect();
        if all == recorded { Ok(()) } else { self.record_namespaces(&all).await }
    }
}

/// Whether an object comes before those with templates of pods.
fn is_before_templates(object: &Value) -> bool {
    rank_of(object) <= rank(Some(BuiltIn::ConfigMap))
}

/// Whether a pod of the object's template needs the ConfigMap of this name to start.
fn mounts(object: &Value, name: &str) -> bool {
    let is_named = |(key, value): (&String, &Value)| {
        matches!(&**key, "configMap" | "configMapRef" | "configMapKeyRef") && value["name"] == name
            || mounts(value, name)
    };
    match object {
        Value::Object(fields) => fields.iter().any(is_named),
        Value::Array(items) => items.iter().any(|item| mounts(item, name)),
        _ => false,
    }
}

/// The event for an object that was made for an earlier manifest of the same name, as before a restore from a backup.
pub fn reclaimed(kind: &str, namespace: &str, name: &str) -> Event {
    let note =
        format!("{kind} {namespace}/{name} was made for an earlier manifest of this name and belongs to this one now");
    Event::normal("Reclaim", note)
}

/// The StatefulSet among the objects and the number of members that it asks for, if that is lower than `exist`.
fn smaller_set<'a>(objects: &'a mut [Value], name: &str, exist: usize) -> Option<(&'a mut Value, usize)> {
    let set = objects.iter_mut().find(|object| ObjectKey::of(object).is(BuiltIn::StatefulSet, name))?;
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64()?).ok().filter(|wanted| *wanted < exist)?;
    Some((set, wanted))
}

/// The event for a write; changes of existing objects have none, they show in the status.
fn event_of(key: &ClusterKey, written: &Written) -> Option<Event> {
    let Written { kind, name, operation, reclaimed: _ } = written;
    let reason = match kind.built_in()? {
        BuiltIn::Endpoints => "Endpoints",
        BuiltIn::Service => "Services",
        BuiltIn::StatefulSet => "StatefulSet",
        _ => return None,
    };
    match operation {
        Operation::Create => Some(Event::normal(reason, format!("{} {}/{name} created", kind.kind, key.namespace))),
        Operation::ReplaceAndOrphan => {
            Some(Event::normal(reason, format!("{} {}/{name} is replaced, its pods stay", kind.kind, key.namespace)))
        }
        Operation::Skip | Operation::Apply | Operation::TakeOver | Operation::Replace => None,
    }
}
