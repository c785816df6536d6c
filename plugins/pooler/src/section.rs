//! What a pooler is like: the manifest's section with the operator configuration behind it, worked out once.

use pgloom_kit::resources::{Bounds, Defaults, Resources, Rules};
use pgloom_kit::{Cluster, Notes, Result, Value, invalid, invalid_config};

use crate::config::Poolers;
use crate::size::Size;
use crate::spec::{Section, Spec};

/// Fewer instances pool nothing.
const MIN_INSTANCES: i64 = 1;

/// A pooler's settings.
pub struct Pooler {
    /// The role that looks passwords up.
    pub user: String,
    /// The schema of the look-up function.
    pub schema: String,
    /// `transaction` or `session`.
    pub mode: String,
    /// The image.
    pub image: String,
    /// How many instances.
    pub instances: i64,
    /// The connections of each.
    pub size: Size,
    /// What each may take, as a container's `resources`.
    pub resources: Value,
}

impl Pooler {
    /// Works the settings out.
    ///
    /// # Errors
    /// If the mode is unknown, an amount cannot be read, or the configured role is one that a pooler must not have.
    pub fn resolve(cluster: &Cluster<Spec>, config: &Poolers, notes: &mut Notes) -> Result<Self> {
        let (section, path) = cluster.spec.section(notes);
        let nothing = Section::default();
        let section = section.unwrap_or(&nothing);
        let instances = instances(section, path, config, notes);
        let connections = section.max_db_connections.unwrap_or(config.connection_pooler_max_db_connections);
        Ok(Self {
            user: user(section, path, config, notes)?,
            schema: either(&section.schema, &config.connection_pooler_schema),
            mode: mode(section, path, config)?,
            image: either(&section.docker_image, &config.connection_pooler_image),
            instances,
            size: size(connections, instances, path, notes),
            resources: resources(&section.resources, path, config, notes)?,
        })
    }
}

fn either(own: &Option<String>, configured: &str) -> String {
    own.as_deref().filter(|own| !own.is_empty()).unwrap_or(configured).to_owned()
}

/// The role, decided once: what is not fit for a pooler is replaced by the configured role wherever it is named.
fn user(section: &Section, path: &str, config: &Poolers, notes: &mut Notes) -> Result<String> {
    let configured = &config.connection_pooler_user;
    if is_system(configured, config) || configured.is_empty() {
        return Err(invalid_config(
            [
                "connection_pooler_user is \"",
                configured,
                "\", which a pooler cannot be; set a role of its own, as in pooler",
            ]
            .concat(),
        ));
    }
    let requested = either(&section.user, configured);
    let reason = match () {
        () if is_system(&requested, config) => "a system role",
        () if section.user.is_some() && config.protected_role_names.contains(&requested) => "a protected role",
        () => return Ok(requested),
    };
    notes.warn(
        [path, ".user"].concat(),
        ["the pooler cannot be ", &requested, ", which is ", reason, "; it is ", configured].concat(),
        "name a role of its own, or leave the field out",
    );
    Ok(configured.clone())
}

fn is_system(role: &str, config: &Poolers) -> bool {
    role == config.super_username || role == config.replication_username
}

fn mode(section: &Section, path: &str, config: &Poolers) -> Result<String> {
    let mode = either(&section.mode, &config.connection_pooler_mode);
    match mode.as_str() {
        "transaction" | "session" => Ok(mode),
        _ if section.mode.as_ref().is_none_or(String::is_empty) => Err(invalid_config(
            ["connection_pooler_mode is \"", &mode, "\"; set it to transaction or session"].concat(),
        )),
        _ => Err(invalid(
            [path, ".mode"].concat(),
            ["\"", &mode, "\" is no pool mode"].concat(),
            "use transaction or session",
        )),
    }
}

fn instances(section: &Section, path: &str, config: &Poolers, notes: &mut Notes) -> i64 {
    let instances = section.instances().unwrap_or(config.connection_pooler_number_of_instances);
    if instances < MIN_INSTANCES {
        notes.warn(
            [path, ".numberOfInstances"].concat(),
            ["a pooler has at least 1 instance, not ", &instances.to_string()].concat(),
            "raise the number, or set enableConnectionPooler to false",
        );
    }
    instances.max(MIN_INSTANCES)
}

fn size(connections: i64, instances: i64, path: &str, notes: &mut Notes) -> Size {
    let size = Size::of(connections, instances);
    if size.usual < 1 {
        notes.warn(
            [path, ".maxDBConnections"].concat(),
            [
                &connections.to_string(),
                " connections among ",
                &instances.to_string(),
                " instances leave none for a pool",
            ]
            .concat(),
            "allow at least 2 connections for each instance",
        );
    }
    size
}

fn resources(given: &Resources, path: &str, config: &Poolers, notes: &mut Notes) -> Result<Value> {
    let rules = Rules {
        path: &[path, ".resources"].concat(),
        defaults: Defaults {
            cpu_request: &config.connection_pooler_default_cpu_request,
            memory_request: &config.connection_pooler_default_memory_request,
            cpu_limit: &config.connection_pooler_default_cpu_limit,
            memory_limit: &config.connection_pooler_default_memory_limit,
        },
        bounds: Bounds::default(),
        memory_request_to_limit: config.set_memory_request_to_limit,
    };
    rules.requirements(given, notes)
}
