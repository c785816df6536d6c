//! Entries with nothing but their merge keys.

use super::*;

#[test]
fn an_entry_with_nothing_but_its_keys_gives_the_entries_around_it_their_place() {
    let object = merged(&[
        ("spilo", env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]))),
        ("clone", env(json!([{"name": "A"}, {"name": "CLONE", "value": "x"}, {"name": "B"}]))),
    ]);
    assert_eq!(names(&containers(&object)[0]["env"]), ["A", "CLONE", "B", "C"]);
    assert_eq!(containers(&object)[0]["env"][0], json!({"name": "A", "value": "1"}));
}

#[test]
fn an_entry_with_nothing_but_its_keys_does_not_create_the_entry() {
    let object = merged(&[
        ("spilo", env(json!([{"name": "A", "value": "1"}]))),
        ("clone", env(json!([{"name": "OFF"}, {"name": "CLONE", "value": "x"}]))),
        (
            "anchors",
            pod(json!({"volumes": [{"name": "off"}], "containers": [{"name": "off", "env": [{"name": "X"}]}]})),
        ),
    ]);
    assert_eq!(names(&containers(&object)[0]["env"]), ["A", "CLONE"]);
    assert_eq!(object.object["spec"]["template"]["spec"].get("volumes"), None);
    // This container says something, although its only variable does not.
    assert_eq!(names(containers(&object)), ["postgres", "off"]);
}

#[test]
fn an_entry_that_is_complete_with_its_keys_is_created() {
    let object = merged(&[(
        "spilo",
        pod(json!({
            "containers": [{"name": "postgres", "ports": [{"containerPort": 5432}]}],
            "imagePullSecrets": [{"name": "registry"}],
        })),
    )]);
    assert_eq!(containers(&object)[0]["ports"], json!([{"containerPort": 5432}]));
    assert_eq!(object.object["spec"]["template"]["spec"]["imagePullSecrets"], json!([{"name": "registry"}]));
}
