//! The conversions of the types that are the same in 0.1 and 0.2. A version that changes one of them gets its own.

/// Converts between `generated`, the types of a version, and the engine's; `$log` is the interface of the log.
macro_rules! shared {
    ($log:literal) => {
        pub(super) use generated::Plugin as Instance;
        use generated::exports::pgloom::plugin::mutate_resources as wit;
        use generated::pgloom::plugin::log;
        use wasmtime::StoreContextMut;
        use wasmtime::component::Linker;

        use crate::model;
        use crate::state::{self, State};

        pub(super) type Prepared = generated::PluginPre<State>;

        /// By hand, because a line takes fuel, and the generated function gives no access to it.
        pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
            type Line = (log::Level, String);
            linker.instance($log)?.func_wrap("log", |store: StoreContextMut<'_, State>, (level, message): Line| {
                state::write(store, level.into(), &message)
            })
        }

        impl From<log::Level> for tracing::Level {
            fn from(level: log::Level) -> Self {
                match level {
                    log::Level::Trace => Self::TRACE,
                    log::Level::Debug => Self::DEBUG,
                    log::Level::Info => Self::INFO,
                    log::Level::Warn => Self::WARN,
                    log::Level::Error => Self::ERROR,
                }
            }
        }

        pub(super) fn mutate(
            instance: &Instance,
            store: StoreContextMut<'_, State>,
            request: model::Request,
        ) -> wasmtime::Result<Result<model::Response, model::Failure>> {
            let answer = instance.pgloom_plugin_mutate_resources().call_mutate(store, &request.into())?;
            Ok(answer.map(Into::into).map_err(Into::into))
        }

        fn all<A: Into<B>, B>(items: Vec<A>) -> Vec<B> {
            items.into_iter().map(Into::into).collect()
        }

        impl From<model::Request> for wit::Request {
            fn from(request: model::Request) -> Self {
                let model::Request { cluster, operator_config, config, desired, observed, actions } = request;
                let desired = desired.into_iter().map(|model::DesiredObject { identity, object }| wit::DesiredObject {
                    identity: identity.into(),
                    object,
                });
                let observed = observed.into_iter().map(|model::ObservedObject { selector, identity, object }| {
                    wit::ObservedObject { selector, identity: identity.into(), object }
                });
                let actions = actions.into_iter().map(|model::ActionState { key, phase, message }| wit::ActionState {
                    key,
                    phase: phase.into(),
                    message,
                });
                Self {
                    cluster,
                    operator_config,
                    config,
                    desired: desired.collect(),
                    observed: observed.collect(),
                    actions: actions.collect(),
                }
            }
        }

        impl From<model::ActionPhase> for wit::ActionPhase {
            fn from(phase: model::ActionPhase) -> Self {
                match phase {
                    model::ActionPhase::Pending => Self::Pending,
                    model::ActionPhase::Running => Self::Running,
                    model::ActionPhase::Done => Self::Done,
                    model::ActionPhase::Failed => Self::Failed,
                    model::ActionPhase::Refused => Self::Refused,
                }
            }
        }

        impl From<model::ObjectRef> for wit::ObjectRef {
            fn from(model::ObjectRef { api_version, kind, name }: model::ObjectRef) -> Self {
                Self { api_version, kind, name }
            }
        }

        impl From<wit::ObjectRef> for model::ObjectRef {
            fn from(wit::ObjectRef { api_version, kind, name }: wit::ObjectRef) -> Self {
                Self { api_version, kind, name }
            }
        }

        impl From<wit::ObjectKind> for model::ObjectKind {
            fn from(wit::ObjectKind { api_version, kind }: wit::ObjectKind) -> Self {
                Self { api_version, kind }
            }
        }

        impl From<wit::Trigger> for model::Trigger {
            fn from(trigger: wit::Trigger) -> Self {
                match trigger {
                    wit::Trigger::Manifest(pointer) => Self::Manifest(pointer),
                    wit::Trigger::Config(key) => Self::Config(key),
                }
            }
        }

        impl From<wit::ObservedSelector> for model::ObservedSelector {
            fn from(wit::ObservedSelector { id, kind, from, fields }: wit::ObservedSelector) -> Self {
                let from = match from {
                    wit::Selection::Owned => model::Selection::Owned,
                    wit::Selection::Manifest(pointer) => model::Selection::Manifest(pointer),
                    wit::Selection::Config(key) => model::Selection::Config(key),
                };
                Self { id, kind: kind.into(), from, fields }
            }
        }

        impl From<wit::Requirement> for model::Requirement {
            fn from(wit::Requirement { plugin, version }: wit::Requirement) -> Self {
                Self { plugin, version }
            }
        }

        impl From<wit::ActionKind> for model::ActionKind {
            fn from(kind: wit::ActionKind) -> Self {
                match kind {
                    wit::ActionKind::Credential => Self::Credential,
                    wit::ActionKind::UserList => Self::UserList,
                    wit::ActionKind::PoolerAccess => Self::PoolerAccess,
                    wit::ActionKind::ConfigurePatroni => Self::ConfigurePatroni,
                    wit::ActionKind::Promote => Self::Promote,
                    wit::ActionKind::ExpandClaim => Self::ExpandClaim,
                    wit::ActionKind::ModifyVolume => Self::ModifyVolume,
                    wit::ActionKind::GrowFilesystem => Self::GrowFilesystem,
                }
            }
        }

        impl From<wit::Response> for model::Response {
            fn from(response: wit::Response) -> Self {
                let wit::Response { contributions, actions, findings, conditions } = response;
                Self {
                    contributions: all(contributions),
                    actions: all(actions),
                    findings: all(findings),
                    conditions: all(conditions),
                }
            }
        }

        impl From<wit::Contribution> for model::Contribution {
            fn from(contribution: wit::Contribution) -> Self {
                match contribution {
                    wit::Contribution::Apply(json) => Self::Apply(json),
                    wit::Contribution::Remove(wit::Removal { object, path }) => {
                        Self::Remove(model::Removal { object: object.into(), path })
                    }
                }
            }
        }

        impl From<wit::Finding> for model::Finding {
            fn from(wit::Finding { severity, message, path, object, remedy }: wit::Finding) -> Self {
                let severity = match severity {
                    wit::Severity::Info => model::Severity::Info,
                    wit::Severity::Warning => model::Severity::Warning,
                    wit::Severity::Error => model::Severity::Error,
                };
                Self { severity, message, path, object: object.map(Into::into), remedy }
            }
        }

        impl From<wit::Condition> for model::PluginCondition {
            fn from(wit::Condition { type_name, status, reason, message }: wit::Condition) -> Self {
                Self { type_name, status: status.into(), reason, message }
            }
        }

        impl From<wit::Failure> for model::Failure {
            fn from(failure: wit::Failure) -> Self {
                match failure {
                    wit::Failure::InvalidManifest(findings) => Self::InvalidManifest(all(findings)),
                    wit::Failure::InvalidConfig(message) => Self::InvalidConfig(message),
                    wit::Failure::Internal(message) => Self::Internal(message),
                }
            }
        }

        impl From<wit::ActionRequest> for model::ActionRequest {
            fn from(wit::ActionRequest { key, action }: wit::ActionRequest) -> Self {
                Self { key, action: action.into() }
            }
        }

        impl From<wit::Action> for model::Action {
            fn from(action: wit::Action) -> Self {
                match action {
                    wit::Action::Credential(wit::Credential { username, labels }) => {
                        Self::Credential(model::Credential { username, labels })
                    }
                    wit::Action::UserList(wit::UserList { secret_name, username, labels }) => {
                        Self::UserList(model::UserList { secret_name, username, labels })
                    }
                    wit::Action::PoolerAccess(wit::PoolerAccess { username, schema }) => {
                        Self::PoolerAccess(model::PoolerAccess { username, schema })
                    }
                    wit::Action::ConfigurePatroni(json) => Self::ConfigurePatroni(json),
                    wit::Action::Promote => Self::Promote,
                    wit::Action::ExpandClaim(wit::ExpandClaim { claim, size }) => {
                        Self::ExpandClaim(model::ExpandClaim { claim, size })
                    }
                    wit::Action::ModifyVolume(wit::ModifyVolume { claim, size, iops, throughput, volume_type }) => {
                        Self::ModifyVolume(model::ModifyVolume { claim, size, iops, throughput, volume_type })
                    }
                    wit::Action::GrowFilesystem(wit::GrowFilesystem { claim, pod }) => {
                        Self::GrowFilesystem(model::GrowFilesystem { claim, pod })
                    }
                }
            }
        }
    };
}
