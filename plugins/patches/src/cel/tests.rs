//! The values of expressions.

use pgloom_kit::{Value, json};

use super::holds;

fn cluster() -> Value {
    json!({
        "metadata": {"name": "acid-orders", "labels": {"environment": "prod", "app.kubernetes.io/part-of": "shop"}},
        "spec": {
            "teamId": "acid", "numberOfInstances": 3, "volume": {"size": "5Gi"}, "tls": null,
            "sidecars": [{"name": "exporter", "ports": [9187]}, {"name": "logger"}],
            "ratio": 0.5, "enableShmVolume": true,
        },
    })
}

#[test]
fn expressions_have_the_meaning_of_cel() {
    for (expression, expected) in [
        ("true", true),
        ("cluster.spec.teamId == \"acid\"", true),
        ("cluster.spec.teamId != 'acid'", false),
        ("cluster.spec.numberOfInstances > 2 && cluster.spec.enableShmVolume", true),
        ("cluster.spec.numberOfInstances >= 3.0", true),
        ("cluster.spec.ratio < 1", true),
        ("cluster.spec.ratio == 0.5", true),
        ("1 == 1.0", true),
        ("1 == '1'", false),
        ("null == null", true),
        ("cluster.spec.tls == null", true),
        ("has(cluster.spec.tls)", false),
        ("has(cluster.spec.clone)", false),
        ("has(cluster.spec.volume.size)", true),
        ("has(cluster.spec.clone) && cluster.spec.clone.cluster == 'x'", false),
        ("!has(cluster.spec.clone) || cluster.spec.clone.cluster == 'x'", true),
        // An error of one side is ignored if the other side decides.
        ("cluster.spec.clone.cluster == 'x' && false", false),
        ("cluster.spec.clone.cluster == 'x' || true", true),
        ("cluster.metadata.labels['environment'] in ['prod', 'live']", true),
        ("'app.kubernetes.io/part-of' in cluster.metadata.labels", true),
        ("'x' in cluster.metadata.labels", false),
        ("2 in [1, 2.0]", true),
        ("size(cluster.spec.sidecars) == 2", true),
        ("cluster.spec.sidecars.size() == 2", true),
        ("size('äöü') == 3 && size({'a': 1}) == 1 && size([]) == 0", true),
        ("cluster.spec.sidecars[0].ports[0] == 9187", true),
        ("cluster.spec.sidecars.exists(s, s.name == 'logger')", true),
        ("cluster.spec.sidecars.all(s, has(s.ports))", false),
        ("cluster.spec.sidecars.exists(s, s.ports[0] == 9187)", true),
        ("cluster.metadata.labels.exists(key, key.startsWith('app.'))", true),
        ("[].all(x, x)", true),
        ("[1, 2].exists(x, [2, 3].exists(y, x == y))", true),
        ("cluster.metadata.name.startsWith('acid-') && cluster.metadata.name.endsWith('ders')", true),
        ("cluster.metadata.name.contains('-or')", true),
        ("cluster.spec.numberOfInstances == 3 ? true : false", true),
        ("false ? false : false ? false : true", true),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && 7 % 4 == 3 && 5 - 2 - 1 == 2", true),
        ("-2 + 1 == -1 && -cluster.spec.ratio == -0.5 && 1.5e1 / 2.0 == 7.5", true),
        ("'a' + 'b' == 'ab' && [1] + [2] == [1, 2]", true),
        ("'a' < 'b' && false < true", true),
        ("!true == false", true),
        ("{'a': [1, null]} == {'a': [1.0, null]}", true),
        ("{'a': 1}.a == 1 && {'a': 1}['a'] == 1", true),
        ("'\\u00e4\\n\\t\\x41\\'' == 'ä\\n\\tA\\u0027'", true),
        (r"r'\d' == '\\d'", true),
        ("0x1F == 31", true),
        ("true // because", true),
    ] {
        assert_eq!(holds(expression, &cluster()), Ok(expected), "{expression}");
    }
}

#[test]
fn an_error_has_a_position_and_a_remedy() {
    for (expression, expected) in [
        ("", "at character 1: the expression ends too early; "),
        ("cluster.spec.", "at character 14: the expression ends too early; "),
        ("cluster.spec.teamId = 'acid'", "at character 21: \"=\" is not an operator; use ==, "),
        ("cluster.spec.teamId & true", "at character 21: \"&\" is not an operator"),
        ("team == 'acid'", "at character 1: there is no variable team; start with cluster, "),
        ("cluster.spec.clone.cluster == 'x'", "at character 14: there is no field clone; test it with has() first, "),
        ("has(cluster.spec.tls.caFile)", "at character 1: has() cannot find the field caFile in null; "),
        ("cluster.spec.teamId.name", "at character 21: a string has no field name; "),
        ("cluster.spec.sidecars[2] == 1", "at character 22: there is no element 2; "),
        ("cluster.spec.sidecars['a'] == 1", "at character 22: a list has no element of a string; "),
        ("cluster.spec.teamId", "at character 1: the expression is a string instead of a bool; "),
        ("cluster.spec.teamId && true", "at character 14: a string is used as a condition; "),
        ("cluster.spec.teamId > 1", "at character 21: \">\" does not take these values: a string and an integer"),
        ("1 + 1.5 == 2.5", "at character 3: \"+\" does not take these values: an integer and a double"),
        ("1 / 0 == 1", "at character 3: \"/\" does not take"),
        ("9223372036854775807 + 1 > 0", "at character 21: \"+\" does not take"),
        ("!1", "at character 1: \"!\" does not take an integer; "),
        ("matches('a', 'b')", "at character 1: there is no function matches; use has, size, "),
        ("'a'.startsWith()", "at character 5: startsWith has another number of arguments; "),
        ("size(1) == 1", "at character 1: size does not take an integer; "),
        ("has(cluster)", "at character 1: has() needs a field; "),
        ("'abc", "at character 1: a string does not end; "),
        ("'\\q' == ''", "at character 2: this escape is not supported; "),
        ("'''a''' == 'a'", "at character 1: a string in triple quotes is not supported; "),
        ("1u == 1", "at character 1: \"1u\" is not a number; "),
        ("(1 == 1", "at character 8: the expression ends too early; "),
        ("1 == 1)", "at character 7: \")\" is not expected here; "),
        ("1 1", "at character 3: a value is not expected here; "),
        ("{1: 2} == {}", "at character 2: a key is an integer; use strings as keys"),
        ("cluster.exists(1, true)", "at character 16: a value is not expected here; "),
        ("1 in 2", "at character 3: an integer has no elements; "),
        ("'ä' == 1 ü", "at character 10: \"ü\" is not an operator; "),
    ] {
        let sentence = holds(expression, &cluster()).unwrap_err().sentence();
        assert!(sentence.starts_with(expected), "{expression}: {sentence}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused() {
    for (expression, expected) in [
        ("(".repeat(100), "nested too deeply"),
        ("!".repeat(100), "nested too deeply"),
        ("[".repeat(100), "nested too deeply"),
        (format!("cluster{}", ".a".repeat(100_000)), "too long"),
        (format!("1{}", "+1".repeat(100_000)), "too long"),
        ("(".repeat(100_000), "too long"),
    ] {
        let sentence = holds(&expression, &cluster()).unwrap_err().sentence();
        assert!(sentence.contains(expected), "{sentence}");
    }
    assert_eq!(holds(&format!("1{} == 200", "+1".repeat(199)), &cluster()), Ok(true));
}
