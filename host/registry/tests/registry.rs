//! Push, pull and signatures against a real registry, Debian's `docker-registry`, on the loopback interface.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

mod server;

use std::process::Command;

use pgloom_registry::{Client, Credentials, Error, PrivateKey, PublicKey, Reference, Settings};
use server::Server;

const PRIVATE: &str = include_str!("keys/private.pem");
const PUBLIC: &str = include_str!("keys/public.pem");
const OTHER: &str = include_str!("keys/other.pem");

/// A component that imports and exports nothing, with a custom section of this text.
fn component(text: &str) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let section = [&[1, b'x'], text.as_bytes()].concat();
    bytes.extend([0, u8::try_from(section.len()).unwrap()]);
    bytes.extend(section);
    bytes
}

fn client() -> Client {
    Client::new(Settings::new(1 << 20))
}

fn none() -> Credentials {
    Credentials::default()
}

fn reference(server: &Server, version: &str) -> Reference {
    format!("{}/example/plugin{version}", server.address).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_by_tag_and_by_digest_and_has_the_same_digest_each_time() {
    let server = Server::start();
    let (client, tagged) = (client(), reference(&server, ":1.0"));
    let digest = client.push(&tagged, &none(), component("a"), None).await.unwrap();
    assert_eq!(client.push(&tagged, &none(), component("a"), None).await.unwrap(), digest);
    for reference in
        [tagged.clone(), reference(&server, &format!("@{digest}")), tagged.clone().with_digest(digest.clone())]
    {
        let pulled = client.pull(&reference, &none(), &[]).await.unwrap();
        assert_eq!((pulled.component, pulled.digest), (component("a"), digest.clone()));
    }
    assert_eq!(client.resolve(&tagged, &none()).await.unwrap(), digest);
    let moved = client.push(&tagged, &none(), component("b"), None).await.unwrap();
    assert_ne!(moved, digest);
    assert_eq!(client.resolve(&tagged, &none()).await.unwrap(), moved);
    assert_eq!(client.pull(&tagged.with_digest(digest), &none(), &[]).await.unwrap().component, component("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_has_the_layout_of_the_cncf() {
    let server = Server::start();
    client().push(&reference(&server, ":1"), &none(), component("a"), None).await.unwrap();
    let manifest = server.get("/v2/example/plugin/manifests/1");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    let config = server.get(&format!("/v2/example/plugin/blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
    assert_eq!(config["component"], serde_json::json!({"exports": [], "imports": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named() {
    let server = Server::start();
    let error = client().pull(&reference(&server, ":absent"), &none(), &[]).await.unwrap_err();
    assert!(error.to_string().contains("has no manifest absent of example/plugin"), "{error}");
    let error = client().push(&reference(&server, ":1"), &none(), b"no component".to_vec(), None).await.unwrap_err();
    assert!(error.to_string().contains("the file is no component"), "{error}");
    let dead = "127.0.0.1:1/x:1".parse().unwrap();
    let error = client().pull(&dead, &none(), &[]).await.unwrap_err();
    assert!(error.to_string().starts_with("registry 127.0.0.1:1 cannot be reached: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_component_is_pulled_with_its_key_and_with_no_other() {
    let server = Server::start();
    let (client, tagged) = (client(), reference(&server, ":1"));
    let (key, other) = (PublicKey::read(PUBLIC).unwrap(), PublicKey::read(OTHER).unwrap());
    client.push(&tagged, &none(), component("a"), None).await.unwrap();
    let error = client.pull(&tagged, &none(), std::slice::from_ref(&key)).await.unwrap_err();
    assert!(matches!(error, Error::VerifyUnsigned { .. }) && error.is_verification(), "{error}");
    client.push(&tagged, &none(), component("a"), Some(&PrivateKey::read(PRIVATE).unwrap())).await.unwrap();
    let keys = [other.clone(), key];
    assert_eq!(client.pull(&tagged, &none(), &keys).await.unwrap().component, component("a"));
    let error = client.pull(&tagged, &none(), &[other]).await.unwrap_err();
    assert!(matches!(error, Error::VerifySignature { .. }), "{error}");
    assert!(error.to_string().starts_with("none of the 1 signatures of "), "{error}");
    // The signature of another component does not count.
    client.push(&tagged, &none(), component("b"), None).await.unwrap();
    assert!(client.pull(&tagged, &none(), &keys).await.unwrap_err().is_verification());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_in_the_registry_is_one_that_openssl_verifies() {
    let server = Server::start();
    let key = PrivateKey::read(PRIVATE).unwrap();
    let digest = client().push(&reference(&server, ":1"), &none(), component("a"), Some(&key)).await.unwrap();
    let manifest = server.get(&format!("/v2/example/plugin/manifests/sha256-{}.sig", digest.hex()));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    let payload = server.get(&format!("/v2/example/plugin/blobs/{}", layer["digest"].as_str().unwrap()));
    let statement: serde_json::Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(statement["critical"]["image"]["docker-manifest-digest"], digest.to_string());
    assert_eq!(statement["critical"]["type"], "cosign container image signature");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("payload"), payload).unwrap();
    std::fs::write(path("key"), PUBLIC).unwrap();
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    std::fs::write(path("signature.base64"), signature).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["base64", "-d", "-A", "-in", "signature.base64", "-out", "signature"]);
    run(&["dgst", "-sha256", "-verify", "key", "-signature", "signature", "payload"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_registry_with_tls_takes_the_credentials_and_no_message_has_them() {
    let server = Server::start_private();
    let tagged = reference(&server, ":1");
    let config = |password: &str| {
        let file = serde_json::json!({"auths": {&server.address: {"username": "pgloom", "password": password}}});
        Credentials::read(file.to_string().as_bytes()).unwrap()
    };
    let settings = Settings { authorities: Some(server.authority()), ..Settings::new(1 << 20) };
    let client = Client::new(settings.clone());
    let right = config(server::PASSWORD);
    client.push(&tagged, &right, component("a"), None).await.unwrap();
    assert_eq!(client.pull(&tagged, &right, &[]).await.unwrap().component, component("a"));
    let error = client.pull(&tagged, &none(), &[]).await.unwrap_err().to_string();
    assert!(error.contains("refuses access to example/plugin (401); there are no credentials for it"), "{error}");
    let error = client.pull(&tagged, &config("hunter2"), &[]).await.unwrap_err();
    assert!(error.to_string().contains("check the credentials for it"), "{error}");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    // Neither another authority nor plain HTTP reaches it.
    let other = Server::start_private();
    let stranger = Client::new(Settings { authorities: Some(other.authority()), ..settings });
    let error = stranger.pull(&tagged, &right, &[]).await.unwrap_err().to_string();
    assert!(error.contains("answers, but there is no TLS with it: invalid peer certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pulled_is_found_without_a_registry_and_verified_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { cache: Some(folder.path().join("pulled")), ..Settings::new(1 << 20) };
    let (key, other) = (PublicKey::read(PUBLIC).unwrap(), PublicKey::read(OTHER).unwrap());
    let server = Server::start();
    let tagged = reference(&server, ":1");
    let signing = PrivateKey::read(PRIVATE).unwrap();
    let digest = client().push(&tagged, &none(), component("a"), Some(&signing)).await.unwrap();
    let pinned = tagged.clone().with_digest(digest);
    Client::new(settings.clone()).pull(&pinned, &none(), std::slice::from_ref(&key)).await.unwrap();
    drop(server);
    let restarted = Client::new(settings);
    let pulled = restarted.pull(&pinned, &none(), &[key]).await.unwrap();
    assert_eq!(pulled.component, component("a"));
    let of_component = pgloom_registry::Digest::of(&component("a")).to_string();
    assert_eq!(restarted.cached(&of_component), Some(component("a")));
    assert!(restarted.pull(&pinned, &none(), &[other]).await.is_err());
    assert!(restarted.pull(&tagged, &none(), &[]).await.is_err(), "a tag is asked for");
}
