//! The question of the API server and the answer to it, as
//! [`AdmissionReview`](https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/) of
//! `admission.k8s.io/v1`.

use pgloom_api::finding::errors;
use pgloom_api::{Finding, Severity};
use pgloom_common::error::{cut, one_line};
use serde::Deserialize;
use serde_json::{Value, json};

/// The group and version of reviews.
const API_VERSION: &str = "admission.k8s.io/v1";
/// The longest warning that clients show as a whole, and the longest warnings together, in bytes.
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 4096;
/// The longest message of a refusal, in bytes, and the most fields in it.
const MAX_MESSAGE: usize = 8 << 10;
const MAX_CAUSES: usize = 32;

/// What the API server sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    api_version: String,
    /// The question.
    pub request: Request,
}

/// One object that is created or changed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// What identifies the question; the answer has it as well.
    pub uid: String,
    kind: RequestKind,
    sub_resource: String,
    operation: String,
    /// The namespace of the object.
    pub namespace: String,
    /// The object as it is to be.
    pub object: Value,
    old_object: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestKind {
    group: String,
    kind: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no review.
    #[error("the body is no AdmissionReview: {0}")]
    Parse(#[from] serde_json::Error),
    /// A review of another version.
    #[error("the apiVersion is {0}; send admission.k8s.io/v1")]
    Version(String),
}

impl Review {
    /// Reads a review.
    ///
    /// # Errors
    /// If it is none of version `v1`.
    pub fn read(body: &[u8]) -> Result<Self, Error> {
        let review: Self = serde_json::from_slice(body)?;
        match review.api_version == API_VERSION {
            true => Ok(review),
            false => Err(Error::Version(one_line(&review.api_version, 64))),
        }
    }
}

impl Request {
    /// The API group and the kind of the object.
    pub fn kind(&self) -> (&str, &str) {
        (&self.kind.group, &self.kind.kind)
    }

    /// The name of the object.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Whether more than metadata and status is created or changed, of an object that is not being deleted. All else has
    /// to be possible whatever the object says, as the removal of a finalizer.
    pub fn changes_content(&self) -> bool {
        let is_written = match &*self.operation {
            "CREATE" => true,
            "UPDATE" => content(&self.object) != content(&self.old_object),
            _ => false,
        };
        is_written && self.sub_resource.is_empty() && self.object["metadata"]["deletionTimestamp"].is_null()
    }
}

/// The fields of an object but for metadata and status.
fn content(object: &Value) -> Vec<(&String, &Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status")).collect()
}

/// What was found out about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// Why it was not checked, in one sentence.
    pub unchecked: Option<String>,
}

impl Verdict {
    /// The verdict about a checked object.
    pub fn of(findings: Vec<Finding>) -> Self {
        Self { findings, unchecked: None }
    }

    /// The verdict about an object that could not be checked, for a reason that is not in the object.
    pub fn unchecked(reason: impl Into<String>) -> Self {
        Self { findings: Vec::new(), unchecked: Some(reason.into()) }
    }

    /// Whether the object is refused. An error about another object, as a Secret that does not exist, is mended without a
    /// change of this one.
    fn is_refused(&self) -> bool {
        self.findings.iter().any(is_of_document)
    }

    /// The result for metrics.
    pub fn result(&self) -> &'static str {
        match () {
            () if self.is_refused() => "refused",
            () if self.unchecked.is_some() => "unchecked",
            () => "allowed",
        }
    }

    /// The answer to a question.
    pub fn answer(&self, request: &Subject) -> Value {
        let mut response = json!({"uid": request.uid, "allowed": !self.is_refused()});
        if self.is_refused() {
            response["status"] = self.refusal(request);
        }
        let warnings = self.warnings();
        if !warnings.is_empty() {
            response["warnings"] = json!(warnings);
        }
        json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})
    }

    /// The status of a refusal: kubectl shows the causes, other clients the message. What is about the whole object is
    /// shown by its kind.
    fn refusal(&self, request: &Subject) -> Value {
        let refused = self.findings.iter().filter(|finding| is_of_document(finding));
        let cause = |finding: &Finding| {
            let text = Finding { path: None, ..finding.clone() }.to_string();
            let field = finding.path.as_deref().unwrap_or(&request.kind);
            json!({"reason": "FieldValueInvalid", "field": field, "message": one_line(&text, MAX_MESSAGE)})
        };
        json!({
            "status": "Failure", "code": 422, "reason": "Invalid",
            "message": cut(&errors(&self.findings, "\n"), MAX_MESSAGE),
            "details": {
                "group": request.group, "kind": request.kind, "name": request.name,
                "causes": refused.take(MAX_CAUSES).map(cause).collect::<Vec<_>>(),
            },
        })
    }

    /// The warnings, within the limits of the API server.
    fn warnings(&self) -> Vec<String> {
        let is_refused = self.is_refused();
        let is_warning = |finding: &&Finding| match finding.severity {
            Severity::Error => !is_refused,
            Severity::Warning => true,
            Severity::Info => false,
        };
        let unchecked = self.unchecked.iter().map(|reason| format!("not checked by pgloom: {reason}"));
        let found = self.findings.iter().filter(is_warning).map(Finding::to_string);
        let mut left = MAX_WARNINGS;
        let mut warnings = Vec::new();
        for text in unchecked.chain(found) {
            let text = one_line(&text, MAX_WARNING);
            let Some(rest) = left.checked_sub(text.len()) else { break };
            left = rest;
            warnings.push(text);
        }
        warnings
    }
}

/// Whether a finding is an error of the document itself.
fn is_of_document(finding: &Finding) -> bool {
    finding.is_error() && finding.object.is_none()
}

/// What an answer repeats of its question.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    uid: String,
    group: String,
    kind: String,
    name: String,
}

impl From<&Request> for Subject {
    fn from(request: &Request) -> Self {
        let (group, kind) = request.kind();
        Self { uid: request.uid.clone(), group: group.into(), kind: kind.into(), name: request.name().into() }
    }
}

#[cfg(test)]
mod tests {
    use pgloom_api::ObjectRef;

    use super::*;

    fn request(operation: &str, object: Value, old: Value) -> Request {
        Request { operation: operation.into(), object, old_object: old, ..Request::default() }
    }

    #[test]
    fn only_a_change_of_more_than_metadata_and_status_is_checked() {
        let object = |size: &str, finalizers: Value| json!({"metadata": {"finalizers": finalizers}, "spec": {"size": size}, "status": size});
        let (one, two) = (object("1", json!(["f"])), object("2", json!(["f"])));
        let mut status = one.clone();
        status["status"] = json!("Invalid");
        let mut deleted = two.clone();
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        for (operation, object, old, checked) in [
            ("CREATE", one.clone(), Value::Null, true),
            ("UPDATE", two.clone(), one.clone(), true),
            ("UPDATE", object("1", json!([])), one.clone(), false),
            ("UPDATE", status, one.clone(), false),
            ("UPDATE", deleted, one.clone(), false),
            ("DELETE", Value::Null, one.clone(), false),
            ("CONNECT", one.clone(), Value::Null, false),
        ] {
            assert_eq!(request(operation, object.clone(), old).changes_content(), checked, "{operation} {object}");
        }
        let of_status = Request { sub_resource: "status".into(), ..request("UPDATE", two, one) };
        assert!(!of_status.changes_content());
    }

    #[test]
    fn a_text_that_is_no_review_of_this_version_has_no_answer() {
        for (body, error) in [
            ("", "the body is no AdmissionReview"),
            ("[]", "the body is no AdmissionReview"),
            (r#"{"apiVersion": "admission.k8s.io/v1"}"#, "missing field `request`"),
            (r#"{"apiVersion": "admission.k8s.io/v1beta1", "request": {}}"#, "send admission.k8s.io/v1"),
        ] {
            let found = Review::read(body.as_bytes()).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn an_error_about_another_object_is_a_warning_and_refuses_nothing() {
        let secret = ObjectRef { api_version: "v1".into(), kind: "Secret".into(), name: "tls".into() };
        let missing = Finding::error("does not exist").of(secret).remedy("create it");
        let answer = Verdict::of(vec![missing.clone()]).answer(&Subject::default());
        assert_eq!(answer["response"]["allowed"], true);
        assert_eq!(answer["response"]["warnings"], json!(["Secret tls does not exist; create it"]));
        let answer = Verdict::of(vec![missing, Finding::error("is wrong").at("spec")]).answer(&Subject::default());
        assert_eq!(answer["response"]["allowed"], false);
        assert_eq!(answer["response"]["warnings"], Value::Null);
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert_eq!(message, "Secret tls does not exist; create it\nspec: is wrong");
    }

    #[test]
    fn what_is_wrong_with_the_whole_object_has_its_kind_as_the_field() {
        let subject = Subject { kind: "Pipeline".into(), ..Subject::default() };
        let answer = Verdict::of(vec![Finding::error("has no steps")]).answer(&subject);
        let cause = &answer["response"]["status"]["details"]["causes"][0];
        assert_eq!((&cause["field"], &cause["message"]), (&json!("Pipeline"), &json!("has no steps")));
    }

    #[test]
    fn warnings_are_single_lines_within_the_limits_of_the_api_server() {
        let findings = (0..100).map(|_| Finding::warning("a\nb".repeat(200))).collect();
        let answer = Verdict::of(findings).answer(&Subject::default());
        let warnings = answer["response"]["warnings"].as_array().unwrap();
        let texts: Vec<&str> = warnings.iter().map(|warning| warning.as_str().unwrap()).collect();
        assert!(texts.len() >= 4096 / 256 && texts.iter().map(|text| text.len()).sum::<usize>() <= 4096);
        assert!(texts.iter().all(|text| text.len() <= 256 && !text.contains('\n')));
        let info = Finding { severity: Severity::Info, ..Finding::warning("a default is used") };
        assert_eq!(Verdict::of(vec![info]).answer(&Subject::default())["response"]["warnings"], Value::Null);
    }
}
