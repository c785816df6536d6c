//! The guest SDK: write a pgloom plugin in Rust.
//!
//! A plugin is a type that implements [`Plugin`]: it describes itself ([`Plugin::describe`]), and returns for a
//! `postgresql` object the parts of Kubernetes objects that it wants ([`Plugin::mutate`]).
//!
//! ```
//! use pgloom_kit::{Description, NoSettings, Plugin, Request, Response, Result, json, kind, operator_config};
//!
//! /// Gives every cluster's ConfigMap a line.
//! struct Motto;
//!
//! #[derive(serde::Deserialize)]
//! struct Spec {
//!     motto: Option<String>,
//! }
//!
//! operator_config! {
//!     /// What this plugin reads of the operator configuration.
//!     struct Config {
//!         cluster_domain: String,
//!     }
//! }
//!
//! impl Plugin for Motto {
//!     type Spec = Spec;
//!     type Config = Config;
//!     type Settings = NoSettings;
//!
//!     fn describe() -> Description {
//!         Description::of::<Self>("motto", env!("CARGO_PKG_VERSION"), "Keeps the cluster's motto in a ConfigMap.")
//!             .when_manifest("/spec/motto")
//!             .creates(kind("v1", "ConfigMap"))
//!     }
//!
//!     fn mutate(request: &Request<Self>) -> Result<Response> {
//!         let name = &request.cluster.name;
//!         Ok(Response::new().apply(json!({
//!             "apiVersion": "v1",
//!             "kind": "ConfigMap",
//!             "metadata": {"name": format!("{name}-motto")},
//!             "data": {"motto": request.cluster.spec.motto, "domain": request.config.cluster_domain},
//!         })))
//!     }
//! }
//!
//! pgloom_kit::register!(Motto);
//! ```
//!
//! Plugins are tested natively; see [`testing`].

extern crate self as pgloom_kit;

#[allow(missing_docs, reason = "generated; the documentation is in wit/")]
pub mod bindings {
    //! The types of the contract, generated from `wit/`.
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        additional_derives: [PartialEq],
    });

    pub use exports::pgloom::plugin::mutate_resources as contract;
}

mod description;
mod failure;
pub mod log;
mod plugin;
mod request;
mod response;

#[cfg(target_arch = "wasm32")]
pub mod allocator;
pub mod bootstrap;
pub mod container;
pub mod duration;
pub mod json;
pub mod metadata;
pub mod pod;
pub mod regex;
pub mod resources;
pub mod service;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod tls;

pub use bindings::contract::{
    Action, ActionKind, ActionPhase, ActionState, ConditionStatus, Credential, ExpandClaim, Failure, GrowFilesystem,
    ModifyVolume, ObjectKind, ObjectRef, PoolerAccess, Severity, UserList,
};
pub use description::{Description, kind};
pub use failure::{Result, internal, invalid, invalid_config};
pub use plugin::{Component, NoSettings, OperatorConfig, Plugin, Settings};
pub use request::{Cluster, Request};
pub use response::{Response, Warnings};

pub use pgloom_common as common;
pub use schemars;
pub use serde;
pub use serde_json::{self, Value, json};
