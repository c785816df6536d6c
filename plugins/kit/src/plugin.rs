//! The trait of plugins, its associated types, and `register!`, which makes a component of a plugin.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::contract::{self, HostInfo};
use crate::json::field::{Error, RawObject, Spec};
use crate::{Description, Request, Response, Result, invalid_config};

/// A plugin: a constant description, and a pure function from a request to a response.
pub trait Plugin: Sized {
    /// The fields of the manifest's `spec` that it reads: made by [`spec!`](crate::spec), or any type that serde reads.
    /// Other fields are ignored.
    type Spec: Spec;
    /// The keys of the operator configuration that it reads: a struct that derives `serde::Deserialize` (feature
    /// `typed`), or one made by [`operator_config!`](crate::operator_config) or by
    /// [`operator_config_groups!`](crate::operator_config_groups), or `()`.
    type Config: OperatorConfig;
    /// The step's configuration, or [`NoSettings`]. Its JSON Schema and its defaults are derived from the type.
    type Settings: Settings;

    /// The plugin's name, its triggers, and the permissions that it asks for. The host reads them once, so the result
    /// has to be constant.
    fn describe() -> Description;

    /// The description for one host. A plugin that needs a version or a feature of the host checks it here.
    ///
    /// # Errors
    /// A sentence on why the plugin cannot run on this host, which then refuses to load it.
    fn describe_for(host: &HostInfo) -> Result<Description, String> {
        let _ = host;
        Ok(Self::describe())
    }

    /// The partial objects, actions and findings for one cluster.
    ///
    /// # Errors
    /// See [`crate::invalid`], [`crate::invalid_config`] and [`crate::internal`].
    fn mutate(request: &Request<Self>) -> Result<Response>;
}

/// Keys of the operator configuration as a type. It is the only place that says which keys a plugin reads.
pub trait OperatorConfig: Sized {
    /// The keys, for the description; the host sends no others.
    fn keys() -> Vec<&'static str>;

    /// Takes the keys from the flat object that the host sends.
    ///
    /// # Errors
    /// If a key is missing or has another type. The host fills in defaults, so this is a mistake in the plugin.
    fn pick(config: &RawObject<'_>) -> Result<Self, Error>;

    /// Reads the keys from the text of that object.
    ///
    /// # Errors
    /// As [`pick`](Self::pick), or if it is no JSON.
    fn read(json: &str) -> Result<Self> {
        Self::pick(&RawObject::of(json)).map_err(|error| invalid_config(format!("the operator configuration: {error}")))
    }
}

// With `typed`, `()` is one of the types that serde reads.
#[cfg(not(feature = "typed"))]
impl OperatorConfig for () {
    fn keys() -> Vec<&'static str> {
        Vec::new()
    }

    fn pick(_config: &RawObject<'_>) -> Result<Self, Error> {
        Ok(())
    }

    fn read(_json: &str) -> Result<Self> {
        Ok(())
    }
}

/// Defines a struct of operator configuration keys: the name of a field is the key. A key that has no default needs an
/// `Option`.
#[macro_export]
macro_rules! operator_config {
    (
        $(#[$outer:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$inner:meta])* $field_visibility:vis $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $crate::fields! {
            $(#[$outer])*
            $visibility struct $name {
                $( $(#[$inner])* $field_visibility $field: $type = stringify!($field), )*
            }
        }

        impl $crate::OperatorConfig for $name {
            fn keys() -> Vec<&'static str> {
                vec![$( stringify!($field) ),*]
            }

            fn pick(
                config: &$crate::json::field::RawObject<'_>,
            ) -> ::std::result::Result<Self, $crate::json::field::Error> {
                Self::take_fields($crate::json::field::Reader::of_raw(config))
            }
        }
    };
}

/// Defines a struct of groups of operator configuration keys, each made by
/// [`operator_config!`](crate::operator_config).
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

            fn pick(
                config: &$crate::json::field::RawObject<'_>,
            ) -> ::std::result::Result<Self, $crate::json::field::Error> {
                Ok(Self { $( $field: <$type as $crate::OperatorConfig>::pick(config)?, )* })
            }
        }
    };
}

/// A step's configuration: any type that serde reads and writes, that has a JSON Schema and defaults; or
/// [`NoSettings`].
pub trait Settings: Sized {
    /// Reads what the host sends: defaults filled in, valid by the schema.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(json: &str) -> Result<Self>;

    /// The JSON Schema.
    fn schema() -> String;

    /// A configuration that the schema accepts: the defaults.
    fn example() -> String;
}

impl<T: DeserializeOwned + Serialize + JsonSchema + Default> Settings for T {
    fn read(json: &str) -> Result<Self> {
        serde_json::from_str(json)
            .map_err(|error| invalid_config(format!("the step's configuration cannot be read: {error}")))
    }

    fn schema() -> String {
        serde_json::to_string(&schemars::schema_for!(T)).unwrap_or_default()
    }

    fn example() -> String {
        serde_json::to_string(&T::default()).unwrap_or_default()
    }
}

/// For a plugin whose step has no configuration. Such a component has no schema generator, which would be most of its
/// size.
pub struct NoSettings;

impl Settings for NoSettings {
    fn read(_json: &str) -> Result<Self> {
        Ok(Self)
    }

    fn schema() -> String {
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false}"#
            .to_owned()
    }

    fn example() -> String {
        "{}".to_owned()
    }
}

/// Implements the contract's exports for a plugin. [`register!`](crate::register) uses it.
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> contract::Guest for Component<P> {
    fn describe(host: HostInfo) -> Result<contract::Description, String> {
        #[cfg(target_arch = "wasm32")]
        crate::log::report_panics();
        P::describe_for(&host).map(Description::build)
    }

    fn mutate(request: contract::Request) -> Result<contract::Response> {
        #[cfg(target_arch = "wasm32")]
        crate::log::report_panics();
        let request = Request::<P>::read(request)?;
        let answer = P::mutate(&request);
        leave(request);
        Ok(answer?.build())
    }
}

/// Ends the use of a value. A component does not drop it: all memory is dropped at once after the call, and to walk
/// through a tree of values only for that takes time.
pub(crate) fn leave<T>(value: T) {
    if cfg!(target_arch = "wasm32") {
        std::mem::forget(value);
    }
}

/// Makes the crate's component export this plugin. Use it once in a crate.
///
/// With the feature `small` it also installs the kit's allocator, on `wasm32-unknown-unknown`. Other targets have a C
/// library, with its own allocator.
#[macro_export]
macro_rules! register {
    ($plugin:ty) => {
        $crate::install_allocator!();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Registered = $crate::Component<$plugin>;
    $crate::bindings::export_plugin!(Registered with_types_in $crate::bindings);
        };
    };
}

/// Installs the kit's allocator.
// A macro for each set of features: a macro's `cfg` would ask for the features of the crate that uses it.
#[doc(hidden)]
#[cfg(feature = "small")]
#[macro_export]
macro_rules! install_allocator {
    () => {
        #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
        const _: () = {
            #[global_allocator]
            static ALLOCATOR: $crate::allocator::Allocator = $crate::allocator::Allocator::new();
        };
    };
}

/// Keeps the allocator of the standard library.
#[doc(hidden)]
#[cfg(not(feature = "small"))]
#[macro_export]
macro_rules! install_allocator {
    () => {};
}
