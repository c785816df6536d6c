//! The messages of the gRPC hook, and from and to the engine's types.

use pgloom_engine as host;
use pgloom_engine::{Contribution, DesiredObject, ObjectRef, ObservedObject};

/// A request, with JSON texts as the contract has them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(string, tag = "1")]
    pub cluster: String,
    #[prost(string, tag = "2")]
    pub operator_config: String,
    #[prost(string, tag = "3")]
    pub config: String,
    #[prost(message, repeated, tag = "4")]
    pub desired: Vec<Object>,
    #[prost(message, repeated, tag = "5")]
    pub observed: Vec<Object>,
}

/// A desired or an existing object; only an existing one has a selector.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Object {
    #[prost(string, tag = "1")]
    pub selector: String,
    #[prost(string, tag = "2")]
    pub api_version: String,
    #[prost(string, tag = "3")]
    pub kind: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "5")]
    pub object: String,
}

/// An answer: partial objects. The measured steps answer with nothing else.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    #[prost(string, repeated, tag = "1")]
    pub contributions: Vec<String>,
}

impl From<&host::Request> for Request {
    fn from(request: &host::Request) -> Self {
        let desired = request.desired.iter().map(|it| object("", &it.identity, &it.object));
        let observed = request.observed.iter().map(|it| object(&it.selector, &it.identity, &it.object));
        Self {
            cluster: request.cluster.clone(),
            operator_config: request.operator_config.clone(),
            config: request.config.clone(),
            desired: desired.collect(),
            observed: observed.collect(),
        }
    }
}

fn object(selector: &str, identity: &ObjectRef, object: &str) -> Object {
    Object {
        selector: selector.to_owned(),
        api_version: identity.api_version.clone(),
        kind: identity.kind.clone(),
        name: identity.name.clone(),
        object: object.to_owned(),
    }
}

impl From<Request> for host::Request {
    fn from(request: Request) -> Self {
        let split = |it: Object| {
            let identity = ObjectRef { api_version: it.api_version, kind: it.kind, name: it.name };
            (it.selector, identity, it.object)
        };
        let desired = request.desired.into_iter().map(split);
        let observed = request.observed.into_iter().map(split);
        Self {
            cluster: request.cluster,
            operator_config: request.operator_config,
            config: request.config,
            desired: desired.map(|(_, identity, object)| DesiredObject { identity, object }).collect(),
            observed: observed
                .map(|(selector, identity, object)| ObservedObject { selector, identity, object })
                .collect(),
            actions: Vec::new(),
        }
    }
}

impl From<host::Response> for Response {
    fn from(response: host::Response) -> Self {
        let contributions = response.contributions.into_iter().filter_map(|contribution| match contribution {
            Contribution::Apply(json) => Some(json),
            Contribution::Remove(_) => None,
        });
        Self { contributions: contributions.collect() }
    }
}

impl From<Response> for host::Response {
    fn from(response: Response) -> Self {
        let contributions = response.contributions.into_iter().map(Contribution::Apply);
        Self { contributions: contributions.collect(), ..Self::default() }
    }
}
