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
//! # use pgloom_engine::{Contribution, Description, Input, ObjectKind, Pipeline, Plugin, Response, WriteClaim};
//! # use serde_json::json;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let description = Description {
//!     name: "hello".to_owned(),
//!     version: "0.1.0".to_owned(),
//!     writes: vec![WriteClaim {
//!         kind: ObjectKind { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() },
//!         creates: true,
//!         paths: vec![],
//!     }],
//!     // …
//! #     summary: String::new(),
//! #     config_schema: "{}".to_owned(),
//! #     config_example: "{}".to_owned(),
//! #     config_keys: vec![],
//! #     relevant: vec![],
//! #     desired: vec![],
//! #     observed: vec![],
//! #     actions: vec![],
//! #     requires: vec![],
//! };
//! let plugin = Plugin::native(description, |_request| {
//!     let metadata = json!({"name": "hello"});
//!     let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}});
//!     let contributions = vec![Contribution::Apply(object.to_string())];
//!     Ok(Response { contributions, actions: vec![], findings: vec![], conditions: vec![] })
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
//! | `pipeline`   | the steps: how they are loaded, and one run over all of them                   |
//! | `plugin`     | one loaded plugin: verified, compiled, described                               |
//! | `call`       | one call of a plugin, with its limits                                          |
//! | `engine`     | the WebAssembly engine that compiles and runs plugins                          |
//! | `compile`    | from a component to machine code, in a child process                           |
//! | `clock`      | the clock that stops calls                                                     |
//! | `cache`      | compiled code on disk                                                          |
//! | `wasi`       | the empty WASI                                                                 |
//! | `state`      | what the host holds for a running instance: its memory limit and its log       |
//! | `select`     | which steps are called, and which existing objects each of them receives       |
//! | `merge`      | partial objects of several steps become one object                             |
//! | `ownership`  | who set each leaf: steps, or the host                                          |
//! | `permission` | what a step may write                                                          |
//! | `reserved`   | what no step may write                                                         |
//! | `tree`       | an object as a tree: every leaf has a value and a step                         |
//! | `owners`     | the steps that set a leaf                                                      |
//! | `schema`     | how kinds are merged                                                           |
//! | `path`       | field paths and patterns of them                                               |
//! | `decision`   | the result of a run                                                            |
//! | `input`      | the input of a run                                                             |
//! | `convert`    | from the contract's types to those of the API crate, and back                   |
//! | `contract`   | the types that are generated from `wit/`                                       |

mod cache;
pub mod call;
mod clock;
pub mod compile;
mod contract;
mod convert;
mod decision;
mod engine;
mod input;
pub mod merge;
mod owners;
mod ownership;
pub mod path;
pub mod permission;
pub mod pipeline;
pub mod plugin;
mod reserved;
pub mod schema;
mod select;
mod state;
mod tree;
mod wasi;

pub use cache::Error as CacheError;
pub use compile::Compiler;
pub use contract::{
    Action, ActionKind, ActionRequest, ActionState, ConditionStatus, Contribution, Credential, Description,
    DesiredObject, ExpandClaim, Failure, GrowFilesystem, ModifyVolume, ObjectKind, ObjectRef, ObservedObject,
    ObservedSelector, PoolerAccess, Removal, Request, Requirement, Response, Selection, Trigger, UserList, WriteClaim,
};
pub use decision::{Condition, Decision, Desired, RequestedAction};
pub use engine::{Engine, EngineConfig, Error, MEMORY_CEILING};
pub use input::{ActionRecord, Input};
pub use ownership::{HOST, Ownership};
pub use pipeline::{LoadError, Pipeline, RunError};
pub use plugin::Plugin;
pub use select::{NAMED_ONLY, NamedObject};
