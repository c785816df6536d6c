//! The recorded poolers of the Zalando operator.

use pgloom_kit::testing::Answer;
use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::{Action, Value, json};

use crate::ConnectionPooler;

#[test]
fn poolers_are_as_recorded() {
    for case in cases("poolers_are_as_recorded") {
        let answer = case.call().mutate::<ConnectionPooler>().unwrap();
        let mut count = 0;
        for (kind, made) in [("Deployment", "-pooler"), ("Service", "-pooler"), ("Secret", "-pooler-u")] {
            for recorded in case.created(kind, |name| name.ends_with(made) && !name.ends_with("acid-pooler")) {
                let name = recorded["metadata"]["name"].as_str().unwrap();
                match kind {
                    "Secret" => assert_user_list(&answer, name, recorded),
                    _ => {
                        let object =
                            answer.object(kind, name).unwrap_or_else(|| panic!("{}: {kind} {name}", case.name));
                        assert_eq!(difference(object, recorded), None, "{}: {kind} {name}", case.name);
                        count += 1;
                    }
                }
            }
        }
        if case.name != "rich-full" {
            assert_eq!(answer.objects.len(), count, "{}", case.name);
        }
    }
}

fn assert_user_list(answer: &Answer, name: &str, recorded: &Value) {
    let labels = answer.response.actions.iter().find_map(|request| match &request.action {
        Action::UserList(list) if list.secret_name == name => Some(list.labels.clone()),
        _ => None,
    });
    let labels: pgloom_kit::serde_json::Map<String, Value> =
        labels.unwrap_or_default().into_iter().map(|(key, value)| (key, json!(value))).collect();
    assert_eq!(json!(labels), recorded["metadata"]["labels"], "{name}");
}
