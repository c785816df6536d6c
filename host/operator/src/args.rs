//! The flags of `pgloom run`, and the configuration that is derived from them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args as ClapArgs, value_parser};
use pgloom_common::name::{is_dns1123_label, is_dns1123_subdomain};
use pgloom_engine::Compiler;
pub use pgloom_engine::EngineConfig;
pub use pgloom_registry::Settings as RegistrySettings;

/// The folder of pulled components in that of compiled ones.
const PULLED: &str = "pulled";

/// The flags of `pgloom run`. Each can also be set by an environment variable.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// The kubeconfig file; without it $KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespaces to watch, separated by commas; '*' means all. Without it: `watched_namespace` of the configuration
    #[arg(long, env = "WATCHED_NAMESPACE", value_name = "NAMES")]
    pub namespaces: Option<String>,
    /// The operator's own namespace; without it that of the service account, then that of the kubeconfig
    #[arg(long, env = "OPERATOR_NAMESPACE", value_name = "NAME")]
    pub operator_namespace: Option<String>,
    /// The ConfigMap with the operator configuration, as [namespace/]name
    #[arg(long, env = "CONFIG_MAP_NAME", value_name = "NAME")]
    pub config_map: Option<String>,
    /// The OperatorConfiguration with the operator configuration, as [namespace/]name; it comes before a ConfigMap
    #[arg(long, env = "POSTGRES_OPERATOR_CONFIGURATION_OBJECT", value_name = "NAME")]
    pub config_object: Option<String>,
    /// The pipeline document; it is read again when it or a plugin changes
    #[arg(long, env = "PGLOOM_PIPELINE", value_name = "FILE", default_value = "/plugins/pipeline.yaml")]
    pub pipeline: PathBuf,
    /// The Pipeline object, as [namespace/]name; it comes before the file
    #[arg(long, env = "PGLOOM_PIPELINE_OBJECT", value_name = "NAME")]
    pub pipeline_object: Option<String>,
    /// The folder that `source.file` of the pipeline is relative to; without it the pipeline file's own
    #[arg(long, env = "PGLOOM_PLUGINS", value_name = "FOLDER")]
    pub plugins: Option<PathBuf>,
    /// Where compiled plugins are kept between starts; without it they are compiled at every start
    #[arg(long, env = "PGLOOM_CACHE_DIR", value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
    /// The limits of components.
    #[command(flatten)]
    pub limits: ComponentLimits,
    /// A file with the certificate authorities of the registries that `source.oci` names, in the PEM format; without it those
    /// of SSL_CERT_FILE or the system
    #[arg(long, env = "PGLOOM_REGISTRY_CA", value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
    /// The registries that are asked by plain HTTP, as host or host:port, separated by commas. Those on the loopback
    /// interface are, unless there is --registry-ca
    #[arg(long, env = "PGLOOM_REGISTRY_PLAIN_HTTP", value_name = "HOSTS", value_delimiter = ',')]
    pub registry_plain_http: Vec<String>,
    /// How often it is asked whether a tag leads to another component; 0: only when the pipeline is loaded
    #[arg(long, env = "PGLOOM_REGISTRY_POLL", value_name = "SECONDS", default_value = "300")]
    pub registry_poll: u32,
    /// The time for one pull or one push of a component
    #[arg(long, env = "PGLOOM_REGISTRY_TIME", value_name = "SECONDS", default_value = "60", value_parser = value_parser!(u32).range(1..))]
    pub registry_time: u32,
    /// Only manifests with this value of the annotation acid.zalan.do/controller are reconciled
    #[arg(long, env = "CONTROLLER_ID", value_name = "ID", default_value = "")]
    pub controller_id: String,
    /// The address on which /healthz, /readyz and /metrics are served
    #[arg(long, env = "PGLOOM_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The address on which the admission webhook is served over HTTPS, as in 0.0.0.0:8443; without it there is none
    #[arg(long, env = "PGLOOM_WEBHOOK_LISTEN", value_name = "ADDRESS")]
    pub webhook_listen: Option<SocketAddr>,
    /// The address of the read-only REST API for postgres-operator-ui, as in 0.0.0.0:8081; without it there is none
    #[arg(long, env = "PGLOOM_REST_LISTEN", value_name = "ADDRESS")]
    pub rest_listen: Option<SocketAddr>,
    /// The name of the webhook's Service, of the Secret with its certificate, and of its ValidatingWebhookConfiguration
    #[arg(long, env = "PGLOOM_WEBHOOK_NAME", value_name = "NAME", default_value = "pgloom-webhook")]
    pub webhook_name: String,
    /// The Lease of the leader election
    #[arg(long, env = "PGLOOM_LEASE", value_name = "NAME", default_value = "pgloom")]
    pub lease: String,
    /// Run without leader election: only where no second operator can run
    #[arg(long)]
    pub no_leader_election: bool,
}

/// The flags with the limits of components, the same for every command that loads one.
#[derive(Clone, Debug, ClapArgs)]
pub struct ComponentLimits {
    /// The largest component
    #[arg(long, env = "PGLOOM_MAX_COMPONENT", value_name = "MIB", default_value = "32", value_parser = value_parser!(u32).range(1..))]
    max_component: u32,
    /// The memory of the process that compiles a component. It counts as memory of the operator's pod
    #[arg(long, env = "PGLOOM_COMPILE_MEMORY", value_name = "MIB", default_value = "640", value_parser = value_parser!(u32).range(1..))]
    compile_memory: u32,
    /// The time for which a component may be compiled
    #[arg(long, env = "PGLOOM_COMPILE_TIME", value_name = "SECONDS", default_value = "60", value_parser = value_parser!(u32).range(1..))]
    compile_time: u32,
}

impl ComponentLimits {
    /// The largest component, in bytes.
    #[must_use]
    pub fn max_component(&self) -> u64 {
        u64::from(self.max_component) << 20
    }

    /// The configuration of an engine for the binary `pgloom` with these limits.
    #[must_use]
    pub fn engine(&self) -> EngineConfig {
        let of_binary = EngineConfig::of_binary();
        let compiler = of_binary.compiler.map(|compiler| Compiler {
            memory: u64::from(self.compile_memory) << 20,
            time: Duration::from_secs(self.compile_time.into()),
            ..compiler
        });
        EngineConfig { max_component: self.max_component(), compiler, ..of_binary }
    }
}

/// The parsed flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The connection to the API server.
    pub kubernetes: Kubernetes,
    /// The namespaces that are watched; `None`: `watched_namespace` of the operator configuration.
    pub namespaces: Option<Namespaces>,
    /// The operator's own namespace; `None`: the namespace of the connection.
    pub operator_namespace: Option<String>,
    /// The source of the operator configuration.
    pub configuration: Source,
    /// The source of the pipeline.
    pub pipeline: PipelineSource,
    /// The folder with the plugins.
    pub plugins: PathBuf,
    /// How plugins are compiled, and where compiled plugins are kept.
    pub engine: EngineConfig,
    /// How registries are reached, and where pulled components are kept.
    pub registry: RegistrySettings,
    /// The time between two questions whether a tag was moved; `None`: it is not asked.
    pub registry_poll: Option<Duration>,
    /// The value of the annotation `acid.zalan.do/controller` of the manifests to reconcile; empty: those without it.
    pub controller_id: String,
    /// The address of health and metrics.
    pub listen: SocketAddr,
    /// The address of the REST API; `None`: there is none.
    pub rest: Option<SocketAddr>,
    /// The admission webhook; `None`: there is none.
    pub webhook: Option<Webhook>,
    /// The name of the Lease; `None`: no leader election.
    pub lease: Option<String>,
}

/// The admission webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The address on which it is served.
    pub listen: SocketAddr,
    /// The name of its Service, of its Secret and of its ValidatingWebhookConfiguration.
    pub name: String,
}

/// The connection to the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// The kubeconfig file; `None`: `$KUBECONFIG`, `~/.kube/config`, then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    pub context: Option<String>,
}

/// The namespaces that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All namespaces.
    All,
    /// These namespaces; never empty.
    Some(Vec<String>),
}

/// An object by `[namespace/]name`; without a namespace it is in the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The namespace.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// A name that is not `[namespace/]name`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a name; give it as namespace/name or name")]
pub struct NotAName(String);

impl FromStr for Named {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if !is_dns1123_subdomain(name) || !namespace.is_none_or(is_dns1123_label) {
            return Err(NotAName(text.to_owned()));
        }
        Ok(Self { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}

/// The source of the operator configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Defaults only.
    Defaults,
    /// A ConfigMap.
    ConfigMap(Named),
    /// An OperatorConfiguration.
    Object(Named),
}

/// The source of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipelineSource {
    /// A file.
    File(PathBuf),
    /// A Pipeline object.
    Object(Named),
}

/// The folder of a file: of a bare file name, the current one, of which [`Path::parent`] gives an empty path.
pub fn folder_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// An invalid flag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not `[namespace/]name`.
    #[error("{flag}: {problem}")]
    Name {
        /// The flag.
        flag: &'static str,
        /// What is wrong with its value.
        problem: NotAName,
    },
    /// No name that an object or a namespace can have.
    #[error("{flag}: {name:?} is not a name; use small letters, digits and '-'")]
    Part {
        /// The flag.
        flag: &'static str,
        /// Its value, or the entry of its list.
        name: String,
    },
}

impl TryFrom<Args> for Options {
    type Error = Error;

    fn try_from(args: Args) -> Result<Self, Error> {
        check_names(&args)?;
        let given = |flag: Option<String>| flag.filter(|text| !text.is_empty());
        let configuration = match (given(args.config_object), given(args.config_map)) {
            (Some(object), _) => Source::Object(named("--config-object", &object)?),
            (None, Some(map)) => Source::ConfigMap(named("--config-map", &map)?),
            (None, None) => Source::Defaults,
        };
        let folder = folder_of(&args.pipeline);
        let pipeline = match given(args.pipeline_object) {
            Some(object) => PipelineSource::Object(named("--pipeline-object", &object)?),
            None => PipelineSource::File(args.pipeline),
        };
        Ok(Self {
            registry: RegistrySettings {
                authorities: args.registry_ca,
                plain_http: args.registry_plain_http.into_iter().filter(|host| !host.is_empty()).collect(),
                cache: args.cache_dir.as_ref().map(|folder| folder.join(PULLED)),
                time: Duration::from_secs(args.registry_time.into()),
                ..RegistrySettings::new(args.limits.max_component())
            },
            registry_poll: (args.registry_poll > 0).then(|| Duration::from_secs(args.registry_poll.into())),
            kubernetes: Kubernetes { kubeconfig: args.kubeconfig, context: args.context },
            namespaces: args.namespaces.as_deref().and_then(namespaces),
            operator_namespace: given(args.operator_namespace),
            configuration,
            pipeline,
            plugins: args.plugins.unwrap_or(folder),
            engine: EngineConfig { cache: args.cache_dir, ..args.limits.engine() },
            controller_id: args.controller_id,
            listen: args.listen,
            rest: args.rest_listen,
            webhook: args.webhook_listen.map(|listen| Webhook { listen, name: args.webhook_name }),
            lease: (!args.no_leader_election).then_some(args.lease),
        })
    }
}

/// Refuses names that no object and no namespace can have.
fn check_names(args: &Args) -> Result<(), Error> {
    let own = args.operator_namespace.as_deref().filter(|name| !name.is_empty());
    let watched = match args.namespaces.as_deref().and_then(namespaces) {
        Some(Namespaces::Some(names)) => names,
        _ => Vec::new(),
    };
    let of_namespaces = own.into_iter().map(|name| ("--operator-namespace", name));
    let of_namespaces = of_namespaces.chain(watched.iter().map(|name| ("--namespaces", name.as_str())));
    let of_namespaces = of_namespaces.map(|(flag, name)| (flag, name, is_dns1123_label(name)));
    let of_objects = [("--lease", &*args.lease), ("--webhook-name", &*args.webhook_name)];
    let of_objects = of_objects.into_iter().map(|(flag, name)| (flag, name, is_dns1123_subdomain(name)));
    match of_namespaces.chain(of_objects).find(|(_, _, is_name)| !is_name) {
        Some((flag, name, _)) => Err(Error::Part { flag, name: name.to_owned() }),
        None => Ok(()),
    }
}

/// Parses namespaces in the form of `watched_namespace`: `*`, or names separated by commas. `None` if there is no name.
pub fn namespaces(text: &str) -> Option<Namespaces> {
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match &names[..] {
        [] => None,
        names if names.iter().any(|name| name == "*") => Some(Namespaces::All),
        _ => Some(Namespaces::Some(names)),
    }
}

fn named(flag: &'static str, value: &str) -> Result<Named, Error> {
    value.parse().map_err(|problem| Error::Name { flag, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn options(flags: &[&str]) -> Result<Options, Error> {
        Command::parse_from(std::iter::once(&"pgloom").chain(flags)).args.try_into()
    }

    #[test]
    fn the_folder_of_a_bare_file_name_is_the_current_one() {
        for (file, folder) in [("new.yaml", "."), ("./new.yaml", "."), ("a/new.yaml", "a"), ("/new.yaml", "/")] {
            assert_eq!(folder_of(Path::new(file)), Path::new(folder), "{file}");
        }
    }

    #[test]
    fn one_namespace_a_list_or_all_may_be_watched() {
        let watched = |flag: &str| options(&["--namespaces", flag]).unwrap().namespaces;
        assert_eq!(watched("*"), Some(Namespaces::All));
        assert_eq!(watched("a"), Some(Namespaces::Some(vec!["a".into()])));
        assert_eq!(watched("a, b"), Some(Namespaces::Some(vec!["a".into(), "b".into()])));
        assert_eq!(watched(""), None);
    }

    #[test]
    fn the_configuration_object_comes_before_the_config_map() {
        let options = options(&["--config-map", "ns/map", "--config-object", "object"]).unwrap();
        assert_eq!(options.configuration, Source::Object(Named { namespace: None, name: "object".into() }));
    }

    #[test]
    fn plugins_are_in_the_folder_of_the_pipeline_by_default() {
        assert_eq!(options(&["--pipeline", "/etc/p/pipeline.yaml"]).unwrap().plugins, PathBuf::from("/etc/p"));
        assert_eq!(options(&["--plugins", "/other"]).unwrap().plugins, PathBuf::from("/other"));
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_its_flag() {
        let error = options(&["--config-map", "a/b/c"]).unwrap_err();
        assert_eq!(error.to_string(), "--config-map: \"a/b/c\" is not a name; give it as namespace/name or name");
    }
}
