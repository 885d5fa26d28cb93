//! What containers may use: their control groups made, changed and removed.

use super::super::cgroups::pod_group;
use super::super::pods::{Pod, State};
use super::super::record::{CONTAINER_FILE, ContainerRecord, write_json};
use super::super::spec::Limits;
use super::{SandboxRuntime, other};
use crate::runtime::{QOS_LABEL, Resources, Result, RuntimeError};

impl SandboxRuntime {
    /// Makes the groups of a container that is being created, and writes them in its record.
    pub(super) fn make_cgroups(&self, pod: &Pod, record: &mut ContainerRecord) -> Result<()> {
        let Some(cgroups) = &self.cgroups else {
            return Ok(());
        };
        let group = group_of(pod, record);
        let limits = record.spec.limits;
        let mut all = limits_in(pod, None);
        all.push(limits);
        let made = cgroups.make_container(&group, &record.id);
        let limited = made.and_then(|(folders, is_new)| {
            record.spec.cgroups = folders;
            match is_new {
                true => cgroups.limit_new(&group, &record.id, &limits),
                false => cgroups.limit(&group, &record.id, &limits, &all),
            }
        });
        limited.map_err(|error| RuntimeError::Create(error.to_string()))
    }

    /// In-place resize: `docker update`, `crictl update`.
    pub(super) fn update_resources(&self, container_id: &str, new: Resources) -> Result<()> {
        let Some(cgroups) = &self.cgroups else {
            return Err(RuntimeError::Other(
                "this machine has no control groups that this user may write".to_owned(),
            ));
        };
        let mut state = self.pods.lock();
        let (pod, entry) = state.container(container_id)?;
        let limits = Limits {
            memory_bytes: new.memory_limit_bytes,
            cpu_millis: new.cpu_limit_millis,
            cpu_request_millis: new.cpu_request_millis,
        };
        let mut all = limits_in(pod, Some(container_id));
        all.push(limits);
        let group = group_of(pod, &entry.record);
        cgroups
            .limit(&group, container_id, &limits, &all)
            .map_err(other)?;
        let mut record = entry.record.clone();
        record.spec.limits = limits;
        let dir = self.pods.container_dir(&pod.record.id, container_id);
        write_json(&dir.join(CONTAINER_FILE), &record).map_err(other)?;
        if let Some(entry) = state.entry_mut(container_id) {
            entry.record = record;
        }
        Ok(())
    }

    /// Removes a container's groups, which it has left.
    pub(super) fn remove_cgroups(&self, container_id: &str) {
        let group = match self.pods.lock().container(container_id) {
            Ok((pod, entry)) => group_of(pod, &entry.record),
            Err(_) => return,
        };
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove(&format!("{group}/{container_id}"));
        }
    }

    /// Removes a pod's groups, in which nothing runs any more.
    pub(super) fn remove_pod_cgroups(&self, sandbox_id: &str) {
        let groups = self.pods.lock().pod(sandbox_id).map(groups_of);
        if let (Some(cgroups), Ok(groups)) = (&self.cgroups, groups) {
            for group in groups {
                cgroups.remove(&group);
            }
        }
    }

    /// Removes the groups of pods that are gone.
    pub(super) fn remove_stale_cgroups(&self) {
        if let Some(cgroups) = &self.cgroups {
            let state: &State = &self.pods.lock();
            let ready = state.pods.values().filter(|pod| pod.ready);
            let kept: Vec<String> = ready.flat_map(groups_of).collect();
            cgroups.keep_only(&kept);
        }
    }
}

fn group_of(pod: &Pod, record: &ContainerRecord) -> String {
    let qos_class = record
        .labels
        .get(QOS_LABEL)
        .map_or("BestEffort", String::as_str);
    pod_group(qos_class, &pod.record.config.metadata.uid)
}

/// One group, as all containers of a pod tell the same class.
fn groups_of(pod: &Pod) -> Vec<String> {
    let records = pod.containers.values().map(|entry| &entry.record);
    let mut groups: Vec<String> = records.map(|record| group_of(pod, record)).collect();
    groups.dedup();
    groups
}

/// What the pod's containers that have not ended may use, but that one.
fn limits_in(pod: &Pod, without: Option<&str>) -> Vec<Limits> {
    let entries = pod.containers.iter();
    let counted =
        entries.filter(|(id, entry)| entry.status.exit.is_none() && without != Some(id.as_str()));
    counted.map(|(_, entry)| entry.record.spec.limits).collect()
}
