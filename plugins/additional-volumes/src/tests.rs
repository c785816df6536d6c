//! Tests of the plugin.

use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::testing::{Answer, Call, reason};
use pgloom_kit::{Failure, Value, json};

use crate::AdditionalVolumes;

fn workload(name: &str, containers: &[&str]) -> Value {
    let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": containers}}},
    })
}

fn call(volumes: Value) -> Result<Answer, Failure> {
    let manifest = json!({"metadata": {"name": "acid-orders"}, "spec": {"additionalVolumes": volumes}});
    Call::new(&manifest)
        .desired(&workload("acid-orders", &["postgres", "exporter", "shipper"]))
        .mutate::<AdditionalVolumes>()
}

fn answer(volumes: Value) -> Answer {
    call(volumes).unwrap()
}

fn pod(answer: &Answer) -> &Value {
    &answer.object("StatefulSet", "acid-orders").unwrap()["spec"]["template"]["spec"]
}

/// As in `postgres: data at /data`.
fn mounts(answer: &Answer) -> Vec<String> {
    let mut mounts = Vec::new();
    for container in pod(answer)["containers"].as_array().unwrap() {
        for mount in container["volumeMounts"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            mounts.push(format!(
                "{}: {} at {}",
                text(&container["name"]),
                text(&mount["name"]),
                text(&mount["mountPath"])
            ));
        }
    }
    mounts
}

#[test]
fn volumes_are_as_recorded() {
    for case in cases("volumes_are_as_recorded") {
        let Some(volumes) = case.manifest["spec"]["additionalVolumes"].as_array() else { continue };
        let name = case.manifest["metadata"]["name"].as_str().unwrap();
        let recorded = &case.created("StatefulSet", |made| made == name)[0]["spec"]["template"]["spec"];
        let containers = recorded["containers"].as_array().unwrap();
        let names: Vec<&str> = containers.iter().map(|container| container["name"].as_str().unwrap()).collect();
        let answer = case.call().desired(&workload(name, &names)).mutate::<AdditionalVolumes>().unwrap();
        let made = &answer.object("StatefulSet", name).unwrap()["spec"]["template"]["spec"];

        let own = |list: &Value| -> Vec<Value> {
            let is_own = |entry: &&Value| volumes.iter().any(|volume| volume["name"] == entry["name"]);
            list.as_array().unwrap().iter().filter(is_own).cloned().collect()
        };
        let mut expected_volumes = own(&recorded["volumes"]);
        for volume in &mut expected_volumes {
            // The manifest states the default, and the recorded release left it out.
            if volume["name"] == "data" {
                volume["persistentVolumeClaim"]["readOnly"] = json!(false);
            }
        }
        let expected: Vec<Value> = containers
            .iter()
            .map(|container| json!({"name": container["name"], "volumeMounts": own(&container["volumeMounts"])}))
            .collect();
        let expected = json!({"containers": expected, "volumes": expected_volumes});
        assert_eq!(difference(made, &expected), None, "{}", case.name);
    }
}

#[test]
fn without_targets_the_databases_container_mounts_the_volume_and_all_means_every_container() {
    let answer = answer(json!([
        {"name": "a", "mountPath": "/a", "volumeSource": {"emptyDir": {}}},
        {"name": "b", "mountPath": "/b", "targetContainers": [], "volumeSource": {"emptyDir": {}}},
        {"name": "c", "mountPath": "/c", "targetContainers": ["all"], "volumeSource": {"emptyDir": {}}},
        {"name": "d", "mountPath": "/d", "targetContainers": ["shipper"], "volumeSource": {"emptyDir": {}}},
    ]));
    let expected = [
        "postgres: a at /a",
        "postgres: b at /b",
        "postgres: c at /c",
        "exporter: c at /c",
        "shipper: c at /c",
        "shipper: d at /d",
    ];
    assert_eq!(mounts(&answer), expected);
    assert_eq!(pod(&answer)["volumes"][0], json!({"name": "a", "emptyDir": {}}));
}

#[test]
fn a_sub_path_may_contain_variables() {
    let source = json!({"persistentVolumeClaim": {"claimName": "data"}});
    let answer = answer(json!([
        {"name": "a", "mountPath": "/a", "subPath": "x", "volumeSource": source},
        {"name": "a", "mountPath": "/b", "subPath": "$(POD_NAME)", "isSubPathExpr": true, "volumeSource": source},
    ]));
    let expected = json!([
        {"name": "a", "mountPath": "/a", "subPath": "x"},
        {"name": "a", "mountPath": "/b", "subPathExpr": "$(POD_NAME)"},
    ]);
    assert_eq!(pod(&answer)["containers"][0]["volumeMounts"], expected);
    assert_eq!(pod(&answer)["volumes"].as_array().unwrap().len(), 1, "one volume, mounted twice");
}

#[test]
fn an_entry_that_cannot_be_mounted_has_neither_volume_nor_mount() {
    for (entry, path, message) in [
        (
            json!({"name": "bad", "mountPath": "/a", "volumeSource": {"emptyDir": {}}}),
            "spec.additionalVolumes[1].mountPath",
            "the volume good is mounted at this path already; bad is not mounted",
        ),
        (
            json!({"name": "bad", "mountPath": "/home/postgres/pgdata", "volumeSource": {"emptyDir": {}}}),
            "spec.additionalVolumes[1].mountPath",
            "the data volume is mounted at this path; bad is not mounted",
        ),
    ] {
        let answer = answer(json!([{"name": "good", "mountPath": "/a", "volumeSource": {"emptyDir": {}}}, entry]));
        assert_eq!(mounts(&answer), ["postgres: good at /a"]);
        assert_eq!(pod(&answer)["volumes"].as_array().unwrap().len(), 1);
        assert_eq!(answer.messages(), [message]);
        assert_eq!(answer.response.findings[0].path.as_deref(), Some(path));
    }
}

#[test]
fn an_empty_source_is_an_empty_folder_with_a_warning() {
    for source in [json!({}), json!({"emptyDir": null})] {
        let answer = answer(json!([{"name": "a", "mountPath": "/a", "volumeSource": source}]));
        assert_eq!(pod(&answer)["volumes"], json!([{"name": "a", "emptyDir": {}}]));
        assert_eq!(answer.response.findings[0].path.as_deref(), Some("spec.additionalVolumes[0].volumeSource"));
    }
}

#[test]
fn a_path_at_which_a_container_has_a_volume_is_refused() {
    let manifest = json!({"metadata": {"name": "acid-orders"}, "spec": {"additionalVolumes": [
        {"name": "a", "mountPath": "/dev/shm", "volumeSource": {"emptyDir": {}}},
    ]}});
    let mut workload = workload("acid-orders", &["postgres"]);
    let container = &mut workload["spec"]["template"]["spec"]["containers"][0];
    container["volumeMounts"] = json!([{"name": "dshm", "mountPath": "/dev/shm"}]);
    let failure = Call::new(&manifest).desired(&workload).mutate::<AdditionalVolumes>().err().unwrap();
    assert_eq!(
        reason(&failure),
        "spec.additionalVolumes[0].mountPath: in the container postgres the volume dshm is mounted at this path"
    );
}

#[test]
fn a_target_that_does_not_exist_is_a_warning() {
    let volume =
        json!({"name": "a", "mountPath": "/a", "targetContainers": ["typo"], "volumeSource": {"emptyDir": {}}});
    let answer = answer(json!([volume]));
    assert!(mounts(&answer).is_empty());
    assert_eq!(answer.messages(), ["there is no container typo; a is not mounted in it"]);
}

#[test]
fn an_invalid_entry_is_refused_with_its_path() {
    let source = json!({"emptyDir": {}});
    for (volumes, expected) in [
        (
            json!([{"name": "", "mountPath": "/a", "volumeSource": source}]),
            "spec.additionalVolumes[0].name: the volume has no name",
        ),
        (
            json!([{"name": "a", "mountPath": "", "volumeSource": source}]),
            "spec.additionalVolumes[0].mountPath: the volume has no mountPath",
        ),
        (json!([{"name": "a", "mountPath": "/a"}]), "spec.additionalVolumes[0].volumeSource: the volume has no source"),
        (
            json!([
                {"name": "a", "mountPath": "/a", "volumeSource": source},
                {"name": "a", "mountPath": "/b", "volumeSource": {"secret": {}}},
            ]),
            "spec.additionalVolumes[1].name: a is the name of an earlier volume with another source",
        ),
        (
            json!([{"name": "a", "mountPath": "/b", "targetContainers": ["all", "exporter"], "volumeSource": source}]),
            "spec.additionalVolumes[0].targetContainers: \"all\" cannot be combined with names of containers",
        ),
        (
            json!([{"name": "a_b", "mountPath": "/a", "volumeSource": source}]),
            "spec.additionalVolumes[0].name: \"a_b\" is not a valid name of a volume",
        ),
        (
            json!([{"name": "pgdata", "mountPath": "/a", "volumeSource": source}]),
            "spec.additionalVolumes[0].name: pgdata is the name of a volume of the pod",
        ),
    ] {
        assert_eq!(reason(&call(volumes).unwrap_err()), expected);
    }
}

#[test]
fn another_spelling_of_a_path_is_the_same_folder() {
    for path in ["/home/postgres/pgdata/", "/home/postgres//pgdata", "//home/./postgres/pgdata"] {
        let answer = answer(json!([{"name": "a", "mountPath": path, "volumeSource": {"emptyDir": {}}}]));
        assert!(answer.objects.is_empty(), "{path}");
        assert!(answer.response.findings[0].message.contains("the data volume is mounted at this path"), "{path}");
    }
    let answer = answer(json!([
        {"name": "a", "mountPath": "/a", "volumeSource": {"emptyDir": {}}},
        {"name": "b", "mountPath": "/a/", "volumeSource": {"emptyDir": {}}},
    ]));
    assert_eq!(mounts(&answer), ["postgres: a at /a"]);
}

#[test]
fn the_name_of_another_volume_of_the_pod_is_refused() {
    let mut workload = workload("acid-orders", &["postgres"]);
    workload["spec"]["template"]["spec"]["volumes"] = json!([{"name": "run", "emptyDir": {}}]);
    let of = |source: Value| {
        let volumes = json!([{"name": "run", "mountPath": "/a", "volumeSource": source}]);
        let manifest = json!({"metadata": {"name": "acid-orders"}, "spec": {"additionalVolumes": volumes}});
        Call::new(&manifest).desired(&workload).mutate::<AdditionalVolumes>()
    };
    let refused = of(json!({"secret": {"secretName": "s"}})).unwrap_err();
    let refused = reason(&refused);
    assert!(refused.contains("run is the name of a volume of the pod"), "{refused}");
    of(json!({"emptyDir": {}})).unwrap();
}

#[test]
fn the_folders_of_the_certificates_are_refused_by_the_name_of_the_field() {
    let of = |path: &str, targets: &[&str]| {
        let volume =
            json!({"name": "a", "mountPath": path, "targetContainers": targets, "volumeSource": {"emptyDir": {}}});
        let tls = json!({"secretName": "cert", "caFile": "ca.crt", "caSecretName": "ca"});
        let spec = json!({"additionalVolumes": [volume], "tls": tls});
        let manifest = json!({"metadata": {"name": "acid-orders"}, "spec": spec});
        Call::new(&manifest).desired(&workload("acid-orders", &["postgres", "exporter"])).mutate::<AdditionalVolumes>()
    };
    for path in ["/tls", "/tlsca"] {
        for targets in [&[][..], &["all"]] {
            let expected =
                format!("spec.additionalVolumes[0].mountPath: the certificates of spec.tls are mounted at {path}");
            assert_eq!(reason(&of(path, targets).unwrap_err()), expected);
        }
        of(path, &["exporter"]).unwrap();
    }
    of("/tls/more", &[]).unwrap();
}
