//! A clone of the source's running leader: a base backup over the replication protocol.

use pgloom_kit::common::name::{is_dns1035, secret_name};
use pgloom_kit::container::{env, env_from_secret};
use pgloom_kit::{Cluster, Result, Value, invalid};

use crate::source::Source;
use crate::{Config, Found, Spec};

/// The longest name of a Service, in characters.
const MAX_NAME: usize = 63;
const PATH: &str = "spec.clone.cluster";
const REMEDY: &str = "write the name of a cluster in the same namespace, as in acid-batman";

/// The variables of the database's container. The source's Service has its name; the password is that of its
/// replication role.
pub fn variables(source: &Source, cluster: &Cluster<Spec>, config: &Config, found: &mut Found) -> Result<Vec<Value>> {
    let name = source.cluster();
    check(name, &cluster.name, found)?;
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

fn check(name: &str, cluster: &str, found: &mut Found) -> Result<()> {
    if name.len() > MAX_NAME {
        return Err(invalid(PATH, "clone cluster name must be no longer than 63 characters", REMEDY));
    }
    if !is_dns1035(name) {
        // The wording of the Zalando operator.
        let message = "clone cluster name must confirm to DNS-1035, regex used for validation is \
                       \"^[a-z]([-a-z0-9]*[a-z0-9])?$\"";
        return Err(invalid(PATH, message, REMEDY));
    }
    if name == cluster {
        return found.refuse_new(
            PATH,
            "a cluster cannot be cloned from itself before it exists",
            "name another cluster, or add timestamp and uid to restore from the archive",
        );
    }
    Ok(())
}
