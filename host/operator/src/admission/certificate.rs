//! The certificate of the webhook: the operator makes it, signed by its own key, so that it is its own authority.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// For how long a certificate is valid, from the day on which it was made.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Why there is no certificate. No message contains a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate could not be made.
    #[error("failed to make a certificate for {0}")]
    Make(String, #[source] rcgen::Error),
    /// The text is no certificate.
    #[error("the certificate cannot be read")]
    Parse(#[source] x509_cert::der::Error),
    /// The text is not in the PEM format.
    #[error("the certificate or its key is not in the PEM format")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The key is not that of the certificate, or of a kind that is not known.
    #[error("the key cannot be used with the certificate")]
    Key(#[source] rustls::Error),
    /// The certificate is another one's.
    #[error("the certificate is not for {0}")]
    Name(String),
}

/// A certificate and its private key.
#[derive(Clone)]
pub struct Pair {
    /// The certificate, in the PEM format.
    pub certificate: String,
    /// The private key, in the PEM format.
    pub key: String,
    validity: Validity,
    certified: Arc<CertifiedKey>,
}

/// The begin and the end of a certificate's validity, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    begin: i64,
    end: i64,
}

impl From<x509_cert::time::Validity> for Validity {
    fn from(validity: x509_cert::time::Validity) -> Self {
        let at = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Self { begin: at(validity.not_before), end: at(validity.not_after) }
    }
}

impl Pair {
    /// Makes a key and a certificate for a DNS name. It is valid from midnight to midnight, and from the day before: the
    /// clock of the API server may be late.
    pub fn make(name: &str, now: Timestamp) -> Result<Self, Error> {
        let failed = |source| Error::Make(name.to_owned(), source);
        let midnight = |at: Timestamp| {
            let day = at.to_zoned(TimeZone::UTC).date();
            let small = |number: i8| number.unsigned_abs();
            rcgen::date_time_ymd(day.year().into(), small(day.month()), small(day.day()))
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "pgloom admission webhook");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (midnight(now - DAY), midnight(now + LIFE));
        let certificate = params.self_signed(&key).map_err(failed)?;
        let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
        let pem = |tag: &str, der: &[u8]| pem::encode_config(&Pem::new(tag, der), lines);
        Self::read(&pem("CERTIFICATE", certificate.der()), &pem("PRIVATE KEY", &key.serialize_der()), name)
    }

    /// Reads a certificate for a DNS name, and its key.
    pub fn read(certificate: &str, key: &str, name: &str) -> Result<Self, Error> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(Error::Pem)?;
        let parsed = parsed(&der)?;
        let names: Option<(bool, SubjectAltName)> = parsed.get().map_err(Error::Parse)?;
        let is_it = |general: &GeneralName| matches!(general, GeneralName::DnsName(dns) if dns.as_str() == name);
        if !names.is_some_and(|(_, names)| names.0.iter().any(is_it)) {
            return Err(Error::Name(name.to_owned()));
        }
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(Error::Pem)?;
        let certified = CertifiedKey::from_der(vec![der], private, &ring::default_provider()).map_err(Error::Key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            validity: parsed.validity.into(),
            certified: Arc::new(certified),
        })
    }

    /// What a TLS server serves.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }

    /// Whether it is valid at `now`, and longer than for this time.
    pub fn is_valid_for(&self, time: Duration, now: Timestamp) -> bool {
        let (now, Validity { begin, end }) = (now.as_second(), self.validity);
        begin <= now && now.saturating_add(seconds(time)) < end
    }

    /// Whether it was made at least this time before `now`. Only the day is known, so up to a day more passes.
    pub fn is_older_than(&self, age: Duration, now: Timestamp) -> bool {
        now.as_second() >= self.validity.begin.saturating_add(seconds(2 * DAY + age))
    }
}

/// Whether a certificate in the PEM format has not ended yet. What cannot be read has.
pub fn lasts(certificate: &str, now: Timestamp) -> bool {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(Error::Pem);
    let parsed = der.and_then(|der| parsed(&der));
    parsed.is_ok_and(|parsed| now.as_second() < Validity::from(parsed.validity).end)
}

fn parsed(der: &[u8]) -> Result<x509_cert::TbsCertificate, Error> {
    Ok(x509_cert::Certificate::from_der(der).map_err(Error::Parse)?.tbs_certificate)
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("validity", &self.validity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "pgloom-webhook.ns.svc";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_certificate_is_valid_from_the_day_before_it_was_made_and_for_ninety_days() {
        let made = at("2026-01-31T17:00:00Z");
        let pair = Pair::make(NAME, made).unwrap();
        let end = at("2026-05-01T00:00:00Z");
        assert_eq!(pair.validity, Validity { begin: at("2026-01-30T00:00:00Z").as_second(), end: end.as_second() });
        assert!(lasts(&pair.certificate, made) && !lasts(&pair.certificate, end) && !lasts("", made));
        assert!(pair.is_valid_for(30 * DAY, made));
        assert!(!pair.is_valid_for(30 * DAY, at("2026-04-01T00:00:00Z")));
        assert!(!pair.is_valid_for(Duration::ZERO, at("2026-01-29T23:59:59Z")));
        assert!(!pair.is_older_than(DAY, at("2026-02-01T17:00:00Z")));
        assert!(pair.is_older_than(DAY, at("2026-02-02T00:00:00Z")));
    }

    #[test]
    fn a_certificate_of_another_name_or_with_another_key_is_not_used() {
        let now = at("2026-01-31T17:00:00Z");
        let (one, two) = (Pair::make(NAME, now).unwrap(), Pair::make(NAME, now).unwrap());
        assert_eq!(Pair::read(&one.certificate, &one.key, NAME).unwrap(), one);
        let refused = |certificate: &str, key: &str, name: &str| Pair::read(certificate, key, name).unwrap_err();
        assert!(matches!(refused(&one.certificate, &one.key, "other.ns.svc"), Error::Name(_)));
        assert!(matches!(refused(&one.certificate, &two.key, NAME), Error::Key(_)));
        assert!(matches!(refused("", "", NAME), Error::Pem(_)));
    }

    #[test]
    fn no_debug_output_has_the_key() {
        let pair = Pair::make(NAME, at("2026-01-31T17:00:00Z")).unwrap();
        let shown = format!("{pair:?} {:?}", pair.certified());
        let line = pair.key.lines().nth(1).unwrap();
        assert!(!shown.contains(line) && !shown.contains("PRIVATE"), "{shown}");
    }
}
