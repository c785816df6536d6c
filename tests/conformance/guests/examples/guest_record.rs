//! Creates a ConfigMap with all that it receives. It asks for all that may hold a secret value.

use pgloom_kit::bindings::contract::{
    Contribution, CredentialPermission, CredentialSource, Description, Failure, Guest as Contract, HostInfo,
    ObjectKind, ObservedSelector, Request, Response, Selection,
};

/// The keys of the operator configuration: four with a credential, and three with the name of a Secret.
const KEYS: [&str; 7] = [
    "logical_backup_s3_access_key_id",
    "logical_backup_s3_secret_access_key",
    "logical_backup_azure_storage_account_key",
    "scalyr_api_key",
    "pod_environment_secret",
    "infrastructure_roles_secret_name",
    "infrastructure_roles_secrets",
];
/// The pointers into the manifest with a credential.
const POINTERS: [&str; 2] = ["/spec/clone/s3_access_key_id", "/spec/clone/s3_secret_access_key"];
/// The kinds of the desired objects with templates of pods, or with data.
const DESIRED: [(&str, &str); 4] =
    [("apps/v1", "StatefulSet"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob"), ("v1", "ConfigMap")];
/// The kinds of the cluster's existing objects whose containers have variables, or had them.
const OBSERVED: [(&str, &str); 4] =
    [("apps/v1", "StatefulSet"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob"), ("v1", "Pod")];
/// The prefix of a placeholder. The host refuses objects that hold one inside a longer text.
const PLACEHOLDER: &str = "pgloom-placeholder:";

struct Guest;

impl Contract for Guest {
    fn describe(host: HostInfo) -> Result<Description, String> {
        let _ = host;
        let secret = |id: &str, from| ObservedSelector {
            id: id.to_owned(),
            kind: kind("v1", "Secret"),
            from,
            fields: Vec::new(),
        };
        let mut observed = vec![
            secret("own", Selection::Owned),
            secret("environment", Selection::Config("pod_environment_secret".to_owned())),
            secret("infrastructure", Selection::Config("infrastructure_roles_secret_name".to_owned())),
            secret("tls", Selection::Manifest("/spec/tls/secretName".to_owned())),
        ];
        observed.extend(OBSERVED.map(|(api_version, name)| ObservedSelector {
            id: name.to_owned(),
            kind: kind(api_version, name),
            from: Selection::Owned,
            fields: Vec::new(),
        }));
        let of_config = KEYS[..4].iter().map(|&key| asked(CredentialSource::Config(key.to_owned())));
        let of_manifest = POINTERS.iter().map(|&pointer| asked(CredentialSource::Manifest(pointer.to_owned())));
        Ok(Description {
            config_keys: KEYS.map(str::to_owned).to_vec(),
            credentials: of_config.chain(of_manifest).collect(),
            desired: DESIRED.map(|(api_version, name)| kind(api_version, name)).to_vec(),
            observed,
            ..conformance_guests::description("record")
        })
    }

    fn mutate(request: Request) -> Result<Response, Failure> {
        let desired = request.desired.into_iter().map(|desired| desired.object);
        let observed = request.observed.into_iter().map(|observed| observed.object);
        let actions = request.actions.into_iter().map(|action| action.message);
        let texts = [request.cluster, request.operator_config, request.config].into_iter();
        let texts: Vec<String> = texts.chain(desired).chain(observed).chain(actions).collect();
        let object = pgloom_kit::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "record"},
            "data": {"request": texts.join("\n").replace(PLACEHOLDER, "placeholder of ")},
        });
        Ok(Response { contributions: vec![Contribution::Apply(object.to_string())], ..conformance_guests::nothing() })
    }
}

fn asked(source: CredentialSource) -> CredentialPermission {
    CredentialPermission { source, optional: false }
}

fn kind(api_version: &str, name: &str) -> ObjectKind {
    ObjectKind { api_version: api_version.to_owned(), kind: name.to_owned() }
}

#[cfg(target_arch = "wasm32")]
pgloom_kit::bindings::export_plugin!(Guest with_types_in pgloom_kit::bindings);
