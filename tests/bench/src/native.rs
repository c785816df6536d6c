//! A plugin's logic called natively: the same types, without WebAssembly in between.

use pgloom_engine as host;
use pgloom_engine::call;
use pgloom_kit::bindings::contract as guest;
use pgloom_kit::bindings::contract::Guest;
use pgloom_kit::{Component, Plugin};

/// The plugin `P` for a pipeline, with the description of its component.
pub fn plugin<P: Plugin + 'static>(description: host::Description) -> host::Plugin {
    host::Plugin::native(description, |request| match Component::<P>::mutate(request_of(request)) {
        Ok(response) => Ok(response_of(response)),
        Err(failure) => Err(call::Error::Trap(format!("{failure:?}"))),
    })
}

fn identity_of(identity: &host::ObjectRef) -> guest::ObjectRef {
    guest::ObjectRef {
        api_version: identity.api_version.clone(),
        kind: identity.kind.clone(),
        name: identity.name.clone(),
    }
}

fn request_of(request: &host::Request) -> guest::Request {
    let desired = request.desired.iter();
    let observed = request.observed.iter();
    guest::Request {
        cluster: request.cluster.clone(),
        operator_config: request.operator_config.clone(),
        config: request.config.clone(),
        desired: desired
            .map(|desired| guest::DesiredObject {
                identity: identity_of(&desired.identity),
                object: desired.object.clone(),
            })
            .collect(),
        observed: observed
            .map(|observed| guest::ObservedObject {
                selector: observed.selector.clone(),
                identity: identity_of(&observed.identity),
                object: observed.object.clone(),
            })
            .collect(),
        actions: Vec::new(),
    }
}

/// Converts the contributions; the other fields are not measured.
fn response_of(response: guest::Response) -> host::Response {
    let contributions = response.contributions.into_iter().filter_map(|contribution| match contribution {
        guest::Contribution::Apply(json) => Some(host::Contribution::Apply(json)),
        guest::Contribution::Remove(_) => None,
    });
    host::Response {
        contributions: contributions.collect(),
        actions: Vec::new(),
        findings: Vec::new(),
        conditions: Vec::new(),
    }
}
