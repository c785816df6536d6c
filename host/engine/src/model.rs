//! The engine's own types of the contract: what every version of it is lowered from and raised to.
//!
//! They follow the words of `wit/0.2`, can be serialized and hashed, and do not depend on WebAssembly. `contract/` has
//! an adapter for each version.
//!
//! The modules from the top down: `description`, `request`, `response`, `action`, `object`.

mod action;
mod description;
mod object;
mod request;
mod response;

pub use action::{
    Action, ActionRequest, ActionState, Credential, ExpandClaim, GrowFilesystem, ModifyVolume, PoolerAccess, UserList,
};
pub use description::{
    ActionPermission, CredentialPermission, Description, HostInfo, ObjectPermission, ObservedSelector,
    PrivilegePermission, Requirement, Selection, Trigger,
};
pub use object::ObjectKind;
pub use pgloom_api::placeholder::Source as CredentialSource;
pub use pgloom_api::{ActionKind, ActionPhase, ObjectRef, Severity};
pub use request::{DesiredObject, ObservedObject, Request};
pub use response::{ConditionStatus, Contribution, Failure, Finding, PluginCondition, Removal, Response};
