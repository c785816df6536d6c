//! The definitions of all resource types, as `pgloom crd` prints them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::pipeline::Pipeline;
use crate::{config, postgresql, schema};

/// Why a definition could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A schema has a form that a definition cannot carry.
    #[error("failed to make the definition of {0}")]
    Make(&'static str, #[source] serde_json::Error),
    /// YAML cannot say it.
    #[error("failed to write the definitions as YAML")]
    Write(#[source] serde_yaml_ng::Error),
}

/// The definitions, in order of their names.
pub fn all() -> Result<Vec<CustomResourceDefinition>, Error> {
    Ok(vec![
        config::definition().map_err(|error| Error::Make("OperatorConfiguration", error))?,
        schema::finished(Pipeline::crd()).map_err(|error| Error::Make("Pipeline", error))?,
        postgresql::definition().map_err(|error| Error::Make("postgresql", error))?,
    ])
}

/// One definition as YAML, keys in a fixed order.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let value = serde_json::to_value(definition).map_err(|error| Error::Make("a resource type", error))?;
    serde_yaml_ng::to_string(&value).map_err(Error::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_stays_small_enough_for_the_api_server() {
        for definition in all().unwrap() {
            let size = serde_json::to_vec(&definition).unwrap().len();
            assert!(size < 1 << 20, "{}: {size} bytes", definition.metadata.name.unwrap());
        }
    }
}
