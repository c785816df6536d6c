//! Asks the API server which rights that the steps need are missing, by a
//! [SelfSubjectAccessReview](https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access)
//! for each verb. Every client may ask that about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};

use super::rule::{Resource, Rule, Verb};
use super::step::Need;
use crate::cache::Resources;

/// The number of questions at a time.
const CONCURRENCY: usize = 8;

/// Why it is not known which rights are missing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not answer.
    #[error("failed to ask for the right to {verb} {plural}")]
    Ask {
        /// As in `create`.
        verb: Verb,
        /// As in `configmaps`.
        plural: String,
        /// The error of the request.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A right that a step needs and the operator lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The step's name.
    pub step: String,
    /// What is missing.
    pub rule: Rule,
    /// The namespaces in which it is missing; empty for all namespaces.
    pub namespaces: Vec<String>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step: _, rule, namespaces } = self;
        let place = match namespaces.as_slice() {
            [] => "in all namespaces".to_owned(),
            names => format!("in {}", names.join(", ")),
        };
        let (verbs, plural) = (rule.verbs(", "), &rule.resource.plural);
        write!(f, "the operator may not {verbs} {plural} {place}; add to its ClusterRole: {rule}")
    }
}

/// A question: the resource, what is done with it, and the namespace, `None` for all.
type Question = (Resource, Verb, Option<String>);

/// The rights that are missing, in the order of the needs. `scopes` are the watched namespaces; `None` is all of them.
///
/// # Errors
/// If the API server does not answer a question.
pub async fn lacking(
    client: &Client,
    resources: &Resources,
    needs: &[Need],
    scopes: &[Option<String>],
) -> Result<Vec<Lack>, Error> {
    let mut named: Vec<(&Need, Resource)> = Vec::new();
    for need in needs {
        let found = resources.discover(client, &need.kind).await;
        named.push((need, need.resource(Resource { group: found.group, plural: found.plural })));
    }
    let questions: BTreeSet<Question> = named
        .iter()
        .flat_map(|(need, resource)| need.verbs.iter().map(move |verb| (resource, *verb)))
        .flat_map(|(resource, verb)| scopes.iter().map(move |scope| (resource.clone(), verb, scope.clone())))
        .collect();
    let refused: Vec<Option<Question>> =
        stream::iter(questions).map(|question| ask(client, question)).buffered(CONCURRENCY).try_collect().await?;
    let refused: BTreeSet<Question> = refused.into_iter().flatten().collect();
    Ok(named.into_iter().flat_map(|(need, resource)| lacks(need, &resource, scopes, &refused)).collect())
}

/// The question, if the answer is no.
async fn ask(client: &Client, question: Question) -> Result<Option<Question>, Error> {
    let (resource, verb, namespace) = &question;
    let (plural, part) = resource.plural.split_once('/').unwrap_or((resource.plural.as_str(), ""));
    let attributes = ResourceAttributes {
        group: Some(resource.group.clone()),
        resource: Some(plural.to_owned()),
        subresource: Some(part.to_owned()).filter(|part| !part.is_empty()),
        verb: Some(verb.name().to_owned()),
        namespace: namespace.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|source| Error::Ask {
        verb: *verb,
        plural: resource.plural.clone(),
        source: Box::new(source),
    })?;
    let allowed = answer.status.is_some_and(|status| status.allowed);
    Ok((!allowed).then_some(question))
}

/// What a step lacks, with the namespaces in which it lacks the same.
fn lacks(need: &Need, resource: &Resource, scopes: &[Option<String>], refused: &BTreeSet<Question>) -> Vec<Lack> {
    let mut by_verbs: BTreeMap<BTreeSet<Verb>, Vec<String>> = BTreeMap::new();
    for scope in scopes {
        let is_refused = |verb: &&Verb| refused.contains(&(resource.clone(), **verb, scope.clone()));
        let verbs: BTreeSet<Verb> = need.verbs.iter().filter(is_refused).copied().collect();
        if !verbs.is_empty() {
            by_verbs.entry(verbs).or_default().extend(scope.clone());
        }
    }
    let lack = |(verbs, namespaces)| Lack {
        step: need.step.clone(),
        rule: Rule { resource: resource.clone(), verbs },
        namespaces,
    };
    by_verbs.into_iter().map(lack).collect()
}

#[cfg(test)]
mod tests {
    use pgloom_decide::Kind;

    use super::*;
    use crate::testing::FakeApiServer;

    fn need(step: &str, kind: &str) -> Need {
        Need { step: step.into(), kind: Kind::new("v1", kind), part: "", verbs: [Verb::Create, Verb::List].into() }
    }

    async fn texts(api_server: &FakeApiServer, needs: &[Need], scopes: &[Option<String>]) -> Vec<String> {
        let lacks = lacking(&api_server.client(), &Resources::default(), needs, scopes).await.unwrap();
        lacks.iter().map(|lack| format!("{}: {lack}", lack.step)).collect()
    }

    #[tokio::test]
    async fn what_the_api_server_does_not_allow_is_named_with_its_step_and_the_rule() {
        let api_server = FakeApiServer::new().denying("create", "secrets").denying("list", "secrets");
        let needs = [need("one", "Secret"), need("two", "Service"), need("three", "Secret")];
        let missing = "the operator may not create, list secrets in all namespaces; \
                       add to its ClusterRole: {apiGroups: [\"\"], resources: [secrets], verbs: [create, list]}";
        assert_eq!(texts(&api_server, &needs, &[None]).await, [format!("one: {missing}"), format!("three: {missing}")]);
        assert_eq!(api_server.written(), [] as [&str; 0], "a question is no write");
    }

    #[tokio::test]
    async fn a_right_to_a_part_of_objects_is_asked_for_by_the_part() {
        let api_server = FakeApiServer::new().denying("create", "pods/exec");
        let exec = Need { part: "exec", ..need("one", "Pod") };
        let missing = "one: the operator may not create pods/exec in all namespaces; \
                       add to its ClusterRole: {apiGroups: [\"\"], resources: [pods/exec], verbs: [create]}";
        assert_eq!(texts(&api_server, &[exec, need("two", "Pod")], &[None]).await, [missing]);
    }

    #[tokio::test]
    async fn a_right_that_is_missing_in_some_namespaces_is_named_with_them() {
        let api_server = FakeApiServer::new().denying_in("a", "create", "secrets").denying_in("c", "create", "secrets");
        let scopes = ["a", "b", "c"].map(|namespace| Some(namespace.to_owned()));
        let found = texts(&api_server, &[need("one", "Secret")], &scopes).await;
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("one: the operator may not create secrets in a, c; add"), "{found:?}");
    }

    #[tokio::test]
    async fn without_an_answer_it_is_not_known_what_is_missing() {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let api_server = FakeApiServer::new().refusing_every(path, 500);
        let asked = lacking(&api_server.client(), &Resources::default(), &[need("one", "Secret")], &[None]).await;
        assert!(matches!(asked, Err(Error::Ask { .. })));
    }
}
