//! Where the certificates of `spec.tls` are: the Secrets, and the folders of a container in which they are mounted.

/// The folder of the Secret `secretName`.
pub const MOUNT: &str = "/tls";
/// The folder of the Secret `caSecretName`.
pub const AUTHORITY_MOUNT: &str = "/tlsca";

/// The Secret that holds the certificate of the authority, and its folder. `authority` is `caSecretName`; empty means
/// that it is in the same Secret as the certificate.
#[must_use]
pub fn authority<'a>(secret: &'a str, authority: &'a str) -> (&'a str, &'static str) {
    if authority.is_empty() { (secret, MOUNT) } else { (authority, AUTHORITY_MOUNT) }
}

/// The path of a file in a mounted Secret; an absolute path is used as it is. A relative one is shortened, as in `./ca.crt`
/// and `a//b`, so that the same file has the same path in pods of the Zalando operator.
#[must_use]
pub fn path(mount: &str, file: &str) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    let mut parts: Vec<&str> = mount.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The key of the Secret's data that a file is: the reverse of [`path`]. None if the file is in another folder.
#[must_use]
pub fn key<'a>(mount: &str, file: &'a str) -> Option<&'a str> {
    let key = if file.starts_with('/') { file.strip_prefix(mount)?.strip_prefix('/')? } else { file };
    (!key.is_empty() && !key.contains('/')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_mounted_secret_is_a_key_of_its_data() {
        assert_eq!(authority("cert", ""), ("cert", "/tls"));
        assert_eq!(authority("cert", "ca"), ("ca", "/tlsca"));
        assert_eq!(path(MOUNT, "ca.crt"), "/tls/ca.crt");
        assert_eq!((path(MOUNT, "./ca//x.crt").as_str(), path(MOUNT, "../a").as_str()), ("/tls/ca/x.crt", "/a"));
        assert_eq!(path(MOUNT, "/etc/./ca.crt"), "/etc/./ca.crt");
        assert_eq!((key(MOUNT, "ca.crt"), key(MOUNT, "/tls/ca.crt")), (Some("ca.crt"), Some("ca.crt")));
        assert_eq!((key(MOUNT, "/tlsca/ca.crt"), key(MOUNT, "/etc/ca.crt"), key(MOUNT, "")), (None, None, None));
    }
}
