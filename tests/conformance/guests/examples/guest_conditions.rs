//! Says `Ready` about the cluster, as the operator does; with the greeting `twice` it says so twice.

use pgloom_kit::bindings::contract::{Condition, ConditionStatus, Failure, Request, Response};

conformance_guests::guest!("conditions", mutate);

fn mutate(request: Request) -> Result<Response, Failure> {
    let ready = || Condition {
        type_name: "Ready".to_owned(),
        status: ConditionStatus::True,
        reason: "SaysSo".to_owned(),
        message: String::new(),
    };
    let conditions = if request.config.contains("twice") { vec![ready(), ready()] } else { vec![ready()] };
    Ok(Response { conditions, ..conformance_guests::nothing() })
}
