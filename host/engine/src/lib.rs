//! Loads plugins, runs them as a pipeline and merges their contributions; knows no Kubernetes client.
//!
//! [`Pipeline::load`] loads the steps of a document, [`Pipeline::run`] computes a [`Decision`] from an [`Input`]. Both
//! are plain values, so the operator, `pgloom render`, the conformance tests and every other test use the same
//! function.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//!
//! use pgloom_api::pipeline::Document;
//! use pgloom_engine::{Engine, EngineConfig, Input, Pipeline};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let document = Document::read(&json!({
//!     "apiVersion": "pgloom.dev/v1alpha1",
//!     "kind": "Pipeline",
//!     "metadata": {"name": "default"},
//!     "spec": {"steps": [{"name": "spilo", "source": {"file": "spilo.wasm"}}]},
//! }))
//! .map_err(|problems| format!("{problems:?}"))?;
//!
//! let engine = Arc::new(Engine::new(&EngineConfig::default())?);
//! let pipeline = Pipeline::load(&engine, &document, Path::new("dist/plugins"), None)?;
//! let decision = pipeline.run(&Input {
//!     cluster: json!({
//!         "apiVersion": "acid.zalan.do/v1",
//!         "kind": "postgresql",
//!         "metadata": {"name": "acid-orders", "namespace": "shop"},
//!         "spec": {"teamId": "acid", "numberOfInstances": 2},
//!     }),
//!     ..Input::default()
//! })?;
//! for desired in &decision.objects {
//!     println!("{}: {}", desired.step, desired.object);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A plugin can also be a native function, so that a test needs no component:
//!
//! ```
//! # use std::sync::Arc;
//! # use pgloom_engine::{Contribution, Description, Input, ObjectKind, ObjectPermission, Pipeline, Plugin, Response};
//! # use serde_json::json;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let description = Description {
//!     name: "hello".to_owned(),
//!     objects: vec![ObjectPermission::creates(ObjectKind::new("v1", "ConfigMap"), &["{cluster}-*"])],
//!     ..Description::default()
//! };
//! let plugin = Plugin::native(description, |_request| {
//!     let metadata = json!({"name": "acid-orders-hello"});
//!     let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}});
//!     let contributions = vec![Contribution::Apply(object.to_string())];
//!     Ok(Response { contributions, ..Response::default() })
//! });
//! let pipeline = Pipeline::of(vec![Arc::new(plugin)])?;
//!
//! let cluster = json!({"metadata": {"name": "acid-orders", "namespace": "shop"}});
//! let decision = pipeline.run(&Input { cluster, ..Input::default() })?;
//! assert_eq!(decision.objects[0].object["metadata"]["namespace"], "shop");
//! assert_eq!(decision.objects[0].step, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! From the top down. A module uses only modules below it; `tests/modules.rs` checks that.
//!
//! | module       | what it is                                                                     |
//! |--------------|--------------------------------------------------------------------------------|
//! | `limit`      | the limits of a plugin as a list                                               |
//! | `pipeline`   | the steps: how they are loaded, and one run over all of them                   |
//! | `grant`      | what a pipeline has to grant a plugin                                          |
//! | `plugin`     | one loaded plugin: verified, compiled, described                               |
//! | `description` | whether a description can be used                                             |
//! | `call`       | one call of a plugin, with its limits                                          |
//! | `engine`     | the WebAssembly engine that compiles and runs plugins                          |
//! | `compile`    | from a component to machine code, in a child process                           |
//! | `clock`      | the clock that stops calls                                                     |
//! | `cache`      | compiled code on disk                                                          |
//! | `wasi`       | the empty WASI                                                                 |
//! | `contract`   | the versions of the contract, to and from the model                            |
//! | `state`      | what the host holds for a running instance: its memory limit and its log       |
//! | `select`     | which steps are called, and which existing objects each of them receives       |
//! | `hide`       | what no plugin sees of an existing object                                      |
//! | `secret`     | a Secret as plugins see it: hashes in place of its values                      |
//! | `merge`      | partial objects of several steps become one object                             |
//! | `ownership`  | who set each leaf: steps, or the host                                          |
//! | `permission` | what a step may write                                                          |
//! | `privilege`  | what a step may write only with a privilege                                    |
//! | `reserved`   | what no step may write                                                         |
//! | `tree`       | an object as a tree: every leaf has a value and a step                         |
//! | `validator`  | a configuration checked against the schema of its plugin, with limits          |
//! | `owners`     | the steps that set a leaf                                                      |
//! | `schema`     | how kinds are merged                                                           |
//! | `path`       | field paths and patterns of them                                               |
//! | `scope`      | the cluster whose objects are merged                                           |
//! | `input`      | the input of a run                                                             |
//! | `decision`   | the result of a run                                                            |
//! | `hash`       | SHA-256 of values, by which a result is found again                            |
//! | `convert`    | from the model's types to those of the API crate                               |
//! | `model`      | the engine's own types of the contract                                         |

mod cache;
pub mod call;
mod clock;
pub mod compile;
mod contract;
mod convert;
mod decision;
mod description;
mod engine;
pub mod grant;
mod hash;
mod hide;
mod input;
mod limit;
pub mod merge;
pub mod model;
mod owners;
mod ownership;
pub mod path;
pub mod permission;
pub mod pipeline;
pub mod plugin;
mod privilege;
mod reserved;
pub mod schema;
mod scope;
mod secret;
mod select;
mod state;
mod tree;
mod validator;
mod wasi;

pub use cache::Error as CacheError;
pub use compile::Compiler;
pub use contract::{NEWEST as NEWEST_CONTRACT, SUPPORTED as SUPPORTED_CONTRACTS};
pub use decision::{Condition, Decision, Desired, RequestedAction};
pub use engine::{Engine, EngineConfig, Error, MEMORY_CEILING};
pub use hash::Sha;
pub use input::{ActionRecord, Input, NamedObject, Secrets, Unreadable};
pub use limit::{Limit, limits};
pub use model::{
    Action, ActionKind, ActionPermission, ActionRequest, ActionState, ConditionStatus, Contribution, Credential,
    CredentialPermission, CredentialSource, Description, DesiredObject, ExpandClaim, Failure, GrowFilesystem, HostInfo,
    ModifyVolume, ObjectKind, ObjectPermission, ObjectRef, ObservedObject, ObservedSelector, PluginCondition,
    PoolerAccess, PrivilegePermission, Removal, Request, Requirement, Response, Selection, Trigger, UserList,
};
pub use ownership::{HOST, Ownership, Setters, is_at_or_below, leaves, locate};
pub use pipeline::{
    ActionError, Change, Lack, LoadError, Outcome, Pipeline, Remote, RunError, Step, StepTrace, Trace, restarts_pods,
};
pub use plugin::Plugin;
pub use reserved::kind as reserved_kind;
pub use scope::Scope;
pub use select::NAMED_ONLY;
