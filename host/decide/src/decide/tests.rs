use std::sync::{Arc, Mutex};

use pgloom_engine::{
    Action, ActionKind, ActionPermission, ActionRequest, Contribution, Credential, CredentialPermission,
    CredentialSource, Description, ObjectKind, ObjectPermission, Plugin, PoolerAccess, UserList,
};

use super::*;

/// A pipeline without a step: only the host contributes.
fn pipeline() -> Pipeline {
    Pipeline::of(Vec::new()).unwrap()
}

fn config(data: Value) -> Config {
    Config::read(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data})).unwrap().config
}

fn manifest() -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "uid": "u", "labels": {"env": "test", "other": "x"}},
        "spec": {
            "teamId": "acid", "numberOfInstances": 2, "volume": {"size": "1Gi"}, "postgresql": {"version": "17"},
            "users": {"foo_user": []}, "databases": {"foo": "foo_user"},
        }
    })
}

fn plan(manifest: &Value, config: &Config) -> Result<Plan, Error> {
    decide(manifest, config, &Observed::default(), &pipeline())
}

fn refusal(manifest: &Value) -> String {
    plan(manifest, &Config::defaults()).unwrap_err().to_string()
}

#[test]
fn every_role_that_logs_in_gets_a_secret_with_the_clusters_labels_and_what_they_inherit() {
    let config = config(json!({"inherited_labels": "env", "secret_name_template": "{username}.{cluster}.credentials"}));
    let plan = plan(&manifest(), &config).unwrap();
    let names: Vec<&str> = plan.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(
        names,
        ["foo-user.acid-orders.credentials", "postgres.acid-orders.credentials", "standby.acid-orders.credentials"]
    );
    let labels = serde_json::to_value(&plan.secrets[0].labels).unwrap();
    assert_eq!(labels, json!({"application": "spilo", "cluster-name": "acid-orders", "env": "test", "team": "acid"}));
}

#[test]
fn documents_come_in_the_order_of_applying_and_without_passwords() {
    let documents = plan(&manifest(), &Config::defaults()).unwrap().documents();
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "RoleBinding", "Secret", "Secret", "Secret"]);
    assert!(documents.iter().all(|document| document["data"].get("password").is_none()));
}

#[test]
fn owner_references_are_set_where_the_configuration_says_so() {
    let of = |config: &Config| plan(&manifest(), config).unwrap().secrets[0].owner.clone();
    assert_eq!(of(&Config::defaults()), None);
    let owner = of(&config(json!({"enable_owner_references": "true"}))).unwrap();
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("postgresql"), &json!("u")));
}

#[test]
fn a_manifest_that_cannot_be_used_is_refused_with_its_field_and_the_remedy() {
    let mut manifest = manifest();
    manifest["spec"]["volume"]["size"] = json!("large");
    let error = plan(&manifest, &Config::defaults()).unwrap_err();
    assert_eq!(error.category(), "InvalidManifest");
    assert!(error.to_string().starts_with("spec.volume.size: "), "{error}");
}

#[test]
fn a_user_cannot_read_a_credential_of_the_operator_by_writing_its_placeholder() {
    let mut manifest = manifest();
    let variable = json!({"name": "E", "value": "pgloom-placeholder:config:scalyr_api_key"});
    manifest["spec"]["sidecars"] = json!([{"name": "s", "image": "i", "env": [variable]}]);
    assert_eq!(
        refusal(&manifest),
        "spec.sidecars[0].env[0].value: pgloom-placeholder: is reserved for the operator's placeholders of credentials; \
         write another value"
    );
}

#[test]
fn a_credential_of_the_manifest_is_in_no_document_and_opens_when_applied() {
    let mut manifest = manifest();
    manifest["spec"]["clone"] = json!({
        "cluster": "acid-batman", "uid": "efd12e58-5786-11e8-b5a7-06148230260c", "timestamp": "2017-12-19T12:40:33+01:00",
        "s3_access_key_id": "AKIA", "s3_secret_access_key": "hunter2",
    });
    let plan = plan(&manifest, &Config::defaults()).unwrap();
    assert!(!format!("{plan:?}").contains("hunter2"));
    let mut object = database("pgloom-placeholder:clone:manifest:/spec/clone/s3_secret_access_key");
    placeholder::fill(&mut object, &plan.credentials).unwrap();
    assert_eq!(object, database("hunter2"));
}

#[test]
fn a_user_cannot_read_a_credential_of_the_operator_by_writing_its_placeholder_where_a_step_looks() {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "environment", "namespace": "shop"},
        "data": {"KEY": "pgloom-placeholder:config:scalyr_api_key"},
    });
    let observed = Observed::of(vec![map]);
    let error = decide(&manifest(), &Config::defaults(), &observed, &pipeline()).unwrap_err();
    assert_eq!(error.category(), "InvalidManifest");
    assert_eq!(
        error.to_string(),
        "ConfigMap environment data.KEY: pgloom-placeholder: is reserved for the operator's placeholders of credentials; write the value itself there"
    );
}

/// The placeholder that the step `writer` sees.
const OWN: &str = "pgloom-placeholder:writer:config:scalyr_api_key";

/// A StatefulSet whose container has a variable with this value.
fn database(value: &str) -> Value {
    let container = json!({"name": "postgres", "env": [{"name": "KEY", "value": value}]});
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    })
}

fn writer() -> Description {
    let kinds = [("apps/v1", "StatefulSet"), ("v1", "Service")];
    let creates = |(version, kind)| ObjectPermission::creates(ObjectKind::new(version, kind), &["*"]);
    Description {
        name: "writer".into(),
        config_keys: vec!["scalyr_api_key".into()],
        objects: kinds.map(creates).into(),
        ..Description::default()
    }
}

/// A description that asks for the credential, too.
fn shipper() -> Description {
    let source = CredentialSource::Config("scalyr_api_key".into());
    Description { credentials: vec![CredentialPermission { source, optional: false }], ..writer() }
}

/// A pipeline of one step that contributes this object.
fn contributes(description: Description, object: &Value) -> Pipeline {
    responds(description, vec![Contribution::Apply(object.to_string())], Vec::new())
}

fn responds(description: Description, contributions: Vec<Contribution>, actions: Vec<ActionRequest>) -> Pipeline {
    let response = Response { contributions, actions, findings: vec![], conditions: vec![] };
    Pipeline::of(vec![Arc::new(Plugin::native(description, move |_| Ok(response.clone())))]).unwrap()
}

#[test]
fn a_credential_reaches_a_variable_of_a_step_that_asks_for_it() {
    let config = config(json!({"scalyr_api_key": "hunter2"}));
    let of = |description, object: &Value| {
        decide(&manifest(), &config, &Observed::default(), &contributes(description, object))
    };
    let plan = of(shipper(), &database(OWN)).unwrap();
    assert!(plan.documents().iter().all(|document| !document.to_string().contains("hunter2")));
    let filled = &plan.filled().unwrap()[0]["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
    assert_eq!(filled, "hunter2");

    let error = of(writer(), &database(OWN)).unwrap_err();
    assert_eq!(error.category(), "InvalidPlaceholder");
    assert_eq!(
        error.to_string(),
        "step writer (writer 0.1.0): answer failed: StatefulSet acid-orders: \
         spec.template.spec.containers[0].env[0].value holds the placeholder \
         \"pgloom-placeholder:writer:config:scalyr_api_key\", which this step was not shown; the plugin has to ask for \
         the credential, and the pipeline to grant it"
    );
}

#[test]
fn a_step_cannot_open_a_credential_into_an_annotation_or_copy_the_placeholder_of_another_step() {
    let config = config(json!({"scalyr_api_key": "hunter2"}));
    let of = |object: &Value| {
        decide(&manifest(), &config, &Observed::default(), &contributes(shipper(), object)).unwrap_err().to_string()
    };
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders", "annotations": {"key": OWN}},
    });
    assert_eq!(
        of(&service),
        "step writer (writer 0.1.0): answer failed: Service acid-orders: metadata.annotations.key holds the placeholder \
         of a credential, which is filled in only as the value of a container's variable"
    );
    let stolen = of(&database("pgloom-placeholder:sidecars:config:scalyr_api_key"));
    assert!(stolen.contains("which this step was not shown"), "{stolen}");
    let part = of(&database(&format!("key={OWN}")));
    assert!(part.contains("holds a placeholder inside a longer text"), "{part}");
}

#[test]
fn a_placeholder_is_found_when_its_letters_are_written_as_numbers() {
    let config = config(json!({"scalyr_api_key": "hunter2"}));
    let object = database(OWN).to_string().replace("pgloom-placeholder", "\\u0070gloom-placeholder");
    let pipeline = responds(writer(), vec![Contribution::Apply(object)], Vec::new());
    let error = decide(&manifest(), &config, &Observed::default(), &pipeline).unwrap_err();
    assert_eq!(error.category(), "InvalidPlaceholder");
}

#[test]
fn a_step_sees_no_value_of_a_credential_that_it_does_not_ask_for() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let config = config(json!({"scalyr_api_key": "hunter2"}));
    for description in [writer(), shipper()] {
        let record = seen.clone();
        let plugin = Plugin::native(description, move |request: &pgloom_engine::Request| {
            record.lock().unwrap().push(request.operator_config.clone());
            let (contributions, actions) = (vec![], vec![]);
            Ok(Response { contributions, actions, findings: vec![], conditions: vec![] })
        });
        decide(&manifest(), &config, &Observed::default(), &Pipeline::of(vec![Arc::new(plugin)]).unwrap()).unwrap();
    }
    let shown = format!(r#"{{"scalyr_api_key":"{OWN}"}}"#);
    assert_eq!(*seen.lock().unwrap(), [r#"{"scalyr_api_key":""}"#.to_owned(), shown]);
}

#[test]
fn a_step_cannot_have_the_password_of_another_role_written_to_a_secret() {
    let actions = [ActionKind::Credential, ActionKind::UserList, ActionKind::PoolerAccess];
    let description =
        Description { actions: actions.map(|kind| ActionPermission::new(kind, &["*"])).into(), ..writer() };
    let request = |key: &str, action| ActionRequest { key: key.into(), action };
    let list = |secret_name: &str, username: &str| {
        Action::UserList(UserList { secret_name: secret_name.into(), username: username.into(), labels: vec![] })
    };
    let access = PoolerAccess { username: "public".into(), schema: "look".into() };
    let of_the_manifest = Credential { username: "foo_user".into(), labels: vec![] };
    let requests = vec![
        request("superuser", list("mine", "postgres")),
        request("role", Action::Credential(of_the_manifest)),
        request("role-list", list("mine-too", "foo_user")),
        request("everyone", Action::PoolerAccess(access)),
    ];
    let pipeline = responds(description, Vec::new(), requests);
    let plan = decide(&manifest(), &Config::defaults(), &Observed::default(), &pipeline).unwrap();
    assert!(plan.actions.iter().all(|requested| !requested.is_granted()), "{:?}", plan.actions);
    assert!(plan.secrets.iter().all(|secret| !secret.name.starts_with("mine")), "{:?}", plan.secrets);
    assert_eq!(plan.roles.roles["foo_user"].origin, crate::role::Origin::Manifest);
}

#[test]
fn the_host_labels_every_object_so_that_it_is_found_again() {
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders", "labels": {"a": "b"}}});
    let pipeline = contributes(writer(), &service);
    let plan = decide(&manifest(), &Config::defaults(), &Observed::default(), &pipeline).unwrap();
    let labels = &plan.objects[0].object["metadata"]["labels"];
    assert_eq!(*labels, json!({"a": "b", "application": "spilo", "cluster-name": "acid-orders"}));
}

#[test]
fn a_step_cannot_give_an_object_the_label_of_another_cluster() {
    let metadata = json!({"name": "acid-orders", "labels": {"cluster-name": "acid-other"}});
    let pipeline = contributes(writer(), &json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata}));
    let error = decide(&manifest(), &Config::defaults(), &Observed::default(), &pipeline).unwrap_err();
    assert!(error.to_string().contains("must not write `metadata.labels.cluster-name`"), "{error}");
}

#[test]
fn a_secret_of_the_cluster_needs_no_privilege_and_one_of_another_cluster_does() {
    let reads = |secret: &str| {
        let mut object = database("x");
        let from = json!({"secretKeyRef": {"name": secret, "key": "password"}});
        object["spec"]["template"]["spec"]["containers"][0]["env"][0] = json!({"name": "KEY", "valueFrom": from});
        decide(&manifest(), &Config::defaults(), &Observed::default(), &contributes(writer(), &object))
    };
    reads("postgres.acid-orders.credentials.postgresql.acid.zalan.do").unwrap();
    reads("foo-user.acid-orders.credentials.postgresql.acid.zalan.do").unwrap();
    for foreign in [
        "postgres.acid-other.credentials.postgresql.acid.zalan.do",
        // The name of a role's Secret of the cluster acid-other, and of a user list of the cluster acid-orders-x.
        "acid-orders-x.acid-other.credentials.postgresql.acid.zalan.do",
        "acid-orders-x-pooler-u",
        "acid-orders-pooler-u",
    ] {
        let error = reads(foreign).unwrap_err();
        assert!(error.to_string().contains("needs the privilege foreign-secret"), "{foreign}: {error}");
    }
}

#[test]
fn the_secrets_of_a_cluster_whose_name_ends_alike_are_not_its_own() {
    let config = config(json!({"secret_name_template": "{username}-{cluster}"}));
    let reads = |secret: &str| {
        let mut object = database("x");
        let from = json!({"secretKeyRef": {"name": secret, "key": "password"}});
        object["spec"]["template"]["spec"]["containers"][0]["env"][0] = json!({"name": "KEY", "valueFrom": from});
        decide(&manifest(), &config, &Observed::default(), &contributes(writer(), &object))
    };
    reads("postgres-acid-orders").unwrap();
    let error = reads("postgres-a-acid-orders").unwrap_err();
    assert!(error.to_string().contains("needs the privilege foreign-secret"), "{error}");
}

/// The rule that gives the right to read it.
const RULE: &str = "{apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get]}";

/// What a step that reads an `Ingress` and may write this object leaves of a plan, if the operator may not read it.
fn without_right(permission: ObjectPermission) -> Result<Plan, Error> {
    let kind = ObjectKind::new("networking.k8s.io/v1", "Ingress");
    let from = pgloom_engine::Selection::Manifest("/spec/teamId".to_owned());
    let observed = vec![pgloom_engine::ObservedSelector { id: "it".to_owned(), kind, from, fields: Vec::new() }];
    let reader = Description { name: "reader".into(), observed, objects: vec![permission], ..Description::default() };
    let reader = Plugin::native(reader, |_| panic!("a step whose object could not be read is not called"));
    let writer = Description {
        name: "writer".into(),
        objects: vec![ObjectPermission::creates(ObjectKind::new("v1", "Service"), &["*"])],
        ..Description::default()
    };
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders"}}).to_string();
    let writer = Plugin::native(writer, move |_| {
        Ok(Response { contributions: vec![Contribution::Apply(service.clone())], ..Response::default() })
    });
    let pipeline = Pipeline::of(vec![Arc::new(reader), Arc::new(writer)]).unwrap();
    let object = pipeline.named(&manifest(), Config::defaults().values()).into_iter().next().unwrap();
    let unreadable = vec![pgloom_engine::Unreadable::Forbidden { object, rule: RULE.to_owned() }];
    decide(&manifest(), &Config::defaults(), &Observed { unreadable, ..Observed::default() }, &pipeline)
}

#[test]
fn a_right_that_is_missing_to_read_for_one_step_holds_no_other_step() {
    let plan = without_right(ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["*"])).unwrap();
    assert!(plan.wants(&Kind::new("v1", "Service"), "acid-orders") && plan.degraded);
    let condition = &plan.conditions[0];
    assert_eq!((&*condition.type_name, &*condition.reason), ("reader/Failed", "RightsMissing"));
    assert!(condition.message.contains(RULE), "{}", condition.message);
}

#[test]
fn a_custom_resource_with_the_kind_of_a_desired_object_is_not_it_and_another_version_is() {
    let plan = without_right(ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["*"])).unwrap();
    let wants = |api_version: &str| plan.wants(&Kind::new(api_version, "Service"), "acid-orders");
    assert!(wants("v1") && wants("v2"));
    assert!(!wants("serving.knative.dev/v1"));
}

#[test]
fn a_right_that_is_missing_never_gives_pods_another_template() {
    let template = ObjectPermission::sets(ObjectKind::new("apps/v1", "StatefulSet"), &["*"], &["spec.template.spec"]);
    assert_eq!(without_right(template).unwrap_err().category(), "RightsMissing");
}

#[test]
fn the_secrets_that_a_step_asks_for_and_is_granted_are_the_clusters_own() {
    let describe = |lists: &str| {
        let role = ActionPermission::new(ActionKind::Credential, &["*"]);
        Description { actions: vec![role, ActionPermission::new(ActionKind::UserList, &[lists])], ..writer() }
    };
    let mut object = database("x");
    let env = |name: &str, secret: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}});
    object["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([env("A", "web-user.acid-orders.credentials.postgresql.acid.zalan.do"), env("B", "acid-orders-web-u")]);
    let contributions = vec![Contribution::Apply(object.to_string())];
    let role = Credential { username: "web_user".into(), labels: vec![] };
    let list = UserList { secret_name: "acid-orders-web-u".into(), username: "web_user".into(), labels: vec![] };
    let request = |key: &str, action| ActionRequest { key: key.into(), action };
    let requests = vec![request("role", Action::Credential(role)), request("list", Action::UserList(list))];
    let of = |lists: &str, requests| {
        let pipeline = responds(describe(lists), contributions.clone(), requests);
        decide(&manifest(), &Config::defaults(), &Observed::default(), &pipeline)
    };
    of("{cluster}-web-u", requests.clone()).unwrap();
    // A wide grant covers the names of others' Secrets, so it proves nothing.
    for (lists, requests) in [("*", requests.clone()), ("{cluster}-*", requests), ("{cluster}-web-u", vec![])] {
        let error = of(lists, requests).unwrap_err().to_string();
        assert!(error.contains("needs the privilege foreign-secret"), "{lists}: {error}");
    }
}

#[test]
fn the_same_input_gives_the_same_plan_byte_for_byte() {
    let of = || format!("{:?}", plan(&manifest(), &Config::defaults()).unwrap().documents());
    assert_eq!(of(), of());
}

#[test]
fn an_annotation_that_others_may_change_is_left_out_once_they_have() {
    let annotated = |value: &str| json!({"metadata": {"name": "c", "annotations": {"theirs": value, "ours": value}}, "apiVersion": "v1", "kind": "Service"});
    let left = |existing: &str, ignored: &[&str]| {
        let mut object = annotated("desired");
        object["spec"]["template"]["metadata"]["annotations"] = json!({"theirs": "desired"});
        let mut existing = annotated(existing);
        existing["spec"]["template"]["metadata"]["annotations"] = existing["metadata"]["annotations"].clone();
        let observed = Observed { objects: vec![existing], ..Observed::default() };
        leave_annotations(&mut object, &observed, ignored);
        (object["metadata"]["annotations"].clone(), object["spec"]["template"]["metadata"]["annotations"].clone())
    };
    assert_eq!(left("changed", &["theirs"]), (json!({"ours": "desired"}), json!({})));
    let all = json!({"theirs": "desired", "ours": "desired"});
    assert_eq!(left("changed", &[]).0, all);
    assert_eq!(left("desired", &["theirs"]).0, all);
}

#[test]
fn when_an_image_is_pulled_is_stated_by_its_tag_unless_a_step_states_it() {
    let pod = json!({"spec": {
        "containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "x", "imagePullPolicy": "Never"}],
        "initContainers": [{"name": "c", "image": "x"}],
    }});
    let mut job =
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod}}}});
    state_pull_policies(&mut job);
    let spec = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let policies = [&spec["containers"][0], &spec["containers"][1], &spec["initContainers"][0]];
    assert_eq!(policies.map(|container| &container["imagePullPolicy"]), ["IfNotPresent", "Never", "Always"]);
    let mut service = json!({"apiVersion": "v1", "kind": "Service", "spec": {}});
    state_pull_policies(&mut service);
    assert_eq!(service, json!({"apiVersion": "v1", "kind": "Service", "spec": {}}));
}

/// What is said of existing objects that the operator would not write over.
fn clashes(existing: &[Value], config: &Config) -> Vec<String> {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "acid-orders"}});
    let pipeline = contributes(writer(), &service);
    let observed = Observed::in_files(existing, &manifest(), config, &pipeline, "own");
    let plan = decide(&manifest(), config, &observed, &pipeline).unwrap();
    plan.findings.iter().map(ToString::to_string).collect()
}

fn existing(kind: &str, namespace: &str, name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels}})
}

#[test]
fn an_existing_object_that_lacks_a_label_of_the_configuration_is_said_to_stay() {
    let labels = json!({"application": "spilo", "cluster-name": "acid-orders"});
    let service = existing("Service", "shop", "acid-orders", &labels);
    assert_eq!(clashes(std::slice::from_ref(&service), &Config::defaults()), [] as [&str; 0]);
    let more = config(json!({"cluster_labels": "application:spilo,env:test"}));
    assert_eq!(
        clashes(&[service], &more),
        ["Service acid-orders exists, and is not this cluster's, so it stays as it is: it has neither the annotation \
          pgloom.dev/cluster-uid nor the labels application=spilo,env=test,cluster-name=acid-orders; give it the labels, \
          or take from cluster_labels what it lacks"]
    );
}

#[test]
fn an_existing_object_of_others_is_said_to_stay_where_the_operator_would_refuse_it() {
    let theirs = json!({"application": "spilo", "cluster-name": "acid-other"});
    let secret = "foo-user.acid-orders.credentials.postgresql.acid.zalan.do";
    let mut marked = existing("Service", "shop", "acid-orders", &json!({"cluster-name": "acid-orders"}));
    marked["metadata"]["annotations"] = json!({"pgloom.dev/cluster-uid": "of-another"});
    let mut other = existing("postgresql", "shop", "acid-other", &json!({}));
    other["metadata"]["uid"] = json!("of-another");
    let mut ending = existing("Service", "shop", "acid-orders", &json!({}));
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (existing, reason) in [
        (vec![existing("Service", "shop", "acid-orders", &json!({}))], Some("it has neither the annotation")),
        (vec![existing("Service", "elsewhere", "acid-orders", &json!({}))], None),
        (vec![existing("Service", "shop", "unrelated", &json!({}))], None),
        (vec![ending], None),
        (vec![marked.clone()], None),
        (vec![marked, other], Some("it was made for another cluster")),
        (
            vec![existing("Secret", "shop", secret, &theirs)],
            Some("the labels application=spilo,cluster-name=acid-orders"),
        ),
        // People may make a Secret in advance.
        (vec![existing("Secret", "shop", secret, &json!({}))], None),
        (vec![existing("ConfigMap", "shop", "acid-orders-config", &json!({}))], Some("it has neither the annotation")),
        (vec![existing("ConfigMap", "shop", "acid-orders-config", &json!({"cluster-name": "acid-orders"}))], None),
    ] {
        let said = clashes(&existing, &Config::defaults());
        assert_eq!(said.len(), usize::from(reason.is_some()), "{existing:?}: {said:?}");
        assert!(reason.is_none_or(|reason| said[0].contains(reason)), "{said:?}");
    }
}
