//! Which steps are called for a cluster, and which existing objects each of them receives.

use std::collections::BTreeSet;

use pgloom_api::field;
use pgloom_common::name::{is_dns1123_label, is_dns1123_subdomain};
use serde_json::{Map, Value};

use crate::hide::{hide, shown_variables};
use crate::input::{NamedObject, Unreadable};
use crate::model::{CredentialSource, ObjectRef, ObservedObject, ObservedSelector, Selection, Trigger};
use crate::reserved;
use crate::secret;

/// Whether a plugin is called for a cluster: any trigger holds, or there is no trigger. A credential is a value, too.
pub(crate) fn is_relevant(
    triggers: &[Trigger],
    cluster: &Value,
    config: &Value,
    credentials: &BTreeSet<CredentialSource>,
) -> bool {
    triggers.is_empty()
        || triggers.iter().any(|trigger| match trigger {
            Trigger::Manifest(pointer) => {
                field::at(cluster, pointer).is_some_and(is_set)
                    || credentials.contains(&CredentialSource::Manifest(pointer.clone()))
            }
            Trigger::Config(key) => {
                config.get(key).is_some_and(is_set) || credentials.contains(&CredentialSource::Config(key.clone()))
            }
        })
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        // An empty section counts: `connectionPooler: {}` enables the pooler.
        Value::Object(_) | Value::Bool(true) | Value::Number(_) => true,
    }
}

/// The first object that one of the selectors names and that could not be read.
pub(crate) fn unreadable<'a>(
    selectors: &[ObservedSelector],
    cluster: &Value,
    config: &Value,
    unreadable: &'a [Unreadable],
) -> Option<&'a Unreadable> {
    if unreadable.is_empty() {
        return None;
    }
    let named: BTreeSet<NamedObject> =
        selectors.iter().filter_map(|selector| named(selector, cluster, config)).collect();
    unreadable.iter().find(|unreadable| named.contains(unreadable.object()))
}

/// The object that a selector names; `None` if the selector means all objects of the cluster, the value is not set, or no
/// object can have such a name. The name becomes a part of a URL.
///
/// Only the operator configuration may name an object of another namespace, as in `namespace/name`: who writes a manifest
/// may not read there.
pub(crate) fn named(selector: &ObservedSelector, cluster: &Value, config: &Value) -> Option<NamedObject> {
    let (namespace, name) = match &selector.from {
        Selection::Owned => return None,
        Selection::Manifest(pointer) => (None, field::at(cluster, pointer)?.as_str()?),
        Selection::Config(key) => {
            let text = config.get(key)?.as_str()?;
            text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name))
        }
    };
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    let is_usable = is_dns1123_subdomain(name) && namespace.is_none_or(is_dns1123_label);
    is_usable.then(|| NamedObject {
        api_version: selector.kind.api_version.clone(),
        kind: selector.kind.kind.clone(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    })
}

/// The existing objects that a step receives, in the order of its selectors.
pub(crate) fn observe(
    selectors: &[ObservedSelector],
    cluster: &Value,
    config: &Value,
    existing: &[Value],
) -> Vec<ObservedObject> {
    let mut seen = Vec::new();
    for selector in selectors {
        let named_object = named(selector, cluster, config);
        // `None` would mean all objects of the cluster, but here the value that names the object is not set.
        if named_object.is_none() && !matches!(selector.from, Selection::Owned) {
            continue;
        }
        // Of an object that is not the cluster's own, no variable can be granted.
        let variables = match selector.from {
            Selection::Owned => shown_variables(&selector.fields),
            _ => Vec::new(),
        };
        for object in existing.iter().filter(|object| is_selected(object, selector, named_object.as_ref(), cluster)) {
            let mut shown = mask(object, &selector.fields);
            // A custom resource of this name may hold the same, and more that is hidden in other objects.
            let is_like_secret = selector.kind.kind.eq_ignore_ascii_case("Secret");
            if is_like_secret {
                let uid = field::at(object, "/metadata/uid").and_then(Value::as_str).unwrap_or_default();
                secret::hide_values(&mut shown, uid);
            }
            if !is_like_secret || !reserved::group(&selector.kind.api_version).is_empty() {
                hide(&mut shown, &variables);
            }
            seen.push(ObservedObject {
                selector: selector.id.clone(),
                identity: identity(object),
                object: shown.to_string(),
            });
        }
    }
    seen
}

fn is_selected(
    object: &Value,
    selector: &ObservedSelector,
    named_object: Option<&NamedObject>,
    cluster: &Value,
) -> bool {
    fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
        field::at(value, pointer)?.as_str()
    }
    if object.get("kind").and_then(Value::as_str) != Some(&selector.kind.kind)
        || object.get("apiVersion").and_then(Value::as_str) != Some(&selector.kind.api_version)
    {
        return false;
    }
    let own = text(cluster, "/metadata/namespace");
    let namespace = text(object, "/metadata/namespace");
    match named_object {
        // The host passes the cluster's own objects and those that `named` asked for.
        None => namespace == own && !is_observed_by_name(object),
        Some(named_object) => {
            // Of a name without a namespace in the configuration the host looks in the operator's own namespace first.
            let is_the_operators = || {
                named_object.namespace.is_none()
                    && matches!(selector.from, Selection::Config(_))
                    && is_observed_by_name(object)
            };
            text(object, "/metadata/name") == Some(&named_object.name)
                && (namespace == named_object.namespace.as_deref().or(own) || is_the_operators())
        }
    }
}

/// The annotation by which the host marks an object that it observes only because a selector names it. Such an object
/// is not one of the cluster's own.
pub const NAMED_ONLY: &str = "pgloom.dev/observed-by-name";

fn is_observed_by_name(object: &Value) -> bool {
    field::at(object, "/metadata/annotations").and_then(|annotations| annotations.get(NAMED_ONLY)).is_some()
}

fn identity(object: &Value) -> ObjectRef {
    let text = |pointer: &str| field::at(object, pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef { api_version: text("/apiVersion"), kind: text("/kind"), name: text("/metadata/name") }
}

/// The object reduced to the given fields and to those that identify it.
fn mask(object: &Value, fields: &[String]) -> Value {
    if fields.is_empty() {
        return object.clone();
    }
    let mut shown = Value::Object(Map::new());
    let always = ["apiVersion", "kind", "metadata.name", "metadata.namespace"];
    for path in always.into_iter().chain(fields.iter().map(String::as_str)) {
        // A list is kept whole: to reduce its entries would save little.
        let whole = path.split_once('[').map_or(path, |(list, _)| list);
        let names: Vec<&str> = whole.split('.').collect();
        if let Some(value) = names.iter().try_fold(object, |value, name| value.get(name)) {
            insert(&mut shown, &names, value.clone());
        }
    }
    shown
}

fn insert(into: &mut Value, path: &[&str], value: Value) {
    let Value::Object(map) = into else { return };
    match path {
        [] => {}
        [last] => {
            map.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => insert(map.entry(*first).or_insert_with(|| Value::Object(Map::new())), rest, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ObjectKind;

    fn selector(kind: &str, from: Selection, fields: &[&str]) -> ObservedSelector {
        ObservedSelector {
            id: "it".to_owned(),
            kind: ObjectKind { api_version: "v1".to_owned(), kind: kind.to_owned() },
            from,
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        }
    }

    fn cluster() -> Value {
        json!({"metadata": {"name": "acid-orders", "namespace": "shop"}, "spec": {"tls": {"secretName": "pg-tls"}, "off": false, "section": {}}})
    }

    #[test]
    fn a_plugin_without_triggers_is_always_called() {
        assert!(is_relevant(&[], &cluster(), &json!({}), &BTreeSet::new()));
    }

    #[test]
    fn a_section_that_is_absent_or_false_calls_no_plugin_and_an_empty_section_does() {
        let at = |pointer: &str| {
            is_relevant(&[Trigger::Manifest(pointer.to_owned())], &cluster(), &json!({}), &BTreeSet::new())
        };
        assert!(at("/spec/tls"));
        assert!(at("/spec/section"));
        assert!(!at("/spec/off"));
        assert!(!at("/spec/standby"));
    }

    #[test]
    fn a_key_of_the_configuration_calls_a_plugin_unless_it_is_empty() {
        let with = |config: Value| {
            is_relevant(&[Trigger::Config("sidecars".to_owned())], &cluster(), &config, &BTreeSet::new())
        };
        assert!(with(json!({"sidecars": [{"name": "exporter"}]})));
        assert!(!with(json!({"sidecars": []})));
        assert!(!with(json!({})));
    }

    #[test]
    fn a_plugin_is_called_for_a_credential_that_it_is_not_shown() {
        let credentials = BTreeSet::from([CredentialSource::Config("scalyr_api_key".to_owned())]);
        let trigger = |key: &str| [Trigger::Config(key.to_owned())];
        let config = json!({"scalyr_api_key": ""});
        assert!(is_relevant(&trigger("scalyr_api_key"), &cluster(), &config, &credentials));
        assert!(!is_relevant(&trigger("scalyr_api_key"), &cluster(), &config, &BTreeSet::new()));
    }

    #[test]
    fn a_secret_arrives_as_hashes() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-tls", "namespace": "shop"}, "data": {"tls.key": "aHVzaA=="}});
        let selectors = [selector("Secret", Selection::Manifest("/spec/tls/secretName".to_owned()), &[])];
        let seen = observe(&selectors, &cluster(), &json!({}), std::slice::from_ref(&secret));
        assert!(!seen[0].object.contains("aHVzaA=="));
        assert!(seen[0].object.contains("hmac-sha256:"));
    }

    #[test]
    fn the_uid_of_a_secret_is_not_shown_also_if_it_is_asked_for() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-tls", "namespace": "shop", "uid": "8c1b"}, "data": {}});
        for fields in [&[][..], &["metadata.uid", "data"], &["metadata"]] {
            let selectors = [selector("Secret", Selection::Manifest("/spec/tls/secretName".to_owned()), fields)];
            let seen = observe(&selectors, &cluster(), &json!({}), std::slice::from_ref(&secret));
            assert!(seen[0].object.contains("pg-tls") && !seen[0].object.contains("8c1b"), "{}", seen[0].object);
        }
    }

    #[test]
    fn variables_arrive_without_values_unless_the_clusters_own_are_named() {
        let env = json!([{"name": "PGVERSION", "value": "15"}, {"name": "KEY", "value": "hush"}]);
        let object = json!({
            "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pg-tls", "namespace": "shop"},
            "template": {"spec": {"containers": [{"name": "postgres", "env": env}]}},
        });
        let path = "template.spec.containers[name=postgres].env[name=PGVERSION]";
        let seen = |from: Selection| {
            let selectors = [selector("PodTemplate", from, &[path])];
            observe(&selectors, &cluster(), &json!({}), std::slice::from_ref(&object)).remove(0).object
        };
        let own = seen(Selection::Owned);
        assert!(own.contains(r#""value":"15""#) && !own.contains("hush"), "{own}");
        let named = seen(Selection::Manifest("/spec/tls/secretName".to_owned()));
        assert!(named.contains("PGVERSION") && !named.contains("value"), "{named}");
    }

    #[test]
    fn a_custom_resource_that_is_named_secret_shows_neither_values_nor_variables() {
        let object = json!({
            "apiVersion": "example.org/v1", "kind": "Secret", "metadata": {"name": "pg-tls", "namespace": "shop"},
            "data": {"key": "hush"}, "spec": {"containers": [{"env": [{"name": "KEY", "value": "hush"}]}]},
        });
        let mut selector = selector("Secret", Selection::Manifest("/spec/tls/secretName".to_owned()), &[]);
        selector.kind.api_version = "example.org/v1".to_owned();
        let seen = observe(&[selector], &cluster(), &json!({}), std::slice::from_ref(&object)).remove(0).object;
        assert!(seen.contains("KEY") && !seen.contains("hush"), "{seen}");
    }

    #[test]
    fn a_selector_by_name_finds_that_object_and_no_other() {
        let object = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}});
        let selectors = [selector("ConfigMap", Selection::Config("pod_environment_configmap".to_owned()), &[])];
        let config = json!({"pod_environment_configmap": "shop/settings"});
        let seen = observe(&selectors, &cluster(), &config, &[object("settings"), object("other")]);
        assert_eq!(seen.iter().map(|seen| seen.identity.name.as_str()).collect::<Vec<_>>(), ["settings"]);
    }

    #[test]
    fn a_name_without_a_namespace_in_the_configuration_may_be_one_of_the_operators_own_namespace() {
        let object = |annotations: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "operators", "annotations": annotations}});
        let found = |from: Selection, config: Value, object: Value| {
            observe(&[selector("ConfigMap", from, &[])], &cluster(), &config, &[object]).len()
        };
        let by_name = || object(json!({NAMED_ONLY: "true"}));
        let from_config = || Selection::Config("from".to_owned());
        assert_eq!(found(from_config(), json!({"from": "settings"}), by_name()), 1);
        assert_eq!(found(from_config(), json!({"from": "settings"}), object(json!({}))), 0);
        assert_eq!(found(from_config(), json!({"from": "shop/settings"}), by_name()), 0);
        let manifest = json!({"metadata": {"namespace": "shop"}, "spec": {"from": "settings"}});
        let of_manifest = [selector("ConfigMap", Selection::Manifest("/spec/from".to_owned()), &[])];
        assert!(observe(&of_manifest, &manifest, &json!({}), &[by_name()]).is_empty());
    }

    #[test]
    fn a_name_in_a_manifest_never_leaves_its_namespace() {
        let cluster = |name: &str| json!({"metadata": {"namespace": "shop"}, "spec": {"from": name}});
        let of_manifest = selector("ConfigMap", Selection::Manifest("/spec/from".to_owned()), &[]);
        let found =
            |name: &str| named(&of_manifest, &cluster(name), &json!({})).map(|named| (named.namespace, named.name));
        assert_eq!(found("settings.v1"), Some((None, "settings.v1".to_owned())));
        for name in ["kube-system/settings", "/settings", "../../secrets/s", "..", "a?b", "a%2fb", "A", "a b", "-a", ""]
        {
            assert_eq!(found(name), None, "{name}");
        }
        assert_eq!(found(&"a".repeat(254)), None);
    }

    #[test]
    fn a_name_in_the_configuration_may_have_a_namespace_and_is_checked_too() {
        let of_config = selector("ConfigMap", Selection::Config("from".to_owned()), &[]);
        let found = |name: &str| {
            named(&of_config, &cluster(), &json!({"from": name})).map(|named| (named.namespace, named.name))
        };
        assert_eq!(found("other/settings"), Some((Some("other".to_owned()), "settings".to_owned())));
        assert_eq!(found("/settings"), Some((None, "settings".to_owned())));
        for name in ["other/../settings", "../settings", "a.b/settings", "other/", "a/b/c"] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn a_mask_shows_the_asked_fields_and_the_identity() {
        let object = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "pgdata-0", "namespace": "shop", "labels": {"a": "b"}}, "spec": {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": "v"}, "status": {"phase": "Bound"}});
        let shown = mask(&object, &["spec.resources".to_owned(), "status".to_owned()]);
        assert_eq!(
            shown,
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "pgdata-0", "namespace": "shop"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"}})
        );
    }
}
