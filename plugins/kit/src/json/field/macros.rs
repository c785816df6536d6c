//! `fields!` and `spec!`: structs whose fields name their keys.

/// Defines a struct of fields of a JSON object: each names its key. The struct implements
/// [`Field`](crate::json::field::Field).
#[macro_export]
macro_rules! fields {
    (
        $(#[$outer:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$inner:meta])* $field_visibility:vis $field:ident : $type:ty = $key:expr ),* $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Default)]
        $visibility struct $name {
            $( $(#[$inner])* $field_visibility $field: $type, )*
        }

        impl $name {
            #[doc(hidden)]
            #[allow(unused_mut, reason = "a struct may have no fields")]
            pub fn take_fields(mut reader: $crate::json::field::Reader<'_>)
                -> ::std::result::Result<Self, $crate::json::field::Error>
            {
                let whole = Self { $( $field: reader.take($key), )* };
                reader.finish(whole)
            }
        }

        impl $crate::json::field::Field for $name {
            const EXPECTED: &'static str = "an object";

            fn take(value: &$crate::Value) -> ::std::result::Result<Self, $crate::json::field::Error> {
                Self::take_fields($crate::json::field::Reader::of(value))
            }

            fn read(text: &str) -> ::std::result::Result<Self, $crate::json::field::Error> {
                Self::take_fields($crate::json::field::Reader::of_raw(&$crate::json::field::RawObject::of(text)))
            }
        }
    };
}

/// Defines the struct of the fields of `spec` that a plugin reads, as [`fields!`](crate::fields) does.
#[macro_export]
macro_rules! spec {
    ($(#[$outer:meta])* $visibility:vis struct $name:ident $fields:tt) => {
        $crate::fields! { $(#[$outer])* $visibility struct $name $fields }

        impl $crate::json::field::Spec for $name {
            fn read(
                _whole: &str,
                fields: &$crate::json::field::RawObject<'_>,
            ) -> ::std::result::Result<Self, $crate::json::field::Error> {
                Self::take_fields($crate::json::field::Reader::of_raw(fields))
            }
        }
    };
}

/// Implements serde's `Deserialize` for a struct of [`fields!`](crate::fields), for use in types that serde reads.
macro_rules! by_serde {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::json::field::Field>::take(&value).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use by_serde;
