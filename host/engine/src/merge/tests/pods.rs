//! What the host holds of pods after the merge: references to credentials, and tokens.

use super::*;

fn workload(spec: Value) -> Value {
    let name = json!({"name": "orders-own"});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": name, "spec": {"template": {"spec": spec}}})
}

/// Two steps contribute to a StatefulSet one after the other, each checked.
fn checked(first: Value, second: Value) -> Result<(), Error> {
    let mut merger = merger();
    let all = everything(ObjectKind::new("apps/v1", "StatefulSet"));
    for (step, container) in [("database", first), ("thief", second)] {
        merger.apply(&Writer { step, permissions: &all }, pod(json!({"containers": [container]})))?;
        merger.check_references(step)?;
    }
    Ok(())
}

#[test]
fn no_step_refers_to_a_variable_with_a_credential_of_another_step() {
    let of_secret = json!({"secretKeyRef": {"name": "postgres.orders.credentials", "key": "password"}});
    for secret in [
        json!({"name": "KEY", "value": "pgloom-placeholder:database:config:scalyr_api_key"}),
        json!({"name": "KEY", "valueFrom": of_secret}),
    ] {
        let database = || json!({"name": "postgres", "env": [secret, {"name": "HOST", "value": "a"}]});
        for (field, change) in [
            ("env[name=URL].value", json!({"env": [{"name": "URL", "value": "https://thief/$(KEY)"}]})),
            ("args", json!({"args": ["a", "--key=$$$(KEY)"]})),
            ("command", json!({"command": ["$(KEY)"]})),
            (
                "volumeMounts[mountPath=/a].subPathExpr",
                json!({"volumeMounts": [{"name": "a", "mountPath": "/a", "subPathExpr": "$(KEY)"}]}),
            ),
        ] {
            let mut thief = change;
            thief["name"] = json!("postgres");
            for (first, second) in [(database(), thief.clone()), (thief, database())] {
                let Err(Error::Reserved { path, reason, .. }) = checked(first, second) else { panic!("{field}") };
                assert_eq!(path.to_string(), format!("spec.template.spec.containers[name=postgres].{field}"));
                assert_eq!(reason, "it refers to a variable that holds a credential of another step");
            }
        }
        for value in ["https://$(HOST)", "$$(KEY)", "$(OTHER)", "KEY"] {
            let variable = json!({"name": "postgres", "env": [{"name": "URL", "value": value}]});
            checked(database(), variable).unwrap();
        }
        let mut own = database();
        own["args"] = json!(["$(KEY)"]);
        checked(own, json!({"name": "other", "args": ["$(KEY)"]})).unwrap();
    }
}

/// A Deployment that a step makes with or without the privilege for accounts, and what a step that has it adds.
fn made(with_privilege: bool, spec: Value, added: Option<Value>) -> Value {
    let kind = ObjectKind::new("apps/v1", "Deployment");
    let mut rights = with_privileges(rights(kind.clone(), true, &["spec"]));
    let platform = Permissions::granted(&rights);
    if !with_privilege {
        rights.privileges.remove(&Privilege::ServiceAccount);
    }
    let mut merger = merger();
    merger.apply(&Writer { step: "own", permissions: &Permissions::granted(&rights) }, workload(spec)).unwrap();
    if let Some(added) = added {
        merger.apply(&Writer { step: "platform", permissions: &platform }, workload(added)).unwrap();
    }
    merger.withhold_tokens();
    let field = "spec.template.spec.automountServiceAccountToken";
    let made = merger.clone().finish().remove(0).object["spec"]["template"]["spec"].clone();
    let owner = merger.owners().remove(0).leaves.remove(field);
    assert_eq!(owner.is_some(), made.get("automountServiceAccountToken").is_some(), "each leaf has its step");
    made
}

#[test]
fn the_pods_of_a_step_without_the_privilege_for_accounts_have_no_token() {
    let pod = || json!({"containers": [{"name": "a", "image": "a"}]});
    let token = |made: Value| made["automountServiceAccountToken"].clone();
    assert_eq!(token(made(false, pod(), None)), json!(false));
    assert_eq!(token(made(false, pod(), Some(json!({"dnsPolicy": "Default"})))), json!(false));
    assert_eq!(made(true, pod(), None), pod());
    assert_eq!(token(made(false, pod(), Some(json!({"automountServiceAccountToken": true})))), json!(true));
    assert_eq!(token(made(false, pod(), Some(json!({"serviceAccountName": "b"})))), Value::Null);
    let no_pods = json!({"dnsPolicy": "Default"});
    assert_eq!(token(made(false, no_pods, None)), json!(false));
}
