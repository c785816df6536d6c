//! What a plugin is, and how it becomes a component.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::contract;
use crate::{Description, Request, Response, Result};

/// A plugin: constant facts about itself, and a pure function from a request to a response.
pub trait Plugin: Sized {
    /// The fields of the manifest's `spec` that it reads. Fields it does not name are ignored.
    type Spec: DeserializeOwned;
    /// The keys of the operator configuration that it reads; made by [`operator_config!`](crate::operator_config), or a pair of such.
    type Config: OperatorConfig;
    /// The step's configuration. Its JSON Schema and its defaults are derived from the type.
    type Settings: DeserializeOwned + Serialize + JsonSchema + Default;

    /// What it is and asks for. Constant.
    fn describe() -> Description;

    /// What it wants for one cluster.
    ///
    /// # Errors
    /// See [`crate::invalid`], [`crate::invalid_config`] and [`crate::internal`].
    fn mutate(request: &Request<Self>) -> Result<Response>;
}

/// Keys of the operator configuration as a type. Which plugin reads which key is stated here and nowhere else.
pub trait OperatorConfig: Sized {
    /// The keys, for the description.
    fn keys() -> Vec<&'static str>;

    /// Takes the keys from the flat object that the host sends.
    ///
    /// # Errors
    /// If a key is missing or has another type; the host fills in defaults, so that is a mistake of the plugin.
    fn pick(config: &Value) -> serde_json::Result<Self>;

    /// Reads the keys from the text of that object.
    ///
    /// # Errors
    /// As [`pick`](Self::pick), or if it is no JSON.
    fn read(json: &str) -> serde_json::Result<Self> {
        Self::pick(&serde_json::from_str(json)?)
    }
}

impl OperatorConfig for () {
    fn keys() -> Vec<&'static str> {
        Vec::new()
    }

    fn pick(_config: &Value) -> serde_json::Result<Self> {
        Ok(())
    }

    fn read(_json: &str) -> serde_json::Result<Self> {
        Ok(())
    }
}

/// Two groups of keys, as in `(Config, Metadata)`.
impl<A: OperatorConfig, B: OperatorConfig> OperatorConfig for (A, B) {
    fn keys() -> Vec<&'static str> {
        [A::keys(), B::keys()].concat()
    }

    fn pick(config: &Value) -> serde_json::Result<Self> {
        Ok((A::pick(config)?, B::pick(config)?))
    }
}

/// Three groups of keys.
impl<A: OperatorConfig, B: OperatorConfig, C: OperatorConfig> OperatorConfig for (A, B, C) {
    fn keys() -> Vec<&'static str> {
        [A::keys(), B::keys(), C::keys()].concat()
    }

    fn pick(config: &Value) -> serde_json::Result<Self> {
        Ok((A::pick(config)?, B::pick(config)?, C::pick(config)?))
    }
}

/// Defines a struct of operator configuration keys: the field's name is the key.
#[macro_export]
macro_rules! operator_config {
    (
        $(#[$outer:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$inner:meta])* $field_visibility:vis $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive($crate::serde::Deserialize)]
        #[serde(crate = "pgloom_kit::serde")]
        $visibility struct $name {
            $( $(#[$inner])* $field_visibility $field: $type, )*
        }

        impl $crate::OperatorConfig for $name {
            fn keys() -> Vec<&'static str> {
                vec![$( stringify!($field) ),*]
            }

            fn pick(config: &$crate::Value) -> $crate::serde_json::Result<Self> {
                <Self as $crate::serde::Deserialize>::deserialize(config)
            }

            fn read(json: &str) -> $crate::serde_json::Result<Self> {
                $crate::serde_json::from_str(json)
            }
        }
    };
}

/// Defines a struct of groups of operator configuration keys, each made by [`operator_config!`](crate::operator_config).
#[macro_export]
macro_rules! operator_config_groups {
    (
        $(#[$outer:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$inner:meta])* $field_visibility:vis $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $(#[$outer])*
        $visibility struct $name {
            $( $(#[$inner])* $field_visibility $field: $type, )*
        }

        impl $crate::OperatorConfig for $name {
            fn keys() -> Vec<&'static str> {
                [$( <$type as $crate::OperatorConfig>::keys() ),*].concat()
            }

            fn pick(config: &$crate::Value) -> $crate::serde_json::Result<Self> {
                Ok(Self { $( $field: <$type as $crate::OperatorConfig>::pick(config)?, )* })
            }
        }
    };
}

/// For a plugin whose step has nothing to configure.
#[derive(Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Makes a plugin speak the contract. Use it through [`register!`](crate::register).
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> contract::Guest for Component<P> {
    fn describe() -> contract::Description {
        P::describe().build()
    }

    fn mutate(request: contract::Request) -> Result<contract::Response> {
        #[cfg(target_arch = "wasm32")]
        crate::log::report_panics();
        let request = Request::<P>::read(request)?;
        Ok(P::mutate(&request)?.build())
    }
}

/// Registers the crate's plugin: the component exports it. One per crate.
#[macro_export]
macro_rules! register {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Registered = $crate::Component<$plugin>;
    $crate::bindings::export_plugin!(Registered with_types_in $crate::bindings);
        };
    };
}
