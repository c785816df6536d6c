//! `pgloom plugin config-map`: components as a ConfigMap, for clusters without a registry.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pgloom_operator::args::ComponentLimits;

use crate::usage::{namespace, object_name};

/// The most bytes in all keys of a ConfigMap: the API server refuses more. It counts them without base64.
const MAX_CONFIG_MAP: usize = 1 << 20;

/// The flags of `pgloom plugin config-map`.
#[derive(Args)]
#[command(after_help = "\
Example:
  pgloom plugin config-map motto.wasm --name plugins | kubectl apply --server-side --filename -

Without --server-side kubectl copies the whole object into an annotation, which has at most 256 KiB. docs/shipping.md says how
the operator's pod gets the files.

Exit codes: 0 printed; 1 not, as of a component that is too large for a ConfigMap; 2 invalid command line")]
pub struct Arguments {
    /// The name of the ConfigMap
    #[arg(long, value_name = "NAME", default_value = "plugins", value_parser = object_name)]
    name: String,
    /// Its namespace: the operator's
    #[arg(long, short, value_name = "NAME", default_value = crate::live::OPERATOR_NAMESPACE, value_parser = namespace)]
    namespace: String,
    #[command(flatten)]
    limits: ComponentLimits,
    /// Components; the name of a file is the key
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Prints the ConfigMap.
pub fn print(arguments: &Arguments) -> Result<()> {
    let mut components = BTreeMap::new();
    for path in &arguments.files {
        let bytes = super::component(path, &arguments.limits)?;
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_key(name));
        let name = name.with_context(|| {
            let place = path.display();
            format!("{place}: has no name that can be a key; rename it: letters, digits, '-', '_' and '.', at most 253")
        })?;
        if components.insert(name.to_owned(), ByteString(bytes)).is_some() {
            bail!("{}: another component has the same file name; rename one", path.display());
        }
    }
    let size: usize = components.values().map(|bytes| bytes.0.len()).sum();
    if size > MAX_CONFIG_MAP {
        bail!(
            "the components have {size} bytes, and a ConfigMap at most {MAX_CONFIG_MAP}: push them to a registry with \
             `pgloom plugin push`, or make them smaller (plugins/kit/README.md, \"Small components\")"
        );
    }
    let Arguments { name, namespace, .. } = arguments;
    let metadata = ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.clone()), ..ObjectMeta::default() };
    let map = ConfigMap { metadata, binary_data: Some(components), ..ConfigMap::default() };
    crate::output::print(&pgloom_api::document::write(&map)?)
}

/// Whether a text can be a key of a ConfigMap, see
/// [its rule](https://kubernetes.io/docs/concepts/configuration/configmap/#configmap-object).
fn is_key(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(fits) && text != "." && !text.starts_with("..")
}
