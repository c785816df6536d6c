//! Every key that upstream's configuration has, in both forms.

use super::*;

/// A value of the key's type that is not its default: as the text of a ConfigMap and as the value of an object. A key
/// with rules that refuse such a value gets one of its own.
fn other(key: &Key) -> (String, Value) {
    let text = |text: &str| (text.to_owned(), json!(text));
    match key.value_type {
        ValueType::Flag => {
            let other = key.default != "true";
            (other.to_string(), json!(other))
        }
        ValueType::Integer | ValueType::OptionalInteger => ("7".to_owned(), json!(7)),
        ValueType::Choice(choices) => text(choices.iter().find(|choice| **choice != key.default).unwrap()),
        ValueType::Quantity if key.name.ends_with("limit") => text("7777Mi"),
        ValueType::Quantity => text(if key.name.contains("memory") { "1Ki" } else { "1m" }),
        ValueType::Duration => text("1h30m7s"),
        ValueType::Schedule => text("7 7 7 7 *"),
        ValueType::Reference => text("elsewhere/thing"),
        ValueType::List if key.name == "maintenance_windows" => {
            ("01:00-06:00,Sat:00:00-04:00".to_owned(), json!(["01:00-06:00", "Sat:00:00-04:00"]))
        }
        ValueType::List => ("a, b".to_owned(), json!(["a", "b"])),
        ValueType::Map => match key.name {
            "toleration" => ("key:'a,b'".to_owned(), json!({"key": "a,b"})),
            "persistent_volume_claim_retention_policy" => {
                ("when_deleted:delete".to_owned(), json!({"when_deleted": "delete"}))
            }
            "cluster_labels" | "node_readiness_label" => ("a:'b', d:\"e\"".to_owned(), json!({"a": "b", "d": "e"})),
            _ => ("a:'b,c', d:\"e:f\"".to_owned(), json!({"a": "b,c", "d": "e:f"})),
        },
        ValueType::Containers => ("[{name: a, image: b}]".to_owned(), json!([{"name": "a", "image": "b"}])),
        ValueType::Probe => ("{httpGet: {port: 8008}}".to_owned(), json!({"httpGet": {"port": 8008}})),
        ValueType::RoleSources => {
            ("secretname: ns/a, template: true".to_owned(), json!([{"secretname": "ns/a", "template": true}]))
        }
        ValueType::Text | ValueType::Credential => match key.name {
            "secret_name_template" => text("{username}-{cluster}"),
            "pdb_name_format" => text("{cluster}-budget"),
            _ => text("other"),
        },
    }
}

#[test]
fn every_key_of_upstream_is_read_alike_from_both_forms_and_told_if_it_changes_nothing() {
    let (mut seen, mut failures) = (BTreeSet::new(), Vec::new());
    for line in include_str!("../../../golden/config/keys.txt").lines().filter(|line| !line.starts_with('#')) {
        let (name, section) = line.split_once(' ').unwrap();
        let Some(key) = KEYS.iter().find(|key| key.name == name || key.was == Some(name)) else {
            failures.push(format!("{name} is not known"));
            continue;
        };
        seen.insert(key.name);
        let (text, typed) = other(key);
        let mut documents = vec![config_map(json!({name: text}))];
        match section {
            "-" => {}
            "top" => documents.push(object(json!({name: typed}))),
            section => documents.push(object(json!({section: {name: typed}}))),
        }
        for document in documents {
            match Config::read(&document) {
                Ok(loaded) => {
                    if loaded.config.values()[key.name] == Config::defaults().values()[key.name] {
                        failures.push(format!("{document} changes nothing"));
                    }
                    let same = loaded.config.values()[key.name]
                        == Config::read(&config_map(json!({key.name: text}))).unwrap().config.values()[key.name];
                    if !same {
                        failures.push(format!("{document} is read as {}", loaded.config.values()[key.name]));
                    }
                    let expected: &[&str] = if key.honoured { &[] } else { &["pgloom does not honour this key"] };
                    let reported: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
                    if reported != expected
                        || loaded.warnings.iter().any(|warning| warning.path.as_deref() != Some(key.name))
                    {
                        failures.push(format!("{document} is reported as {:?}", loaded.warnings));
                    }
                }
                Err(findings) => failures.push(format!("{document} is refused: {findings:?}")),
            }
        }
    }
    let unknown: Vec<_> = KEYS.iter().filter(|key| !seen.contains(key.name)).map(|key| key.name).collect();
    assert_eq!(unknown, OWN, "keys that upstream does not have");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Keys that pgloom adds.
const OWN: &[&str] = &["liveness_probe", "infrastructure_roles"];
