//! The settings of a cluster's poolers: the manifest's section, with the operator configuration as defaults.

use pgloom_kit::common::role::{MAX_IDENTIFIER, is_reserved};
use pgloom_kit::container;
use pgloom_kit::json::field;
use pgloom_kit::resources::{Defaults, PerResource, Resources, Rules};
use pgloom_kit::{Cluster, Result, Value, Warnings, invalid, invalid_config};

use crate::config::Poolers;
use crate::size::Size;
use crate::spec::{Section, Spec};

/// The lowest number of instances.
const MIN_INSTANCES: i64 = 1;

/// The settings of a pooler.
pub struct Pooler {
    /// The role that PgBouncer logs in as; it may call the lookup function.
    pub user: String,
    /// The schema of the lookup function.
    pub schema: String,
    /// `pool_mode` of PgBouncer: `transaction` or `session`.
    pub mode: String,
    /// The container's image.
    pub image: String,
    /// The number of pods.
    pub instances: i64,
    /// The pool sizes of each pod.
    pub size: Size,
    /// The container's `resources`.
    pub resources: Value,
}

impl Pooler {
    /// The settings of a cluster's poolers.
    ///
    /// # Errors
    /// If the mode is unknown, a quantity cannot be read, or the configured role is a system role or one of the
    /// manifest.
    pub fn resolve(cluster: &Cluster<Spec>, config: &Poolers, warnings: &mut Warnings) -> Result<Self> {
        let (section, path) = cluster.spec.section();
        let nothing = Section::default();
        let section = section.unwrap_or(&nothing);
        let instances = instances(section, path, config, warnings);
        let connections = section.max_db_connections.unwrap_or(config.connection_pooler_max_db_connections);
        Ok(Self {
            user: user(cluster, section, path, config, warnings)?,
            schema: either(&section.schema, &config.connection_pooler_schema),
            mode: mode(section, path, config)?,
            image: container::image(
                either(&section.docker_image, &config.connection_pooler_image),
                "connection_pooler_image",
            )?,
            instances,
            size: size(connections, instances, section.max_db_connections.map(|_| path), warnings),
            resources: resources(&section.resources, path, config, warnings)?,
        })
    }
}

/// The manifest's value, or if that is empty the configured one.
fn either(own: &Option<String>, configured: &str) -> String {
    let own = field::text(own);
    if own.is_empty() { configured } else { own }.to_owned()
}

/// The role. It is the pooler's alone: a system role, a protected role or a role of the manifest is replaced by the
/// configured role.
fn user(
    cluster: &Cluster<Spec>,
    section: &Section,
    path: &str,
    config: &Poolers,
    warnings: &mut Warnings,
) -> Result<String> {
    let configured = &config.connection_pooler_user;
    if is_system(configured, config) || configured.is_empty() {
        return Err(invalid_config(format!(
            "connection_pooler_user is \"{configured}\", which a pooler cannot use; set another role, as in pooler"
        )));
    }
    let requested = either(&section.user, configured);
    if requested.len() > MAX_IDENTIFIER {
        let message = format!("the role {requested} is longer than the {MAX_IDENTIFIER} bytes that PostgreSQL keeps");
        return match section.user {
            Some(_) => Err(invalid(format!("{path}.user"), message, "shorten it")),
            None => Err(invalid_config(format!("connection_pooler_user: {message}; shorten it"))),
        };
    }
    let reason = match () {
        () if is_system(&requested, config) => "a system role",
        () if section.user.is_some() && config.protected_role_names.contains(&requested) => "a protected role",
        () if requested != *configured && cluster.spec.defines(&requested) => "a role of the manifest",
        () if requested == *configured => return own(cluster, requested, path),
        () => return Ok(requested),
    };
    warnings.warn(
        format!("{path}.user"),
        format!("the pooler cannot use the role {requested}, which is {reason}; it uses {configured}"),
        "write another role, or remove the field",
    );
    own(cluster, configured.clone(), path)
}

/// The configured role, which the manifest must not define, too.
fn own(cluster: &Cluster<Spec>, role: String, path: &str) -> Result<String> {
    if cluster.spec.defines(&role) {
        return Err(invalid(
            format!("spec.users.{role}"),
            format!("{role} is the role that the pooler logs in as"),
            format!("rename the user, or write another role in {path}.user"),
        ));
    }
    Ok(role)
}

fn is_system(role: &str, config: &Poolers) -> bool {
    is_reserved(role) || role == config.super_username || role == config.replication_username
}

fn mode(section: &Section, path: &str, config: &Poolers) -> Result<String> {
    let mode = either(&section.mode, &config.connection_pooler_mode);
    match mode.as_str() {
        "transaction" | "session" => Ok(mode),
        _ if section.mode.as_ref().is_none_or(String::is_empty) => {
            Err(invalid_config(format!("connection_pooler_mode is \"{mode}\"; set it to transaction or session")))
        }
        _ => Err(invalid(
            format!("{path}.mode"),
            format!("\"{mode}\" is not a pool mode"),
            "write transaction or session",
        )),
    }
}

fn instances(section: &Section, path: &str, config: &Poolers, warnings: &mut Warnings) -> i64 {
    let instances = section.instances().unwrap_or(config.connection_pooler_number_of_instances);
    if instances < MIN_INSTANCES {
        warnings.warn(
            format!("{path}.numberOfInstances"),
            format!("the pooler runs with {MIN_INSTANCES} instance instead of {instances}"),
            "write at least 1, or set enableConnectionPooler to false",
        );
    }
    instances.max(MIN_INSTANCES)
}

/// The sizes for the connections of the manifest's section at `path`; without one they are the configured ones.
fn size(connections: i64, instances: i64, path: Option<&str>, warnings: &mut Warnings) -> Size {
    let size = Size::of(connections, instances);
    if size.default_pool_size < 1 {
        let message =
            format!("{connections} connections for {instances} instances are too few: the size of a pool is 0");
        let remedy = "write at least 2 connections for each instance";
        match path {
            Some(path) => warnings.warn(format!("{path}.maxDBConnections"), message, remedy),
            None => warnings.warn_platform(format!("connection_pooler_max_db_connections: {message}"), remedy),
        }
    }
    size
}

fn resources(given: &Resources, path: &str, config: &Poolers, warnings: &mut Warnings) -> Result<Value> {
    let rules = Rules {
        path: &format!("{path}.resources"),
        defaults: PerResource {
            cpu: Defaults {
                request: &config.connection_pooler_default_cpu_request,
                limit: &config.connection_pooler_default_cpu_limit,
            },
            memory: Defaults {
                request: &config.connection_pooler_default_memory_request,
                limit: &config.connection_pooler_default_memory_limit,
            },
        },
        bounds: PerResource::default(),
        memory_request_to_limit: config.set_memory_request_to_limit,
    };
    rules.requirements(given, warnings)
}
