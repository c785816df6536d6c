//! What the Secret of the webhook keeps, and when a certificate is replaced.
//!
//! A new certificate is trusted before it is served, and the old one is trusted until it has expired. So the API server
//! trusts what each replica serves, at whatever time the replica reads the Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use pgloom_common::error::error_chain;
use serde_json::{Value, json};
use tracing::warn;

use super::certificate::{Error, Pair, lasts};

/// How long before its end a certificate is replaced.
const RENEWED: Duration = Duration::from_secs(30 * 24 * 3600);
/// For how long a certificate is trusted before it is served.
const TRUSTED_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// The keys of the Secret: the served certificate, the next one, and the one before.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS: &str = "previous.crt";

/// The certificates of the webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The one that every replica serves.
    pub current: Option<Pair>,
    /// The one that is served next.
    pub next: Option<Pair>,
    /// The one that was served before, in the PEM format. Its key is not kept.
    pub previous: Option<String>,
}

impl Kept {
    /// Reads the data of the Secret. What cannot be used counts as not there.
    pub fn read(data: &BTreeMap<String, ByteString>, name: &str) -> Self {
        let text = |key: &str| data.get(key).and_then(|value| std::str::from_utf8(&value.0).ok());
        let pair = |certificate: &str, key: &str| {
            let pair = Pair::read(text(certificate)?, text(key)?, name);
            pair.inspect_err(|error| warn!(error = %error_chain(error), "{certificate} of the webhook is not used"))
                .ok()
        };
        Self {
            current: pair(CERTIFICATE, KEY),
            next: pair(NEXT_CERTIFICATE, NEXT_KEY),
            previous: text(PREVIOUS).map(str::to_owned),
        }
    }

    /// The data of the Secret, in the form of a merge patch: what is not kept is null.
    pub fn data(&self) -> Value {
        let (current, next) = (self.current.as_ref(), self.next.as_ref());
        let encoded = |text: Option<&String>| text.map(|text| ByteString(text.clone().into_bytes()));
        json!({
            CERTIFICATE: encoded(current.map(|pair| &pair.certificate)),
            KEY: encoded(current.map(|pair| &pair.key)),
            NEXT_CERTIFICATE: encoded(next.map(|pair| &pair.certificate)),
            NEXT_KEY: encoded(next.map(|pair| &pair.key)),
            PREVIOUS: encoded(self.previous.as_ref()),
        })
    }

    /// The certificates that the API server has to trust, in the PEM format.
    pub fn bundle(&self) -> String {
        let pairs = self.current.iter().chain(&self.next).map(|pair| &pair.certificate);
        pairs.chain(&self.previous).map(|certificate| certificate.trim_end().to_owned() + "\n").collect()
    }

    /// What is kept from `now` on; `None` if that is the same. `trusted` is the bundle that the API server has, and `make`
    /// makes a certificate.
    ///
    /// # Errors
    /// If no certificate could be made.
    pub fn renewed(
        &self,
        trusted: &str,
        now: Timestamp,
        make: impl FnOnce() -> Result<Pair, Error>,
    ) -> Result<Option<Self>, Error> {
        let is_valid = |pair: &&Pair| pair.is_valid_for(Duration::ZERO, now);
        let Some(current) = self.current.as_ref().filter(is_valid) else {
            // Nothing can be served otherwise, so it is not waited for.
            let next = self.next.clone().filter(|next| is_valid(&next));
            let current = next.map_or_else(make, Ok)?;
            return Ok(Some(Self { current: Some(current), ..Self::default() }));
        };
        Ok(match &self.next {
            None if !current.is_valid_for(RENEWED, now) => Some(Self { next: Some(make()?), ..self.clone() }),
            Some(next) if next.is_older_than(TRUSTED_BEFORE, now) && trusted.contains(next.certificate.trim_end()) => {
                Some(Self { current: self.next.clone(), next: None, previous: Some(current.certificate.clone()) })
            }
            _ if self.previous.as_deref().is_some_and(|previous| !lasts(previous, now)) => {
                Some(Self { previous: None, ..self.clone() })
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "pgloom-webhook.ns.svc";
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn start() -> Timestamp {
        "2026-01-31T17:00:00Z".parse().unwrap()
    }

    /// The first certificate.
    fn first() -> Kept {
        renewed(&Kept::default(), "", start()).unwrap()
    }

    fn renewed(kept: &Kept, trusted: &str, now: Timestamp) -> Option<Kept> {
        kept.renewed(trusted, now, || Pair::make(NAME, now)).unwrap()
    }

    fn certificate(pair: &Option<Pair>) -> &str {
        &pair.as_ref().unwrap().certificate
    }

    #[test]
    fn the_first_certificate_is_served_at_once_and_stays_until_it_is_nearly_expired() {
        let kept = first();
        assert!(kept.next.is_none() && kept.previous.is_none());
        assert_eq!(kept.bundle(), certificate(&kept.current).trim_end().to_owned() + "\n");
        assert_eq!(renewed(&kept, &kept.bundle(), start() + 58 * DAY), None);
    }

    #[test]
    fn a_certificate_that_is_nearly_expired_is_replaced_with_both_in_the_bundle_until_the_old_one_has_expired() {
        let (old, due) = (first(), start() + 60 * DAY);
        // The new one is trusted, and the old one is served.
        let both = renewed(&old, &old.bundle(), due).unwrap();
        assert_eq!(both.current, old.current);
        assert!(both.bundle().contains(certificate(&old.current).trim_end()));
        assert!(both.bundle().contains(certificate(&both.next).trim_end()));
        // It is not served before the API server trusts it, and not before others have seen it.
        assert_eq!(renewed(&both, &both.bundle(), due + DAY / 2), None);
        assert_eq!(renewed(&both, &old.bundle(), due + 2 * DAY), None);
        // The new one is served, and the old one is trusted.
        let served = renewed(&both, &both.bundle(), due + 2 * DAY).unwrap();
        assert_eq!((&served.current, &served.next), (&both.next, &None));
        assert!(served.bundle().contains(certificate(&old.current).trim_end()));
        assert_eq!(renewed(&served, &served.bundle(), due + 29 * DAY), None);
        // The new one alone.
        let alone = renewed(&served, &served.bundle(), due + 31 * DAY).unwrap();
        assert_eq!(alone.current, served.current);
        assert!(!alone.bundle().contains(certificate(&old.current).trim_end()));
        assert_eq!(renewed(&alone, &alone.bundle(), due + 31 * DAY), None);
    }

    #[test]
    fn an_expired_certificate_is_replaced_at_once() {
        let kept = first();
        let late = start() + 91 * DAY;
        let replaced = renewed(&kept, &kept.bundle(), late).unwrap();
        assert_ne!(replaced.current, kept.current);
        assert_eq!(replaced.previous, None);
        let with_next = Kept { next: Some(Pair::make(NAME, late).unwrap()), ..kept };
        assert_eq!(renewed(&with_next, "", late).unwrap().current, with_next.next);
    }

    #[test]
    fn what_the_secret_has_is_read_as_it_was_written_and_what_is_broken_counts_as_not_there() {
        let next = Pair::make(NAME, start()).unwrap();
        let kept = Kept { next: Some(next), previous: Some("one".into()), ..first() };
        let data = |kept: &Kept| -> BTreeMap<String, ByteString> {
            let mut fields = kept.data();
            fields.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            serde_json::from_value(fields).unwrap()
        };
        assert_eq!(Kept::read(&data(&kept), NAME), kept);
        assert_eq!(Kept::read(&BTreeMap::new(), NAME), Kept::default());
        let mut broken = data(&kept);
        broken.insert(KEY.into(), ByteString(b"no key".to_vec()));
        assert_eq!(Kept::read(&broken, NAME), Kept { current: None, ..kept });
    }
}
