//! A `docker-registry` of its own for a test, with a folder that is removed. Other crates' tests include this file.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The password of the user `pgloom` of a private registry, and the line for it in its file.
pub const PASSWORD: &str = "correct-horse";
const LINE: &str = "pgloom:$2b$04$cMbSXuNWBTg/ksYJMhNM7u.43yxAgXS5Ha.mwi2POFl08yqoihySa\n";

/// A registry on the loopback interface.
pub struct Server {
    /// As in `127.0.0.1:5000`.
    pub address: String,
    folder: TempDir,
    process: Child,
}

impl Server {
    /// A registry by plain HTTP, for everyone.
    pub fn start() -> Self {
        Self::with("")
    }

    /// A registry with TLS, by an authority of its own, and a password.
    pub fn start_private() -> Self {
        Self::with("private")
    }

    fn with(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        // Free until the registry takes it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut config = serde_json::json!({
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": path("data")}},
            "http": {"addr": address},
        });
        if kind == "private" {
            certificates(&folder);
            std::fs::write(path("htpasswd"), LINE).unwrap();
            config["http"]["tls"] = serde_json::json!({"certificate": path("tls.crt"), "key": path("tls.key")});
            config["auth"] = serde_json::json!({"htpasswd": {"realm": "registry", "path": path("htpasswd")}});
        }
        std::fs::write(path("config.yml"), config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.args(["serve", &path("config.yml")]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("docker-registry is missing; run hack/install docker-registry");
        let server = Self { address, folder, process };
        server.wait();
        server
    }

    /// The file with the certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The text of an answer, by plain HTTP.
    pub fn get(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json";
        write!(stream, "GET {path} HTTP/1.0\r\nAccept: {accept}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn wait(&self) {
        let begin = Instant::now();
        while std::net::TcpStream::connect(&self.address).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(30), "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Server {
    /// Ends the registry; its folder stays.
    pub fn stop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An authority, and a certificate of it for the loopback address.
fn certificates(folder: &TempDir) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -subj /CN=authority -days 2 -keyout ca.key -out ca.crt"));
    openssl(&format!("req {key} -subj /CN=registry -keyout tls.key -out request"));
    std::fs::write(folder.path().join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
    openssl("x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out tls.crt");
}
