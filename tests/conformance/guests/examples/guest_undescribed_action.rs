//! Requests an action that its description does not name, beside an object.

use pgloom_kit::bindings::contract::{Action, ActionRequest, Contribution, Failure, Request, Response};

conformance_guests::guest!("undescribed-action", mutate);

fn mutate(_request: Request) -> Result<Response, Failure> {
    let object = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"left-behind"},"data":{"a":"b"}}"#;
    Ok(Response {
        contributions: vec![Contribution::Apply(object.to_owned())],
        actions: vec![ActionRequest { key: "promote".to_owned(), action: Action::Promote }],
        ..conformance_guests::nothing()
    })
}
