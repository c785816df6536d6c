//! What the operator may not do: requests for it are refused, and questions about it are answered so.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::path::Place;
use crate::write::Refusal;

/// The collection of the questions. They are no writes, and every client may ask.
pub(crate) const REVIEWS: &str = "authorization.k8s.io/v1/selfsubjectaccessreviews";

/// A right, as a rule of RBAC names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// As in `create`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// As in `deployments`.
    pub resource: String,
}

impl Right {
    /// Rights to one resource.
    pub fn each(verbs: &[&str], group: &str, resource: &str) -> BTreeSet<Self> {
        let right = |verb: &&str| Self { verb: (*verb).into(), group: group.into(), resource: resource.into() };
        verbs.iter().map(right).collect()
    }

    /// The right that a request needs.
    pub(crate) fn of(method: &str, place: &Place, is_watch: bool) -> Self {
        let verb = match (method, &place.name) {
            ("GET", None) if is_watch => "watch",
            ("GET", None) => "list",
            ("GET", Some(_)) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            (_, None) => "deletecollection",
            (_, Some(_)) => "delete",
        };
        let (api_version, plural) = place.collection.rsplit_once('/').unwrap_or_default();
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let part = place.part.as_deref().and_then(|part| part.split('/').next());
        let resource = part.map_or_else(|| plural.to_owned(), |part| format!("{plural}/{part}"));
        Self { verb: verb.to_owned(), group: group.to_owned(), resource }
    }

    /// The refusal, in the words of RBAC.
    pub(crate) fn refusal(&self) -> Refusal {
        let Self { verb, group, resource } = self;
        let user = "system:serviceaccount:pgloom-system:pgloom";
        let message = format!(
            "{resource} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\""
        );
        Refusal::new(403, message)
    }
}

/// The answer to a question.
pub(crate) fn review(denied: &BTreeSet<Right>, question: &Value) -> Value {
    let asked = &question["spec"]["resourceAttributes"];
    let text = |field: &str| asked[field].as_str().unwrap_or_default().to_owned();
    let resource = [text("resource"), text("subresource")].into_iter().filter(|part| !part.is_empty());
    let resource = resource.collect::<Vec<_>>().join("/");
    let right = Right { verb: text("verb"), group: text("group"), resource };
    let mut answer = question.clone();
    answer["status"] = json!({"allowed": !denied.contains(&right)});
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_needs_the_right_that_the_api_server_asks_for() {
        let of = |method: &str, path: &str, is_watch: bool| {
            let right = Right::of(method, &Place::of(path).unwrap(), is_watch);
            format!("{} {} {}", right.verb, right.group, right.resource)
        };
        assert_eq!(of("GET", "/api/v1/pods", true), "watch  pods");
        assert_eq!(of("POST", "/apis/apps/v1/namespaces/ns/deployments", false), "create apps deployments");
        assert_eq!(
            of("PATCH", "/apis/acid.zalan.do/v1/namespaces/ns/postgresqls/c/status", false),
            "patch acid.zalan.do postgresqls/status"
        );
    }

    #[test]
    fn the_answer_to_a_question_is_what_a_request_gets() {
        let denied = Right::each(&["create", "list"], "apps", "deployments");
        let allowed = |verb: &str| {
            let attributes = json!({"verb": verb, "group": "apps", "resource": "deployments"});
            review(&denied, &json!({"spec": {"resourceAttributes": attributes}}))["status"]["allowed"].clone()
        };
        assert_eq!((allowed("create"), allowed("get")), (json!(false), json!(true)));
        let refusal = denied.first().unwrap().refusal();
        assert!(refusal.message.contains("cannot create resource \"deployments\" in API group \"apps\""));
    }
}
