//! A certificate authority for tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// An authority. Its files are replaced by the next authority of the same name.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Creates an authority with a new key.
    pub fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt";
        openssl(&folder, request);
        Self { folder }
    }

    /// The authority's certificate, in PEM.
    pub fn certificate(&self) -> String {
        self.read("ca.crt")
    }

    /// A Secret with a certificate for these names, its key, and the authority's certificate.
    pub fn secret(&self, name: &str, names: &[&str]) -> Value {
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        std::fs::write(self.folder.join("names"), format!("subjectAltName={}", names.join(","))).unwrap();
        openssl(&self.folder, "req -newkey rsa:2048 -nodes -subj /CN=database -keyout tls.key -out request");
        let sign = "x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out tls.crt";
        openssl(&self.folder, sign);
        let data =
            ["tls.crt", "tls.key", "ca.crt"].map(|file| (file.to_owned(), STANDARD.encode(self.read(file)).into()));
        let data: serde_json::Map<String, Value> = data.into_iter().collect();
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap()
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
