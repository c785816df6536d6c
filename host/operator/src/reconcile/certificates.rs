//! Certificates that the pods of Deployments mount. A program that reads its certificate when it starts, as PgBouncer does,
//! serves a renewed one only after a restart.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use pgloom_common::error::error_chain;
use pgloom_decide::kind::ObjectKey;
use pgloom_decide::{BuiltIn, Plan};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tracing::warn;

use super::{Error, Reconciliation};
use crate::apply::short_hash;
use crate::report::Event;

/// The annotation of a Deployment, and of its pods once they have been restarted: a hash of the certificates that they mount.
const CERTIFICATES: &str = "pgloom.dev/certificates";

impl Reconciliation<'_> {
    /// Restarts the Deployments whose certificates were renewed since they were recorded. The first time they are recorded
    /// only: the pods of an adopted cluster stay.
    pub async fn follow_certificates(&self, plan: &Plan, objects: &[Value]) -> Result<(), Error> {
        let writer = self.writer();
        for desired in objects.iter().filter(|object| ObjectKey::of(object).built_in() == Some(BuiltIn::Deployment)) {
            let Some(certificates) = self.certificates(plan, desired).await else { continue };
            let name = ObjectKey::of(desired).name;
            let existing = self.context.store.objects(self.key);
            let mut existing = existing.iter().filter(|cached| cached.kind.is(BuiltIn::Deployment));
            let Some(cached) = existing.find(|cached| *cached.name == *name) else { continue };
            let object = cached.object();
            let Some(patch) = patch(&object, &certificates).filter(|_| writer.origin(&object).is_own()) else {
                continue;
            };
            let is_restart = patch.get("spec").is_some();
            writer.patch_beside(self.key, &cached.kind, name, patch).await.map_err(Error::Apply)?;
            if is_restart {
                let note = format!("a certificate was renewed: the pods of Deployment {name} are replaced");
                self.context.recorder.publish(&self.about, &Event::normal("Certificates", note)).await;
            }
        }
        Ok(())
    }

    /// A hash of the certificates in the Secrets that a Deployment mounts and the operator did not make; `None` if there are
    /// none, or if a Secret cannot be read.
    async fn certificates(&self, plan: &Plan, deployment: &Value) -> Option<String> {
        let is_made = |name: &String| plan.secrets.iter().any(|secret| secret.name == *name);
        let names: Vec<String> = mounted_secrets(deployment).into_iter().filter(|name| !is_made(name)).collect();
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let mut secrets = Vec::new();
        for name in names {
            match api.get_opt(&name).await {
                Ok(secret) => secrets.push(secret?),
                Err(error) => {
                    let error = error_chain(&error);
                    warn!(secret = name, error, "failed to read a certificate; if it is renewed, no pod is restarted");
                    return None;
                }
            }
        }
        hash(&secrets)
    }
}

/// The Secrets that the pods of a Deployment mount, in their order.
fn mounted_secrets(deployment: &Value) -> Vec<String> {
    let spec = Deployment::deserialize(deployment).ok().and_then(|deployment| deployment.spec?.template.spec);
    let volumes = spec.and_then(|spec| spec.volumes).unwrap_or_default();
    volumes.into_iter().filter_map(|volume| volume.secret?.secret_name).collect()
}

/// A hash of the certificates of Secrets, sixteen hexadecimal digits; `None` without certificates. Nothing else of a Secret
/// is part of it: certificates are public.
fn hash(secrets: &[Secret]) -> Option<String> {
    let files = secrets.iter().flat_map(|secret| secret.data.iter().flatten());
    let certificates = files.flat_map(|(_, file)| CertificateDer::pem_slice_iter(&file.0).filter_map(Result::ok));
    let bytes: Vec<u8> = certificates.flat_map(|certificate| certificate.to_vec()).collect();
    (!bytes.is_empty()).then(|| short_hash(&bytes))
}

/// The merge patch that records the certificates of a Deployment, and replaces its pods if others were recorded; `None` if
/// these were.
fn patch(deployment: &Value, certificates: &str) -> Option<Value> {
    let metadata = &deployment["metadata"];
    let recorded = metadata["annotations"][CERTIFICATES].as_str();
    if recorded == Some(certificates) {
        return None;
    }
    // The API server refuses a patch that names another uid than the object has.
    let annotations = json!({CERTIFICATES: certificates});
    let mut patch = json!({"metadata": {"uid": metadata["uid"], "annotations": annotations}});
    if recorded.is_some() {
        patch["spec"] = json!({"template": {"metadata": {"annotations": annotations}}});
    }
    Some(patch)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    /// What is encoded is never read.
    fn certificate(encoded: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    }

    fn secret(files: &[(&str, &str)]) -> Secret {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), ByteString(text.as_bytes().to_vec()));
        Secret { data: Some(files.iter().map(file).collect::<BTreeMap<_, _>>()), ..Secret::default() }
    }

    #[test]
    fn a_deployment_has_the_certificates_of_the_secrets_that_it_mounts_and_nothing_else_of_them() {
        let (first, second) = (certificate("Zmlyc3Q="), certificate("c2Vjb25k"));
        let of = |files: &[(&str, &str)]| hash(&[secret(files)]);
        let found = of(&[("tls.crt", &first), ("tls.key", "one"), ("password", "one")]);
        assert_eq!(found.as_ref().map(String::len), Some(16));
        assert_eq!(of(&[("tls.crt", &first), ("tls.key", "other"), ("password", "other")]), found);
        assert_ne!(of(&[("tls.crt", &second)]), found);
        assert_ne!(of(&[("tls.crt", &first), ("ca.crt", &second)]), found);
        assert_eq!((of(&[("userlist.txt", "\"a\" \"b\"")]), hash(&[])), (None, None));

        let volumes = json!([{"name": "a", "secret": {"secretName": "certificate"}}, {"name": "b", "emptyDir": {}}]);
        let pods = json!({"metadata": {}, "spec": {"containers": [], "volumes": volumes}});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "c"},
            "spec": {"selector": {}, "template": pods}});
        assert_eq!(mounted_secrets(&deployment), ["certificate"]);
    }

    #[test]
    fn certificates_are_recorded_first_and_replace_the_pods_when_they_are_renewed() {
        let with = |annotations: Value| json!({"metadata": {"uid": "u", "annotations": annotations}});
        let first = patch(&with(json!({"note": "x"})), "1").unwrap();
        assert_eq!(first, with(json!({CERTIFICATES: "1"})));
        assert_eq!(patch(&first, "1"), None);
        let renewed = patch(&first, "2").unwrap();
        assert_eq!(renewed["metadata"], with(json!({CERTIFICATES: "2"}))["metadata"]);
        assert_eq!(renewed["spec"]["template"]["metadata"]["annotations"], json!({CERTIFICATES: "2"}));
    }
}
