//! Compares a native answer with what is expected of a case.

use pgloom_common::error::one_line;
use pgloom_common::finding::Sentence;
use pgloom_common::golden;
use pgloom_common::hidden::has_hidden;
use serde_json::{Value, json};

use super::Case;
use crate::bindings::contract::{ConditionStatus, Contribution, Failure, Finding, ObjectRef, Response, Severity};
use crate::testing::pattern::Segment;
use crate::testing::permission::{MERGE_KEYS, without_identity};
use crate::testing::{Answer, identity};

/// The longest text of a plugin in a finding or a condition, in bytes: the host cuts it.
const MAX_TEXT: usize = 1 << 10;
/// What only the host makes, for actions.
const OF_HOST: &str = "Secret";

/// What differs. With `has_triggers` the host may not call the plugin at all: then it only must not change anything.
pub(super) fn problems(case: &Case, has_triggers: bool, answer: Result<Answer, Failure>) -> Vec<String> {
    let expected = &case.expected;
    let is_silent = expected.as_object().is_none_or(serde_json::Map::is_empty) && has_triggers;
    match answer {
        Err(_) if is_silent => Vec::new(),
        Err(failure) => refusal(&failure, expected).into_iter().collect(),
        Ok(answer) if !expected[golden::REFUSED].is_null() => {
            let made: Vec<String> = answer.objects.iter().map(|object| title(&identity(object))).collect();
            vec![differs(golden::REFUSED, &expected[golden::REFUSED], &json!(made))]
        }
        Ok(answer) => {
            let mut problems = objects(case, &answer);
            problems.extend(of_actions(&answer.response, expected));
            if !is_silent {
                problems.extend(texts(golden::CONDITIONS, &conditions(&case.step, &answer.response), expected));
                problems.extend(texts(golden::FINDINGS, &findings(&answer.response), expected));
            }
            problems
        }
    }
}

fn differs(place: &str, expected: &Value, made: &Value) -> String {
    format!("{place}: expected {expected}, the native plugin answers {made}")
}

fn refusal(failure: &Failure, expected: &Value) -> Option<String> {
    let lines = &expected[golden::REFUSED];
    match failure {
        Failure::InvalidManifest(findings) => {
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
            let errors: Vec<String> = errors.map(sentence).collect();
            match lines.is_null() {
                true => Some(format!("the native plugin refuses: {}", errors.join("; "))),
                false => texts(golden::REFUSED, &errors, expected),
            }
        }
        // The host says which step failed, too.
        Failure::InvalidConfig(message) | Failure::Internal(message) => {
            let message = one_line(message, MAX_TEXT);
            let mut said = lines.as_array().into_iter().flatten().filter_map(Value::as_str);
            let is_expected = said.any(|line| line.contains(&message));
            (!is_expected).then(|| format!("the native plugin fails: {message}"))
        }
    }
}

fn sentence(finding: &Finding) -> String {
    let line = |text: &String| one_line(text, MAX_TEXT);
    let (path, remedy) = (finding.path.as_ref().map(line), finding.remedy.as_ref().map(line));
    let object = finding.object.as_ref().map(|of| (line(&of.kind), line(&of.name)));
    let object = object.as_ref().map(|(kind, name)| (&**kind, &**name));
    let message = line(&finding.message);
    Sentence { object, path: path.as_deref(), message: &message, remedy: remedy.as_deref() }.to_string()
}

fn findings(response: &Response) -> Vec<String> {
    let text = |finding: &Finding| {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        golden::finding(severity, &sentence(finding))
    };
    response.findings.iter().map(text).collect()
}

fn conditions(step: &str, response: &Response) -> Vec<String> {
    let texts = response.conditions.iter().map(|condition| {
        let status = match condition.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        };
        let type_name = format!("{step}/{}", condition.type_name);
        golden::condition(&type_name, status, &condition.reason, &one_line(&condition.message, MAX_TEXT))
    });
    texts.collect()
}

/// The difference between the texts of a part. Those with hidden values are not compared.
fn texts(part: &str, made: &[String], expected: &Value) -> Option<String> {
    let wanted = lines(part, expected);
    let is_same = |(made, wanted): (&String, &&str)| made == *wanted || has_hidden(wanted);
    let same = made.len() == wanted.len() && made.iter().zip(&wanted).all(is_same);
    (!same).then(|| differs(part, &json!(wanted), &json!(made)))
}

fn of_actions(response: &Response, expected: &Value) -> Option<String> {
    let (wanted, made) = (lines(golden::ACTIONS, expected), &response.actions);
    let is_it = |wanted: &str, key: &str| wanted.strip_prefix(key).is_some_and(|rest| rest.starts_with(": "));
    let same = made.len() == wanted.len() && made.iter().zip(&wanted).all(|(made, wanted)| is_it(wanted, &made.key));
    let keys: Vec<&str> = made.iter().map(|action| &*action.key).collect();
    (!same).then(|| differs(golden::ACTIONS, &json!(wanted), &json!(keys)))
}

fn lines<'a>(part: &str, expected: &'a Value) -> Vec<&'a str> {
    expected[part].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The objects of this identity, without it.
fn find(objects: &[Value], of: &ObjectRef) -> Vec<Value> {
    objects.iter().filter(|object| identity(object) == *of).map(without_identity).collect()
}

fn objects(case: &Case, answer: &Answer) -> Vec<String> {
    let expected = case.expected[golden::OBJECTS].as_array().map_or(&[][..], Vec::as_slice);
    let mut problems = Vec::new();
    for object in &answer.objects {
        let of = identity(object);
        let mut found = Vec::new();
        // An object that the answer does not change is not among the expected ones.
        match find(expected, &of).first().or(find(&case.desired, &of).first()) {
            Some(expected) => is_set("", &without_identity(object), Some(expected), &mut found),
            None => found.push("is not expected, the native plugin answers it".to_owned()),
        }
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", title(&of))));
    }
    let is_removed = |of: &ObjectRef| {
        let mut parts = answer.response.contributions.iter();
        parts.any(|part| matches!(part, Contribution::Remove(removal) if removal.object == *of))
    };
    for object in expected {
        let of = identity(object);
        let (own, others) = (find(&answer.objects, &of), find(&case.desired, &of));
        let mut found = Vec::new();
        if !own.is_empty() {
            let sources = Sources { own: own.iter().collect(), others: others.iter().collect() };
            sources.have("", &without_identity(object), &mut found);
        } else if of.kind != OF_HOST && !is_removed(&of) {
            found.push("is expected, the native plugin does not answer it".to_owned());
        }
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", title(&of))));
    }
    problems
}

fn title(of: &ObjectRef) -> String {
    format!("{} {}", of.kind, of.name)
}

/// Whether each field that the plugin sets is as expected.
fn is_set(path: &str, made: &Value, expected: Option<&Value>, problems: &mut Vec<String>) {
    match (made, expected) {
        (Value::Object(fields), expected) if !fields.is_empty() => {
            for (key, value) in fields {
                let expected = expected.and_then(|expected| expected.get(key));
                is_set(&Segment::path_of_field(path, key), value, expected, problems);
            }
        }
        (Value::Array(entries), Some(Value::Array(expected))) => {
            for entry in entries {
                let found = expected.iter().find(|expected| is_same_entry(entry, expected));
                is_set(&Segment::path_of_entry(path, entry), entry, found, problems);
            }
        }
        // A null, an empty map and an empty list set nothing.
        (made, _) if is_empty(made) => {}
        (made, None) => problems.push(format!("{path}: is not expected, the native plugin answers {made}")),
        (made, Some(expected)) if is_same(made, expected) => {}
        (made, Some(expected)) => problems.push(differs(path, expected, made)),
    }
}

/// What an object, or a part of it, is made of.
struct Sources<'a> {
    /// By the plugin: its values were compared with what is expected.
    own: Vec<&'a Value>,
    /// By earlier steps.
    others: Vec<&'a Value>,
}

impl<'a> Sources<'a> {
    fn below<I: Iterator<Item = &'a Value>>(&self, step: impl Fn(&'a Value) -> I) -> Self {
        let all = |values: &[&'a Value]| values.iter().flat_map(|value| step(value)).collect();
        Self { own: all(&self.own), others: all(&self.others) }
    }

    /// Finds the expected fields that none of them has. The host adds to metadata.
    fn have(&self, path: &str, expected: &Value, problems: &mut Vec<String>) {
        match expected {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields.iter().filter(|(key, _)| *key != "metadata") {
                    let below = self.below(|source| source.get(key).into_iter());
                    below.have(&Segment::path_of_field(path, key), value, problems);
                }
            }
            Value::Array(entries) if !entries.is_empty() => {
                for entry in entries {
                    let same = |source: &&Value| is_same_entry(source, entry);
                    let below = self.below(|source| source.as_array().into_iter().flatten().filter(same));
                    below.have(&Segment::path_of_entry(path, entry), entry, problems);
                }
            }
            leaf if !self.own.is_empty() || self.others.iter().any(|source| is_same(source, leaf)) => {}
            leaf => problems.push(format!("{path}: expected {leaf}, the native plugin does not answer it")),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Whether two values are the same, or one of them hidden.
fn is_same(one: &Value, other: &Value) -> bool {
    let is_hidden = |value: &Value| value.as_str().is_some_and(has_hidden);
    one == other || is_hidden(one) || is_hidden(other)
}

/// Whether two entries of a list are merged: they share merge keys, and have the same value of each of these.
fn is_same_entry(one: &Value, other: &Value) -> bool {
    let (Value::Object(fields), Value::Object(others)) = (one, other) else { return one == other };
    let mut shared = MERGE_KEYS.iter().filter_map(|key| fields.get(*key).zip(others.get(*key))).peekable();
    if shared.peek().is_none() { one == other } else { shared.all(|(one, other)| one == other) }
}
