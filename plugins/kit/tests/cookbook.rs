//! The plugins of COOKBOOK.md, natively; `host/cli/tests/plugin_outside/cookbook.rs` has their components.
#![cfg(test)]

use std::path::Path;

use pgloom_kit::testing::{Call, operator_config, reason};
use pgloom_kit::{Value, json};

#[path = "cookbook/cost-labels.rs"]
mod cost_labels;
#[path = "cookbook/exporter.rs"]
mod exporter;
#[path = "cookbook/guard.rs"]
mod guard;
#[path = "cookbook/network-policy.rs"]
mod network_policy;
#[path = "cookbook/service-monitor.rs"]
mod service_monitor;
#[path = "cookbook/team-labels.rs"]
mod team_labels;
#[path = "cookbook/vault-backup.rs"]
mod vault_backup;

fn manifest(change: Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1", "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop", "labels": {"example.com/cost-centre": "4711"}},
        "spec": {"teamId": "acid", "numberOfInstances": 2, "volume": {"size": "10Gi"}},
    });
    let fields = change.as_object().cloned().unwrap_or_default();
    manifest["spec"].as_object_mut().unwrap().extend(fields);
    manifest
}

fn call(settings: &Value) -> Call {
    Call::new(&manifest(json!({}))).operator_config(&operator_config(&json!({}))).settings(settings)
}

#[test]
fn the_exporter_logs_in_by_a_role_of_its_own() {
    let answer = call(&json!({"image": "exporter:1"})).mutate::<exporter::Exporter>().unwrap();
    let set = answer.object("StatefulSet", "acid-orders").unwrap();
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "exporter:1");
    let secret = "exporter.acid-orders.credentials.postgresql.acid.zalan.do";
    assert_eq!(container["env"][2]["valueFrom"]["secretKeyRef"], json!({"name": secret, "key": "password"}));
    assert_eq!(answer.response.actions.len(), 1);
}

#[test]
fn other_namespaces_reach_the_database_and_not_patroni() {
    let settings = json!({"operatorNamespace": "operators", "clients": ["web"]});
    let answer = call(&settings).mutate::<network_policy::Policy>().unwrap();
    let policy = answer.object("NetworkPolicy", "acid-orders").unwrap();
    let ports = |rule: usize| policy["spec"]["ingress"][rule]["ports"].as_array().unwrap().len();
    assert_eq!((ports(0), ports(1)), (2, 1));
    let clients = policy["spec"]["ingress"][1]["from"].to_string();
    assert!(clients.contains("\"shop\"") && clients.contains("\"web\"") && !clients.contains("operators"), "{clients}");
}

#[test]
fn a_team_that_is_not_known_is_a_warning() {
    let known = json!({"teams": {"acid": {"owner": "shop-team", "onCall": "pager-7"}}});
    let answer = call(&known).mutate::<team_labels::TeamLabels>().unwrap();
    for kind in ["StatefulSet", "Service"] {
        let labels = &answer.object(kind, "acid-orders").unwrap()["metadata"]["labels"];
        assert_eq!(*labels, json!({"example.com/owner": "shop-team", "example.com/on-call": "pager-7"}));
    }
    let answer = call(&json!({"teams": {}})).mutate::<team_labels::TeamLabels>().unwrap();
    assert!(answer.objects.is_empty() && answer.messages()[0].contains("\"acid\" is not known"));
}

#[test]
fn the_credential_of_the_vault_is_passed_on_as_the_value_of_a_variable() {
    let settings = json!(vault_backup::Settings::default());
    let config = operator_config(&json!({"logical_backup_s3_secret_access_key": "pgloom-placeholder:1"}));
    let answer = call(&settings).operator_config(&config).mutate::<vault_backup::VaultBackup>().unwrap();
    let job = answer.object("CronJob", "vault-acid-orders").unwrap();
    let container = job.pointer("/spec/jobTemplate/spec/template/spec/containers/0").unwrap();
    assert_eq!(container["env"][1], json!({"name": "VAULT_KEY", "value": "pgloom-placeholder:1"}));
    assert!(!container["command"].to_string().contains("placeholder"));
}

#[test]
fn the_monitor_selects_the_service_that_it_makes() {
    let answer = call(&json!({"port": 9187, "interval": "1m"})).mutate::<service_monitor::Monitor>().unwrap();
    let selector = &answer.object("ServiceMonitor", "acid-orders-metrics").unwrap()["spec"]["selector"];
    assert_eq!(*selector, json!({"matchLabels": {"cluster-name": "acid-orders", "example.com/metrics": "true"}}));
    let service = answer.object("Service", "acid-orders-metrics").unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 9187);
}

#[test]
fn the_cost_is_that_of_all_instances_and_the_label_that_of_the_manifest() {
    let settings = json!({"defaultCentre": "platform", "instance": 1000, "gib": 10});
    let answer = call(&settings).mutate::<cost_labels::CostLabels>().unwrap();
    let metadata = &answer.object("StatefulSet", "acid-orders").unwrap()["metadata"];
    assert_eq!(metadata["annotations"]["example.com/cents-a-month"], "2200");
    assert_eq!(metadata["labels"]["example.com/cost-centre"], "4711");
}

#[test]
fn the_guard_refuses_with_the_field_and_writes_nothing() {
    let asked = |spec: Value| {
        Call::new(&manifest(spec)).settings(&json!({"minInstances": 2, "memoryLimit": true})).mutate::<guard::Guard>()
    };
    let limited = json!({"limits": {"memory": "4Gi"}});
    let refused = |spec: Value| reason(&asked(spec).unwrap_err());
    let alone = refused(json!({"numberOfInstances": 1, "resources": limited}));
    assert_eq!(alone, "spec.numberOfInstances: has 1, and production needs 2");
    assert!(refused(json!({})).starts_with("spec.resources.limits.memory: is missing"));
    for spec in [json!({"resources": limited}), json!({"numberOfInstances": 0, "resources": limited})] {
        assert!(asked(spec).unwrap().objects.is_empty());
    }
}

/// The page with the present text of each file that a comment above a block of code names.
fn with_files(page: &str, folder: &Path) -> String {
    let mut parts = page.split("<!-- cookbook/");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n```").unwrap();
        let (language, rest) = rest.split_once('\n').unwrap();
        let (_, after) = rest.split_once("```\n").unwrap();
        let file = std::fs::read_to_string(folder.join("tests/cookbook").join(name)).unwrap();
        text += &format!("<!-- cookbook/{name} -->\n```{language}\n{file}```\n{after}");
    }
    text
}

#[test]
fn the_cookbook_shows_the_code_that_is_built_and_what_it_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("COOKBOOK.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let present = with_files(&page, folder);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &present).unwrap();
    } else {
        assert_eq!(page, present, "run: UPDATE=1 cargo test --release --package pgloom-kit --test cookbook");
    }
    for entry in std::fs::read_dir(folder.join("tests/cookbook")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_shown = present.contains(&format!("<!-- cookbook/{name} -->"));
        assert!(is_shown || name.starts_with("manifest"), "{name} is not shown");
    }
}
