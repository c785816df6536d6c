//! Parses the path and the query of a request.

use std::collections::HashMap;

/// The parts of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The collection without its namespace, as in `apps/v1/statefulsets` or `v1/pods`.
    pub collection: String,
    /// The namespace; empty for all of them.
    pub namespace: String,
    /// The name of the object; `None` for a collection.
    pub name: Option<String>,
    /// The path after the name, as in `status` or `proxy/config`.
    pub part: Option<String>,
}

impl Place {
    /// Reads a path, as in `/api/v1/namespaces/ns/pods/c-0:8008/proxy/config`; `None` if it names no collection.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ((*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, rest) = rest.split_first()?;
        let name = rest.first().map(|name| name.split_once(':').map_or(*name, |(name, _)| name).to_owned());
        let part = rest.get(1..).filter(|part| !part.is_empty()).map(|part| part.join("/"));
        Some(Self { collection: format!("{group}/{plural}"), namespace: namespace.to_owned(), name, part })
    }
}

/// The parameters of a query.
#[must_use]
pub fn parameters(query: &str) -> HashMap<String, String> {
    pairs(query).collect()
}

/// The parameters of a query in their order; one may be there more than once.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), decoded(value)))
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().replace('+', " ");
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(code.map_or('%', char::from));
        decoded.push_str(part.get(2..).unwrap_or_default());
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_collection_an_object_or_a_part_of_it() {
        let of = |path: &str| {
            let place = Place::of(path).unwrap();
            (place.collection, place.namespace, place.name.unwrap_or_default(), place.part.unwrap_or_default())
        };
        let is = |a: &str, b: &str, c: &str, d: &str| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned());
        assert_eq!(of("/api/v1/pods"), is("v1/pods", "", "", ""));
        assert_eq!(of("/api/v1/namespaces/ns"), is("v1/namespaces", "", "ns", ""));
        assert_eq!(of("/apis/apps/v1/namespaces/ns/statefulsets/c"), is("apps/v1/statefulsets", "ns", "c", ""));
        assert_eq!(of("/api/v1/namespaces/ns/pods/c-0:8008/proxy/config"), is("v1/pods", "ns", "c-0", "proxy/config"));
        assert_eq!(Place::of("/version"), None);
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameters("labelSelector=a%3Db%2Cc&limit=5")["labelSelector"], "a=b,c");
    }
}
