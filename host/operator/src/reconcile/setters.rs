//! Which steps set the fields for which the API server refuses an object.

use std::collections::BTreeMap;

use pgloom_decide::kind::ObjectKey;
use pgloom_decide::{Kind, Owners, owners};
use pgloom_engine::{HOST, Setters};
use serde_json::Value;
use tracing::{Span, debug};

use super::decide::Decided;
use super::{Error, Reconciliation};
use crate::apply::{self, Refused};

/// The most fields of one step that a message names.
const MOST: usize = 3;

impl Reconciliation<'_> {
    /// The errors of objects that were refused, each with the steps that set the fields for which it was, or else with the
    /// step that created the object. `objects` are those that were sent.
    pub async fn with_setters(
        &self,
        decided: &Decided,
        objects: &[Value],
        refused: Vec<Refused>,
    ) -> Vec<(Kind, String, Error)> {
        let is_needed = refused.iter().any(|refused| !fields(&refused.error).is_empty());
        let owners = if is_needed { self.owners(decided).await } else { None };
        let live = self.context.store.objects(self.key);
        let named = refused.into_iter().map(|Refused { kind, name, error }| {
            let sent =
                objects.iter().find(|sent| ObjectKey::of(sent).name == name && Kind::of(sent).as_ref() == Some(&kind));
            let live = live.iter().find(|kept| kept.kind == kind && *kept.name == *name).map(|kept| kept.object());
            let setters = |field: &String| owners.as_ref()?.setters(sent?, live.as_ref(), field);
            let setters: Vec<Setters> = fields(&error).iter().filter_map(setters).collect();
            let by = by(&setters)
                .unwrap_or_else(|| format!("step {}", decided.plan.step_of(&kind, &name).unwrap_or_default()));
            (kind, name, Error::Object { by, source: Box::new(error) })
        });
        named.collect()
    }

    /// Who set the fields of the desired objects: they are decided once more, mostly from answers that are kept.
    async fn owners(&self, decided: &Decided) -> Option<Owners> {
        let (manifest, observed) = (self.manifest.clone(), decided.observed.clone());
        let (config, pipeline) = (self.settings.config.clone(), self.settings.pipeline.clone());
        let _turn = self.context.turns.acquire(pipeline.memory()).await;
        let span = Span::current();
        let found =
            tokio::task::spawn_blocking(move || span.in_scope(|| owners(&manifest, &config, &observed, &pipeline)));
        match found.await {
            Ok(Ok(owners)) => Some(owners),
            Ok(Err(error)) => {
                debug!(%error, "the steps that set the refused fields are not known");
                None
            }
            Err(_) => None,
        }
    }
}

fn fields(error: &apply::Error) -> &[String] {
    match error {
        apply::Error::Refused { fields, .. } => fields,
        _ => &[],
    }
}

/// The steps with what each of them set, as in `step patches, which set spec.replicas`; `None` without any.
fn by(setters: &[Setters]) -> Option<String> {
    let mut paths: BTreeMap<(&[String], bool), Vec<&str>> = BTreeMap::new();
    for Setters { path, steps, removed } in setters {
        let paths = paths.entry((steps, *removed)).or_default();
        if !paths.contains(&&**path) {
            paths.push(path);
        }
    }
    let said = paths.into_iter().map(|((steps, removed), paths)| {
        let verb = if removed { "removed" } else { "set" };
        let more = if paths.len() > MOST { ", …" } else { "" };
        let paths = paths.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
        format!("{}, which {verb} {paths}{more}", subject(steps))
    });
    let said = said.collect::<Vec<_>>().join("; ");
    (!said.is_empty()).then_some(said)
}

fn subject(steps: &[String]) -> String {
    match steps {
        [one] if one == HOST => "the operator".to_owned(),
        [one] => format!("step {one}"),
        several => format!("steps {}", several.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setters(path: &str, steps: &[&str], removed: bool) -> Setters {
        Setters { path: path.into(), steps: steps.iter().map(|step| (*step).to_owned()).collect(), removed }
    }

    #[test]
    fn each_step_is_named_once_with_what_it_set() {
        let said = |all: &[Setters]| by(all);
        assert_eq!(said(&[]), None);
        assert_eq!(
            said(&[
                setters("spec.a", &["one"], false),
                setters("spec.b", &["one"], false),
                setters("spec.a", &["one"], false)
            ]),
            Some("step one, which set spec.a, spec.b".to_owned())
        );
        assert_eq!(
            said(&[setters("spec.a", &["one", "two"], false), setters("spec.b", &["three"], true)]),
            Some("steps one and two, which set spec.a; step three, which removed spec.b".to_owned())
        );
        assert_eq!(
            said(&[setters("metadata.namespace", &[HOST], false)]).unwrap(),
            "the operator, which set metadata.namespace"
        );
        let many: Vec<Setters> = (0..9).map(|number| setters(&format!("f{number}"), &["one"], false)).collect();
        assert_eq!(said(&many).unwrap(), "step one, which set f0, f1, f2, …");
    }
}
