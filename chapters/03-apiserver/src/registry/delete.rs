//! Deletion: at once, or in steps.
//!
//! ```text
//!   DELETE ──▶ gone                          nothing holds it
//!   DELETE ──▶ deletionTimestamp ──▶ gone    a grace period (pods), until the kubelet deletes it
//!                                            with grace 0; or finalizers, until an update has
//!                                            taken the last of them away
//! ```
//!
//! Who asks for `Foreground` or `Orphan` adds the garbage collector's finalizer on the way.
//!
//! Upstream: `Delete` in `apiserver/pkg/registry/generic/registry/store.go`, `BeforeDelete` in
//! `apiserver/pkg/registry/rest/delete.go`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Registry, Target, definitions, key, keys, meta, strategy};
use crate::resources::Resource;
use crate::status::{ApiError, Subject};

/// The garbage collector deletes what this object owns before it.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The garbage collector frees what this object owns before it goes.
pub const ORPHAN: &str = "orphan";

/// What a deletion asks for: `metav1.DeleteOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds that the object has to end by itself; the kind's own where not given.
    pub grace_period_seconds: Option<i64>,
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only at this resource version.
    pub resource_version: Option<String>,
    /// What happens to what it owns.
    pub propagation: Option<Propagation>,
    /// It says so in the older way: `orphanDependents: false`.
    pub cascades: bool,
    /// Do everything but the deletion.
    pub dry_run: bool,
}

/// What happens to the objects that a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// What became of the object.
#[derive(Debug)]
pub struct Deleted {
    /// The object as it was last.
    pub object: Value,
    /// It is gone; else it is on its way.
    pub gone: bool,
}

/// What has to be done for a deletion.
#[derive(Debug, PartialEq)]
enum Step {
    /// Remove it.
    Remove,
    /// Write it as it is now.
    Mark(Value),
    /// Nothing: it is on its way already.
    Wait,
}

impl Registry {
    /// Deletes an object, or begins to.
    ///
    /// # Errors
    /// 404 if there is none; 409 if a precondition does not hold.
    pub async fn delete(
        &self,
        target: &Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let slot = self.slot(target.resource)?;
        loop {
            let kv = self
                .read(target)
                .await?
                .ok_or_else(|| ApiError::not_found(target.subject()))?;
            let object = self.parse(target.resource, &slot, &kv)?;
            check_preconditions(target, options, &object)?;
            let step = step(target.resource, &object, options, Timestamp::now());
            match step {
                Step::Wait => {
                    return Ok(Deleted {
                        object,
                        gone: false,
                    });
                }
                Step::Remove if options.dry_run => return Ok(Deleted { object, gone: true }),
                Step::Mark(object) if options.dry_run => {
                    return Ok(Deleted {
                        object,
                        gone: false,
                    });
                }
                Step::Remove => {
                    if self.remove(target, &kv, &object).await?.is_some() {
                        return Ok(Deleted { object, gone: true });
                    }
                }
                Step::Mark(mut marked) => {
                    let value = slot.codec.encode(&marked);
                    let put = self.put_if(key(&slot, target), value, kv.lease, kv.mod_revision);
                    if let Some(revision) = put.await? {
                        meta::set(
                            &mut marked,
                            "resourceVersion",
                            Some(json!(revision.to_string())),
                        );
                        return Ok(Deleted {
                            object: marked,
                            gone: false,
                        });
                    }
                }
            }
        }
    }

    /// Removes an object from the store, and what it held from the allocators.
    pub(super) async fn remove(
        &self,
        target: &Target<'_>,
        kv: &etcd::api::KeyValue,
        object: &Value,
    ) -> Result<Option<i64>, ApiError> {
        let removed = self.delete_if(kv.key.clone(), kv.mod_revision).await?;
        if removed.is_some() {
            self.release_service(target.resource, object);
            self.follow_addresses(target.resource, Some(object), None)
                .await;
        }
        Ok(removed)
    }
}

fn check_preconditions(
    target: &Target,
    options: &DeleteOptions,
    object: &Value,
) -> Result<(), ApiError> {
    let checks = [
        ("UID", &options.uid, meta::uid(object)),
        (
            "ResourceVersion",
            &options.resource_version,
            meta::text(object, "resourceVersion"),
        ),
    ];
    let failed = checks.into_iter().find_map(|(what, wanted, actual)| {
        let wanted = wanted.as_deref().filter(|wanted| *wanted != actual)?;
        Some((what, wanted, actual))
    });
    let Some((what, wanted, actual)) = failed else {
        return Ok(());
    };
    // Two kinds are deleted by code of their own upstream, which has words of its own.
    if matches!(
        target.resource.plural,
        "namespaces" | "customresourcedefinitions"
    ) {
        let why = format!(
            "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
        );
        return Err(ApiError::conflict(target.subject(), why));
    }
    let became = match what {
        "UID" => "deleted and then recreated",
        _ => "modified",
    };
    let stored_as = keys::stored_as(target.resource);
    let subject = Subject {
        group: stored_as.group,
        resource: stored_as.kind,
        kind: stored_as.kind,
        name: target.name,
    };
    let why = format!(
        "the {what} in the precondition ({wanted}) does not match the {what} in record ({actual}). \
         The object might have been {became}"
    );
    Err(ApiError::conflict(subject, why))
}

/// Decides what a deletion does to an object.
fn step(resource: &Resource, object: &Value, options: &DeleteOptions, now: Timestamp) -> Step {
    let propagation = options.propagation.or_else(|| by_default(resource, object));
    let finalizers = match strategy::owns_nothing(resource) {
        true => finalizers_for(object, Some(Propagation::Background)),
        false => finalizers_for(object, propagation),
    };
    let held = !finalizers.is_empty();
    let marked_by = |mutate: &dyn Fn(&mut Value)| {
        let mut marked = object.clone();
        mutate(&mut marked);
        if marked == *object {
            Step::Wait
        } else {
            Step::Mark(marked)
        }
    };

    if (resource.group, resource.plural) == ("", "namespaces") {
        if !held && no_spec_finalizers(object) {
            return Step::Remove;
        }
        return marked_by(&|marked| {
            mark(marked, now, None);
            meta::set_finalizers(marked, &finalizers);
            marked["status"]["phase"] = "Terminating".into();
        });
    }

    if resource.plural == "customresourcedefinitions" && !meta::is_terminating(object) {
        // Its objects go first. Upstream: `customresourcedefinition/etcd.go`.
        let mut finalizers = finalizers;
        if !finalizers
            .iter()
            .any(|finalizer| finalizer == definitions::CLEANUP)
        {
            finalizers.push(definitions::CLEANUP.into());
        }
        return marked_by(&|marked| {
            mark(marked, now, None);
            meta::set_finalizers(marked, &finalizers);
            definitions::mark(marked, &meta::time(now));
        });
    }
    if meta::is_terminating(object) {
        let running = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
        let asked = options.grace_period_seconds.map(at_least_one_if_negative);
        return match (running, asked) {
            // A second deletion may only shorten the wait.
            (Some(running), Some(asked)) if running > 0 && asked < running => {
                if asked == 0 && !held {
                    return Step::Remove;
                }
                marked_by(&|marked| {
                    shorten(marked, running, asked, now);
                    meta::set_finalizers(marked, &finalizers);
                })
            }
            (Some(running), _) if running > 0 => Step::Wait,
            _ if held => marked_by(&|marked| meta::set_finalizers(marked, &finalizers)),
            _ => Step::Remove,
        };
    }
    match graceful_seconds(resource, object, options) {
        Some(grace) if grace > 0 || held => marked_by(&|marked| {
            mark(marked, now, Some(grace));
            meta::set_finalizers(marked, &finalizers);
        }),
        None if held => marked_by(&|marked| {
            mark(marked, now, Some(0));
            meta::set_finalizers(marked, &finalizers);
        }),
        _ => Step::Remove,
    }
}

/// Brings the end of a pod that is ending closer.
fn shorten(pod: &mut Value, running: i64, asked: i64, now: Timestamp) {
    let text = meta::text(pod, "deletionTimestamp");
    // At the end of time, nothing is known of the beginning.
    let end = text
        .parse::<Timestamp>()
        .ok()
        .filter(|_| text != meta::time(Timestamp::MAX));
    let begun = end.and_then(|end| end.checked_sub(SignedDuration::from_secs(running)).ok());
    let mut end = later(begun.unwrap_or(now), asked);
    let mut grace = asked;
    if end < now {
        // All of it has passed. One second is left for whoever has to act on it.
        end = now;
        grace = asked.min(1);
    }
    meta::set(pod, "deletionTimestamp", Some(meta::time(end).into()));
    meta::set(pod, "deletionGracePeriodSeconds", Some(grace.into()));
}

/// Begins the end of an object.
fn mark(object: &mut Value, now: Timestamp, grace: Option<i64>) {
    if meta::is_terminating(object) {
        return;
    }
    let until = later(now, grace.unwrap_or(0).max(0));
    meta::set(object, "deletionTimestamp", Some(meta::time(until).into()));
    if let Some(grace) = grace {
        meta::set(object, "deletionGracePeriodSeconds", Some(grace.into()));
    }
    let generation = meta::generation(object);
    if generation > 0 {
        meta::set(object, "generation", Some((generation + 1).into()));
    }
}

/// Some seconds later, or at the end of time: a client may ask for any number.
fn later(from: Timestamp, seconds: i64) -> Timestamp {
    let later = SignedDuration::from_secs(seconds);
    from.saturating_add(later).unwrap_or(Timestamp::MAX)
}

/// The seconds that an object gets to end by itself; none where its kind ends at once.
///
/// Upstream: `podStrategy.CheckGracefulDelete`.
fn graceful_seconds(resource: &Resource, object: &Value, options: &DeleteOptions) -> Option<i64> {
    if (resource.group, resource.plural) != ("", "pods") {
        return None;
    }
    let unscheduled = object["spec"]["nodeName"]
        .as_str()
        .unwrap_or_default()
        .is_empty();
    let finished = matches!(
        object["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    );
    if unscheduled || finished {
        return Some(0);
    }
    let own = object["spec"]["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(30);
    let seconds = options.grace_period_seconds.unwrap_or(own);
    Some(at_least_one_if_negative(seconds))
}

/// Upstream takes any negative time for one second.
fn at_least_one_if_negative(seconds: i64) -> i64 {
    if seconds < 0 { 1 } else { seconds }
}

/// What becomes of what an object owns where its deletion does not say: what its finalizers say
/// already, or what is usual for its kind.
fn by_default(resource: &Resource, object: &Value) -> Option<Propagation> {
    let settled = meta::finalizers(object)
        .iter()
        .any(|finalizer| [FOREGROUND, ORPHAN].contains(finalizer));
    let orphans = !settled && strategy::orphans_by_default(resource);
    orphans.then_some(Propagation::Orphan)
}

/// The finalizers of an object once its deletion has begun.
fn finalizers_for(object: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let mut finalizers: Vec<String> = meta::finalizers(object)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let Some(propagation) = propagation else {
        return finalizers;
    };
    finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
    }
    finalizers
}

fn no_spec_finalizers(namespace: &Value) -> bool {
    namespace["spec"]["finalizers"]
        .as_array()
        .is_none_or(Vec::is_empty)
}

/// Whether an update has taken away the last thing that held an object whose deletion has begun.
pub(super) fn is_released(resource: &Resource, object: &Value) -> bool {
    if !meta::is_terminating(object) || !meta::finalizers(object).is_empty() {
        return false;
    }
    if (resource.group, resource.plural) == ("", "namespaces") {
        return no_spec_finalizers(object);
    }
    object["metadata"]["deletionGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(0)
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("is a time")
    }

    fn pod(node: &str) -> Value {
        json!({"metadata": {"name": "x", "generation": 1}, "spec": {"nodeName": node}})
    }

    fn step_of(plural: &str, object: &Value, options: DeleteOptions) -> Step {
        let resource = resources::all()
            .find(|r| r.plural == plural)
            .expect("is served");
        step(resource, object, &options, now())
    }

    #[test]
    fn pods_end_gracefully() {
        assert_eq!(
            step_of("pods", &pod(""), DeleteOptions::default()),
            Step::Remove
        );
        let Step::Mark(marked) = step_of("pods", &pod("n1"), DeleteOptions::default()) else {
            panic!("a running pod has a grace period")
        };
        assert_eq!(
            marked["metadata"],
            json!({"name": "x", "generation": 2, "deletionGracePeriodSeconds": 30,
                "deletionTimestamp": "2026-01-01T00:00:30Z"})
        );
        assert_eq!(
            step_of("pods", &marked, DeleteOptions::default()),
            Step::Wait
        );
        let at_once = DeleteOptions {
            grace_period_seconds: Some(0),
            ..Default::default()
        };
        assert_eq!(step_of("pods", &marked, at_once), Step::Remove);
        let sooner = DeleteOptions {
            grace_period_seconds: Some(5),
            ..Default::default()
        };
        let Step::Mark(marked) = step_of("pods", &marked, sooner) else {
            panic!("is shortened")
        };
        assert_eq!(
            meta::text(&marked, "deletionTimestamp"),
            "2026-01-01T00:00:05Z"
        );
        // A pod that has ended meanwhile is still the kubelet's to delete.
        let mut ended = marked.clone();
        ended["status"]["phase"] = "Succeeded".into();
        let ask = |seconds| DeleteOptions {
            grace_period_seconds: seconds,
            ..Default::default()
        };
        assert_eq!(step_of("pods", &ended, ask(None)), Step::Wait);
        assert_eq!(step_of("pods", &ended, ask(Some(5))), Step::Wait);
        // What is shortened to a time that has passed ends now, in the kubelet's second.
        ended["metadata"]["deletionTimestamp"] = "2025-12-31T23:59:58Z".into();
        let Step::Mark(marked) = step_of("pods", &ended, ask(Some(4))) else {
            panic!("is shortened")
        };
        let metadata = &marked["metadata"];
        assert_eq!(metadata["deletionTimestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(metadata["deletionGracePeriodSeconds"], 1);
        let Step::Mark(marked) = step_of("pods", &pod("n1"), ask(Some(-7))) else {
            panic!("a negative time is one second")
        };
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 1);
    }

    #[test]
    fn events_own_nothing() {
        let event = json!({"metadata": {"name": "x"}});
        let orphan = DeleteOptions {
            propagation: Some(Propagation::Orphan),
            ..DeleteOptions::default()
        };
        assert_eq!(step_of("events", &event, orphan), Step::Remove);
    }

    #[test]
    fn finalizers_hold() {
        let object = json!({"metadata": {"name": "x"}});
        assert_eq!(
            step_of("configmaps", &object, DeleteOptions::default()),
            Step::Remove
        );
        let orphan = DeleteOptions {
            propagation: Some(Propagation::Orphan),
            ..DeleteOptions::default()
        };
        let Step::Mark(marked) = step_of("configmaps", &object, orphan) else {
            panic!("is held")
        };
        assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
        assert_eq!(
            step_of("configmaps", &marked, DeleteOptions::default()),
            Step::Wait
        );
    }

    #[test]
    fn older_kinds_leave_what_they_own() {
        let object = json!({"metadata": {"name": "x"}});
        for kind in ["jobs", "replicationcontrollers"] {
            let Step::Mark(marked) = step_of(kind, &object, DeleteOptions::default()) else {
                panic!("is held")
            };
            assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
            let options = DeleteOptions {
                propagation: Some(Propagation::Background),
                ..DeleteOptions::default()
            };
            assert_eq!(step_of(kind, &object, options), Step::Remove);
        }
        let held = json!({"metadata": {"name": "x", "finalizers": [FOREGROUND]}});
        let Step::Mark(marked) = step_of("jobs", &held, DeleteOptions::default()) else {
            panic!("is held")
        };
        assert_eq!(marked["metadata"]["finalizers"], json!([FOREGROUND]));
        assert_eq!(
            step_of("cronjobs", &object, DeleteOptions::default()),
            Step::Remove
        );
    }

    #[test]
    fn namespaces_wait_for_their_content() {
        let object = json!({"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes"]}});
        let Step::Mark(marked) = step_of("namespaces", &object, DeleteOptions::default()) else {
            panic!("is held")
        };
        assert_eq!(marked["status"]["phase"], "Terminating");
        let resource = resources::by_kind("", "v1", "Namespace").expect("is served");
        assert!(!is_released(resource, &marked));
        let mut finalized = marked;
        finalized["spec"]["finalizers"] = json!([]);
        assert!(is_released(resource, &finalized));
    }
}
