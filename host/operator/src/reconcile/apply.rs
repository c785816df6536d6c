//! Applying the plan in its order, with the credentials in their place, and pruning what is no longer desired.

use pgloom_decide::Kind;
use pgloom_decide::apply_order::rank;
use pgloom_decide::members::Members;
use pgloom_decide::rollout::{ScaleDown, Switchover, scale_down};
use pgloom_decide::status::Condition;
use serde_json::{Value, json};

use super::decide::Decided;
use super::steps::{Step, Underway};
use super::{Error, Reconciliation};
use crate::apply::{Operation, Written};
use crate::cache::ClusterKey;
use crate::report::Event;

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
        self.report_creating().await?;
        self.ensure_service_account(plan).await;
        let mut objects = plan.filled().map_err(Error::Decide)?;
        self.keep_leader(&mut objects, decided, members, applied).await;
        applied.underway = applied.held.as_ref().map(Underway::changing);
        // What uses credentials comes after them: a pod that mounts a Secret does not start without it.
        let secrets_from =
            objects.partition_point(|object| rank(object["kind"].as_str().unwrap_or_default()) < rank("Secret"));
        let (before, after) = objects.split_at(secrets_from);
        self.write(before, applied).await?;
        self.ensure_credentials(plan, members, &mut applied.warnings).await?;
        self.write(after, applied).await?;
        applied.condition = Some(match &applied.held {
            Some(reason) => Condition::fails("Applied", "ScaleDownWaits", reason),
            None => Condition::holds("Applied", "Applied", "every object is as desired"),
        });
        Ok(())
    }

    /// Keeps the number of members as it is while the leader is one of those that would go, or while it is not certain
    /// that it is not.
    async fn keep_leader(&self, objects: &mut [Value], decided: &Decided, members: &Members, applied: &mut Applied) {
        let exist = self.wanted();
        let Some((set, wanted)) = smaller_set(objects, &self.key.name, exist) else { return };
        let report = match members.leader() {
            Some((leader, _)) if wanted > 0 => self.patroni_report(&leader.pod, members).await.ok(),
            _ => None,
        };
        let reason = match scale_down(wanted, &members.all, report.as_ref()) {
            ScaleDown::Allowed => return,
            ScaleDown::Wait(reason) => reason,
            ScaleDown::HandOver(handover) => self.hold(decided).unwrap_or_else(|| {
                let reason = format!("{} leads and is one of the members that go", handover.from);
                applied.handover = Some(handover);
                reason
            }),
        };
        set["spec"]["replicas"] = json!(exist);
        applied.held = Some(format!("{exist} members stay until {wanted} are enough: {reason}"));
    }

    async fn write(&self, objects: &[Value], applied: &mut Applied) -> Result<(), Error> {
        let answer = self.context.writer(&self.state).apply(self.key, objects).await.map_err(Error::Apply)?;
        let waiting = answer.waiting.map(Underway::changing);
        applied.underway = Underway::all(applied.underway.take().into_iter().chain(waiting));
        for written in &answer.written {
            if let Some(event) = event_of(self.key, written) {
                self.context.recorder.publish(&self.about, &event).await;
            }
        }
        Ok(())
    }

    /// Deletes what the operator applied and the plan no longer holds, unless a change is under way.
    ///
    /// Pods of an earlier template may use what this one does not name.
    pub async fn prune(&self, decided: &Decided, settled: bool, underway: [&Option<Underway>; 3]) -> Result<(), Error> {
        if !settled || underway.into_iter().flatten().any(|underway| underway.changing) {
            return Ok(());
        }
        let wanted = |kind: &Kind, name: &str| decided.plan.wants(&kind.kind, name);
        self.context.writer(&self.state).prune(self.key, wanted).await.map(drop).map_err(Error::Apply)
    }
}

/// The StatefulSet among the objects and the number of members that it asks for, if that is lower than `exist`.
fn smaller_set<'a>(objects: &'a mut [Value], name: &str, exist: usize) -> Option<(&'a mut Value, usize)> {
    let is_set = |object: &&mut Value| object["kind"] == "StatefulSet" && object["metadata"]["name"] == name;
    let set = objects.iter_mut().find(is_set)?;
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64()?).ok().filter(|wanted| *wanted < exist)?;
    Some((set, wanted))
}

/// The event for a write; changes of existing objects have none, they show in the status.
fn event_of(key: &ClusterKey, written: &Written) -> Option<Event> {
    let Written { kind, name, operation } = written;
    let reason = match &*kind.kind {
        "Endpoints" => "Endpoints",
        "Service" => "Services",
        "StatefulSet" => "StatefulSet",
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
