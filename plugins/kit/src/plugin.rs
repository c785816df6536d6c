//! What a plugin is, and how it becomes a component.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::contract;
use crate::field::{Spec, Text, Wrong};
use crate::{Description, Request, Response, Result, invalid_config};

/// A plugin: constant facts about itself, and a pure function from a request to a response.
pub trait Plugin: Sized {
    /// The fields of the manifest's `spec` that it reads; made by [`spec!`](crate::spec), or any type that serde reads. Fields
    /// that it does not name are ignored.
    type Spec: Spec;
    /// The keys of the operator configuration that it reads; made by [`operator_config!`](crate::operator_config), or a pair of such.
    type Config: OperatorConfig;
    /// The step's configuration. Its JSON Schema and its defaults are derived from the type.
    type Settings: Settings;

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
    fn pick(config: &Text<'_>) -> Result<Self, Wrong>;

    /// Reads the keys from the text of that object.
    ///
    /// # Errors
    /// As [`pick`](Self::pick), or if it is no JSON.
    fn read(json: &str) -> Result<Self> {
        Self::pick(&Text::of(json))
            .map_err(|wrong| invalid_config(["the operator configuration: ", &wrong.to_string()].concat()))
    }
}

impl OperatorConfig for () {
    fn keys() -> Vec<&'static str> {
        Vec::new()
    }

    fn pick(_config: &Text<'_>) -> Result<Self, Wrong> {
        Ok(())
    }

    fn read(_json: &str) -> Result<Self> {
        Ok(())
    }
}

/// Two groups of keys, as in `(Config, Metadata)`.
impl<A: OperatorConfig, B: OperatorConfig> OperatorConfig for (A, B) {
    fn keys() -> Vec<&'static str> {
        [A::keys(), B::keys()].concat()
    }

    fn pick(config: &Text<'_>) -> Result<Self, Wrong> {
        Ok((A::pick(config)?, B::pick(config)?))
    }
}

/// Defines a struct of operator configuration keys: the field's name is the key. A key without a default in the operator
/// configuration has an optional type.
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

            fn pick(config: &$crate::field::Text<'_>) -> ::std::result::Result<Self, $crate::field::Wrong> {
                Self::take_fields($crate::field::Reader::of_text(config))
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

            fn pick(config: &$crate::field::Text<'_>) -> ::std::result::Result<Self, $crate::field::Wrong> {
                Ok(Self { $( $field: <$type as $crate::OperatorConfig>::pick(config)?, )* })
            }
        }
    };
}

/// A step's configuration: any type that serde reads and writes, that has a JSON Schema and defaults; or [`NoSettings`].
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
            .map_err(|error| invalid_config(["the step's configuration cannot be read: ", &error.to_string()].concat()))
    }

    fn schema() -> String {
        serde_json::to_string(&schemars::schema_for!(T)).unwrap_or_default()
    }

    fn example() -> String {
        serde_json::to_string(&T::default()).unwrap_or_default()
    }
}

/// For a plugin whose step has nothing to configure. It does without a schema generator, which would be most of a small plugin.
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
            #[global_allocator]
            static HEAP: $crate::heap::Heap = $crate::heap::Heap::new();
    $crate::bindings::export_plugin!(Registered with_types_in $crate::bindings);
        };
    };
}
