//! The variables of the database's container, which configure
//! [Spilo](https://github.com/zalando/spilo/blob/master/ENVIRONMENT.rst). Their order must not change: another order is
//! another pod template, and that restarts the database.

use pgloom_kit::bootstrap::variables as bootstrap;
use pgloom_kit::common::name::secret_name;
use pgloom_kit::container::{Env, env, env_from_field, env_from_secret, name_of};
use pgloom_kit::{Result, Value, Warnings, invalid, invalid_config, serde_json};

use crate::config::{Access, Archive};
use crate::spec::Spec;
use crate::{Cluster, Request, patroni};

/// The selector of the ConfigMap that `pod_environment_configmap` names.
pub const CONFIG_MAP: &str = "pod-environment-configmap";
/// The selector of the Secret that `pod_environment_secret` names.
pub const SECRET: &str = "pod-environment-secret";

/// All variables: those that make the cluster, which nothing overrides; those of the manifest; those of the platform's
/// Secret and ConfigMap; those of the archive. Of several definitions of a name the first one is used.
pub fn variables(request: &Request, version: &str, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let (cluster, config) = (&request.cluster, &request.config);
    let mut variables = Env::of(own(request, version));
    for (index, entry) in cluster.spec.env.iter().enumerate() {
        let name = name_of(entry);
        let path = format!("spec.env[{index}].name");
        if name.is_empty() {
            return Err(invalid(path, "the variable has no name", "write its name"));
        }
        if !variables.add(entry.clone()) {
            warnings.warn(
                path,
                format!(
                    "the variable {name} is already set by the operator or by an earlier entry; this value is not used"
                ),
                "remove the entry or give it another name",
            );
        } else if is_misspelt(name) {
            let (message, remedy) = misspelt(name);
            warnings.warn(path, message, remedy);
        }
    }
    let reserved = of_bootstrap(&cluster.spec, &config.archive);
    for entry in secret(request)?.into_iter().chain(config_map(request)?) {
        if reserved.iter().any(|name| name.eq_ignore_ascii_case(name_of(&entry))) {
            continue;
        }
        if is_misspelt(name_of(&entry)) {
            let (message, remedy) = misspelt(name_of(&entry));
            let remedy = format!("{remedy} in the object of pod_environment_configmap or pod_environment_secret");
            warnings.warn_platform(message, remedy);
        }
        variables.add(entry);
    }
    for entry in archive(&config.archive, &cluster.uid) {
        variables.add(entry);
    }
    Ok(variables.into_entries())
}

/// What is wrong with such a name, and the remedy.
fn misspelt(name: &str) -> (String, String) {
    let capital = name.to_ascii_uppercase();
    let message = format!(
        "the image reads only variables in capital letters, so {name} does not set {capital}; a {capital} of the operator \
         configuration is left out all the same"
    );
    (message, format!("write {capital}"))
}

/// Whether a name is probably that of a variable of the image, in small letters. Those of proxies are written so.
fn is_misspelt(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_lowercase()) && !name.to_ascii_lowercase().ends_with("_proxy")
}

/// The variables that the clone and the standby plugin set, which those of the platform must not replace.
fn of_bootstrap(spec: &Spec, archive: &Archive) -> Vec<&'static str> {
    let role = archive.irsa_role_arn.as_str();
    let archive = bootstrap::Archive {
        role,
        s3_bucket: &archive.wal_s3_bucket,
        gs_bucket: &archive.wal_gs_bucket,
        gcp_credentials: &archive.gcp_credentials,
        az_storage_account: &archive.wal_az_storage_account,
    };
    let mut names = bootstrap::of_clone(&spec.clone, &archive);
    names.extend(bootstrap::of_standby(&spec.standby, role));
    names
}

/// The variables that make the cluster.
fn own(request: &Request, version: &str) -> Vec<Value> {
    let (cluster, config) = (&request.cluster, &request.config);
    let (access, metadata) = (&config.access, &config.metadata);
    let mut variables = vec![
        env("SCOPE", &cluster.name),
        env("PGROOT", "/home/postgres/pgdata/pgroot"),
        env_from_field("POD_IP", "status.podIP"),
        env_from_field("POD_NAMESPACE", "metadata.namespace"),
        env("PGUSER_SUPERUSER", &access.super_username),
        env("KUBERNETES_SCOPE_LABEL", &metadata.cluster_name_label),
        env("KUBERNETES_ROLE_LABEL", &metadata.pod_role_label),
        password("PGPASSWORD_SUPERUSER", &access.super_username, cluster, access),
        env("PGUSER_STANDBY", &access.replication_username),
        password("PGPASSWORD_STANDBY", &access.replication_username, cluster, access),
        env("PAM_OAUTH2", &access.pam_configuration),
        env("HUMAN_ROLE", &access.pam_role_name),
    ];
    if access.enable_spilo_wal_path_compat {
        variables.push(env("ENABLE_WAL_PATH_COMPAT", "true"));
    }
    if access.enable_pgversion_env_var {
        variables.push(env("PGVERSION", version));
    }
    variables.push(env("KUBERNETES_LABELS", patroni::labels(&metadata.cluster_labels)));
    variables.push(env("SPILO_CONFIGURATION", patroni::configuration(&cluster.spec, version, access)));
    if access.etcd_host.is_empty() {
        variables.push(env("DCS_ENABLE_KUBERNETES_API", "true"));
        // The label that the second disruption budget selects.
        if config.scale.enable_pod_disruption_budget {
            variables.push(env("KUBERNETES_BOOTSTRAP_LABELS", r#"{"critical-operation":"true"}"#));
        }
    } else {
        variables.push(env("ETCD_HOST", &access.etcd_host));
    }
    if access.uses_config_maps() {
        variables.push(env("KUBERNETES_USE_CONFIGMAPS", "true"));
    }
    variables
}

fn password(variable: &str, username: &str, cluster: &Cluster, access: &Access) -> Value {
    let secret = secret_name(&access.secret_name_template, username, &cluster.name, &cluster.team);
    env_from_secret(variable, &secret, "password")
}

/// The platform's Secret: a variable for each key, which refers to it.
fn secret(request: &Request) -> Result<Vec<Value>> {
    let Some((name, data)) =
        data(request, SECRET, "Secret", ("pod_environment_secret", &request.config.pod.pod_environment_secret))?
    else {
        return Ok(Vec::new());
    };
    Ok(data.keys().map(|key| env_from_secret(key, &name, key)).collect())
}

/// The platform's ConfigMap: a variable for each key, with its value, because a pod cannot refer to another namespace.
fn config_map(request: &Request) -> Result<Vec<Value>> {
    let Some((_, data)) = data(
        request,
        CONFIG_MAP,
        "ConfigMap",
        ("pod_environment_configmap", &request.config.pod.pod_environment_configmap),
    )?
    else {
        return Ok(Vec::new());
    };
    Ok(data.iter().map(|(key, value)| env(key, value.as_str().unwrap_or_default())).collect())
}

/// The name and the sorted entries of the object that a selector found; none if the operator configuration names none.
fn data(
    request: &Request,
    selector: &str,
    kind: &str,
    (key, configured): (&str, &str),
) -> Result<Option<(String, serde_json::Map<String, Value>)>> {
    if configured.is_empty() {
        return Ok(None);
    }
    let Some((name, mut object)) = request.observed::<Value>(selector)?.into_iter().next() else {
        return Err(invalid_config(format!(
            "{key}: the {kind} {configured} does not exist; create it, or empty the key"
        )));
    };
    let mut entries = serde_json::Map::new();
    // A Secret that is rendered from a file may have `stringData`, which the API server converts to `data`.
    for field in ["data", "stringData"] {
        if let Some(Value::Object(more)) = object.get_mut(field).map(Value::take) {
            entries.extend(more);
        }
    }
    Ok(Some((name, entries)))
}

/// The buckets of write-ahead logs and server logs, with the cluster's uid as the folder.
fn archive(archive: &Archive, uid: &str) -> Vec<Value> {
    let suffix = if uid.is_empty() { String::new() } else { format!("/{uid}") };
    let mut variables = Vec::new();
    for (name, value) in [
        ("WAL_S3_BUCKET", &archive.wal_s3_bucket),
        ("WAL_GS_BUCKET", &archive.wal_gs_bucket),
        ("AZURE_STORAGE_ACCOUNT", &archive.wal_az_storage_account),
    ] {
        if !value.is_empty() {
            variables.push(env(name, value));
            variables.push(env("WAL_BUCKET_SCOPE_SUFFIX", &suffix));
            variables.push(env("WAL_BUCKET_SCOPE_PREFIX", ""));
        }
    }
    if !archive.gcp_credentials.is_empty() {
        variables.push(env("GOOGLE_APPLICATION_CREDENTIALS", &archive.gcp_credentials));
    }
    if !archive.log_s3_bucket.is_empty() {
        variables.push(env("LOG_S3_BUCKET", &archive.log_s3_bucket));
        variables.push(env("LOG_BUCKET_SCOPE_SUFFIX", &suffix));
        variables.push(env("LOG_BUCKET_SCOPE_PREFIX", ""));
    }
    variables
}
