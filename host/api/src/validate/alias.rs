//! Checks fields with two names and fields without effect.

use serde_json::Value;

use crate::finding::Finding;
use crate::postgresql::alias::{EXCLUSIVE, REPLACED, WITHOUT_EFFECT};

pub fn check(spec: &Value, findings: &mut Vec<Finding>) {
    exclusive(spec, findings);
    replaced(spec, findings);
    without_effect(spec, findings);
}

fn exclusive(spec: &Value, findings: &mut Vec<Finding>) {
    for alias in &EXCLUSIVE {
        let sections = alias.sections.iter().map(|section| (format!("spec.{section}"), &spec[*section]));
        let top = alias.sections.is_empty().then(|| ("spec".to_owned(), spec));
        for (path, fields) in top.into_iter().chain(sections) {
            if fields.get(alias.old).is_some() && fields.get(alias.new).is_some() {
                let finding = Finding::error(alias.message()).at(format!("{path}.{}", alias.old));
                findings.push(finding.remedy(format!("remove {}", alias.old)));
            }
        }
    }
}

fn replaced(spec: &Value, findings: &mut Vec<Finding>) {
    // What reads the fields takes an empty one for absent.
    let is_given = |field: &&&str| match &spec[**field] {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    for alias in REPLACED.iter().filter(|alias| spec.get(alias.old).is_some()) {
        let message = match alias.ignored_with.iter().find(is_given) {
            Some(newer) => format!("is ignored, as {newer} is given"),
            None => format!("is the older name of {}", alias.new),
        };
        let finding = Finding::warning(message).at(format!("spec.{}", alias.old));
        findings.push(finding.remedy(format!("use {}", alias.new)));
    }
}

fn without_effect(spec: &Value, findings: &mut Vec<Finding>) {
    let is_given = |field: &&str| spec[*field].as_array().is_some_and(|list| !list.is_empty());
    for field in WITHOUT_EFFECT.into_iter().filter(is_given) {
        let finding = Finding::warning("has no effect: pgloom does not act on it").at(format!("spec.{field}"));
        findings.push(finding.remedy("remove it"));
    }
}
