//! The description of a key of the operator configuration. The keys are those of
//! [the Zalando operator](https://postgres-operator.readthedocs.io/en/latest/reference/operator_parameters/).

use serde_json::Value;

/// One key of the operator configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name, in a ConfigMap and in an OperatorConfiguration.
    pub name: &'static str,
    /// The section in an OperatorConfiguration.
    pub section: Section,
    /// The type of the value.
    pub value_type: ValueType,
    /// The default, as the text of a ConfigMap. [`Key::absent`] is that of a configuration without the key.
    pub default: &'static str,
    /// The description, one sentence.
    pub doc: &'static str,
    /// The name in older releases.
    pub was: Option<&'static str>,
    /// Whether pgloom acts on it.
    pub honoured: bool,
    /// Whether the operator fills it in for plugins, by what it has read. No document may have it.
    pub derived: bool,
}

/// A section of an OperatorConfiguration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Section {
    Top,
    Users,
    MajorVersionUpgrade,
    Kubernetes,
    PostgresPodResources,
    Timeouts,
    LoadBalancer,
    AwsOrGcp,
    LogicalBackup,
    Debug,
    TeamsApi,
    LoggingRestApi,
    Scalyr,
    ConnectionPooler,
    Patroni,
}

/// The type of the value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer,
    /// A whole number; null if it is not set.
    OptionalInteger,
    /// A string.
    Text,
    /// A string that is never shown.
    Credential,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A Kubernetes quantity; empty if it is not set.
    Quantity,
    /// A Go duration.
    Duration,
    /// A schedule of a CronJob.
    Schedule,
    /// The name of an object, as `name` or `namespace/name`.
    Reference,
    /// A list of strings.
    List,
    /// A map of strings.
    Map,
    /// Containers, as in a pod; a ConfigMap holds them as YAML.
    Containers,
    /// A probe, as in a pod; a ConfigMap holds it as YAML.
    Probe,
    /// The definitions of infrastructure roles.
    RoleSources,
}

impl Section {
    /// Every section, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::Top,
        Self::Users,
        Self::MajorVersionUpgrade,
        Self::Kubernetes,
        Self::PostgresPodResources,
        Self::Timeouts,
        Self::LoadBalancer,
        Self::AwsOrGcp,
        Self::LogicalBackup,
        Self::Debug,
        Self::TeamsApi,
        Self::LoggingRestApi,
        Self::Scalyr,
        Self::ConnectionPooler,
        Self::Patroni,
    ];

    /// The name of the section below `configuration`; `None` for the keys that are in `configuration` itself.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Top => return None,
            Self::Users => "users",
            Self::MajorVersionUpgrade => "major_version_upgrade",
            Self::Kubernetes => "kubernetes",
            Self::PostgresPodResources => "postgres_pod_resources",
            Self::Timeouts => "timeouts",
            Self::LoadBalancer => "load_balancer",
            Self::AwsOrGcp => "aws_or_gcp",
            Self::LogicalBackup => "logical_backup",
            Self::Debug => "debug",
            Self::TeamsApi => "teams_api",
            Self::LoggingRestApi => "logging_rest_api",
            Self::Scalyr => "scalyr",
            Self::ConnectionPooler => "connection_pooler",
            Self::Patroni => "patroni",
        })
    }

    /// Its name in older releases.
    #[must_use]
    pub fn was(self) -> Option<&'static str> {
        (self == Self::ConnectionPooler).then_some("connection_pool")
    }

    /// The description of the section.
    #[must_use]
    pub fn doc(self) -> &'static str {
        match self {
            Self::Top => "The operator and its clusters in general.",
            Self::Users => "Roles that every cluster has.",
            Self::MajorVersionUpgrade => "Upgrades to another major version of PostgreSQL.",
            Self::Kubernetes => "Names, labels and settings of the objects in Kubernetes.",
            Self::PostgresPodResources => "Resources of the database containers.",
            Self::Timeouts => "How long the operator waits for what.",
            Self::LoadBalancer => "Load balancers, node ports and DNS names.",
            Self::AwsOrGcp => "Archives and rights in a cloud.",
            Self::LogicalBackup => "Regular dumps of all databases.",
            Self::Debug => "What helps to find a mistake.",
            Self::TeamsApi => "Roles of people, and the API that names them.",
            Self::LoggingRestApi => "The API that tells what the operator did.",
            Self::Scalyr => "The sidecar that ships logs to Scalyr.",
            Self::ConnectionPooler => "The connection poolers.",
            Self::Patroni => "Patroni.",
        }
    }
}

/// The form of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A ConfigMap.
    ConfigMap,
    /// An OperatorConfiguration.
    Object,
}

/// What a key is in a form that does not have it, where that is not [`Key::default`]. It is what the Zalando operator takes
/// it for: with another value the pods of an adopted cluster would restart, or its load balancer would go.
const ABSENT: [(&str, &[Form], &str); 12] = [
    ("kubernetes_use_configmaps", BOTH, "true"),
    ("default_cpu_request", BOTH, ""),
    ("default_memory_request", BOTH, ""),
    ("default_cpu_limit", BOTH, ""),
    ("default_memory_limit", BOTH, ""),
    ("min_cpu_limit", BOTH, ""),
    ("min_memory_limit", BOTH, ""),
    ("enable_master_load_balancer", &[Form::ConfigMap], "true"),
    ("connection_pooler_default_cpu_request", BOTH, ""),
    ("connection_pooler_default_memory_request", BOTH, ""),
    ("connection_pooler_default_cpu_limit", BOTH, ""),
    ("connection_pooler_default_memory_limit", BOTH, ""),
];

const BOTH: &[Form] = &[Form::ConfigMap, Form::Object];

/// Keys that are absent if a ConfigMap has an empty text for them, which otherwise means 0 or false. The Zalando operator
/// has no value for them then, and takes that for the default.
const UNSET_BY_EMPTY_TEXT: [&str; 7] = [
    "connection_pooler_max_db_connections",
    "connection_pooler_number_of_instances",
    "enable_init_containers",
    "enable_pod_disruption_budget",
    "enable_sidecars",
    "pdb_master_label_selector",
    "spilo_allow_privilege_escalation",
];

/// Keys for which an empty value of an OperatorConfiguration has a meaning of its own.
const EMPTY_IN_OBJECT: [&str; 10] = [
    "additional_secret_mount_path",
    "aws_region",
    "master_dns_name_format",
    "master_legacy_dns_name_format",
    "oauth_token_secret_name",
    "persistent_volume_claim_retention_policy",
    "replica_dns_name_format",
    "replica_legacy_dns_name_format",
    "scalyr_server_url",
    "team_admin_role",
];

/// Keys whose value counts only in some clusters. One that cannot be is a warning, and the default is used: the Zalando
/// operator runs the other clusters with it.
const DEFAULT_IF_WRONG: [&str; 1] = ["external_traffic_policy"];

impl Key {
    /// Whether a value that the key cannot have is a warning, and the default is used.
    #[must_use]
    pub fn is_default_if_wrong(&self) -> bool {
        DEFAULT_IF_WRONG.contains(&self.name)
    }

    /// What the key is where a configuration of this form does not have it, as the text of a ConfigMap.
    #[must_use]
    pub fn absent(&self, form: Form) -> &'static str {
        let differs = ABSENT.iter().find(|(name, forms, _)| *name == self.name && forms.contains(&form));
        differs.map_or(self.default, |(_, _, value)| value)
    }

    /// Whether a configuration of this form that has `value` for the key is one that does not have the key.
    #[must_use]
    pub fn is_unset_by(&self, form: Form, value: &Value) -> bool {
        let is_empty = match value {
            Value::String(text) => text.trim().is_empty(),
            Value::Array(entries) => entries.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        match (self.value_type, form) {
            (ValueType::Choice(_), _) => is_empty,
            (_, Form::ConfigMap) => is_empty && UNSET_BY_EMPTY_TEXT.contains(&self.name),
            // An amount that is empty is off.
            (ValueType::Quantity, Form::Object) => false,
            (_, Form::Object) => is_empty && !EMPTY_IN_OBJECT.contains(&self.name),
        }
    }

    /// Where the key is in an OperatorConfiguration, as in `configuration.kubernetes.pod_role_label`.
    #[must_use]
    pub fn path(&self) -> String {
        match self.section.name() {
            Some(section) => format!("configuration.{section}.{}", self.name),
            None => format!("configuration.{}", self.name),
        }
    }
}
