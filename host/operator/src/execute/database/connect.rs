//! Connections to a database: a stream to its port, and TLS over the stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;

/// PostgreSQL's port.
const PORT: u16 = 5432;

/// A stream to a database's port.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A boxed stream. A new type, because with a plain box the futures that hold it would not be `Send`.
pub struct BoxStream(Box<dyn Stream>);

impl BoxStream {
    /// Boxes a stream.
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self(Box::new(stream))
    }
}

impl AsyncRead for BoxStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for BoxStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Opens streams to a database's port, one for every database whose content is synchronised.
pub trait Connect: Send + Sync {
    /// Opens a stream.
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxStream>>;
}

/// A direct TCP connection, by host and port.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Tcp {
    /// The connection to the leader of a cluster, by its Service.
    #[must_use]
    pub fn to_leader(cluster: &str, namespace: &str, cluster_domain: &str) -> Self {
        Self { host: format!("{cluster}.{namespace}.svc.{cluster_domain}"), port: PORT }
    }
}

impl Connect for Tcp {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok(BoxStream::new(stream))
        }
        .boxed()
    }
}

/// A port-forward through the API server to a pod, for an operator outside the cluster's network.
#[derive(Clone)]
pub struct PortForward {
    /// The pods of the cluster's namespace.
    pub pods: Api<Pod>,
    /// The leader's pod.
    pub pod: String,
}

impl Connect for PortForward {
    fn connect(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        async {
            let forward = self.pods.portforward(&self.pod, &[PORT]).await;
            let stream = forward.map_err(io::Error::other)?.take_stream(PORT);
            let stream = stream.ok_or_else(|| io::Error::other("the API server opened no port"))?;
            Ok(BoxStream::new(stream))
        }
        .boxed()
    }
}

/// The TLS settings of connections. There are no unencrypted connections.
#[derive(Clone)]
pub struct Tls {
    pub(super) connector: MakeRustlsConnect,
    /// Whether the server's certificate is verified by an authority.
    pub(super) verified: bool,
}

impl Tls {
    /// TLS with the certificates of an authority (PEM). Without them any certificate is accepted, because by default
    /// the database generates its own, and the log-in proves the identity of the server. The name in the certificate is
    /// not compared.
    ///
    /// # Errors
    /// If the authority's certificates cannot be read.
    pub fn new(authority: Option<&[u8]>) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let authority = authority.map(Authority::read).transpose()?;
        let verified = authority.is_some();
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Authority(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { provider, authority }))
            .with_no_client_auth();
        Ok(Self { connector: MakeRustlsConnect::new(config), verified })
    }
}

/// The trusted certificates.
#[derive(Debug)]
struct Authority {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Authority {
    fn read(pem: &[u8]) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Authority(error.to_string());
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| failed(&error))?;
        }
        if roots.is_empty() {
            return Err(failed(&"there is no certificate in it"));
        }
        Ok(Self { roots, certificates })
    }
}

/// Checks the chain if there is an authority, and in any case that the server has the private key of its certificate:
/// the channel binding of the log-in depends on it.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    authority: Option<Authority>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        // The server's own certificate is the authority. The library does not accept a CA certificate for a server.
        if authority.certificates.iter().any(|one| one == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &authority.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_reached_by_its_service() {
        let way = Tcp::to_leader("acid-a", "prod", "cluster.local");
        assert_eq!((way.host.as_str(), way.port), ("acid-a.prod.svc.cluster.local", 5432));
    }

    #[test]
    fn an_authority_without_a_certificate_is_refused() {
        for pem in [&b""[..], b"nonsense", b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"] {
            let error = Tls::new(Some(pem)).err().unwrap().to_string();
            assert!(error.starts_with("the certificate authority for the database cannot be used"), "{error}");
        }
        assert!(Tls::new(None).is_ok());
    }
}
