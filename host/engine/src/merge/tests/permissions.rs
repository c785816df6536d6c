//! Who may write what.

use super::*;
use crate::permission::Missing;

fn of_set(creates: bool, fields: &[&str]) -> ObjectRights {
    rights(kind(&stateful_set(json!({}))), creates, fields)
}

fn writes(fields: &[&str]) -> Permissions {
    allowed(of_set(false, fields))
}

fn overriding(fields: &[&str], overrides: &str) -> Permissions {
    allowed(ObjectRights { overrides: patterns(&[overrides]), ..of_set(false, fields) })
}

/// The StatefulSet of step spilo after step sidecar has contributed to it.
fn second(permissions: &Permissions, fragment: Value) -> Result<Made, Error> {
    let mut merger = merge(&[(
        "spilo",
        stateful_set(json!({
            "replicas": 2,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {
                "containers": [{"name": "postgres", "image": "spilo", "env": [{"name": "SCOPE", "value": "orders"}]}],
                "imagePullSecrets": [{"name": "registry"}],
            }},
        })),
    )])
    .unwrap();
    merger.apply(&Writer { step: "sidecar", permissions }, fragment)?;
    Ok(made(merger))
}

#[test]
fn a_step_writes_what_it_is_permitted() {
    let permissions = writes(&["spec.template.spec.containers[*].env", "spec.template.spec.volumes[name=tls]"]);
    let fragment = pod(json!({
        "containers": [{"name": "postgres", "env": [{"name": "TLS", "value": "on"}]}],
        "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
    }));
    let object = second(&permissions, fragment).unwrap().object;
    assert_eq!(object["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"], "tls");
}

#[test]
fn what_a_step_is_not_permitted_is_refused_with_the_path() {
    let permissions = writes(&["spec.template.spec.containers[*].env", "spec.template.spec.volumes[name=tls]"]);
    for (fragment, path) in [
        (stateful_set(json!({"replicas": 3})), "spec.replicas"),
        // Even if the value is the same.
        (stateful_set(json!({"replicas": 2})), "spec.replicas"),
        (
            pod(json!({"containers": [{"name": "postgres", "image": "mine"}]})),
            "spec.template.spec.containers[name=postgres].image",
        ),
        (pod(json!({"volumes": [{"name": "other", "secret": {}}]})), "spec.template.spec.volumes[name=other]"),
        // The permission for the variables of every container does not allow new containers.
        (pod(json!({"containers": [{"name": "new", "env": []}]})), "spec.template.spec.containers[name=new]"),
        (pod(json!({"imagePullSecrets": [{"name": "other"}]})), "spec.template.spec.imagePullSecrets[name=other]"),
    ] {
        let error = second(&permissions, fragment).expect_err(path);
        let Error::Permission { path: found, missing: Missing::Description, .. } = &error else { panic!("{error}") };
        assert_eq!(found.to_string(), path);
    }
}

#[test]
fn naming_an_existing_entry_needs_no_permission() {
    let permissions = writes(&["spec.template.spec.containers[name=postgres].env[name=TLS]"]);
    let fragment = pod(json!({
        "containers": [{"name": "postgres", "env": [{"name": "TLS", "value": "on"}, {"name": "SCOPE"}]}],
        "imagePullSecrets": [{"name": "registry"}],
    }));
    let object = second(&permissions, fragment).unwrap();
    assert_eq!(names(&containers(&object)[0]["env"]), ["TLS", "SCOPE"]);
}

#[test]
fn reordering_existing_entries_needs_a_permission_for_the_whole_list() {
    let reversed =
        || pod(json!({"containers": [{"name": "postgres", "env": [{"name": "SCOPE"}, {"name": "PGROOT"}]}]}));
    let first = env(json!([{"name": "PGROOT", "value": "x"}, {"name": "SCOPE", "value": "orders"}]));
    let reorder = |permissions: Permissions| {
        let mut merger = merge(&[("spilo", first.clone())]).unwrap();
        merger.apply(&Writer { step: "sidecar", permissions: &permissions }, reversed())?;
        Ok::<_, Error>(made(merger))
    };
    let error = reorder(writes(&["spec.template.spec.containers[*].env[name=TLS]"])).unwrap_err();
    assert!(
        error.to_string().contains("containers[name=postgres].env` of apps/v1 StatefulSet orders: it would reorder"),
        "{error}"
    );
    let object = reorder(writes(&["spec.template.spec.containers[*].env"])).unwrap();
    assert_eq!(names(&containers(&object)[0]["env"]), ["SCOPE", "PGROOT"]);
}

#[test]
fn a_step_may_do_what_is_asked_for_and_granted_and_the_error_says_what_is_missing() {
    let asked = with_privileges(of_set(false, &["spec.template"]));
    let narrowed = |grants: &[&str]| Permissions::new(&asked, &with_privileges(of_set(false, grants)));
    let fragment = pod(json!({"hostname": "a"}));
    second(&narrowed(&["spec"]), fragment.clone()).unwrap();
    let error = second(&narrowed(&["spec.template.metadata"]), fragment.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: must not write `spec.template.spec.hostname` of apps/v1 StatefulSet orders: \
         the pipeline does not grant the step the field"
    );
    let error = second(&writes(&["spec.replicas"]), fragment).unwrap_err();
    assert!(error.to_string().ends_with("the plugin's description does not ask for the field"), "{error}");
}

#[test]
fn creating_an_object_is_a_permission_of_its_own() {
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}});
    let error = second(&allowed(rights(kind(&own), false, &["*"])), own.clone()).unwrap_err();
    assert!(matches!(error, Error::Create { missing: Missing::Description, .. }), "{error}");
    let of = |creates| with_privileges(rights(kind(&own), creates, &[]));
    let ungranted = Permissions::new(&of(true), &of(false));
    let error = second(&ungranted, own.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: no earlier step created v1 ConfigMap mine, and the step must not create it: \
         the pipeline does not grant the step its creation"
    );
    second(&allowed(rights(kind(&own), true, &[])), own).unwrap();
}

#[test]
fn a_permission_without_fields_means_the_objects_that_the_step_created() {
    let permissions = allowed(of_set(true, &[]));
    let error = second(&permissions, stateful_set(json!({"replicas": 2}))).unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error}");

    let mut merger = merger();
    let writer = Writer { step: "spilo", permissions: &permissions };
    merger.apply(&writer, stateful_set(json!({"replicas": 2}))).unwrap();
    merger.apply(&writer, stateful_set(json!({"selector": {"matchLabels": {"a": "b"}}}))).unwrap();
    assert_eq!(merger.finish()[0].object["spec"]["selector"]["matchLabels"]["a"], "b");
}

#[test]
fn a_step_overrides_what_it_is_granted_to() {
    let permissions = overriding(&["spec"], "spec.replicas");
    let object = second(&permissions, stateful_set(json!({"replicas": 5}))).unwrap();
    assert_eq!(object.object["spec"]["replicas"], 5);
    assert_eq!(object.owners["spec.replicas"], "sidecar");

    let image = pod(json!({"containers": [{"name": "postgres", "image": "mine"}]}));
    assert!(matches!(second(&permissions, image.clone()), Err(Error::Conflict(_))));
    second(&overriding(&["spec"], "spec.template.spec.containers[*]"), image).unwrap();

    let asked = with_privileges(ObjectRights { overrides: patterns(&["spec"]), ..of_set(false, &["spec"]) });
    let ungranted = Permissions::new(&asked, &with_privileges(of_set(false, &["spec"])));
    assert!(matches!(second(&ungranted, stateful_set(json!({"replicas": 5}))), Err(Error::Conflict(_))));
}

#[test]
fn fields_of_the_server_or_the_host_are_reserved() {
    let all = allowed(of_set(true, &["*"]));
    for (field, value) in [
        ("uid", json!("a")),
        ("resourceVersion", json!("1")),
        ("generation", json!(1)),
        ("creationTimestamp", json!("2020-01-01T00:00:00Z")),
        ("deletionTimestamp", json!("2020-01-01T00:00:00Z")),
        ("managedFields", json!([])),
        ("ownerReferences", json!([{"uid": "a"}])),
        ("finalizers", json!(["a"])),
        ("generateName", json!("a-")),
    ] {
        let mut fragment = stateful_set(json!({}));
        fragment["metadata"][field] = value;
        let error = second(&all, fragment).unwrap_err();
        let Error::Reserved { path, .. } = &error else { panic!("{error}") };
        assert_eq!(path.to_string(), format!("metadata.{field}"));
    }
    let mut fragment = stateful_set(json!({}));
    fragment["status"] = json!({"replicas": 1});
    assert!(matches!(second(&all, fragment), Err(Error::Reserved { .. })));
}

#[test]
fn a_config_map_is_the_clusters_only_if_a_step_makes_it() {
    let volume = json!({"name": "v", "configMap": {"name": "orders-motto"}});
    let pods = object_of_pods(json!({"volumes": [volume]}));
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let objects = |fragments: &[&Value]| fragments.iter().map(|of| rights(kind(of), true, &["*"])).collect();
    let check = |fragments: &[&Value], privileges: BTreeSet<Privilege>| {
        let permissions = Permissions::granted(&Rights { objects: objects(fragments), privileges });
        let mut merger = merger();
        for fragment in fragments {
            merger.apply(&Writer { step: "web", permissions: &permissions }, (*fragment).clone()).unwrap();
        }
        merger.check_config_maps("web").map_err(|error| error.to_string())
    };
    let none = BTreeSet::new;
    let (made, other) = (map("orders-motto"), map("orders-other"));
    check(&[&made, &pods], none()).unwrap();
    check(&[&pods, &made], none()).unwrap();
    check(&[&pods], [Privilege::ForeignConfigMap].into()).unwrap();
    for fragments in [&[&pods][..], &[&pods, &other]] {
        let error = check(fragments, none()).unwrap_err();
        assert!(error.contains("`spec.template.spec.volumes[0].configMap.name`"), "{error}");
        assert!(error.contains("the privilege foreign-config-map"), "{error}");
    }
}

/// A Deployment whose pods have this specification.
fn object_of_pods(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders-web"}, "spec": {"template": {"spec": spec}}})
}

#[test]
fn only_the_creator_sets_selectors_and_claim_templates() {
    let all = overriding(&["*"], "*");
    for spec in [json!({"selector": {"matchLabels": {"a": "b"}}}), json!({"volumeClaimTemplates": []})] {
        let error = second(&all, stateful_set(spec)).unwrap_err();
        assert!(error.to_string().contains("only the step that created the object"), "{error}");
    }
}

#[test]
fn a_plugin_creates_some_built_in_kinds_and_custom_resources() {
    for (api_version, kind, reason) in [
        ("v1", "Secret", "ask for them by a `credential`"),
        ("v1", "Namespace", "namespace of its cluster"),
        ("v1", "ServiceAccount", "only the host creates service accounts"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "only the host creates service accounts"),
        ("rbac.authorization.k8s.io/v1beta1", "Role", "only the host creates service accounts"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "only the host creates service accounts"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "the API of the cluster"),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "the API of the cluster"),
        ("acid.zalan.do/v1", "postgresql", "what the user wrote"),
        ("pgloom.dev/v1alpha1", "Pipeline", "the pipeline"),
        ("v1", "Node", "and custom resources only"),
        ("v1", "Pod", "and custom resources only"),
        ("v1", "PersistentVolumeClaim", "created by its StatefulSet"),
        ("apps/v1", "DaemonSet", "and custom resources only"),
        ("apps/v1beta1", "StatefulSet", "and custom resources only"),
        ("coordination.k8s.io/v1", "Lease", "and custom resources only"),
        ("discovery.k8s.io/v1", "EndpointSlice", "and custom resources only"),
    ] {
        let error = refused(&[("bad", json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}))]);
        assert!(matches!(error, Error::Kind { .. }) && error.to_string().contains(reason), "{error}");
    }
    let own =
        |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
    for object in [own("v1", "ConfigMap"), own("monitoring.coreos.com/v1", "ServiceMonitor")] {
        merge(&[("good", object)]).unwrap();
    }
}

#[test]
fn a_step_outside_its_names_is_refused_before_the_merge() {
    let named = |name: &str| {
        let objects = rights(ObjectKind::new("v1", "Service"), true, &[]);
        with_privileges(ObjectRights { names: vec![name.to_owned()], ..objects })
    };
    let service = |name: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}});
    let permissions = Permissions::new(&named("*"), &named("{cluster}-*"));
    second(&permissions, service("orders-pooler")).unwrap();
    let error = second(&permissions, service("webapp")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: must not write v1 Service webapp: the pipeline does not grant the step objects of this kind and name"
    );
    let error = second(&Permissions::new(&named("{cluster}-*"), &named("*")), service("webapp")).unwrap_err();
    assert!(matches!(error, Error::Name { missing: Missing::Description, .. }), "{error}");
}

#[test]
fn a_step_that_may_do_nothing_to_an_object_is_told_the_first_field_that_it_would_set() {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "orders"},
        "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": [{"name": "A", "value": "b"}]}]}}},
    });
    let nothing = Permissions::granted(&Rights::default());
    let Error::Name { change: Change::Set(Some(path)), .. } = second(&nothing, set).unwrap_err() else { panic!() };
    assert!(path.to_string().starts_with("spec.template.spec.containers[name=postgres]"), "{path}");
}

/// A step that may set `fields` of a StatefulSet, and has every privilege but that for the database's containers.
fn without_command(fields: &[&str]) -> Permissions {
    let objects = ObjectRights { overrides: patterns(&["spec"]), ..of_set(true, fields) };
    let others = Privilege::ALL.into_iter().filter(|privilege| *privilege != Privilege::DatabaseCommand);
    Permissions::granted(&Rights { objects: vec![objects], privileges: others.collect() })
}

/// A step adds this to the pods of the database, after it has added a container of its own.
fn changes_database(permissions: &Permissions, list: &str, container: Value) -> Result<(), Error> {
    let mut merger = merger();
    let all = everything(ObjectKind::new("apps/v1", "StatefulSet"));
    let database = json!({
        "name": "postgres", "env": [{"name": "SCOPE", "value": "a"}],
        "volumeMounts": [{"name": "data", "mountPath": "/home"}],
    });
    let pods = pod(json!({"containers": [database], "initContainers": [{"name": "postgres", "image": "a"}]}));
    merger.apply(&Writer { step: "database", permissions: &all }, pods).unwrap();
    let writer = Writer { step: "tuning", permissions };
    merger.apply(&writer, pod(json!({list: [container]})))
}

#[test]
fn a_step_changes_what_a_container_of_another_step_runs_only_with_a_privilege() {
    let permissions = without_command(&["spec"]);
    let variable = |name: &str| json!({"name": "postgres", "env": [{"name": name, "value": "b"}]});
    let mount = |path: &str| json!({"name": "postgres", "volumeMounts": [{"name": "own", "mountPath": path}]});
    let fields = [
        ("command", json!(["a"])),
        ("args", json!(["a"])),
        ("workingDir", json!("/tmp")),
        ("lifecycle", json!({"preStop": {"exec": {"command": ["a"]}}})),
        ("terminationMessagePath", json!("/scripts/a")),
        ("volumeDevices", json!([{"name": "own", "devicePath": "/dev/a"}])),
        ("envFrom", json!([{"configMapRef": {"name": "orders-own"}}])),
    ];
    let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), json!({"name": "postgres", field: value})));
    let names = ["SPILO_CONFIGURATION", "LD_PRELOAD", "BACKUP_SCHEDULE", "SCOPE", "ANY"];
    let variables = names.map(|name| (format!("env[name={name}]"), variable(name)));
    let mounts =
        ["/scripts/configure_spilo.py", "/home"].map(|path| (format!("volumeMounts[mountPath={path}]"), mount(path)));
    for (field, container) in fields.chain(variables).chain(mounts) {
        for list in ["containers", "initContainers"] {
            match changes_database(&permissions, list, container.clone()) {
                Err(Error::Privilege { path, privilege: Privilege::DatabaseCommand, .. }) => {
                    assert_eq!(path, format!("spec.template.spec.{list}[name=postgres].{field}"));
                }
                other => panic!("{list} {field}: {other:?}"),
            }
        }
    }
    let error = changes_database(&permissions, "containers", json!({"name": "postgres", "image": "a"})).unwrap_err();
    assert!(error.to_string().contains("which needs the privilege database-command"), "{error}");
    let own = json!({"name": "own", "command": ["a"], "env": [{"name": "LD_PRELOAD", "value": "a"}]});
    changes_database(&permissions, "containers", own).unwrap();
    let resources = json!({"name": "postgres", "resources": {"limits": {"cpu": "1"}}});
    changes_database(&permissions, "containers", resources).unwrap();
}

#[test]
fn a_variable_and_a_mount_of_the_database_need_no_privilege_if_a_grant_names_them() {
    const CONTAINER: &str = "spec.template.spec.containers[name=postgres]";
    let sets = |asked: &str, granted: &str, container: Value| {
        let rights = |field: &str| with_privileges(of_set(false, &[&format!("{CONTAINER}.{field}")]));
        let without = |mut rights: Rights| {
            rights.privileges.remove(&Privilege::DatabaseCommand);
            rights
        };
        let permissions = Permissions::new(&without(rights(asked)), &without(rights(granted)));
        changes_database(&permissions, "containers", container)
    };
    let variable = || json!({"name": "postgres", "env": [{"name": "SSL_CA_FILE", "value": "b"}]});
    let mount = || json!({"name": "postgres", "volumeMounts": [{"name": "own", "mountPath": "/tls"}]});
    sets("env[name=SSL_CA_FILE]", "env[name=SSL_CA_FILE]", variable()).unwrap();
    sets("volumeMounts[mountPath=/tls]", "volumeMounts[mountPath=/tls]", mount()).unwrap();
    for (asked, granted) in [("env", "env[name=SSL_CA_FILE]"), ("env[name=SSL_CA_FILE]", "env"), ("env[*]", "env[*]")] {
        let error = sets(asked, granted, variable()).unwrap_err();
        assert!(matches!(error, Error::Privilege { .. }), "{asked} {granted}: {error}");
    }
    for (asked, granted) in [("volumeMounts", "volumeMounts[mountPath=/tls]"), ("volumeMounts[*]", "volumeMounts[*]")] {
        assert!(matches!(sets(asked, granted, mount()), Err(Error::Privilege { .. })), "{asked} {granted}");
    }
}

#[test]
fn no_step_writes_an_object_or_an_annotation_of_patroni() {
    let all = |api_version: &str, kind: &str| allowed(rights(ObjectKind::new(api_version, kind), true, &["*"]));
    let writes = |api_version: &str, kind: &str, name: &str, annotation: &str| {
        let metadata = json!({"name": name, "annotations": {annotation: "x"}});
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        merger().apply(&Writer { step: "bad", permissions: &all(api_version, kind) }, object)
    };
    for kind in ["ConfigMap", "Endpoints", "Service"] {
        for suffix in ["-config", "-failover", "-leader", "-sync"] {
            let error = writes("v1", kind, &format!("orders{suffix}"), "a").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("step bad: v1 {kind} orders{suffix} must not be contributed: Patroni keeps its state there")
            );
        }
        writes("v1", kind, "orders-settings", "config").unwrap();
    }
    for annotation in ["leader", "initialize", "config", "history", "optime", "ttl", "acquireTime", "renewTime"] {
        let error = writes("v1", "Endpoints", "orders", annotation).unwrap_err();
        let place = format!("must not write `metadata.annotations.{annotation}` of v1 Endpoints orders");
        assert!(error.to_string().contains(&place), "{error}");
    }
    writes("v1", "Endpoints", "orders", "team").unwrap();
    for other in ["orders-eu-failover", "sales-leader"] {
        writes("v1", "Endpoints", other, "team").unwrap_err();
        let endpoints = ObjectRef { api_version: "v1".into(), kind: "Endpoints".into(), name: other.into() };
        let scope = Scope { cluster: other.into(), ..Scope::default() };
        assert_eq!(crate::reserved::name(&endpoints, &scope), None, "a cluster of that name");
    }

    let template = |name: &str| {
        let template = json!({"metadata": {"annotations": {"status": "{}"}}});
        let metadata = json!({"name": name});
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": {"template": template}});
        merger().apply(&Writer { step: "bad", permissions: &all("apps/v1", "StatefulSet") }, set)
    };
    let error = template("orders").unwrap_err().to_string();
    assert!(error.contains("must not write `spec.template.metadata.annotations.status`"), "{error}");
    template("orders-web").unwrap();
}

#[test]
fn a_privileged_field_needs_its_privilege_asked_for_and_granted() {
    let of = |privileges: &[Privilege]| Rights {
        objects: vec![of_set(false, &["spec"])],
        privileges: privileges.iter().copied().collect(),
    };
    let fragment = || pod(json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}));
    second(&Permissions::granted(&of(&[Privilege::HostPath])), fragment()).unwrap();
    let error = second(&Permissions::new(&of(&[Privilege::HostPath]), &of(&[])), fragment()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "step sidecar: must not write `spec.template.spec.volumes[0].hostPath` of apps/v1 StatefulSet orders, which needs \
         the privilege host-path: the pipeline does not grant the step it"
    );
    let error = second(&Permissions::new(&of(&[]), &of(&[Privilege::HostPath])), fragment()).unwrap_err();
    assert!(matches!(error, Error::Privilege { missing: Missing::Description, .. }), "{error}");
}

#[test]
fn the_labels_and_annotations_by_which_the_host_finds_objects_are_reserved() {
    let all = allowed(ObjectRights { overrides: patterns(&["*"]), ..of_set(true, &["*"]) });
    let with = |field: &str, key: &str, value: &str| {
        let mut fragment = stateful_set(json!({}));
        fragment["metadata"][field] = json!({key: value});
        second(&all, fragment)
    };
    with("labels", "cluster-name", CLUSTER).unwrap();
    with("labels", "team", "acid").unwrap();
    for (field, key, value) in [
        ("labels", "cluster-name", "other"),
        ("labels", "pgloom.dev/any", "x"),
        ("annotations", "pgloom.dev/cluster-uid", "x"),
    ] {
        let error = with(field, key, value).unwrap_err();
        assert!(matches!(error, Error::Reserved { .. }), "{error}");
    }
}

/// Steps that may write any field of a kind contribute, without the privilege for the labels of members.
fn labelled(of: &Value, contributions: &[Value]) -> Result<(), Error> {
    let objects = rights(kind(of), true, &["*"]);
    let others = Privilege::ALL.into_iter().filter(|privilege| *privilege != Privilege::MemberLabels);
    let rights = Rights { objects: vec![objects], privileges: others.collect() };
    let permissions = Permissions::granted(&rights);
    let mut merger = merger();
    contributions
        .iter()
        .try_for_each(|part| merger.apply(&Writer { step: "web", permissions: &permissions }, part.clone()))
}

#[test]
fn pods_that_services_would_take_for_members_need_a_privilege() {
    let deployment = |labels: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders-web"},
            "spec": {"template": {"metadata": {"labels": labels}}}})
    };
    let refused = |of: Value, parts: &[Value]| match labelled(&of, parts) {
        Err(Error::Privilege { path, privilege: Privilege::MemberLabels, .. }) => path,
        other => panic!("{other:?}"),
    };
    let label = |key: &str| format!("spec.template.metadata.labels[\"{key}\"]");
    let all = deployment(json!({"application": "spilo", "cluster-name": "orders"}));
    assert_eq!(refused(all.clone(), std::slice::from_ref(&all)), label("application"));
    // In two parts, the second completes the labels.
    let parts = [deployment(json!({"application": "spilo"})), deployment(json!({"cluster-name": "orders"}))];
    assert_eq!(refused(all.clone(), &parts), label("cluster-name"));
    let set = |name: &str, labels: Value| {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {"template": {"metadata": {"labels": labels}}}})
    };
    let other = set("orders-2", json!({"application": "spilo", "cluster-name": "orders"}));
    assert_eq!(refused(other.clone(), &[other]), label("application"));
    let role = set("orders", json!({"spilo-role": "master"}));
    assert_eq!(refused(role.clone(), &[role]), label("spilo-role"));

    let pooler = deployment(json!({"application": "pooler", "cluster-name": "orders", "spilo-role": "master"}));
    let members = set("orders", json!({"application": "spilo", "cluster-name": "orders"}));
    for allowed in [pooler, members] {
        assert!(labelled(&allowed, std::slice::from_ref(&allowed)).is_ok(), "{allowed}");
    }
}
