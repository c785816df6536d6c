//! A clone of what the source's running leader has: a base backup over the replication protocol.

use pgloom_kit::common::name::{is_dns1035, secret_name};
use pgloom_kit::container::{env, env_from_secret};
use pgloom_kit::{Cluster, Result, Value, invalid};

use crate::source::Source;
use crate::{Config, Spec};

const MAX_NAME: usize = 63;

/// The variables. The source's Service has its name, and the password is that of its own replication role.
pub fn variables(source: &Source, cluster: &Cluster<Spec>, config: &Config) -> Result<Vec<Value>> {
    let name = source.cluster();
    check(name)?;
    let user = &config.replication_username;
    let secret = secret_name(&config.secret_name_template, user, name, &cluster.team);
    Ok(vec![
        env("CLONE_SCOPE", name),
        env("CLONE_METHOD", "CLONE_WITH_BASEBACKUP"),
        env("CLONE_HOST", name),
        env("CLONE_PORT", "5432"),
        env("CLONE_USER", user.as_str()),
        env_from_secret("CLONE_PASSWORD", &secret, "password"),
    ])
}

fn check(name: &str) -> Result<()> {
    const PATH: &str = "spec.clone.cluster";
    if name.len() > MAX_NAME {
        let remedy = "name the Service of a cluster in the same namespace";
        return Err(invalid(PATH, "clone cluster name must be no longer than 63 characters", remedy));
    }
    if !is_dns1035(name) {
        return Err(invalid(
            PATH,
            [
                "clone cluster name must confirm to DNS-1035, regex used for validation is \"^[a-z]([-a-z0-9]*[a-z0-9])?$\", not \"",
                name,
                "\"",
            ]
            .concat(),
            "name a cluster of the same namespace, or give a timestamp to clone from its archive",
        ));
    }
    Ok(())
}
