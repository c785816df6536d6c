//! Leader election: of several operators one writes, the one that holds the Lease.
//!
//! The holder renews every two seconds and stops writing when it could not for ten; another may take the Lease when
//! it has seen no renewal for fifteen. Time is measured by each process for itself, so clocks need not agree.
//!
//! The times and rules are those of client-go's
//! [leaderelection](https://pkg.go.dev/k8s.io/client-go/tools/leaderelection). Why not the crate
//! `kube-leader-election`: it compares timestamps of several machines, and has no fencing: nothing stops a holder's
//! writes when its Lease is over.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use pgloom_common::error::error_chain;
use tracing::{debug, info, warn};

use super::fencing::{Fence, Moment};

/// After this time without a renewal others may take the Lease.
const DURATION: Duration = Duration::from_secs(15);
/// After this time without a successful renewal the holder stops writing.
const DEADLINE: Duration = Duration::from_secs(10);
/// The time between two attempts to take or renew the Lease.
const PERIOD: Duration = Duration::from_secs(2);

/// A Lease and who we are in it.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    fence: Fence,
    timing: Timing,
}

/// The times of an election.
#[derive(Clone, Copy)]
struct Timing {
    /// After this time without a successful renewal the holder stops writing.
    deadline: Duration,
    /// The time between two attempts to take or renew the Lease.
    period: Duration,
}

/// What was last seen of a Lease, and when it was seen to change.
struct LeaseView {
    spec: LeaseSpec,
    since: Instant,
}

/// What to do about a Lease.
#[derive(Debug, PartialEq)]
enum Move {
    /// It does not exist.
    Create,
    /// It is ours, or free.
    Take,
    /// Another holds it.
    Wait,
}

impl Election {
    /// An election by the Lease `name` in `namespace`; `identity` is unique among the operators.
    /// `fence` is opened while the Lease is ours.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, fence: Fence) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            fence,
            timing: Timing { deadline: DEADLINE, period: PERIOD },
        }
    }

    /// Waits until the Lease is ours.
    pub async fn acquire(&self) {
        let mut view = None;
        loop {
            match tokio::time::timeout(self.timing.deadline, self.attempt(&mut view)).await {
                Ok(Ok(true)) => return info!(lease = %self.name, identity = %self.identity, "leading"),
                Ok(Ok(false)) => debug!(lease = %self.name, "another operator leads"),
                Ok(Err(error)) => {
                    warn!(lease = %self.name, error = %error_chain(&error), "the lease cannot be read or written")
                }
                Err(_) => warn!(lease = %self.name, "the API server does not answer in time"),
            }
            tokio::time::sleep(self.timing.period).await;
        }
    }

    /// Renews the Lease; returns when it is lost, with the fence closed.
    pub async fn hold(&self) {
        self.renew().await;
        self.fence.close();
    }

    async fn renew(&self) {
        let mut view = None;
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.period).await;
            let (begun, left) = (Instant::now(), self.timing.deadline.saturating_sub(renewed.elapsed()));
            match tokio::time::timeout(left, self.attempt(&mut view)).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => return warn!(lease = %self.name, "another operator took the lease"),
                Ok(Err(error)) => warn!(lease = %self.name, error = %error_chain(&error), "the lease was not renewed"),
                Err(_) => warn!(lease = %self.name, "the API server does not answer in time"),
            }
            if renewed.elapsed() >= self.timing.deadline {
                return warn!(lease = %self.name, "the lease was not renewed in time");
            }
        }
    }

    /// Gives the Lease up, so that another operator need not wait for it.
    pub async fn release(&self) {
        self.fence.close();
        let released = async {
            let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        match tokio::time::timeout(self.timing.period, released).await {
            Ok(Ok(())) => info!(lease = %self.name, "lease released"),
            Ok(Err(error)) => warn!(lease = %self.name, error = %error_chain(&error), "the lease was not released"),
            Err(_) => warn!(lease = %self.name, "the lease was not released in time"),
        }
    }

    /// Takes or renews the Lease if it may be; whether it is ours.
    async fn attempt(&self, view: &mut Option<LeaseView>) -> Result<bool, kube::Error> {
        let begun = Moment::now();
        let existing = self.leases.get_opt(&self.name).await?;
        let spec = existing.as_ref().and_then(|lease| lease.spec.clone());
        // Only after the answer: the holder may have renewed until then.
        let now = Instant::now();
        if let Some(spec) = &spec
            && view.as_ref().is_none_or(|seen| seen.spec != *spec)
        {
            *view = Some(LeaseView { spec: spec.clone(), since: now });
        }
        let written = match (self.next_move(spec.as_ref(), view.as_ref(), now), existing) {
            (Move::Wait, _) => return Ok(false),
            (Move::Take, Some(mut lease)) => {
                lease.spec = Some(self.mine(spec.as_ref()));
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
            (Move::Create | Move::Take, _) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                self.leases.create(&PostParams::default(), &Lease { metadata, spec: Some(self.mine(None)) }).await
            }
        };
        match written {
            Ok(_) => {
                self.fence.allow(begun, self.timing.deadline);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn next_move(&self, spec: Option<&LeaseSpec>, view: Option<&LeaseView>, now: Instant) -> Move {
        let Some(spec) = spec else { return Move::Create };
        match spec.holder_identity.as_deref() {
            None | Some("") => Move::Take,
            Some(holder) if holder == self.identity => Move::Take,
            Some(_) => {
                let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
                let duration = seconds.map_or(DURATION, Duration::from_secs);
                let expired = view.is_some_and(|view| now.duration_since(view.since) > duration);
                if expired { Move::Take } else { Move::Wait }
            }
        }
    }

    /// The Lease as we hold it.
    fn mine(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = before.is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: Some(now.clone()),
            acquire_time: before.filter(|_| ours).and_then(|spec| spec.acquire_time.clone()).or(Some(now)),
            lease_transitions: Some(if ours || before.is_none() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApiServer;
    use serde_json::{Value, json};

    fn held_by(holder: &str) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "pgloom", "namespace": "ns", "resourceVersion": "1"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4}
        })
    }

    fn election(api_server: &FakeApiServer) -> Election {
        Election::new(api_server.client(), "ns", "pgloom", "me", Fence::closed())
    }

    const QUICK: Timing = Timing { deadline: Duration::from_millis(400), period: Duration::from_millis(20) };

    /// Holds the Lease until it is lost, and returns how long that took.
    async fn held(api_server: &FakeApiServer, meanwhile: impl Future<Output = ()>) -> (Duration, Fence) {
        let election = Election { timing: QUICK, ..election(api_server) };
        assert!(election.attempt(&mut None).await.unwrap());
        let begun = Instant::now();
        let lost = tokio::time::timeout(Duration::from_secs(20), election.hold());
        let (lost, ()) = tokio::join!(lost, meanwhile);
        assert!(lost.is_ok(), "the lease is held for ever");
        (begun.elapsed(), election.fence)
    }

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/pgloom";

    #[tokio::test]
    async fn a_free_lease_is_taken_and_counts_the_change() {
        let api_server = FakeApiServer::new().with(PATH, held_by(""));
        election(&api_server).acquire().await;
        let written = api_server.writes();
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].body["spec"]["holderIdentity"], "me");
        assert_eq!(written[0].body["spec"]["leaseTransitions"], 5);
    }

    #[tokio::test]
    async fn a_lease_that_another_holds_is_not_written() {
        let api_server = FakeApiServer::new().with(PATH, held_by("other"));
        assert!(!election(&api_server).attempt(&mut None).await.unwrap());
        assert!(api_server.writes().is_empty());
    }

    #[tokio::test]
    async fn a_lease_is_taken_only_after_its_holder_was_silent_for_its_duration() {
        let election = election(&FakeApiServer::new());
        let spec: LeaseSpec = serde_json::from_value(held_by("other")["spec"].clone()).unwrap();
        let since = Instant::now();
        let view = LeaseView { spec: spec.clone(), since };
        let after = |seconds| election.next_move(Some(&spec), Some(&view), since + Duration::from_secs(seconds));
        assert_eq!(after(15), Move::Wait);
        assert_eq!(after(16), Move::Take);
    }

    #[tokio::test]
    async fn a_renewal_that_is_seen_late_counts_from_when_it_was_seen() {
        let slow = Duration::from_millis(200);
        let api_server = FakeApiServer::new().with(PATH, held_by("other")).slow(slow);
        let (begun, mut view) = (Instant::now(), None);
        assert!(!election(&api_server).attempt(&mut view).await.unwrap());
        assert!(view.unwrap().since.duration_since(begun) >= slow, "the holder may have renewed after the request");
    }

    #[tokio::test]
    async fn a_lease_that_another_took_is_lost_at_the_next_renewal() {
        let api_server = FakeApiServer::new().with(PATH, held_by("me"));
        let (took, fence) = held(&api_server, async { api_server.put(PATH, held_by("other")) }).await;
        assert!(took < QUICK.deadline, "{took:?}");
        assert!(fence.guard(async {}).await.is_err());
    }

    #[tokio::test]
    async fn a_renewal_in_conflict_with_another_write_loses_the_lease() {
        let api_server = FakeApiServer::new().with(PATH, held_by("me"));
        let conflict = async { _ = api_server.clone().refusing_because(PATH, 409, "conflict") };
        let (took, fence) = held(&api_server, conflict).await;
        assert!(took < QUICK.deadline, "{took:?}");
        assert!(fence.guard(async {}).await.is_err());
    }

    #[tokio::test]
    async fn a_lease_that_cannot_be_renewed_is_lost_at_the_deadline() {
        let refusing: fn(FakeApiServer) -> FakeApiServer =
            |api_server| api_server.refusing_because(PATH, 500, "broken");
        for broken in [refusing, |api_server| api_server.hanging(PATH)] {
            let api_server = FakeApiServer::new().with(PATH, held_by("me"));
            let (took, fence) = held(&api_server, async { _ = broken(api_server.clone()) }).await;
            assert!(took >= QUICK.deadline, "{took:?}");
            assert!(fence.guard(async {}).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_released_lease_names_no_holder() {
        let api_server = FakeApiServer::new().with(PATH, held_by("me"));
        election(&api_server).release().await;
        assert_eq!(api_server.writes()[0].body["spec"].get("holderIdentity"), None);
    }

    #[tokio::test]
    async fn only_the_holder_releases() {
        let api_server = FakeApiServer::new().with(PATH, held_by("other"));
        election(&api_server).release().await;
        assert!(api_server.writes().is_empty());
    }
}
