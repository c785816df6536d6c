//! The definitions of all resource types, as `pgloom crd` prints them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;

use crate::pipeline::Pipeline;
use crate::postgres_team::PostgresTeam;
use crate::{config, document, postgresql, schema};

/// The reason why a definition could not be built or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A schema cannot be part of a CustomResourceDefinition.
    #[error("failed to make the definition of {0}")]
    Make(&'static str, #[source] serde_json::Error),
    /// A definition cannot be written as YAML.
    #[error("failed to write the definitions as YAML")]
    Write(#[source] serde_yaml_ng::Error),
}

/// The definitions, in order of their names.
pub fn all() -> Result<Vec<CustomResourceDefinition>, Error> {
    Ok(vec![
        config::definition().map_err(|error| Error::Make("OperatorConfiguration", error))?,
        schema::finished(Pipeline::crd()).map_err(|error| Error::Make("Pipeline", error))?,
        postgresql::definition().map_err(|error| Error::Make("postgresql", error))?,
        schema::finished(PostgresTeam::crd()).map_err(|error| Error::Make("PostgresTeam", error))?,
    ])
}

/// One definition as YAML, keys in a fixed order.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let value = serde_json::to_value(definition).map_err(|error| Error::Make("a resource type", error))?;
    document::write(&value).map_err(Error::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The fields below `path` whose description is incomplete. The types of Kubernetes only refer to
    /// `kubectl explain`.
    fn unexplained(schema: &Value, path: &str, found: &mut Vec<String>) {
        let required = |name: &str| schema["required"].as_array().is_some_and(|list| list.iter().any(|it| it == name));
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let text = field["description"].as_str().unwrap_or_default();
            let elsewhere = ["See kubectl explain ", "Deprecated: `", "The older name of `"]
                .iter()
                .any(|start| text.starts_with(start));
            let wanted = [
                ("description", true),
                ("Default: ", !elsewhere && !required(name)),
                ("Example: ", !elsewhere && field["properties"].is_null()),
            ];
            let lacks = |(word, wanted): &(&str, bool)| {
                *wanted && (text.is_empty() || *word != "description" && !text.contains(word))
            };
            found.extend(wanted.iter().filter(|it| lacks(it)).map(|(word, _)| format!("{path}: {}", word.trim())));
            unexplained(field, &path, found);
        }
        for below in ["items", "additionalProperties"] {
            if schema[below].is_object() {
                unexplained(&schema[below], &format!("{path}[]"), found);
            }
        }
    }

    #[test]
    fn kubectl_explains_every_field_of_a_manifest_with_its_default_and_an_example() {
        let definition = serde_json::to_value(postgresql::definition().unwrap()).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        assert!(schema["properties"].as_object().is_some_and(|fields| fields.len() > 60));
        let mut found = Vec::new();
        unexplained(schema, "spec", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn kubectl_explains_every_key_of_the_operator_configuration() {
        for definition in [config::definition().unwrap(), schema::finished(Pipeline::crd()).unwrap()] {
            let definition = serde_json::to_value(definition).unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            let body = ["configuration", "spec"].into_iter().find(|body| schema[body].is_object()).unwrap();
            let mut found = Vec::new();
            unexplained(&schema[body], body, &mut found);
            found.retain(|it| it.ends_with(": description"));
            assert_eq!(found, Vec::<String>::new());
        }
    }

    #[test]
    fn a_definition_stays_small_enough_for_the_api_server() {
        for definition in all().unwrap() {
            let size = serde_json::to_vec(&definition).unwrap().len();
            assert!(size < 1 << 20, "{}: {size} bytes", definition.metadata.name.unwrap());
        }
    }
}
