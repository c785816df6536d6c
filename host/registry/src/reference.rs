//! References to components in registries, as in `ghcr.io/example/tls:0.1.0` or `ghcr.io/example/tls@sha256:9f86…`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::Error;

/// A registry, a repository in it, and a tag or a digest or both. With both, the digest says what is pulled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry, as in `ghcr.io` or `localhost:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository, as in `example/tls`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same with this digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// What a manifest is asked for by: the digest, or else the tag.
    pub(crate) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_default(),
        }
    }

    /// The host and port that requests go to: Docker Hub has another one than its name.
    pub(crate) fn authority(&self) -> &str {
        match self.host.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        }
    }
}

/// Whether a host, with or without a port, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(formatter, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(formatter, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A reference has a slash before its digest; a user and a password have none.
        let without_scheme = text.rsplit("://").next().unwrap_or_default();
        if let Some((user, rest)) = without_scheme.split_once('@')
            && !user.contains('/')
        {
            let reason =
                "credentials do not belong in a reference; give them as docker login does, or by imagePullSecrets";
            return Err(Error::Reference { text: rest.chars().take(300).collect(), reason });
        }
        parse(text).map_err(|reason| Error::Reference { text: text.chars().take(300).collect(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.contains("://") {
        return Err("leave out the scheme, as in ghcr.io/example/tls:0.1.0");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => {
            (name, Some(digest.parse().map_err(|()| "the digest is not sha256: and 64 hexadecimal digits")?))
        }
        None => (text, None),
    };
    let (host, rest) = name.split_once('/').ok_or("begin with the registry, as in ghcr.io/example/tls:0.1.0")?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if !(host == "localhost" || host.contains(['.', ':'])) || !host.bytes().all(is_host) || host.len() > 255 {
        return Err("begin with the registry, as in ghcr.io/example/tls:0.1.0");
    }
    if host.parse::<http::uri::Authority>().is_err() {
        return Err("the registry is no host and port");
    }
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    let is_part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        part.bytes().all(inner) && edge(part.bytes().next()) && edge(part.bytes().last()) && !part.contains("..")
    };
    if !repository.split('/').all(is_part) || repository.len() > 255 {
        return Err("the repository has small letters, digits, and . _ - between them");
    }
    let is_tag = |tag: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=128).contains(&tag.len()) && tag.bytes().all(inner) && !tag.starts_with(['.', '-'])
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag has letters, digits, and . _ - after the first one");
    }
    if tag.is_none() && digest.is_none() {
        return Err("add a tag or a digest, as in ghcr.io/example/tls:0.1.0");
    }
    let (repository, tag) = (repository.to_owned(), tag.map(str::to_owned));
    let repository = match host == "docker.io" && !repository.contains('/') {
        true => format!("library/{repository}"),
        false => repository,
    };
    Ok(Reference { host: host.to_owned(), repository, tag, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_registry_a_repository_and_a_tag_or_a_digest() {
        let digest = format!("sha256:{:064}", 1);
        for text in [
            "ghcr.io/example/tls:0.1.0",
            "localhost:5000/tls:latest",
            "[::1]:5000/tls:latest",
            &format!("127.0.0.1:1/a/b_c/d-e@{digest}"),
            &format!("ghcr.io/example/tls:0.1.0@{digest}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reference_gets_a_sentence() {
        for (text, reason) in [
            ("tls:0.1.0", "begin with the registry"),
            ("example/tls:0.1.0", "begin with the registry"),
            ("https://ghcr.io/example/tls:0.1.0", "leave out the scheme"),
            ("ghcr.io/example/tls", "add a tag or a digest"),
            ("ghcr.io/example/TLS:1", "small letters"),
            ("ghcr.io/../tls:1", "small letters"),
            ("ghcr.io/a?b/tls:1", "small letters"),
            ("ghcr.io/tls:a/b", "the tag has"),
            ("ghcr.io/tls@sha256:12", "64 hexadecimal digits"),
            ("user:password@ghcr.io/tls:1", "credentials do not belong in a reference"),
            ("https://user:password@ghcr.io/tls:1", "credentials do not belong in a reference"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("password"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        assert!(
            ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.0.1", "[::1]:5000"]
                .map(is_loopback)
                .iter()
                .all(|is| *is)
        );
        assert!(
            !["localhost.example.com", "128.0.0.1", "127.0.0.1.example.com:80", "ghcr.io"]
                .map(is_loopback)
                .iter()
                .any(|is| *is)
        );
    }
}
