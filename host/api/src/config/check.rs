//! Rules between keys of the operator configuration.

use pgloom_common::name::{
    is_annotation_key, is_dns1123_subdomain, is_label_key, is_label_value, unknown_placeholders,
};
use pgloom_common::quantity::Quantity;
use pgloom_common::role::is_reserved;
use serde_json::Value;

use super::{Config, KEYS, ValueType};
use crate::finding::{Finding, Severity};
use crate::suggest::LABEL;
use crate::validate::window::MaintenanceWindow;

pub fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    instances(config, &mut findings);
    roles(config, &mut findings);
    role_sources(config, &mut findings);
    suffix(config, &mut findings);
    amounts(config, &mut findings);
    parts(config, &mut findings);
    templates(config, &mut findings);
    names(config, &mut findings);
    taints(config, &mut findings);
    labels(config, &mut findings);
    windows(config, &mut findings);
    secret_mount(config, &mut findings);
    for key in KEYS.iter().filter(|key| key.value_type == ValueType::Duration && key.honoured) {
        if config.duration(key.name).is_zero() {
            findings.push(
                Finding::error("is zero").at(key.name).remedy(format!("give it some time, as in {}", key.default)),
            );
        }
    }
    findings
}

fn instances(config: &Config, findings: &mut Vec<Finding>) {
    let number = |key: &str| config.integer(key).unwrap_or_default();
    let (least, most) = (number("min_instances"), number("max_instances"));
    if least > 0 && most > 0 && least > most {
        let finding = Finding::error(format!("{least} is more than max_instances, {most}")).at("min_instances");
        findings.push(finding.remedy("lower it, or raise max_instances"));
    }
    for (key, least) in [
        ("connection_pooler_number_of_instances", 1),
        ("password_rotation_interval", 1),
        ("password_rotation_user_retention", 0),
    ] {
        if number(key) < least {
            let finding = Finding::error(format!("{} is less than {least}", number(key))).at(key);
            findings.push(finding.remedy(format!("use {least} or more")));
        }
    }
    for key in ["successful_jobs_history_limit", "failed_jobs_history_limit", "ttl_seconds_after_finished"] {
        let key = format!("logical_backup_{key}");
        if number(&key) < 0 {
            findings.push(Finding::error("is less than nothing").at(key).remedy("use 0 or more"));
        }
    }
}

fn roles(config: &Config, findings: &mut Vec<Finding>) {
    const NAMES: [&str; 5] = [
        "super_username",
        "replication_username",
        "connection_pooler_user",
        "connection_pooler_schema",
        "pod_service_account_name",
    ];
    for key in NAMES {
        if config.text(key).is_empty() {
            findings.push(Finding::error("is empty").at(key).remedy("give it a name, or remove the key"));
        }
    }
    for key in ["super_username", "replication_username", "connection_pooler_user"] {
        let name = config.text(key);
        if is_reserved(name) {
            let finding = Finding::warning(format!("PostgreSQL creates no role {name:?}")).at(key);
            findings.push(finding.remedy("use a name that does not start with pg_, and neither public nor none"));
        }
    }
    let superuser = config.text("super_username");
    if config.text("connection_pooler_user") == superuser && !superuser.is_empty() {
        let finding = Finding::error(format!("{superuser:?} is the superuser")).at("connection_pooler_user");
        findings.push(finding.remedy("give poolers a role of their own, as in pooler"));
    }
    if config.text("replication_username") == superuser && !superuser.is_empty() {
        let finding = Finding::error(format!("{superuser:?} is the superuser")).at("replication_username");
        findings.push(finding.remedy("give replicas a role of their own, as in standby"));
    }
}

/// An entry that names no Secret is ignored, as the Zalando operator does.
fn role_sources(config: &Config, findings: &mut Vec<Finding>) {
    for (index, entry) in config.value("infrastructure_roles_secrets").as_array().into_iter().flatten().enumerate() {
        let secret = entry.get("secretname").and_then(Value::as_str).unwrap_or_default();
        if secret.is_empty() || secret.ends_with('/') {
            let finding = Finding::warning("names no Secret, and gives no roles");
            let finding = finding.at(format!("infrastructure_roles_secrets[{index}].secretname"));
            findings.push(finding.remedy("write name, or namespace/name"));
        }
    }
}

/// A role without a suffix would be renamed to its own name.
fn suffix(config: &Config, findings: &mut Vec<Finding>) {
    if config.flag("enable_team_member_deprecation") && config.text("role_deletion_suffix").is_empty() {
        let finding = Finding::error("is empty").at("role_deletion_suffix");
        findings.push(finding.remedy("give it a text, as in _deleted, or switch enable_team_member_deprecation off"));
    }
}

fn amounts(config: &Config, findings: &mut Vec<Finding>) {
    for prefix in ["default", "scalyr", "logical_backup", "connection_pooler_default"] {
        for resource in ["cpu", "memory"] {
            let (limit_key, request_key) =
                (format!("{prefix}_{resource}_limit"), format!("{prefix}_{resource}_request"));
            let (limit, request) = (config.text(&limit_key), config.text(&request_key));
            if let (Some(Ok(limit)), Some(Ok(request))) = (Quantity::given(limit), Quantity::given(request))
                && limit < request
            {
                let finding =
                    Finding::error(format!("the limit {limit} is below {request_key}, {request}")).at(limit_key);
                findings.push(finding.remedy("raise the limit, or lower the request"));
            }
        }
    }
}

/// An amount of memory in parts of a byte is used as it is.
fn parts(config: &Config, findings: &mut Vec<Finding>) {
    let memory = KEYS.iter().filter(|key| key.value_type == ValueType::Quantity && key.name.contains("memory"));
    for (key, text) in memory.map(|key| (key.name, config.text(key.name))) {
        if Quantity::is_in_parts(text) {
            let finding = Finding::warning(format!("{text:?} counts in parts of a byte")).at(key);
            findings.push(finding.remedy("write mebibytes as in 512Mi"));
        }
    }
}

/// The pods of clusters that run were made before.
fn secret_mount(config: &Config, findings: &mut Vec<Finding>) {
    let (secret, path) = ("additional_secret_mount", "additional_secret_mount_path");
    if !config.text(secret).is_empty() && config.text(path).is_empty() {
        let finding = Finding::warning(format!("is empty, and Kubernetes makes no pod that mounts {secret} there"));
        findings.push(finding.at(path).remedy("give it a path, as in /meta/credentials, or remove the key"));
    }
}

fn templates(config: &Config, findings: &mut Vec<Finding>) {
    const DNS: &[&str] = &["cluster", "team", "namespace", "hostedzone"];
    let templates: [(&str, &[&str], &str); 6] = [
        ("secret_name_template", &["username", "cluster", "team", "tprkind", "tprgroup"], "{username}"),
        ("pdb_name_format", &["cluster"], "{cluster}"),
        ("master_dns_name_format", DNS, ""),
        ("replica_dns_name_format", DNS, ""),
        ("master_legacy_dns_name_format", DNS, ""),
        ("replica_legacy_dns_name_format", DNS, ""),
    ];
    for (key, known, needed) in templates {
        let template = config.text(key);
        for name in unknown_placeholders(template, known) {
            let finding = Finding::error(format!("{{{name}}} is no placeholder")).at(key);
            findings.push(finding.remedy(format!("known here: {{{}}}", known.join("}, {"))));
        }
        if !template.contains(needed) {
            let finding = Finding::error(format!("{template:?} gives several objects one name")).at(key);
            findings.push(finding.remedy(format!("use {needed} in it")));
        }
    }
}

/// Names of objects that every cluster has. Of the prefix of backups only a cluster with backups has an object.
fn names(config: &Config, findings: &mut Vec<Finding>) {
    const NAMES: [(&str, &str, Severity); 3] = [
        ("pdb_name_format", "", Severity::Error),
        ("pod_service_account_name", "", Severity::Error),
        ("logical_backup_job_prefix", "{cluster}", Severity::Warning),
    ];
    for (key, rest, severity) in NAMES {
        let text = config.text(key);
        let name = format!("{text}{rest}").replace("{cluster}", "a");
        if !text.is_empty() && !is_dns1123_subdomain(&name) {
            let finding = Finding::error(format!("{text:?} makes no name of an object")).at(key);
            findings.push(Finding { severity, ..finding.remedy("use lower case letters, digits, '-' and '.'") });
        }
    }
}

/// Labels and annotations that every cluster gets, which the API server would refuse cluster by cluster.
fn labels(config: &Config, findings: &mut Vec<Finding>) {
    let mut check = |place: &str, key: &str| {
        if !is_label_key(key) {
            let finding = Finding::error(format!("{key:?} is no key of a label")).at(place);
            findings.push(finding.remedy(LABEL));
        }
    };
    for key in ["cluster_name_label", "pod_role_label"] {
        check(key, config.text(key));
    }
    for key in ["cluster_labels", "node_readiness_label"] {
        config.map(key).into_keys().for_each(|name| check(key, name));
    }
    for place in ["custom_pod_annotations", "custom_service_annotations"] {
        for key in config.map(place).into_keys().filter(|key| !is_annotation_key(key)) {
            let finding = Finding::error(format!("{key:?} is no key of an annotation")).at(place);
            findings.push(finding.remedy(LABEL));
        }
    }
    for key in ["cluster_labels", "node_readiness_label"] {
        for (_, value) in config.map(key).into_iter().filter(|(_, value)| !is_label_value(value)) {
            findings.push(Finding::error(format!("{value:?} is no value of a label")).at(key).remedy(LABEL));
        }
    }
    let role = config.text("pod_role_label");
    if role == "team" || role == config.text("cluster_name_label") || config.map("cluster_labels").contains_key(role) {
        let finding = Finding::error(format!("{role:?} is a label of all objects of a cluster")).at("pod_role_label");
        findings.push(finding.remedy("use a label of its own, as in spilo-role"));
    }
    if config.map("cluster_labels").is_empty() {
        let finding = Finding::error("is empty, and nothing would tell the pods of clusters from others");
        findings.push(finding.at("cluster_labels").remedy("give it a label, as in application:spilo"));
    }
}

fn windows(config: &Config, findings: &mut Vec<Finding>) {
    for text in config.list("maintenance_windows") {
        if let Err(error) = MaintenanceWindow::parse(text) {
            let finding = Finding::error(format!("{text:?}: {error}")).at("maintenance_windows");
            findings.push(finding.remedy("write it as in 01:00-06:00 or Sat:00:00-04:00, in UTC"));
        }
    }
}

fn taints(config: &Config, findings: &mut Vec<Finding>) {
    let toleration = config.map("toleration");
    let allowed: [(&str, &[&str]); 4] = [
        ("key", &[]),
        ("value", &[]),
        ("operator", &["Equal", "Exists"]),
        ("effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ];
    for (name, value) in toleration {
        match allowed.iter().find(|(known, _)| *known == name) {
            None => findings.push(
                Finding::error(format!("{name:?} is no part of a toleration"))
                    .at("toleration")
                    .remedy("use key, operator, value and effect"),
            ),
            Some((_, [])) => {}
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => findings.push(
                Finding::error(format!("{value:?} is no {name}"))
                    .at("toleration")
                    .remedy(format!("use {}", values.join(", "))),
            ),
        }
    }
    for (name, value) in config.map("persistent_volume_claim_retention_policy") {
        if !matches!(name, "when_deleted" | "when_scaled") || !matches!(value, "retain" | "delete") {
            let finding =
                Finding::error(format!("{name}:{value} is no policy")).at("persistent_volume_claim_retention_policy");
            findings.push(finding.remedy("use when_deleted and when_scaled, each with retain or delete"));
        }
    }
}
