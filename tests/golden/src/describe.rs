//! A decision as a document for reviewers: findings and actions as sentences, then the objects.

use pgloom_decide::role::Rotation;
use pgloom_decide::{Error, Plan};
use pgloom_engine::{Action, RequestedAction};
use serde_json::{Map, Value, json};

/// The document of a decision: `findings`, `conditions`, `actions`, `roles`, `databases` and `objects`, each if not
/// empty; or the sentences of the `error`.
pub fn describe(decision: &Result<Plan, Error>) -> Value {
    let plan = match decision {
        Ok(plan) => plan,
        Err(error) => {
            let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
            return json!({"error": lines});
        }
    };
    let findings: Vec<String> = plan
        .findings
        .iter()
        .map(|finding| format!("{} from {}: {finding}", finding.severity, finding.source()))
        .collect();
    let conditions: Vec<String> = plan
        .conditions
        .iter()
        .map(|it| format!("{}={:?} ({}): {}", it.type_name, it.status, it.reason, it.message))
        .collect();
    let actions: Vec<String> = plan.actions.iter().map(action).collect();
    let parts = [
        ("findings", json!(findings)),
        ("conditions", json!(conditions)),
        ("actions", json!(actions)),
        ("roles", roles(plan)),
        ("databases", json!(plan.roles.databases)),
        ("objects", json!(plan.documents())),
    ];
    let empty =
        |part: &Value| part.as_array().is_some_and(Vec::is_empty) || part.as_object().is_some_and(Map::is_empty);
    parts.into_iter().filter(|(_, part)| !empty(part)).map(|(name, part)| (name.to_owned(), part)).collect()
}

/// By the role's name, its origin, attributes, memberships and settings.
fn roles(plan: &Plan) -> Value {
    let listed = |what: &str, names: Vec<String>| match names.is_empty() {
        true => String::new(),
        false => format!("; {what} {}", names.join(", ")),
    };
    let roles = plan.roles.roles.iter().map(|(name, role)| {
        let member_of = listed("member of", role.member_of.iter().cloned().collect());
        let admin = listed("granted to", role.admin.iter().cloned().collect());
        let set = |(name, value): (&String, &String)| format!("{name}={value}");
        let parameters = listed("sets", role.parameters.iter().map(set).collect());
        let rotation = match role.rotation {
            Rotation::Never | Rotation::Off => "",
            Rotation::NewRole => "; password changes by a new login role",
            Rotation::InPlace => "; password changes in place",
        };
        let line = format!("{:?}: {}{member_of}{admin}{parameters}{rotation}", role.origin, role.attributes);
        (name.clone(), json!(line))
    });
    Value::Object(roles.collect())
}

fn action(requested: &RequestedAction) -> String {
    let what = match &requested.action {
        Action::Credential(it) => format!("keep a credential for {}, labels {:?}", it.username, it.labels),
        Action::UserList(it) => format!("keep the user list of {} in Secret {}", it.username, it.secret_name),
        Action::PoolerAccess(it) => format!("give {} its look-up function in schema {}", it.username, it.schema),
        Action::ConfigurePatroni(json) => format!("configure Patroni with {json}"),
        Action::Promote => "promote the standby cluster".to_owned(),
        Action::ExpandClaim(it) => format!("expand claim {} to {}", it.claim, it.size),
        Action::ModifyVolume(it) => {
            format!("modify the volume of claim {} to {}", it.claim, it.size.as_deref().unwrap_or("-"))
        }
        Action::GrowFilesystem(it) => format!("grow the filesystem of claim {} in pod {}", it.claim, it.pod),
    };
    let refused = requested.refusal.as_ref().map(|reason| format!(" (refused: {reason})")).unwrap_or_default();
    format!("{} asks, as {}: {what}{refused}", requested.step, requested.key)
}
