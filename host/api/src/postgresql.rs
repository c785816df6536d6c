//! The `postgresql` object: one PostgreSQL cluster, as the Zalando operator's users write it.

pub mod alias;
mod bootstrap;
mod choice;
mod database;
mod kubernetes;
mod patroni;
pub mod pattern;
mod pooler;
mod resource;
mod server;
mod spec;
mod status;
mod storage;
mod stream;
mod tls;

use std::sync::OnceLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::{Value, json};

pub use bootstrap::{Clone, Standby};
pub use database::{
    PreparedDatabase, PreparedSchema, owner_of, reader_of, role_names, user_of, with_defaults, writer_of,
};
pub(crate) use kubernetes::{platform_probe, platform_sidecars};
pub use patroni::Patroni;
pub use pooler::ConnectionPooler;
pub use resource::{ResourceList, Resources};
pub use server::PostgresqlParams;
pub use spec::{Postgresql, PostgresqlSpec};
pub use status::{ActionStatus, ClusterStatus, MajorUpgradeStatus, MemberStatus, PostgresqlStatus};
pub use storage::{AdditionalVolume, Volume};
pub use stream::{Stream, StreamTable};
pub use tls::{Authority, Tls};

use crate::schema;

/// The `apiVersion` of the object.
pub const API_VERSION: &str = "acid.zalan.do/v1";
/// `kind` of the object; the API's only kind in lower case.
pub use pgloom_common::name::KIND;

/// The definition of `postgresqls.acid.zalan.do`.
pub fn definition() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut value = serde_json::to_value(schema::finished(Postgresql::crd())?)?;
    if let Some(schema) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        schema["x-kubernetes-validations"] = json!([
            {"rule": "self.metadata.name.size() <= 58", "message": "name cannot be longer than 58 characters"},
            {
                "rule": "!has(self.spec.clone) || self.spec.clone.cluster != self.metadata.name || (has(self.spec.clone.timestamp) && self.spec.clone.timestamp != '')",
                "message": "a cluster cannot be copied from itself while it does not exist; name another cluster, or give timestamp and uid to restore from the archive",
                "fieldPath": ".spec.clone.cluster"
            },
            {
                "rule": format!("self.metadata.name.matches('{}')", pattern::DNS1035),
                "message": format!("name must confirm to DNS-1035, regex used for validation is \"{}\"", pattern::DNS1035)
            },
        ]);
    }
    if let Some(spec) = value.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec") {
        keep_null_users(spec);
    }
    serde_json::from_value(value)
}

/// Keeps null as a value of `spec.users`: a user without options. No other null has a meaning.
fn keep_null_users(spec: &mut Value) {
    if let Some(flags) = spec.pointer_mut("/properties/users/additionalProperties") {
        flags["nullable"] = json!(true);
    }
}

/// The schema of a whole object, for checks without an API server.
pub(crate) fn object_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = schema::object_schema::<PostgresqlSpec>();
        keep_null_users(&mut schema["properties"]["spec"]);
        schema
    })
}

/// JSON pointers to the fields of a manifest that hold credentials: those that the schema gives the format `password`.
pub(crate) fn credential_fields() -> &'static [String] {
    static FIELDS: OnceLock<Vec<String>> = OnceLock::new();
    FIELDS.get_or_init(|| schema::fields_with_format(object_schema(), "password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_the_fields_that_hold_credentials() {
        assert_eq!(credential_fields(), ["/spec/clone/s3_access_key_id", "/spec/clone/s3_secret_access_key"]);
    }

    #[test]
    fn a_manifest_is_checked_by_the_schema_that_the_api_server_gets() {
        schema::assert_same::<PostgresqlSpec>(object_schema(), definition().unwrap());
    }
}
