//! Tests of the plugin.

use pgloom_kit::testing::upstream::{cases, difference};
use pgloom_kit::testing::{Answer, Call, operator_config};
use pgloom_kit::{Value, json};

use crate::Tls;

fn workload(env: Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "acid-orders"},
        "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": env}, {"name": "exporter"}]}}},
    })
}

fn answer(spec: Value, config: Value) -> Answer {
    let mut manifest = json!({
        "apiVersion": "acid.zalan.do/v1",
        "kind": "postgresql",
        "metadata": {"name": "acid-orders", "namespace": "shop"},
        "spec": {"teamId": "acid"},
    });
    manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Call::new(&manifest)
        .operator_config(&operator_config(&config))
        .desired(&workload(json!([{"name": "SCOPE", "value": "acid-orders"}])))
        .mutate::<Tls>()
        .unwrap()
}

fn pod(answer: &Answer) -> &Value {
    &answer.object("StatefulSet", "acid-orders").unwrap()["spec"]["template"]["spec"]
}

fn paths(answer: &Answer) -> Vec<(&str, &str)> {
    let env = pod(answer)["containers"][0]["env"].as_array().unwrap();
    env.iter().map(|entry| (entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap())).collect()
}

#[test]
fn certificates_are_as_recorded() {
    for case in cases("certificates_are_as_recorded") {
        let name = case.manifest["metadata"]["name"].as_str().unwrap();
        let recorded = case.created("StatefulSet", |made| made == name)[0];
        let call = case.call().desired(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {"template": {"spec": {"containers": [{"name": "postgres", "env": []}]}}},
        }));
        let answer = call.mutate::<Tls>().unwrap();
        let pod = &recorded["spec"]["template"]["spec"];
        let is_own = |entry: &&Value| entry["name"].as_str().unwrap().starts_with("SSL_");
        let env: Vec<&Value> = pod["containers"][0]["env"].as_array().unwrap().iter().filter(is_own).collect();
        let Some(made) = answer.object("StatefulSet", name).map(|made| &made["spec"]["template"]["spec"]) else {
            assert!(env.is_empty(), "{}", case.name);
            continue;
        };
        let last = |list: &Value| json!([list.as_array().unwrap().last().unwrap()]);
        let container = &pod["containers"][0];
        let expected = json!({
            "containers": [{"name": "postgres", "env": env, "volumeMounts": last(&container["volumeMounts"])}],
            "volumes": last(&pod["volumes"]),
        });
        assert_eq!(difference(made, &expected), None, "{}", case.name);
    }
}

#[test]
fn files_have_default_names_unless_the_manifest_sets_others() {
    let made = answer(json!({"tls": {"secretName": "pg-tls"}}), json!({}));
    assert_eq!(paths(&made), [("SSL_CERTIFICATE_FILE", "/tls/tls.crt"), ("SSL_PRIVATE_KEY_FILE", "/tls/tls.key")]);

    let tls =
        json!({"secretName": "pg-tls", "certificateFile": "a.crt", "privateKeyFile": "/abs/a.key", "caFile": "ca.crt"});
    let made = answer(json!({"tls": tls}), json!({}));
    let expected = [
        ("SSL_CERTIFICATE_FILE", "/tls/a.crt"),
        ("SSL_PRIVATE_KEY_FILE", "/abs/a.key"),
        ("SSL_CA_FILE", "/tls/ca.crt"),
    ];
    assert_eq!(paths(&made), expected);
}

#[test]
fn the_key_is_readable_by_its_group_only() {
    let made = answer(json!({"tls": {"secretName": "pg-tls"}}), json!({}));
    let expected = json!([{"name": "pg-tls", "secret": {"secretName": "pg-tls", "defaultMode": 416}}]);
    assert_eq!(pod(&made)["volumes"], expected);
    assert_eq!(pod(&made)["containers"].as_array().unwrap().len(), 1, "sidecars do not get the key");
    assert_eq!(pod(&made)["containers"][0]["volumeMounts"], json!([{"name": "pg-tls", "mountPath": "/tls"}]));
}

#[test]
fn the_authority_may_have_its_own_secret() {
    let tls = json!({"secretName": "pg-tls", "caFile": "ca.crt", "caSecretName": "pg-ca"});
    let made = answer(json!({"tls": tls}), json!({}));
    assert_eq!(paths(&made)[2], ("SSL_CA_FILE", "/tlsca/ca.crt"));
    assert_eq!(pod(&made)["volumes"][1]["secret"], json!({"secretName": "pg-ca", "defaultMode": 416}));
    assert_eq!(pod(&made)["containers"][0]["volumeMounts"][1], json!({"name": "pg-ca", "mountPath": "/tlsca"}));

    let tls = json!({"secretName": "pg-tls", "caSecretName": "pg-ca"});
    let made = answer(json!({"tls": tls}), json!({}));
    assert_eq!(pod(&made)["volumes"].as_array().unwrap().len(), 1, "without caFile it means nothing");

    let tls = json!({"secretName": "both", "caFile": "/tlsca/ca.crt", "caSecretName": "both"});
    let made = answer(json!({"tls": tls}), json!({}));
    assert_eq!(paths(&made)[2], ("SSL_CA_FILE", "/tlsca/ca.crt"));
    assert_eq!(pod(&made)["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(pod(&made)["containers"][0]["volumeMounts"].as_array().unwrap().len(), 2);
}

#[test]
fn the_images_group_can_read_the_key_if_no_group_is_set() {
    let tls = json!({"secretName": "pg-tls"});
    let made = answer(json!({"tls": tls}), json!({}));
    assert_eq!(pod(&made)["securityContext"], json!({"fsGroup": 103}));
    for (spec, config) in
        [(json!({"tls": tls, "spiloFSGroup": 42}), json!({})), (json!({"tls": tls}), json!({"spilo_fsgroup": 42}))]
    {
        assert_eq!(pod(&answer(spec, config)).get("securityContext"), None);
    }
}

#[test]
fn an_empty_secret_name_means_no_certificate() {
    for tls in [json!(null), json!({"secretName": "", "caFile": "ca.crt"}), json!({"secretName": null})] {
        assert!(answer(json!({"tls": tls}), json!({})).objects.is_empty());
    }
}

#[test]
fn a_variable_that_has_a_value_keeps_it() {
    let manifest = json!({
        "metadata": {"name": "acid-orders"},
        "spec": {"teamId": "acid", "tls": {"secretName": "pg-tls"}},
    });
    let answer = Call::new(&manifest)
        .operator_config(&operator_config(&json!({})))
        .desired(&workload(json!([{"name": "ssl_certificate_file", "value": "/mine"}])))
        .mutate::<Tls>()
        .unwrap();
    assert_eq!(paths(&answer), [("SSL_PRIVATE_KEY_FILE", "/tls/tls.key")]);
    assert!(answer.messages()[0].contains("SSL_CERTIFICATE_FILE"), "{:?}", answer.messages());
}
