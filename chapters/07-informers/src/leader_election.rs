//! One active copy of a component: whoever holds the Lease.
//!
//! ```text
//!   follower ──(lease free, or its holder silent for its duration)──► try to write it
//!   leader   ──(every retry period)──► renew ──(not renewed within the deadline)──► step down
//! ```
//!
//! A follower measures the holder's silence with its own clock, from the moment it saw the lease
//! change: clocks of two machines are never compared. The write carries the resourceVersion that
//! was read, so of two who try at once one gets a conflict.
//! Upstream: `client-go/tools/leaderelection/leaderelection.go`, whose timings these are.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a lease holds after its last renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long a leader tries to renew before it gives up.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often a leader renews and a follower looks.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// What a follower or leader knows of the lease, and when it last saw it change.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Holder and renewal as written in the lease.
    record: Option<(String, Option<Timestamp>)>,
    /// When that was first seen, by our own clock.
    seen_at: Option<Instant>,
}

/// What to do about the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is free, or ours: write it.
    Take,
    /// Somebody else has it.
    Wait,
}

impl Observed {
    /// Looks at the lease as it is now and decides.
    pub fn decide(&mut self, spec: Option<&LeaseSpec>, identity: &str, now: Instant) -> Decision {
        let holder = spec
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default();
        let renewed = spec
            .and_then(|spec| spec.renew_time.as_ref())
            .map(|time| time.0);
        let record = Some((holder.clone(), renewed));
        if self.record != record {
            self.record = record;
            self.seen_at = Some(now);
        }
        let duration = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .map_or(LEASE_DURATION, |seconds| {
                Duration::from_secs(seconds.max(0) as u64)
            });
        let silent = self
            .seen_at
            .is_some_and(|seen_at| now >= seen_at + duration);
        if holder.is_empty() || holder == identity || silent {
            Decision::Take
        } else {
            Decision::Wait
        }
    }
}

/// The lease as `identity` writes it.
pub fn next_spec(old: Option<&LeaseSpec>, identity: &str, now: Timestamp) -> LeaseSpec {
    let ours = old.is_some_and(|old| old.holder_identity.as_deref() == Some(identity));
    let transitions = old.and_then(|old| old.lease_transitions).unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(LEASE_DURATION.as_secs() as i32),
        acquire_time: match old {
            Some(old) if ours => old.acquire_time.clone(),
            _ => Some(MicroTime(now)),
        },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if ours || old.is_none() {
            transitions
        } else {
            transitions + 1
        }),
        ..LeaseSpec::default()
    }
}

/// A candidate for a Lease of a namespace.
pub struct LeaderElector {
    api: Api<Lease>,
    name: String,
    identity: String,
    observed: Observed,
}

impl LeaderElector {
    /// A candidate of that identity for the lease `name`.
    pub fn new(api: Api<Lease>, name: &str, identity: &str) -> Self {
        LeaderElector {
            api,
            name: name.to_owned(),
            identity: identity.to_owned(),
            observed: Observed::default(),
        }
    }

    /// Waits until this candidate leads. The token that comes back is cancelled once it no longer
    /// does; whoever led must stop then. Returns `None` if `shutdown` came first.
    pub async fn lead(mut self, shutdown: &CancellationToken) -> Option<CancellationToken> {
        while !self.try_acquire_or_renew().await {
            tokio::select! {
                () = tokio::time::sleep(RETRY_PERIOD) => {}
                () = shutdown.cancelled() => return None,
            }
        }
        tracing::info!(lease = self.name, identity = self.identity, "leading");
        let leading = shutdown.child_token();
        let lost = leading.clone();
        tokio::spawn(async move {
            lost.run_until_cancelled(self.renew_until_lost()).await;
            lost.cancel();
        });
        Some(leading)
    }

    async fn renew_until_lost(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_DEADLINE {
            tokio::time::sleep(RETRY_PERIOD).await;
            if self.try_acquire_or_renew().await {
                renewed = Instant::now();
            }
        }
        tracing::error!(
            lease = self.name,
            "the lease could not be renewed; stepping down"
        );
    }

    /// Whether the lease is ours after one look at it.
    async fn try_acquire_or_renew(&mut self) -> bool {
        // A request that hangs must not outlive the deadline.
        let attempt = tokio::time::timeout(RENEW_DEADLINE / 2, self.look_and_write()).await;
        match attempt {
            Ok(Ok(ours)) => ours,
            Ok(Err(error)) => {
                tracing::debug!(lease = self.name, %error, "the lease could not be written");
                false
            }
            Err(_elapsed) => false,
        }
    }

    async fn look_and_write(&mut self) -> Result<bool, kube::Error> {
        let now = Timestamp::now();
        let post = PostParams::default();
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(next_spec(None, &self.identity, now)),
            };
            self.api.create(&post, &lease).await?;
            return Ok(true);
        };
        match self
            .observed
            .decide(lease.spec.as_ref(), &self.identity, Instant::now())
        {
            Decision::Wait => Ok(false),
            Decision::Take => {
                lease.spec = Some(next_spec(lease.spec.as_ref(), &self.identity, now));
                self.api.replace(&self.name, &post, &lease).await?;
                Ok(true)
            }
        }
    }
}
