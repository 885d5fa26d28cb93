//! Rolls a template out, a ReplicaSet a template. Upstream: `pkg/controller/deployment`.
//!
//! ```text
//!   Deployment web, replicas 3, template B          web-9f2 (template A)   web-c4x (template B)
//!   new ReplicaSet, as many as the surge allows              3                      1
//!   one of B is available: one of A may go                   2                      1
//!   … and so on, inside the fences                           1                      3
//!   done; A is kept, empty, for `rollout undo`               0                      3
//! ```
//!
//! [`revision`] finds the new ReplicaSet and the old ones, [`rollout`] says how many replicas each
//! should have next, [`status`] what to say of it. This file reads and writes.

pub mod revision;
pub mod rollout;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use informers::{join_key, key_of};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::context::{BY_CONTROLLER, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found, is_conflict};
use crate::owners::{controller_of, controller_reference, selects};
use crate::pods;
use revision::{DESIRED_REPLICAS, MAX_REPLICAS, POD_TEMPLATE_HASH, REVISION};
use rollout::{Fences, Scale, wanted};
use status::Milestone;

/// Workers that look at Deployments at the same time.
const WORKERS: usize = 5;
/// After a conflict the store is about to be newer: look again soon.
const AFTER_CONFLICT: Duration = Duration::from_millis(5);

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue = WorkQueue::default();

    let deployments = queue.clone();
    informers
        .deployments
        .on_event(move |event| deployments.add(key_of(event.object().as_ref())));
    let (replica_sets, store) = (queue.clone(), informers.deployments.store());
    informers.replica_sets.on_event(move |event| {
        let set = event.object();
        let namespace = set.namespace().unwrap_or_default();
        match controller_of(set.as_ref()) {
            Some(owner) => replica_sets.add(join_key(&namespace, &owner.name)),
            // An orphan: whoever selects it may want it.
            None => store
                .in_namespace(&namespace)
                .iter()
                .filter(|deployment| selects_labels(deployment, set.metadata.labels.as_ref()))
                .for_each(|deployment| replica_sets.add(key_of(deployment.as_ref()))),
        }
    });
    // `Recreate` waits for the last old pod to go.
    let (pods, sets) = (queue.clone(), informers.replica_sets.store());
    informers.pods.on_event(move |event| {
        if let Event::Deleted(pod) = event
            && let Some(owner) = controller_of(pod.as_ref())
        {
            let namespace = pod.namespace().unwrap_or_default();
            let set = sets.get(&join_key(&namespace, &owner.name));
            if let Some(owner) = set.as_deref().and_then(controller_of) {
                pods.add(join_key(&namespace, &owner.name));
            }
        }
    });

    move |context| {
        context.work("deployment", &queue, WORKERS, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

fn selects_labels(
    deployment: &Deployment,
    labels: Option<&std::collections::BTreeMap<String, String>>,
) -> bool {
    selects(deployment.spec.as_ref().map(|spec| &spec.selector), labels)
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let Some(deployment) = context.stores.deployments.get(key) else {
        return Ok(None);
    };
    let sets = claim_replica_sets(context, &deployment).await?;
    let (new, old) = revision::split(&deployment, &sets);
    let mut rollout = Rollout {
        context,
        deployment: &deployment,
        new,
        old,
        milestone: None,
    };
    if deployment.metadata.deletion_timestamp.is_none() {
        match rollout.advance().await {
            Err(Error::Api(error)) if is_conflict(&error) => return Ok(Some(AFTER_CONFLICT)),
            result => result?,
        }
    }
    rollout.write_status().await
}

/// The ReplicaSets of a Deployment: those that it controls, and orphans that it adopts.
async fn claim_replica_sets(
    context: &Context,
    deployment: &Deployment,
) -> Result<Vec<Arc<ReplicaSet>>, Error> {
    let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
    let namespace = deployment.namespace().unwrap_or_default();
    let api = Api::<ReplicaSet>::namespaced(context.client.clone(), &namespace);
    let mut claimed = Vec::new();
    for set in context.stores.replica_sets.by_index(BY_CONTROLLER, uid) {
        if selects_labels(deployment, set.metadata.labels.as_ref()) {
            claimed.push(set);
        } else if deployment.metadata.deletion_timestamp.is_none() {
            let owners = json!([{"$patch": "delete", "uid": uid}]);
            let patch = json!({"metadata": {"uid": set.metadata.uid, "ownerReferences": owners}});
            let patch = Patch::Strategic(patch);
            ignore_not_found(
                api.patch(&set.name_any(), &PatchParams::default(), &patch)
                    .await,
            )?;
        }
    }
    if deployment.metadata.deletion_timestamp.is_some() {
        return Ok(claimed);
    }
    for set in context.stores.replica_sets.in_namespace(&namespace) {
        let orphan =
            controller_of(set.as_ref()).is_none() && set.metadata.deletion_timestamp.is_none();
        if orphan && selects_labels(deployment, set.metadata.labels.as_ref()) {
            let owners = json!([controller_reference(deployment)]);
            let patch = json!({"metadata": {"uid": set.metadata.uid, "ownerReferences": owners}});
            let patch = Patch::Strategic(patch);
            let adopted = api
                .patch(&set.name_any(), &PatchParams::default(), &patch)
                .await;
            claimed.extend(ignore_not_found(adopted)?.map(Arc::new));
        }
    }
    Ok(claimed)
}

/// One look at a Deployment.
struct Rollout<'a> {
    context: &'a Context,
    deployment: &'a Deployment,
    new: Option<Arc<ReplicaSet>>,
    old: Vec<Arc<ReplicaSet>>,
    milestone: Option<Milestone>,
}

impl Rollout<'_> {
    /// Takes the next step, if there is one.
    async fn advance(&mut self) -> Result<(), Error> {
        let spec = self.deployment.spec.as_ref();
        let paused = spec.and_then(|spec| spec.paused).unwrap_or(false);
        let all: Vec<_> = self.new.iter().chain(&self.old).cloned().collect();
        if paused || rollout::is_scaling(self.deployment, &all) {
            self.keep_new_current().await?;
            let steps = rollout::scale(self.deployment, self.new.as_ref(), &self.old);
            self.carry_out(steps).await?;
            if paused {
                self.clean_up().await?;
            }
            return Ok(());
        }
        if rollout::is_recreate(self.deployment) {
            self.recreate().await
        } else {
            self.roll().await
        }
    }

    async fn roll(&mut self) -> Result<(), Error> {
        let new = self.ensure_new().await?;
        let steps = rollout::roll(self.deployment, &new, &self.old);
        if !steps.is_empty() {
            return self.carry_out(steps).await;
        }
        self.clean_up_if_complete().await
    }

    async fn recreate(&mut self) -> Result<(), Error> {
        self.keep_new_current().await?;
        let stopping = rollout::stop_old(&self.old);
        if !stopping.is_empty() {
            return self.carry_out(stopping).await;
        }
        if self.old_pods_run() {
            return Ok(());
        }
        let new = self.ensure_new().await?;
        let replicas = Fences::of(self.deployment).replicas;
        if wanted(&new) != replicas {
            return self
                .carry_out(vec![Scale {
                    replica_set: new,
                    to: replicas,
                }])
                .await;
        }
        self.clean_up_if_complete().await
    }

    fn old_pods_run(&self) -> bool {
        self.old.iter().any(|set| {
            let uid = set.metadata.uid.as_deref().unwrap_or_default();
            let pods: Vec<Arc<Pod>> = self.context.stores.pods.by_index(BY_CONTROLLER, uid);
            pods.iter().any(|pod| !pods::is_terminal(pod))
        })
    }

    /// The template's ReplicaSet, made if it is not there.
    async fn ensure_new(&mut self) -> Result<Arc<ReplicaSet>, Error> {
        if self.new.is_some() {
            self.keep_new_current().await?;
        } else {
            self.create_new().await?;
        }
        Ok(self.new.clone().expect("it was found or made just now"))
    }

    /// The revision that the template's ReplicaSet has, or gets.
    fn new_revision(&self) -> i64 {
        let oldest = self
            .old
            .iter()
            .map(|set| revision::revision(set))
            .max()
            .unwrap_or(0);
        (oldest + 1).max(self.new.as_ref().map_or(0, |set| revision::revision(set)))
    }

    /// Brings annotations of the ReplicaSet that is there up to date, and the Deployment's
    /// revision with them.
    async fn keep_new_current(&mut self) -> Result<(), Error> {
        let Some(new) = self.new.clone() else {
            return Ok(());
        };
        let existing = new.metadata.annotations.as_ref();
        // A template that comes back after others gets a new number.
        let rolled_back = self
            .old
            .iter()
            .map(|set| revision::revision(set))
            .max()
            .unwrap_or(0);
        let number = revision::revision(&new).max(rolled_back + 1);
        let annotations = revision::annotations_for(self.deployment, existing, Some(number));
        let min_ready = self
            .deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.min_ready_seconds);
        let theirs = new.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        if existing != Some(&annotations) || min_ready.unwrap_or(0) != theirs.unwrap_or(0) {
            let mut updated = ReplicaSet::clone(&new);
            updated.metadata.annotations = Some(annotations);
            if let Some(spec) = updated.spec.as_mut() {
                spec.min_ready_seconds = min_ready;
            }
            self.new = Some(Arc::new(self.replace(&updated).await?));
        }
        self.milestone
            .get_or_insert(Milestone::Found(new.name_any()));
        self.write_revision(number).await
    }

    async fn create_new(&mut self) -> Result<(), Error> {
        let number = self.new_revision();
        let mut set = self.replica_set_of_template();
        let annotations = set.metadata.annotations.take();
        set.metadata.annotations = Some(revision::annotations_for(
            self.deployment,
            annotations.as_ref(),
            Some(number),
        ));
        let name = set.name_any();
        match self.api().create(&PostParams::default(), &set).await {
            Ok(created) => {
                let to = wanted(&created);
                self.new = Some(Arc::new(created));
                self.milestone = Some(Milestone::Created(name.clone()));
                if to > 0 {
                    self.tell(&format!("Scaled up replica set {name} from 0 to {to}"));
                }
            }
            Err(error) if is_conflict(&error) => return self.resolve_collision(&name).await,
            Err(error) => {
                let message = format!("Failed to create new replica set {name:?}: {error}");
                let recorder = self.context.recorder.named("deployment-controller");
                recorder.warning(self.deployment, "ReplicaSetCreateError", message.clone());
                self.milestone = Some(Milestone::CreateFailed(message));
                self.write_status().await?;
                return Err(error.into());
            }
        }
        self.write_revision(number).await
    }

    /// The name is taken: by the ReplicaSet that we just made and have not seen yet, or, by
    /// chance, by another. In the second case the next try counts a collision, and so gets another
    /// hash.
    async fn resolve_collision(&mut self, name: &str) -> Result<(), Error> {
        let there = self.api().get(name).await?;
        let template = self.deployment.spec.as_ref().map(|spec| &spec.template);
        let theirs = there.spec.as_ref().and_then(|spec| spec.template.as_ref());
        let ours =
            controller_of(&there).map(|owner| &owner.uid) == self.deployment.metadata.uid.as_ref();
        let same = theirs
            .zip(template)
            .is_some_and(|(a, b)| revision::same_template(a, b));
        if ours && same {
            self.new = Some(Arc::new(there));
            return Ok(());
        }
        let count = self.collision_count() + 1;
        let patch = Patch::Merge(json!({"status": {"collisionCount": count}}));
        let name = self.deployment.name_any();
        self.deployments()
            .patch_status(&name, &PatchParams::default(), &patch)
            .await?;
        Err(Error::Invalid(format!(
            "the hash of the template of {name:?} is taken"
        )))
    }

    fn collision_count(&self) -> i32 {
        let status = self.deployment.status.as_ref();
        status
            .and_then(|status| status.collision_count)
            .unwrap_or(0)
    }

    fn replica_set_of_template(&self) -> ReplicaSet {
        let spec = self.deployment.spec.clone().unwrap_or_default();
        let hash = revision::template_hash(&spec.template, self.collision_count());
        let mut template = spec.template;
        let labels = template
            .metadata
            .get_or_insert_default()
            .labels
            .get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.into(), hash.clone());
        let labels = labels.clone();
        let mut selector = spec.selector;
        selector
            .match_labels
            .get_or_insert_default()
            .insert(POD_TEMPLATE_HASH.into(), hash.clone());
        let others: i32 = self.old.iter().map(|set| wanted(set)).sum();
        let replicas = rollout::new_replicas(self.deployment, 0, others);
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.deployment.name_any())),
                namespace: self.deployment.namespace(),
                labels: Some(labels),
                annotations: Some(self.size_annotations().into()),
                owner_references: Some(vec![controller_reference(self.deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        }
    }

    fn size_annotations(&self) -> [(String, String); 2] {
        let fences = Fences::of(self.deployment);
        let most = fences.replicas + fences.max_surge;
        [
            (DESIRED_REPLICAS.into(), fences.replicas.to_string()),
            (MAX_REPLICAS.into(), most.to_string()),
        ]
    }

    async fn carry_out(&mut self, steps: Vec<Scale>) -> Result<(), Error> {
        for Scale { replica_set, to } in steps {
            let from = wanted(&replica_set);
            let mut updated = ReplicaSet::clone(&replica_set);
            if let Some(spec) = updated.spec.as_mut() {
                spec.replicas = Some(to);
            }
            let annotations = updated.metadata.annotations.get_or_insert_default();
            annotations.extend(self.size_annotations());
            let scaled = Arc::new(self.replace(&updated).await?);
            let name = scaled.name_any();
            if to != from {
                let direction = if to > from { "up" } else { "down" };
                self.tell(&format!(
                    "Scaled {direction} replica set {name} from {from} to {to}"
                ));
            }
            let all = self.new.iter_mut().chain(&mut self.old);
            all.filter(|set| set.name_any() == name)
                .for_each(|set| *set = scaled.clone());
        }
        Ok(())
    }

    async fn clean_up_if_complete(&self) -> Result<(), Error> {
        let (new, old) = (self.new.as_ref(), &self.old);
        let status = status::status(self.deployment, new, old, None, Timestamp::now());
        if status::is_complete(self.deployment, &status) {
            self.clean_up().await
        } else {
            Ok(())
        }
    }

    async fn clean_up(&self) -> Result<(), Error> {
        for set in revision::superfluous(self.deployment, &self.old) {
            let deleted = self
                .api()
                .delete(&set.name_any(), &DeleteParams::default())
                .await;
            ignore_not_found(deleted)?;
        }
        Ok(())
    }

    async fn write_revision(&self, number: i64) -> Result<(), Error> {
        let annotations = self.deployment.metadata.annotations.as_ref();
        if revision::annotation(annotations, REVISION) == Some(number) {
            return Ok(());
        }
        let patch = json!({"metadata": {"annotations": {REVISION: number.to_string()}}});
        let name = self.deployment.name_any();
        let patch = Patch::Merge(patch);
        // With the status, as upstream does, for it is no new wish: no new generation.
        self.deployments()
            .patch_status(&name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn write_status(&self) -> Outcome {
        let now = Timestamp::now();
        let new = self.new.as_ref();
        let milestone = self.milestone.as_ref();
        let status = status::status(self.deployment, new, &self.old, milestone, now);
        let again = status::next_check(self.deployment, &status, now);
        if self.deployment.status.as_ref() == Some(&status) {
            return Ok(again);
        }
        // A patch of the status alone: the revision may have been written just before, and others
        // write annotations.
        let patch = status::patch(self.deployment.status.as_ref(), &status);
        let name = self.deployment.name_any();
        let written = self
            .deployments()
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        ignore_not_found(written)?;
        Ok(again)
    }

    async fn replace(&self, set: &ReplicaSet) -> Result<ReplicaSet, Error> {
        Ok(self
            .api()
            .replace(&set.name_any(), &PostParams::default(), set)
            .await?)
    }

    fn tell(&self, message: &str) {
        let recorder = self.context.recorder.named("deployment-controller");
        recorder.normal(self.deployment, "ScalingReplicaSet", message.to_owned());
    }

    fn api(&self) -> Api<ReplicaSet> {
        let namespace = self.deployment.namespace().unwrap_or_default();
        Api::namespaced(self.context.client.clone(), &namespace)
    }

    fn deployments(&self) -> Api<Deployment> {
        let namespace = self.deployment.namespace().unwrap_or_default();
        Api::namespaced(self.context.client.clone(), &namespace)
    }
}
