//! The guest SDK: write a pgloom plugin in Rust.
//!
//! A plugin is a type that implements [`Plugin`]: it describes itself ([`Plugin::describe`]), and returns for a
//! `postgresql` object the parts of Kubernetes objects that it wants ([`Plugin::mutate`]).
//!
//! ```
//! use pgloom_kit::json::{object, text};
//! use pgloom_kit::{Description, NoSettings, Plugin, Request, Response, Result, kind, operator_config, spec};
//!
//! /// Keeps the cluster's DNS zone in a ConfigMap.
//! struct Zone;
//!
//! spec! {
//!     /// `spec` of the manifest: the fields that the plugin reads.
//!     struct Spec {
//!         team: String = "teamId",
//!     }
//! }
//!
//! operator_config! {
//!     /// The keys of the operator configuration that the plugin reads.
//!     struct Config {
//!         db_hosted_zone: String,
//!     }
//! }
//!
//! impl Plugin for Zone {
//!     type Spec = Spec;
//!     type Config = Config;
//!     type Settings = NoSettings;
//!
//!     fn describe() -> Description {
//!         Description::of::<Self>("zone", env!("CARGO_PKG_VERSION"), "Keeps the DNS zone in a ConfigMap.")
//!             .creates(kind("v1", "ConfigMap"), &["{cluster}-zone"])
//!     }
//!
//!     fn mutate(request: &Request<Self>) -> Result<Response> {
//!         let cluster = &request.cluster;
//!         let labels = object([("team", text(&cluster.spec.team))]);
//!         Ok(Response::new().apply(object([
//!             ("apiVersion", text("v1")),
//!             ("kind", text("ConfigMap")),
//!             ("metadata", object([("name", text(&format!("{}-zone", cluster.name))), ("labels", labels)])),
//!             ("data", object([("zone", text(&request.config.db_hosted_zone))])),
//!         ])))
//!     }
//! }
//!
//! pgloom_kit::register!(Zone);
//! ```
//!
//! Plugins are tested natively; see [`testing`].
//!
//! # Features
//!
//! - `typed` (default): the operator configuration is any struct that derives `serde::Deserialize`, and objects are those
//!   of `k8s_openapi`: `request.desired::<StatefulSet>()`, `response.apply(&service)`.
//! - `small`: an allocator for components on `wasm32-unknown-unknown` that only moves a pointer forward. With it, and with
//!   the readers of [`json`] in place of types, a component has less than 240 KiB; see README.md.
//!
//! Each works with and without the other.

extern crate self as pgloom_kit;

#[allow(missing_docs, reason = "generated; the documentation is in wit/")]
pub mod bindings {
    //! The types of the contract, generated from `wit/0.2`.
    wit_bindgen::generate!({
        path: "wit",
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

#[cfg(all(feature = "small", any(test, all(target_arch = "wasm32", target_os = "unknown"))))]
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
#[cfg(feature = "typed")]
mod typed;

pub use bindings::contract::{
    Action, ActionKind, ActionPhase, ActionState, ConditionStatus, Credential, ExpandClaim, Failure, GrowFilesystem,
    HostInfo, ModifyVolume, ObjectKind, ObjectRef, PoolerAccess, Severity, UserList,
};
pub use description::{Description, kind};
pub use failure::{Result, internal, invalid, invalid_config};
pub use plugin::{Component, NoSettings, OperatorConfig, Plugin, Settings};
pub use request::{Cluster, Request};
pub use response::{Partial, Response, Warnings};

#[cfg(feature = "typed")]
pub use k8s_openapi;
pub use pgloom_common as common;
pub use schemars;
pub use serde;
pub use serde_json::{self, Value, json};
