//! Answers that a registry in good health does not give: each gets a sentence, and has limits of bytes and time.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgloom_registry::{Client, Credentials, Digest, Reference, Settings};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRET: &str = "hunter2";

/// A server that answers each request by its first line, and records the requests.
async fn serve(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (seen, answer, own) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer), address.clone());
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (requests, answer, own) = (Arc::clone(&requests), Arc::clone(&answer), own.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read_buf(&mut request).await {
                        Ok(read) if read > 0 => {}
                        _ => return,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                requests.lock().unwrap().push(request.clone());
                let line = request.lines().next().unwrap_or_default().to_owned();
                let bytes = answer(&line, &own);
                // An answer without a length goes on until the client has enough.
                let is_endless = bytes.ends_with(b"ENDLESS");
                if stream.write_all(&bytes).await.is_ok() && is_endless {
                    while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                }
                if bytes.ends_with(b"SLOW") {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                }
            });
        }
    });
    (address, seen)
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn manifest(component: &[u8], size: usize) -> String {
    json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": Digest::of(b"{}").to_string(), "size": 2},
        "layers": [{"mediaType": "application/wasm", "digest": Digest::of(component).to_string(), "size": size}],
    })
    .to_string()
}

/// The error of a pull of tag 1 from this server.
async fn error(address: &str) -> String {
    let reference: Reference = format!("{address}/a/b:1").parse().unwrap();
    let settings = Settings { time: Duration::from_secs(2), ..Settings::new(1000) };
    let config = json!({"auths": {address: {"username": "u", "password": SECRET}}}).to_string();
    let credentials = Credentials::read(config.as_bytes()).unwrap();
    let error = Client::new(settings).pull(&reference, &credentials, &[]).await.unwrap_err();
    let text = format!("{error:?} {error}");
    assert!(!text.contains(SECRET) && !text.contains("dTpodW50ZXIy"), "a credential is in {text}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_gets_a_sentence() {
    type Answer = fn(&str, &str) -> Vec<u8>;
    let cases: [(&str, Answer, &str); 20] = [
        (
            "a page",
            |_, _| answer("200 OK", "content-type: text/html\r\n", "<html>Log in</html>"),
            "may be a login page",
        ),
        ("no HTTP", |_, _| b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "answers, but not as a registry does: "),
        (
            "an answer that breaks off",
            |_, _| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec(),
            "answers, but not as a registry does: ",
        ),
        ("no service", |_, _| answer("503 Service Unavailable", "", "<html>"), "with status 503; try it again later"),
        ("a bad request", |_, _| answer("400 Bad Request", "", "<html>"), "with status 400; check the reference"),
        (
            "a huge manifest",
            |_, _| answer("200 OK", "", &"x".repeat(300 << 10)),
            "sent more than 262144 bytes for manifest 1 of a/b",
        ),
        ("an endless manifest", |_, _| b"HTTP/1.1 200 OK\r\n\r\nENDLESS".to_vec(), "sent more than 262144 bytes"),
        (
            "a slow manifest",
            |_, _| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nSLOW".to_vec(),
            "did not send or take all within 2 s; raise --registry-time",
        ),
        (
            "a large component",
            |_, _| answer("200 OK", "", &manifest(b"x", 1001)),
            "sent more than 1000 bytes for the component",
        ),
        (
            "another component",
            |line, _| match line.contains("/blobs/") {
                true => answer("200 OK", "", "y"),
                false => answer("200 OK", "", &manifest(b"x", 1)),
            },
            "sent a component with digest",
        ),
        (
            "a longer component",
            |line, _| match line.contains("/blobs/") {
                true => answer("200 OK", "", "xx"),
                false => answer("200 OK", "", &manifest(b"x", 1)),
            },
            "sent more than 1 bytes for the component",
        ),
        (
            "401 for ever",
            |_, _| answer("401 Unauthorized", "www-authenticate: Basic realm=\"x\"\r\n", ""),
            "(401); check the credentials",
        ),
        (
            "401 by the server of tokens",
            |line, own| match line.contains("/token") {
                true => answer("401 Unauthorized", "", ""),
                false => answer(
                    "401 Unauthorized",
                    &format!("www-authenticate: Bearer realm=\"http://{own}/token\"\r\n"),
                    "",
                ),
            },
            "(401); check the credentials",
        ),
        (
            "an unknown challenge",
            |_, _| answer("401 Unauthorized", "www-authenticate: Negotiate\r\n", ""),
            "Basic and Bearer are",
        ),
        ("401 without a challenge", |_, _| answer("401 Unauthorized", "", ""), "in a way that is not known here"),
        ("a redirection to nowhere", |_, _| answer("302 Found", "", ""), "redirects a request to no address"),
        ("429 for ever", |_, _| answer("429 Too Many Requests", "", ""), "limits requests (429); try it again later"),
        (
            "429",
            |_, _| answer("429 Too Many Requests", "retry-after: 30\r\n", ""),
            "limits requests (429); it asks to wait 30 s",
        ),
        (
            "a redirection to itself",
            |_, own| answer("307 Temporary Redirect", &format!("location: http://{own}/v2/\r\n"), ""),
            "redirects a request again and again",
        ),
        (
            "an error with a credential",
            |line, _| {
                let body =
                    json!({"errors": [{"code": "UNKNOWN", "message": format!("Basic dTpodW50ZXIy {SECRET} {line}")}]});
                answer("500 Internal Server Error", "", &body.to_string())
            },
            "with status 500 (UNKNOWN)",
        ),
    ];
    for (name, behaviour, sentence) in cases {
        let (address, _) = serve(behaviour).await;
        let error = error(&address).await;
        assert!(error.contains(sentence), "{name}: {error}");
        assert!(error.contains("; "), "{name}: there is no remedy: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_answer_to_a_push_gets_a_sentence() {
    type Answer = fn(&str) -> Vec<u8>;
    let begun = "location: /v2/a/b/uploads/1\r\n";
    let cases: [(&str, Answer, &str); 6] = [
        ("no repository", |_| answer("404 Not Found", "", ""), "has no place for blob sha256:"),
        ("no pushes", |_| answer("405 Method Not Allowed", "", ""), "whether it is a registry that takes pushes"),
        ("no address", |_| answer("202 Accepted", "", ""), "redirects a request for an upload to no address; "),
        (
            "another host",
            |_| answer("202 Accepted", "location: http://example.com/1\r\n", ""),
            "redirects a request for an upload to another host; ",
        ),
        ("too large", |_| answer("413 Content Too Large", "", ""), "make the component smaller"),
        ("a full disk", |_| answer("507 Insufficient Storage", "", ""), "with status 507; try it again later"),
    ];
    for (name, behaviour, sentence) in cases {
        let (address, _) = serve(move |line, _| match line {
            line if line.starts_with("HEAD ") => answer("404 Not Found", "", ""),
            line if line.starts_with("POST ") && name == "too large" => answer("202 Accepted", begun, ""),
            line => behaviour(line),
        })
        .await;
        let reference: Reference = format!("{address}/a/b:1").parse().unwrap();
        let component = b"\0asm\x0d\0\x01\0".to_vec();
        let client = Client::new(Settings::new(1000));
        let error = client.push(&reference, &Credentials::default(), component, None).await.unwrap_err().to_string();
        assert!(error.contains(sentence) && error.contains("; "), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_that_is_asked_by_tls_is_told_from_one_that_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            _ = stream.read(&mut [0; 1024]).await;
            _ = stream.write_all(&answer("400 Bad Request", "", "")).await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    // An authority makes the client ask by TLS on the loopback interface, too.
    std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=authority",
        ])
        .args(["-keyout", "/dev/null", "-out", file.to_str().unwrap()])
        .output()
        .unwrap();
    let client = Client::new(Settings { authorities: Some(file), ..Settings::new(1000) });
    for (address, sentence) in [
        (&*address, "answers, but there is no TLS with it: "),
        ("127.0.0.1:1", "registry 127.0.0.1:1 cannot be reached: "),
    ] {
        let reference: Reference = format!("{address}/a/b:1").parse().unwrap();
        let error = client.pull(&reference, &Credentials::default(), &[]).await.unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_gets_no_credentials_and_leads_to_no_plain_http_elsewhere() {
    let (storage, seen) = serve(|_, _| answer("200 OK", "", "component")).await;
    let behaviour = move |line: &str, _: &str| {
        if line.contains("/blobs/") {
            answer("307 Temporary Redirect", &format!("location: http://{storage}/signed?key=1\r\n"), "")
        } else if line.contains("/token") {
            answer("200 OK", "", r#"{"token": "abc"}"#)
        } else {
            answer("200 OK", "", &manifest(b"component", 9))
        }
    };
    let (address, asked) = serve(behaviour).await;
    let reference: Reference = format!("{address}/a/b:1").parse().unwrap();
    let pulled = Client::new(Settings::new(1000)).pull(&reference, &Credentials::default(), &[]).await.unwrap();
    assert_eq!(pulled.component, b"component");
    let requests = seen.lock().unwrap().join("\n").to_lowercase();
    assert!(requests.contains("get /signed?key=1") && !requests.contains("authorization"), "{requests}");
    assert_eq!(asked.lock().unwrap().len(), 2);
    let outside =
        |_: &str, _: &str| answer("302 Found", "location: http://u:hunter2@example.com/?token=hunter2\r\n", "");
    let (address, _) = serve(outside).await;
    let error = error(&address).await;
    assert!(error.contains("to \"example.com\" without TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_with_the_scope_of_the_repository_whatever_the_challenge_says() {
    let challenge =
        "www-authenticate: Bearer realm=\"http://OWN/token\",service=\"s\",scope=\"repository:other:push\"\r\n";
    let (address, seen) = serve(move |line, own| {
        if line.contains("/token") {
            answer("200 OK", "", r#"{"token": "abc"}"#)
        } else {
            answer("401 Unauthorized", &challenge.replace("OWN", own), "")
        }
    })
    .await;
    let error = error(&address).await;
    assert!(error.contains("refuses access to a/b (401)"), "{error}");
    let requests = seen.lock().unwrap().clone();
    assert_eq!(requests.len(), 3, "one token, one more try");
    assert!(requests[1].starts_with("GET /token?scope=repository%3Aa%2Fb%3Apull&service=s "), "{}", requests[1]);
    assert!(requests[2].contains("authorization: Bearer abc"), "{}", requests[2]);
}
