//! Where a cluster's data comes from: clone and standby.

use pgloom_common::name::is_dns1035;
use serde_json::Value;

use super::filled;
use crate::postgresql::pattern::{DNS1035, TIMESTAMP};
use crate::problem::Problem;
use crate::schema::matches;

pub fn check(spec: &Value, name: &str, problems: &mut Vec<Problem>) {
    let clone = &spec["clone"];
    let standby = &spec["standby"];
    if filled(clone, "cluster").is_some() {
        check_clone(clone, name, problems);
    } else if clone["cluster"] == "" && clone.as_object().is_some_and(|fields| fields.len() > 1) {
        problems
            .push(Problem::error("spec.clone.cluster", "is empty").remedy("name the source cluster, or remove clone"));
    }
    if standby.is_object() {
        check_standby(standby, problems);
        if filled(clone, "cluster").is_some() {
            let problem = Problem::error("spec.standby", "a cluster is either a clone or a standby");
            problems.push(problem.remedy("remove one of clone and standby"));
        }
    }
}

fn check_clone(clone: &Value, name: &str, problems: &mut Vec<Problem>) {
    let source = filled(clone, "cluster").unwrap_or_default();
    match filled(clone, "timestamp") {
        None => check_direct(source, name, problems),
        Some(timestamp) => {
            check_timestamp(timestamp, problems);
            if filled(clone, "uid").is_none() && filled(clone, "s3_wal_path").is_none() {
                let problem =
                    Problem::error("spec.clone.uid", "is missing: it is part of the path of the source's archive");
                problems.push(problem.remedy("copy metadata.uid of the source cluster, or give s3_wal_path"));
            }
        }
    }
}

fn check_direct(source: &str, name: &str, problems: &mut Vec<Problem>) {
    let path = "spec.clone.cluster";
    if source.len() > 63 {
        let problem = Problem::error(path, "clone cluster name must be no longer than 63 characters");
        problems.push(problem.remedy("name a cluster of the same namespace"));
    } else if !is_dns1035(source) {
        let message = format!("clone cluster name must confirm to DNS-1035, regex used for validation is {DNS1035:?}");
        problems.push(Problem::error(path, message).remedy("name a cluster of the same namespace, as in acid-batman"));
    } else if source == name {
        let problem = Problem::error(path, "a cluster cannot be copied from itself while it does not exist");
        problems.push(problem.remedy("name another cluster, or give timestamp and uid to restore from the archive"));
    }
}

fn check_timestamp(timestamp: &str, problems: &mut Vec<Problem>) {
    if matches(TIMESTAMP, timestamp) {
        return;
    }
    let with_zone = format!("{timestamp}+00:00");
    let lacks_zone = matches(TIMESTAMP, &with_zone);
    let (message, remedy) = if lacks_zone {
        (format!("{timestamp:?} has no time zone"), format!("add it, as in {with_zone} for UTC"))
    } else {
        (format!("{timestamp:?} is not a point in time"), "write it as in 2017-12-19T12:40:33+01:00".to_owned())
    };
    problems.push(Problem::error("spec.clone.timestamp", message).remedy(remedy));
}

fn check_standby(standby: &Value, problems: &mut Vec<Problem>) {
    let s3 = filled(standby, "s3_wal_path").is_some();
    let gs = filled(standby, "gs_wal_path").is_some();
    let host = filled(standby, "standby_host").is_some();
    if !s3 && !gs && !host {
        let problem = Problem::error("spec.standby", "s3_wal_path is empty for standby cluster");
        problems.push(problem.remedy("give s3_wal_path, gs_wal_path or standby_host of the source"));
    }
    if s3 && gs {
        let problem =
            Problem::error("spec.standby.gs_wal_path", "a standby has one archive, and s3_wal_path is given too");
        problems.push(problem.remedy("remove one of s3_wal_path and gs_wal_path"));
    }
}
