//! Rules between keys of the operator configuration.

use pgloom_common::name::unknown_placeholders;
use pgloom_common::quantity::Quantity;

use super::{Config, KEYS, Kind};
use crate::problem::Problem;
use crate::validate::window::MaintenanceWindow;

pub fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    instances(config, &mut problems);
    roles(config, &mut problems);
    amounts(config, &mut problems);
    templates(config, &mut problems);
    taints(config, &mut problems);
    windows(config, &mut problems);
    for key in KEYS.iter().filter(|key| key.kind == Kind::Duration && key.honoured) {
        if config.duration(key.name).is_zero() {
            problems
                .push(Problem::error(key.name, "is zero").remedy(format!("give it some time, as in {}", key.default)));
        }
    }
    problems
}

fn instances(config: &Config, problems: &mut Vec<Problem>) {
    let number = |key: &str| config.integer(key).unwrap_or_default();
    let (least, most) = (number("min_instances"), number("max_instances"));
    if least > 0 && most > 0 && least > most {
        let problem = Problem::error("min_instances", format!("{least} is more than max_instances, {most}"));
        problems.push(problem.remedy("lower it, or raise max_instances"));
    }
    for (key, least) in
        [("workers", 1), ("connection_pooler_number_of_instances", 1), ("connection_pooler_max_db_connections", 1)]
    {
        if number(key) < least {
            let problem = Problem::error(key, format!("{} is less than {least}", number(key)));
            problems.push(problem.remedy(format!("use {least} or more")));
        }
    }
    for key in ["successful_jobs_history_limit", "failed_jobs_history_limit", "ttl_seconds_after_finished"] {
        let key = format!("logical_backup_{key}");
        if number(&key) < 0 {
            problems.push(Problem::error(key, "is less than nothing").remedy("use 0 or more"));
        }
    }
}

fn roles(config: &Config, problems: &mut Vec<Problem>) {
    for key in ["super_username", "replication_username", "connection_pooler_user", "connection_pooler_schema"] {
        if config.text(key).is_empty() {
            problems.push(Problem::error(key, "is empty").remedy("give it a name, or remove the key"));
        }
    }
    let superuser = config.text("super_username");
    if config.text("connection_pooler_user") == superuser && !superuser.is_empty() {
        let problem = Problem::error("connection_pooler_user", format!("{superuser:?} is the superuser"));
        problems.push(problem.remedy("give poolers a role of their own, as in pooler"));
    }
    if config.text("replication_username") == superuser && !superuser.is_empty() {
        let problem = Problem::error("replication_username", format!("{superuser:?} is the superuser"));
        problems.push(problem.remedy("give replicas a role of their own, as in standby"));
    }
}

fn amounts(config: &Config, problems: &mut Vec<Problem>) {
    for prefix in ["default", "scalyr", "logical_backup", "connection_pooler_default"] {
        for resource in ["cpu", "memory"] {
            let (limit_key, request_key) =
                (format!("{prefix}_{resource}_limit"), format!("{prefix}_{resource}_request"));
            let (limit, request) = (config.text(&limit_key), config.text(&request_key));
            if let (Ok(limit), Ok(request)) = (Quantity::parse(limit), Quantity::parse(request))
                && limit < request
            {
                let problem = Problem::error(limit_key, format!("the limit {limit} is below {request_key}, {request}"));
                problems.push(problem.remedy("raise the limit, or lower the request"));
            }
        }
    }
}

fn templates(config: &Config, problems: &mut Vec<Problem>) {
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
            let problem = Problem::error(key, format!("{{{name}}} is no placeholder"));
            problems.push(problem.remedy(format!("known here: {{{}}}", known.join("}, {"))));
        }
        if !template.contains(needed) {
            let problem = Problem::error(key, format!("{template:?} gives several objects one name"));
            problems.push(problem.remedy(format!("use {needed} in it")));
        }
    }
}

fn windows(config: &Config, problems: &mut Vec<Problem>) {
    for text in config.list("maintenance_windows") {
        if let Err(error) = MaintenanceWindow::parse(text) {
            let problem = Problem::error("maintenance_windows", format!("{text:?}: {error}"));
            problems.push(problem.remedy("write it as in 01:00-06:00 or Sat:00:00-04:00, in UTC"));
        }
    }
}

fn taints(config: &Config, problems: &mut Vec<Problem>) {
    let toleration = config.map("toleration");
    let allowed: [(&str, &[&str]); 4] = [
        ("key", &[]),
        ("value", &[]),
        ("operator", &["Equal", "Exists"]),
        ("effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ];
    for (name, value) in toleration {
        match allowed.iter().find(|(known, _)| *known == name) {
            None => problems.push(
                Problem::error("toleration", format!("{name:?} is no part of a toleration"))
                    .remedy("use key, operator, value and effect"),
            ),
            Some((_, [])) => {}
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => problems.push(
                Problem::error("toleration", format!("{value:?} is no {name}"))
                    .remedy(format!("use {}", values.join(", "))),
            ),
        }
    }
    for (name, value) in config.map("persistent_volume_claim_retention_policy") {
        if !matches!(name, "when_deleted" | "when_scaled") || !matches!(value, "retain" | "delete") {
            let problem =
                Problem::error("persistent_volume_claim_retention_policy", format!("{name}:{value} is no policy"));
            problems.push(problem.remedy("use when_deleted and when_scaled, each with retain or delete"));
        }
    }
}
