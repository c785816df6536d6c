//! What the check of a manifest against its schema finds, and what it leaves.

use serde_json::json;

use super::*;

fn said(schema: &Value, mut value: Value) -> Vec<String> {
    check(schema, &mut value, "spec").iter().map(|fault| fault.finding.to_string()).collect()
}

#[test]
fn an_unknown_field_names_the_nearest_that_exists() {
    let schema = json!({"type": "object", "properties": {"teamId": {"type": "string"}, "volume": {"type": "object", "properties": {"size": {"type": "string"}}}}});
    assert_eq!(
        said(&schema, json!({"teamID": "acid", "volume": {"sise": "1Gi"}})),
        [
            "spec.teamID: this field does not exist; did you mean teamId?",
            "spec.volume.sise: this field does not exist; did you mean size?"
        ]
    );
}

#[test]
fn an_unknown_field_in_a_lenient_part_is_a_warning_and_is_removed() {
    let container = json!({"type": "object", LENIENT: true, "properties": {"image": {"type": "string"}, "resources": {"type": "object", "properties": {}}}});
    let schema = json!({"type": "object", "properties": {"sidecars": {"type": "array", "items": container}}});
    let mut value = json!({"sidecars": [{"imagee": "a", "resources": {"limit": 1}}]});
    let faults = check(&schema, &mut value, "spec");
    assert!(faults.len() == 2 && faults.iter().all(|fault| !fault.finding.is_error()), "{faults:?}");
    assert_eq!(value, json!({"sidecars": [{"resources": {}}]}));
}

#[test]
fn names_in_a_kept_part_may_have_any_case_and_the_last_spelling_counts() {
    let mount = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"mountPath": {"type": "string"}}});
    let container = json!({"type": "object", LENIENT: true, KEPT: true, "x-kubernetes-preserve-unknown-fields": true, "required": ["image"], "properties": {
        "image": {"type": "string"}, "mounts": {"type": "array", "items": mount}
    }});
    let schema =
        json!({"type": "object", "properties": {"sidecars": {"type": "array", "items": container}, "teamId": {}}});
    let mut value = json!({"sidecars": [
        {"Image": "a", "Mounts": [{"mountpath": "/a", "other": 1}]}, {"Image": "upper", "image": "lower"}
    ]});
    let said: Vec<_> = check(&schema, &mut value, "").iter().map(|fault| fault.finding.to_string()).collect();
    assert_eq!(said, ["sidecars[0].mounts[0].other: this field does not exist; it is ignored; known here: mountPath"]);
    assert_eq!(value, json!({"sidecars": [{"image": "a", "mounts": [{"mountPath": "/a"}]}, {"image": "lower"}]}));
    assert_eq!(check(&schema, &mut json!({"teamID": "acid"}), "")[0].rule, Rule::Known);
}

#[test]
fn a_part_may_keep_fields_that_nobody_knows_yet() {
    let source = json!({"type": "object", LENIENT: true, KEPT: true, OPEN: true, "properties": {"emptyDir": {"type": "object", "properties": {}}}});
    let mut value = json!({"EmptyDir": {"sise": 1}, "image": {"reference": "a"}});
    assert_eq!(check(&source, &mut value, "").len(), 1);
    assert_eq!(value, json!({"emptyDir": {}, "image": {"reference": "a"}}));
}

#[test]
fn a_value_that_kubernetes_refuses_in_what_is_made_is_told_by_a_rule_of_its_own() {
    let schema = json!({"type": "object", "properties": {"effect": {"type": "string", CHOICES: ["", "NoSchedule", "NoExecute"]}}});
    assert_eq!(check(&schema, &mut json!({"effect": "NoExecute"}), "").len(), 0);
    let faults = check(&schema, &mut json!({"effect": "noschedule"}), "spec");
    assert_eq!(faults[0].rule, Rule::Choice);
    assert_eq!(
        faults[0].finding.to_string(),
        "spec.effect: Kubernetes does not accept \"noschedule\" here; did you mean NoSchedule?"
    );
}

#[test]
fn fields_of_which_kubernetes_accepts_one_are_named() {
    let schema = json!({"type": "object", ALONE: [["value", "valueFrom"], ["a", "b"]], "properties": {
        "value": {"type": "string"}, "valueFrom": {"type": "object"}, "a": {}, "b": {},
    }});
    for mut fits in [json!({"value": "", "valueFrom": {}}), json!({"value": "x"}), json!({"valueFrom": {}, "a": 1})] {
        assert_eq!(check(&schema, &mut fits, "spec"), []);
    }
    let faults = check(&schema, &mut json!({"value": "x", "valueFrom": {}}), "spec");
    assert_eq!(faults[0].rule, Rule::Choice);
    let expected = "spec.valueFrom: Kubernetes does not accept valueFrom beside value; remove one of them";
    assert_eq!(faults[0].finding.to_string(), expected);
}

#[test]
fn keys_that_no_annotation_can_have_are_named() {
    let map = json!({"type": "object", ANNOTATIONS: true, "additionalProperties": {"type": "string"}});
    let fits = json!({"a": "", "Example.com/b_c": "x y", "prometheus.io/port": "9187"});
    assert_eq!(check(&map, &mut fits.clone(), "spec"), []);
    let faults = check(&map, &mut json!({"fits": "", "a b": ""}), "spec");
    assert_eq!((faults.len(), faults[0].rule), (1, Rule::Choice));
    let said = faults[0].finding.to_string();
    assert!(said.starts_with("spec: Kubernetes does not accept \"a b\" as the key of an annotation; use "), "{said}");
}

#[test]
fn an_integer_that_no_field_can_hold_is_named() {
    let schema = json!({"type": "object", "properties": {"group": {"type": "integer"}}});
    for number in [json!(1e20), json!(-1e20), json!(u64::MAX)] {
        let said = said(&schema, json!({"group": number}));
        assert!(said[0].starts_with("spec.group: expected an integer of at most 9223372036854775807"), "{said:?}");
    }
    assert!(said(&schema, json!({"group": i64::MAX})).is_empty() && said(&schema, json!({"group": 2.0})).is_empty());
}

#[test]
fn a_wrong_type_says_what_was_expected_and_how_to_write_it() {
    let schema = json!({"type": "object", "properties": {
        "text": {"type": "string"}, "count": {"type": "integer"}, "flag": {"type": "boolean"}, "list": {"type": "array", "items": {"type": "string"}}
    }});
    assert_eq!(
        said(&schema, json!({"text": 12, "count": "2", "flag": "true", "list": "x"})),
        [
            "spec.count: expected an integer, found a string; write it without quotes: 2",
            "spec.flag: expected true or false, found a string; write it without quotes: true",
            "spec.list: expected a list, found a string; start the line of each entry with a hyphen",
            "spec.text: expected a string, found the number 12; write it in quotes: \"12\"",
        ]
    );
    assert_eq!(said(&schema, json!({"list": [null]})), ["spec.list[0]: expected a string, found nothing"]);
}

#[test]
fn a_missing_field_shows_its_example() {
    let schema = json!({"type": "object", "required": ["size"], "properties": {"size": {"type": "string", "description": "How large. Example: `5Gi`."}}});
    assert_eq!(said(&schema, json!({})), ["spec.size: is missing; add it, as in 5Gi"]);
    assert_eq!(said(&schema, json!({"size": null})), ["spec.size: is missing; add it, as in 5Gi"]);
}

#[test]
fn a_null_is_dropped_where_it_means_nothing_and_kept_where_it_counts() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "object", "additionalProperties": {"type": "array", "nullable": true, "items": {"type": "string"}}}}});
    let mut value = json!({"a": null, "b": {"x": null}});
    assert_eq!(check(&schema, &mut value, ""), []);
    assert_eq!(value, json!({"b": {"x": null}}));
}

#[test]
fn bounds_and_forms_are_checked() {
    let schema = json!({"type": "object", "properties": {
        "count": {"type": "integer", "minimum": 0}, "mode": {"type": "string", "enum": ["session", "transaction"]},
        "version": {"type": "string", "pattern": "^[0-9]+$", "description": "Example: `\"17\"`."}, "list": {"type": "array", "minItems": 1, "items": {}}
    }});
    assert_eq!(
        said(&schema, json!({"count": -1, "mode": "sesion", "version": "x", "list": []})),
        [
            "spec.count: -1 is less than 0; use 0 or more",
            "spec.list: is empty; give it at least 1 entry",
            "spec.mode: \"sesion\" is not allowed; did you mean session?",
            "spec.version: \"x\" is not of the form that is allowed here; write it as in \"17\"",
        ]
    );
}

#[test]
fn a_number_that_would_be_wrong_in_quotes_too_is_answered_with_an_example() {
    let deadline = json!({"type": "string", "pattern": "^[0-9]+(ms|s)$", "description": "Example: `500ms`."});
    let schema = json!({"type": "object", "properties": {"deadline": deadline}});
    let expected = "spec.deadline: expected a string, found the number 1; write it as in 500ms";
    assert_eq!(said(&schema, json!({"deadline": 1})), [expected]);
}

#[test]
fn amounts_may_be_integers_or_strings() {
    let schema = json!({"x-kubernetes-int-or-string": true});
    assert!(said(&schema, json!(1)).is_empty() && said(&schema, json!("1")).is_empty());
    assert_eq!(said(&schema, json!(true)), ["spec: expected a string or an integer, found true"]);
    let expected = "spec: expected a string or an integer, found the number 0.5; write it in quotes, as in \"0.5\"";
    assert_eq!(said(&schema, json!(0.5)), [expected]);
}

#[test]
fn an_integer_has_the_bounds_of_its_format() {
    let schema = json!({"type": "integer", "format": "int32"});
    assert!(said(&schema, json!(2_147_483_647)).is_empty() && said(&schema, json!(-2_147_483_648_i64)).is_empty());
    let expected = "spec: expected an integer of at most 2147483647, found the number 3000000000";
    assert_eq!(said(&schema, json!(3_000_000_000_i64)), [expected]);
}
