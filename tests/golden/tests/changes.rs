//! docs/changes.md names every field of a manifest and every key of the operator configuration, and a change of a key
//! does to the objects of every case nothing else than it says.

use std::collections::{BTreeMap, BTreeSet};

use golden::{Input, cases, entries, examples, here, name, pipeline, read, repository};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use pgloom_api::config::{Config, Form, KEYS, Key, ValueType};
use pgloom_decide::rollout::{difference, metadata_patch};
use serde_json::{Value, json};

/// The effects that the first table explains.
const EFFECTS: [&str; 7] =
    ["nothing", "database", "object patch", "pod patch", "reload", "restart by Patroni", "rolling update"];

/// The rows of the table below a heading: the names in back quotes of the first column, and the effect.
fn rows(heading: &str) -> Vec<(Vec<String>, String)> {
    let text = std::fs::read_to_string(repository("docs/changes.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let named = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = cells.map(|(names, effect)| (named(names), effect.to_owned()));
    rows.filter(|(names, _)| !names.is_empty()).collect()
}

fn named(heading: &str) -> BTreeSet<String> {
    rows(heading).into_iter().flat_map(|(names, _)| names).collect()
}

/// The fields of `spec` by their paths, as in `volume.size`: of objects with fixed fields the inner ones.
fn fields() -> BTreeSet<String> {
    let definition = read(&repository("manifests/crds/postgresqls.acid.zalan.do.yaml"));
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let mut fields = BTreeSet::new();
    for (field, schema) in definition.pointer(schema).unwrap().as_object().unwrap() {
        match schema["properties"].as_object().filter(|_| ["patroni", "postgresql", "volume"].contains(&field.as_str()))
        {
            Some(inner) => fields.extend(inner.keys().map(|inner| format!("{field}.{inner}"))),
            None => _ = fields.insert(field.clone()),
        }
    }
    fields
}

#[test]
fn every_field_of_a_manifest_has_a_row_and_every_row_is_of_a_field() {
    assert_eq!(named("Fields of a manifest"), fields());
}

#[test]
fn every_key_of_the_operator_configuration_has_one_row_and_every_row_is_of_a_key() {
    let rows = rows("Keys of the operator configuration");
    let all: Vec<&String> = rows.iter().flat_map(|(names, _)| names).collect();
    let named: BTreeSet<&str> = all.iter().map(|name| name.as_str()).collect();
    assert_eq!(named, KEYS.iter().map(|key| key.name).collect());
    assert_eq!(all.len(), named.len(), "a key is named twice");
    for (names, effect) in &rows {
        for key in KEYS.iter().filter(|key| names.iter().any(|name| name == key.name)) {
            assert_eq!(effect == "nothing: not honoured", !key.honoured, "{}", key.name);
        }
    }
}

#[test]
fn every_effect_is_one_of_those_that_are_explained() {
    for heading in ["Fields of a manifest", "Keys of the operator configuration"] {
        for (names, effect) in rows(heading) {
            assert!(EFFECTS.iter().any(|known| effect.contains(known)), "{names:?}: {effect}");
        }
    }
}

/// Another value of a key than it has, as a ConfigMap holds it; `None` if there is none that is valid whatever else is set.
fn another(key: &Key, config: &Config) -> Option<String> {
    Some(match key.value_type {
        ValueType::Flag => (!config.flag(key.name)).to_string(),
        ValueType::Integer | ValueType::OptionalInteger => "7".to_owned(),
        ValueType::Choice(words) => (*words.iter().find(|word| **word != config.text(key.name))?).to_owned(),
        ValueType::Quantity => if key.name.contains("cpu") { "77m" } else { "77Mi" }.to_owned(),
        ValueType::Duration => "47s".to_owned(),
        ValueType::Schedule => "1 2 * * *".to_owned(),
        ValueType::Text if key.default.contains('{') => format!("other-{}", key.default),
        ValueType::Map => "other:value".to_owned(),
        ValueType::Containers => json!([{"name": "other", "image": "other"}]).to_string(),
        ValueType::Text | ValueType::Credential | ValueType::Reference | ValueType::List => "other".to_owned(),
        ValueType::Probe | ValueType::RoleSources => return None,
    })
}

/// The objects of a decision by kind, namespace and name.
fn objects(decision: &Value) -> BTreeMap<[String; 3], Value> {
    let objects = decision["objects"].as_array().into_iter().flatten();
    let key = |object: &Value| {
        [&object["kind"], &object["metadata"]["namespace"], &object["metadata"]["name"]]
            .map(|part| part.as_str().unwrap_or_default().to_owned())
    };
    objects.map(|object| (key(object), object.clone())).collect()
}

/// What leads from the one decision to the other.
fn effects(before: &Value, after: &Value) -> BTreeSet<&'static str> {
    let mut effects = BTreeSet::new();
    let (was, is) = (objects(before), objects(after));
    for key in was.keys().chain(is.keys()) {
        match (&*key[0], was.get(key), is.get(key)) {
            (_, was, is) if was == is => {}
            ("Secret", None, _) | ("Secret", _, None) => _ = effects.insert("database"),
            ("StatefulSet", Some(was), Some(is)) => effects.extend(of_sets(was, is)),
            _ => _ = effects.insert("object patch"),
        }
    }
    let actions = |decision: &Value, what: &str| -> Vec<Value> {
        let all = decision["actions"].as_array().into_iter().flatten();
        all.filter(|action| action.as_str().is_some_and(|action| action.contains(what))).cloned().collect()
    };
    let asks_otherwise = |what: &str| actions(before, what) != actions(after, what);
    if before["roles"] != after["roles"] || before["databases"] != after["databases"] || asks_otherwise("look-up") {
        effects.insert("database");
    }
    if asks_otherwise("configure Patroni") {
        effects.insert("reload");
    }
    effects
}

fn of_sets(was: &Value, is: &Value) -> BTreeSet<&'static str> {
    let template = |set: &Value| serde_json::from_value::<PodTemplateSpec>(set["spec"]["template"].clone()).unwrap();
    let before = template(was);
    let pod = Pod { metadata: before.metadata.unwrap_or_default(), spec: before.spec, status: None };
    let mut effects = BTreeSet::from(["object patch"]);
    if difference(&template(is), &pod, false).is_some() {
        effects.insert("rolling update");
    }
    if metadata_patch(&template(is), &pod, "spilo-role").is_some() {
        effects.insert("pod patch");
    }
    effects
}

/// An input with the keys of its configuration, and what is decided by it.
struct Start {
    input: Input,
    keys: Value,
    decision: Value,
}

/// The examples and every third case, which have all features together.
fn starts() -> Vec<Start> {
    let folders = entries(&here("cases"));
    let keys = |input: &Input| {
        let folder = folders.iter().find(|folder| name(folder) == input.name);
        let file = folder.map(|folder| folder.join("config.yaml")).filter(|file| file.exists());
        file.map_or_else(stated_defaults, |file| read(&file)["data"].clone())
    };
    let start = |input: Input| Start { keys: keys(&input), decision: input.decided(pipeline()), input };
    let starts = examples().into_iter().chain(cases().into_iter().step_by(3)).map(start);
    // Of an OperatorConfiguration the keys are in sections.
    starts.filter(|start| start.decision.get("error").is_none() && start.keys.is_object()).collect()
}

/// The ConfigMap that is the same as no configuration.
fn stated_defaults() -> Value {
    let differing = KEYS.iter().filter(|key| key.absent(Form::ConfigMap) != key.default);
    differing.map(|key| (key.name.to_owned(), json!(key.default))).collect()
}

/// Another value of most fields of a manifest.
fn samples() -> Vec<(&'static str, Value)> {
    vec![
        ("users", json!({"another": ["createdb"]})),
        ("databases", json!({"another": "another"})),
        ("preparedDatabases", json!({"another": {"defaultUsers": true}})),
        ("teamId", json!("other")),
        ("patroni.ttl", json!(77)),
        ("patroni.loop_wait", json!(7)),
        ("patroni.retry_timeout", json!(7)),
        ("patroni.maximum_lag_on_failover", json!(77)),
        ("patroni.synchronous_mode", json!(true)),
        ("patroni.synchronous_mode_strict", json!(true)),
        ("patroni.synchronous_node_count", json!(2)),
        ("patroni.failsafe_mode", json!(true)),
        ("patroni.slots", json!({"another": {"type": "physical"}})),
        ("patroni.pg_hba", json!(["local all all trust"])),
        ("patroni.initdb", json!({"locale": "C"})),
        ("postgresql.parameters", json!({"max_connections": "77", "shared_buffers": "77MB"})),
        ("numberOfInstances", json!(4)),
        ("resources", json!({"requests": {"cpu": "77m"}})),
        ("env", json!([{"name": "ANOTHER", "value": "x"}])),
        ("envFrom", json!([{"secretRef": {"name": "another"}}])),
        ("sidecars", json!([{"name": "another", "image": "another"}])),
        ("initContainers", json!([{"name": "another", "image": "another"}])),
        ("livenessProbe", json!({"httpGet": {"path": "/another", "port": 8008}})),
        ("dockerImage", json!("another")),
        ("tolerations", json!([{"key": "another", "operator": "Exists"}])),
        (
            "nodeAffinity",
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "another", "operator": "Exists"}]}
            ]}}),
        ),
        (
            "topologySpreadConstraints",
            json!([
                {"maxSkew": 1, "topologyKey": "another", "whenUnsatisfiable": "DoNotSchedule"}
            ]),
        ),
        ("schedulerName", json!("another")),
        ("podPriorityClassName", json!("another")),
        ("spiloRunAsUser", json!(7)),
        ("spiloRunAsGroup", json!(7)),
        ("spiloFSGroup", json!(7)),
        ("tls", json!({"secretName": "another"})),
        (
            "additionalVolumes",
            json!([
                {"name": "another", "mountPath": "/another", "targetContainers": [], "volumeSource": {"emptyDir": {}}}
            ]),
        ),
        ("enableShmVolume", json!(false)),
        ("podAnnotations", json!({"another": "x"})),
        ("volume.size", json!("77Gi")),
        ("volume.storageClass", json!("another")),
        ("volume.selector", json!({"matchLabels": {"another": "x"}})),
        ("volume.subPath", json!("another")),
        ("volume.iops", json!(7777)),
        ("volume.throughput", json!(777)),
        ("enableMasterLoadBalancer", json!(true)),
        ("enableReplicaLoadBalancer", json!(true)),
        ("enableMasterPoolerLoadBalancer", json!(true)),
        ("enableReplicaPoolerLoadBalancer", json!(true)),
        ("enableMasterNodePort", json!(true)),
        ("enableReplicaNodePort", json!(true)),
        ("masterNodePort", json!(30777)),
        ("allowedSourceRanges", json!(["10.7.0.0/16"])),
        ("serviceAnnotations", json!({"another": "x"})),
        ("masterServiceAnnotations", json!({"another": "x"})),
        ("replicaServiceAnnotations", json!({"another": "x"})),
        ("enableConnectionPooler", json!(true)),
        ("enableReplicaConnectionPooler", json!(true)),
        ("connectionPooler", json!({"numberOfInstances": 3, "mode": "session"})),
        ("enableLogicalBackup", json!(true)),
        ("logicalBackupSchedule", json!("1 2 * * *")),
        ("logicalBackupRetention", json!("7 months")),
        ("maintenanceWindows", json!(["Sat:01:00-02:00"])),
        ("streams", json!([])),
        ("usersWithSecretRotation", json!(["another"])),
    ]
}

/// What is found and not documented. What does more to the pods changes objects as well.
fn undocumented(of: &str, mut found: BTreeSet<&'static str>, documented: &str) -> Vec<String> {
    if ["rolling update", "pod patch", "reload"].iter().any(|more| documented.contains(more)) {
        found.remove("object patch");
    }
    if documented.contains("rolling update") {
        found.remove("pod patch");
    }
    found.iter().filter(|effect| !documented.contains(**effect)).map(|effect| format!("{of}: {effect}")).collect()
}

fn documented<'a>(rows: &'a [(Vec<String>, String)], name: &str) -> &'a str {
    let row = rows.iter().find(|(names, _)| names.iter().any(|named| named == name));
    row.map(|(_, effect)| effect.as_str()).unwrap_or_default()
}

/// What the changes of the starts lead to.
fn found(starts: &[Start], changed: impl Fn(&Start) -> Option<Input>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for start in starts {
        let Some(after) = changed(start).map(|input| input.decided(pipeline())) else { continue };
        if after.get("error").is_none() {
            found.extend(effects(&start.decision, &after));
        }
    }
    found
}

#[test]
fn a_change_of_a_field_or_of_a_key_does_to_no_case_what_its_row_does_not_say() {
    let (starts, mut faults) = (starts(), Vec::new());
    let of_fields = rows("Fields of a manifest");
    for (field, value) in samples() {
        let found = found(&starts, |start| {
            let mut changed = start.input.clone();
            match field.split_once('.') {
                Some((section, field)) => changed.manifest["spec"][section][field] = value.clone(),
                None => changed.manifest["spec"][field] = value.clone(),
            }
            Some(changed)
        });
        faults.extend(undocumented(field, found, documented(&of_fields, field)));
    }
    let of_keys = rows("Keys of the operator configuration");
    // The operator refuses another name of the label before it applies anything.
    for key in KEYS.iter().filter(|key| key.name != "cluster_name_label") {
        let found = found(&starts, |start| {
            let mut keys = start.keys.clone();
            keys[key.name] = json!(another(key, &start.input.config)?);
            let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": keys});
            Some(Input { config: Config::read(&document).ok()?.config, ..start.input.clone() })
        });
        faults.extend(undocumented(key.name, found, documented(&of_keys, key.name)));
    }
    assert_eq!(faults, [] as [&str; 0]);
}
