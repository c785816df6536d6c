//! Tests of the plugin.

use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::testing::{Answer, Call, operator_config, reason};
use pgloom_kit::{Failure, Value, json};

use crate::Sidecars;

fn manifest(sidecars: Value) -> Value {
    json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid", "volume": {"size": "1Gi"}, "sidecars": sidecars},
    })
}

fn call(sidecars: Value, config: Value) -> Result<Answer, Failure> {
    Call::new(&manifest(sidecars)).operator_config(&operator_config(&config)).mutate::<Sidecars>()
}

fn containers(answer: &Answer) -> &[Value] {
    match answer.object("StatefulSet", "acid-orders") {
        Some(made) => made["spec"]["template"]["spec"]["containers"].as_array().unwrap(),
        None => &[],
    }
}

fn names(answer: &Answer) -> Vec<&str> {
    containers(answer).iter().map(|container| container["name"].as_str().unwrap()).collect()
}

fn variables(container: &Value) -> Vec<&str> {
    container["env"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

fn mounts(container: &Value) -> Vec<&str> {
    container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect()
}

#[test]
fn sidecars_are_as_recorded() {
    let mut compared = 0;
    for case in cases("sidecars_are_as_recorded") {
        let answer = case.call().mutate::<Sidecars>().unwrap();
        let name = case.manifest["metadata"]["name"].as_str().unwrap();
        let recorded = case.created("StatefulSet", |made| made == name)[0];
        let recorded = &recorded["spec"]["template"]["spec"]["containers"].as_array().unwrap()[1..];
        let made = answer.object("StatefulSet", name);
        let made = made.map_or(&[][..], |made| made["spec"]["template"]["spec"]["containers"].as_array().unwrap());
        assert_eq!(made.len(), recorded.len(), "{}", case.name);
        for (made, recorded) in made.iter().zip(recorded) {
            let mut recorded = recorded.clone();
            // The additional-volumes plugin adds these mounts.
            let others = case.manifest["spec"]["additionalVolumes"].as_array();
            let others: Vec<&Value> = others.into_iter().flatten().map(|volume| &volume["name"]).collect();
            recorded["volumeMounts"].as_array_mut().unwrap().retain(|mount| !others.contains(&&mount["name"]));
            assert_eq!(difference(made, &recorded), None, "{} {}", case.name, recorded["name"]);
            compared += 1;
        }
        assert!(answer.messages().is_empty(), "{}: {:?}", case.name, answer.messages());
    }
    assert!(compared == 0 || compared > 4, "{compared}");
}

#[test]
fn any_field_of_a_container_is_kept() {
    let fields = json!({
        "name": "exporter",
        "image": "quay.io/exporter:1",
        "imagePullPolicy": "Always",
        "command": ["/bin/exporter"],
        "args": ["--quiet"],
        "workingDir": "/tmp",
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        "livenessProbe": {"tcpSocket": {"port": 9187}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 9187}},
        "startupProbe": {"exec": {"command": ["true"]}},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1"]}}},
        "volumeMounts": [{"name": "own", "mountPath": "/own"}],
        "stdin": true,
    });
    let answer = call(json!([fields]), json!({})).unwrap();
    let made = &containers(&answer)[0];
    for (key, value) in fields.as_object().unwrap().iter().filter(|(key, _)| *key != "volumeMounts") {
        assert_eq!(&made[key], value, "{key}");
    }
    assert_eq!(mounts(made), ["/own", "/home/postgres/pgdata"]);
}

#[test]
fn the_four_variables_are_first_and_cannot_be_overridden() {
    let env = json!([{"name": "USEFUL", "value": "x"}, {"name": "postgres_user", "value": "mine"}]);
    let answer = call(json!([{"name": "a", "image": "i", "env": env}]), json!({"super_username": "pgadmin"})).unwrap();
    let made = &containers(&answer)[0];
    assert_eq!(variables(made), ["POD_NAME", "POD_NAMESPACE", "POSTGRES_USER", "POSTGRES_PASSWORD", "USEFUL"]);
    assert_eq!(made["env"][0]["valueFrom"]["fieldRef"], json!({"apiVersion": "v1", "fieldPath": "metadata.name"}));
    assert_eq!(made["env"][2]["value"], "pgadmin");
    let secret = json!({"name": "pgadmin.acid-orders.credentials.postgresql.acid.zalan.do", "key": "password"});
    assert_eq!(made["env"][3]["valueFrom"]["secretKeyRef"], secret);
    let finding = &answer.response.findings[0];
    assert_eq!(finding.path.as_deref(), Some("spec.sidecars[0].env[1].name"));
    assert!(finding.message.contains("postgres_user"), "{finding:?}");
}

#[test]
fn a_sidecar_without_a_name_is_named_after_its_index() {
    let answer =
        call(json!([{"name": "a", "image": "i"}, {"image": "i"}, {"name": "", "image": "i"}]), json!({})).unwrap();
    assert_eq!(names(&answer), ["a", "sidecar-1", "sidecar-2"]);
}

#[test]
fn a_sidecar_of_the_manifest_replaces_the_platforms() {
    let config = json!({
        "sidecars": [
            {"name": "global", "image": "global:1", "command": ["run"], "resources": {"limits": {"cpu": "7"}}},
            {"name": "replaced", "image": "global:1"},
        ],
        "sidecar_docker_images": {"deprecated": "image:123", "global": "image:123"},
        "scalyr_api_key": "pgloom-placeholder:config:scalyr_api_key",
        "scalyr_image": "scalyr:1",
    });
    let answer = call(json!([{"name": "own", "image": "i"}, {"name": "replaced", "image": "own:1"}]), config).unwrap();
    assert_eq!(names(&answer), ["own", "replaced", "global", "deprecated", "scalyr-sidecar"]);
    let [_, replaced, global, deprecated, scalyr] = containers(&answer) else { panic!("five") };
    assert_eq!(replaced["image"], "own:1");
    assert_eq!(global["resources"], json!({"limits": {"cpu": "7"}}), "unchanged");
    assert_eq!(global["command"], json!(["run"]));
    assert_eq!(mounts(global), ["/home/postgres/pgdata"]);
    let defaults = json!({"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "500Mi"}});
    assert_eq!(deprecated["resources"], defaults);
    assert_eq!(variables(scalyr)[4..], ["SCALYR_API_KEY", "SCALYR_SERVER_HOST", "SCALYR_SERVER_URL"]);
    assert_eq!(scalyr["env"][4]["value"], "pgloom-placeholder:config:scalyr_api_key");
    assert_eq!(scalyr["env"][5]["value"], "acid-orders");
    assert_eq!(scalyr["resources"]["requests"], json!({"cpu": "100m", "memory": "50Mi"}));
    assert_eq!(
        answer.messages(),
        [
            "the sidecar replaced replaces the platform's sidecar of that name",
            "the operator configuration has several sidecars global; the first one runs",
        ]
    );
}

#[test]
fn of_two_sidecars_with_one_name_the_first_runs() {
    let answer = call(json!([{"name": "a", "image": "first"}, {"name": "a", "image": "second"}]), json!({})).unwrap();
    assert_eq!(names(&answer), ["a"]);
    assert_eq!(containers(&answer)[0]["image"], "first");
    assert_eq!(answer.response.findings[0].path.as_deref(), Some("spec.sidecars[1].name"));
}

#[test]
fn scalyr_needs_a_key_and_an_image() {
    for (config, missing) in
        [(json!({"scalyr_image": "scalyr:1"}), "scalyr_api_key"), (json!({"scalyr_api_key": "key"}), "scalyr_image")]
    {
        let answer = call(json!([]), config).unwrap();
        assert!(names(&answer).is_empty());
        assert!(answer.messages()[0].contains(missing), "{:?}", answer.messages());
    }
}

#[test]
fn each_missing_resource_gets_its_default_and_there_is_no_lowest_limit() {
    let resources =
        json!({"limits": {"cpu": "200m", "memory": "0.7Gi"}, "requests": {"cpu": 1, "ephemeral-storage": "1Gi"}});
    let sidecars = json!([{"name": "a", "image": "i", "resources": {"limits": resources["limits"]}}]);
    let answer = call(sidecars, json!({"default_cpu_request": "50m"})).unwrap();
    let expected = json!({
        "limits": {"cpu": "200m", "memory": "751619276800m"},
        "requests": {"cpu": "50m", "memory": "100Mi"},
    });
    assert_eq!(containers(&answer)[0]["resources"], expected);

    let sidecars = json!([{"name": "a", "image": "i", "resources": {"requests": resources["requests"]}}]);
    let answer = call(sidecars, json!({"set_memory_request_to_limit": true})).unwrap();
    let expected = json!({
        "limits": {"cpu": "1", "memory": "500Mi"},
        "requests": {"cpu": "1", "ephemeral-storage": "1Gi", "memory": "500Mi"},
    });
    assert_eq!(containers(&answer)[0]["resources"], expected);
}

#[test]
fn the_platforms_volumes_are_mounted_unless_the_path_is_in_use() {
    let config = json!({
        "additional_secret_mount": "some-secret",
        "additional_secret_mount_path": "/some/dir",
        "share_pgsocket_with_sidecars": true,
    });
    let own = json!([{"name": "own", "mountPath": "/some/dir"}]);
    let answer = call(json!([{"image": "i"}, {"image": "i", "volumeMounts": own}]), config).unwrap();
    let [first, second] = containers(&answer) else { panic!("two") };
    assert_eq!(mounts(first), ["/home/postgres/pgdata", "/var/run/postgresql", "/some/dir"]);
    assert_eq!(mounts(second), ["/some/dir", "/home/postgres/pgdata", "/var/run/postgresql"]);
    assert_eq!(second["volumeMounts"][0]["name"], "own");
}

#[test]
fn the_data_volume_is_mounted_by_the_same_sub_path_as_in_the_database() {
    let mut manifest = manifest(json!([{"image": "i"}]));
    manifest["spec"]["volume"]["subPath"] = json!("sub");
    let answer = Call::new(&manifest).operator_config(&operator_config(&json!({}))).mutate::<Sidecars>().unwrap();
    let expected = json!({"name": "pgdata", "mountPath": "/home/postgres/pgdata", "subPath": "sub"});
    assert_eq!(containers(&answer)[0]["volumeMounts"], json!([expected]));
}

#[test]
fn a_variable_without_a_value_is_kept() {
    let config = json!({"sidecars": [{"name": "platform", "image": "i", "env": [{"name": "OFF"}]}]});
    let answer = call(json!([{"name": "own", "image": "i", "env": [{"name": "ON"}]}]), config).unwrap();
    for (container, name) in containers(&answer).iter().zip(["ON", "OFF"]) {
        let variable = container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == name);
        assert_eq!(variable, Some(&json!({"name": name, "value": ""})));
    }
}

#[test]
fn a_port_without_a_protocol_is_tcp() {
    let ports = json!([{"containerPort": 9187}, {"containerPort": 53, "protocol": "UDP"}]);
    let answer = call(json!([{"image": "i", "ports": ports}]), json!({})).unwrap();
    let expected = json!([{"containerPort": 9187, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]);
    assert_eq!(containers(&answer)[0]["ports"], expected);
}

#[test]
fn if_sidecars_are_disabled_a_new_cluster_is_refused_and_a_running_one_continues_without() {
    let config = json!({"enable_sidecars": false, "sidecar_docker_images": {"global": "img"}});
    let failure = call(json!([{"image": "i"}]), config.clone()).unwrap_err();
    assert_eq!(reason(&failure), "spec.sidecars: sidecar containers specified but disabled in configuration");

    let running = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "acid-orders"}});
    let answer = Call::new(&manifest(json!([{"image": "i"}])))
        .operator_config(&operator_config(&config))
        .observed("running", &running)
        .mutate::<Sidecars>()
        .unwrap();
    assert_eq!(names(&answer), ["global"]);
    assert_eq!(answer.messages(), ["sidecar containers specified but disabled in configuration"]);
}

#[test]
fn an_invalid_entry_is_refused_with_its_path() {
    for (sidecar, expected) in [
        (json!("i"), "spec.sidecars[0]: the entry is not a container"),
        (json!({"name": "a"}), "spec.sidecars[0].image: the container a has no image"),
        (json!({"image": ""}), "spec.sidecars[0].image: the container sidecar-0 has no image"),
        (json!({"name": "A", "image": "i"}), "spec.sidecars[0].name: \"A\" is not a valid name of a container"),
        (
            json!({"name": "postgres", "image": "i"}),
            "spec.sidecars[0].name: postgres is the name of the database's container",
        ),
        (json!({"image": "i", "env": [{"value": "x"}]}), "spec.sidecars[0].env[0].name: the variable has no name"),
        (
            json!({"image": "i", "resources": {"limits": {"cpu": "much"}}}),
            "spec.sidecars[0].resources.limits.cpu: \"much\" is not a quantity of cpu",
        ),
        (
            json!({"image": "i", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
            "spec.sidecars[0].resources.requests.cpu: the request of 2 cpu is above the limit of 1",
        ),
        (
            json!({"image": "i", "resources": {"limits": {"cpu": []}}}),
            "spec.sidecars[0].resources.limits: the value is not a map of quantities, as in cpu: 250m",
        ),
    ] {
        assert_eq!(reason(&call(json!([sidecar]), json!({})).unwrap_err()), expected);
    }
}

#[test]
fn a_cluster_without_sidecars_gets_an_empty_answer() {
    let answer = call(json!(null), json!({})).unwrap();
    assert!(answer.objects.is_empty() && answer.response.findings.is_empty());
}
