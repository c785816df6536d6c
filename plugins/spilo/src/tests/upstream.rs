//! The objects of the plugin are those that the newest recorded release created.

use crate::Spilo;
use pgloom_kit::testing::Answer;
use pgloom_kit::testing::upstream::{Case, cases, difference};
use pgloom_kit::{Value, json};

/// Kinds that the plugin makes.
const KINDS: [&str; 4] = ["Endpoints", "Service", "PodDisruptionBudget", "StatefulSet"];
/// Fields that a read object has although no request set them.
const READ_BACK: [(&str, &[&str]); 2] =
    [("/spec/volumeClaimTemplates/0", &["apiVersion", "kind", "status"]), ("/spec/template/spec", &["initContainers"])];

#[test]
fn objects_are_as_recorded() {
    let mut differences = Vec::new();
    for case in cases("objects_are_as_recorded") {
        let answer = answer(&case);
        let recorded = recorded(&case);
        assert_eq!(answer.objects.len(), recorded.len(), "objects of {}", case.name);
        for recorded in recorded {
            let (kind, name) = (recorded["kind"].as_str().unwrap(), recorded["metadata"]["name"].as_str().unwrap());
            let made = answer.object(kind, name).cloned().unwrap_or_default();
            let expected = without_other_plugins(recorded, &case.manifest);
            if let Some(difference) = difference(&made, &expected) {
                differences.push(format!("{}: {kind} {name}: {difference}", case.name));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn answer(case: &Case) -> Answer {
    let mut call = case.call();
    for existing in &case.prerequisites {
        let key = match existing["kind"].as_str().unwrap() {
            "Secret" => "pod_environment_secret",
            _ => "pod_environment_configmap",
        };
        if existing["metadata"]["name"] == case.config[key] {
            call = call.observed(&key.replace('_', "-"), existing);
        }
    }
    call.mutate::<Spilo>().unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name))
}

fn recorded(case: &Case) -> Vec<&Value> {
    let pooler = format!("{}-pooler", case.manifest["metadata"]["name"].as_str().unwrap());
    KINDS.iter().flat_map(|kind| case.created(kind, |name| !name.starts_with(&pooler))).collect()
}

fn without_other_plugins(object: &Value, manifest: &Value) -> Value {
    // In the recorded release an inherited label replaced a label of the selector, and the API server refused the
    // StatefulSet.
    let text = object.to_string().replace(r#""application":"test-app""#, r#""application":"spilo""#);
    let mut object: Value = pgloom_kit::serde_json::from_str(&text).unwrap();
    for (pointer, fields) in READ_BACK {
        let place = object.pointer_mut(pointer).and_then(Value::as_object_mut);
        place.into_iter().for_each(|place| place.retain(|field, _| !fields.contains(&field.as_str())));
    }
    let Some(pod) = object.pointer_mut("/spec/template/spec") else { return object };
    let mut others: Vec<Value> = manifest["spec"]["additionalVolumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| volume["name"].clone())
        .collect();
    others.push(manifest["spec"]["tls"]["secretName"].clone());
    let is_own = |entry: &Value| !others.contains(&entry["name"]);
    pod["containers"].as_array_mut().unwrap().truncate(1);
    pod["volumes"].as_array_mut().unwrap().retain(is_own);
    let container = &mut pod["containers"][0];
    container["volumeMounts"].as_array_mut().unwrap().retain(is_own);
    let prefixes = ["CLONE_", "STANDBY_", "SSL_"];
    let is_own = |entry: &Value| !prefixes.iter().any(|prefix| entry["name"].as_str().unwrap().starts_with(prefix));
    container["env"].as_array_mut().unwrap().retain(is_own);
    object
}

#[test]
fn a_description_names_what_it_reads_and_writes() {
    let description = <Spilo as pgloom_kit::Plugin>::describe().build();
    assert_eq!(description.name, "spilo");
    assert!(description.config_keys.is_sorted() && description.config_keys.contains(&"docker_image".to_owned()));
    let schema: Value = pgloom_kit::serde_json::from_str(&description.config_schema).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    assert!(description.relevant.is_empty(), "it is always called");
}
