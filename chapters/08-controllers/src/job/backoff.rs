//! How long to wait before a failed pod is replaced: ten seconds, twice as long each time.
//!
//! Upstream keeps a record of a Job's failures in memory: `pkg/controller/job/backoff_utils.go`.
//! Here it is read off the pods that are there, so that a restart forgets nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use crate::pods;

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// When a pod has finished, as well as can be said.
pub fn finished_at(pod: &Pod) -> Timestamp {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let ends = containers.into_iter().flatten().filter_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        terminated.finished_at.as_ref().map(|time| time.0)
    });
    let ready = || {
        let condition = pods::condition(pod, "Ready")?;
        condition.last_transition_time.as_ref().map(|time| time.0)
    };
    let deleted = || {
        let at = pod.metadata.deletion_timestamp.as_ref()?.0;
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        Some(at - SignedDuration::from_secs(grace))
    };
    let created = || pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let end = ends.max().or_else(ready).or_else(deleted).or_else(created);
    end.unwrap_or_default()
}

/// What is left to wait after the failures that followed the last success.
pub fn remaining(succeeded: &[&Arc<Pod>], failed: &[&Arc<Pod>], now: Timestamp) -> Duration {
    let last_success = succeeded.iter().map(|pod| finished_at(pod)).max();
    let failures = failed.iter().map(|pod| finished_at(pod));
    let since = failures.filter(|at| last_success.is_none_or(|success| *at > success));
    let (count, last) = since.fold((0, Timestamp::MIN), |(count, last), at| {
        (count + 1, last.max(at))
    });
    after(count, last, now)
}

/// What is left to wait after so many failures, the last of them then.
pub fn after(failures: u32, last: Timestamp, now: Timestamp) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doubled = FIRST.checked_mul(1 << (failures - 1).min(16));
    let wait = doubled.unwrap_or(LONGEST).min(LONGEST);
    let left = last + wait;
    Duration::try_from(left.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait() {
        let at = |second| Timestamp::from_second(second).expect("it is a time");
        for (failures, now, left) in [
            (0, 100, 0),
            (1, 100, 10),
            (1, 104, 6),
            (1, 200, 0),
            (3, 100, 40),
            (9, 100, 600),
            (60, 100, 600),
        ] {
            let expect = Duration::from_secs(left);
            assert_eq!(
                after(failures, at(100), at(now)),
                expect,
                "{failures} {now}"
            );
        }
    }
}
