//! The API server of a pod's story: what it has been told, whether it is heard, and the mirror.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubelet::decide::patch::status_patch;
use kubelet::decide::static_pod::{MirrorStep, mirror_step};

/// The API server, as far as one pod is concerned.
#[derive(Default)]
pub struct StoryApi {
    /// Neither side hears the other.
    pub cut: bool,
    /// The pod is marked for deletion.
    pub deleted: bool,
    /// The kubelet has seen that.
    seen: bool,
    /// The status that the API server has.
    status: PodStatus,
    /// The mirror of a static pod.
    mirror: Option<Pod>,
    mirrors_made: u32,
}

impl StoryApi {
    /// Whether the kubelet knows by now that the pod is to go.
    pub fn sees_deletion(&mut self) -> bool {
        self.seen |= self.deleted && !self.cut;
        self.seen
    }

    /// Tells what it does not know yet, and says what that was.
    pub fn tell(&mut self, pod: &Pod, status: &PodStatus) -> String {
        let Some(patch) = status_patch(pod, &self.status, status) else {
            return "nothing new to tell\n".to_owned();
        };
        if self.cut {
            return "nobody hears it\n".to_owned();
        }
        self.status = status.clone();
        let changed = &patch["status"];
        let mut told = Vec::new();
        if let Some(phase) = changed["phase"].as_str() {
            told.push(format!("phase={phase}"));
        }
        if let Some(conditions) = changed["conditions"].as_array() {
            told.push(format!("{} conditions", conditions.len()));
        }
        if changed["containerStatuses"].is_array() {
            told.push("containerStatuses".to_owned());
        }
        let all = changed.as_object().map_or(0, serde_json::Map::len);
        if all > told.len() {
            told.push(format!("{} more fields", all - told.len()));
        }
        format!("tell {}\n", told.join(", "))
    }

    /// Takes the mirror one step towards what the folder wants.
    pub fn mirror(&mut self, wanted: Option<&Pod>) -> String {
        if self.cut {
            return "nobody hears it\n".to_owned();
        }
        match mirror_step(wanted, self.mirror.as_ref()) {
            MirrorStep::Nothing => "nothing to do for the mirror\n".to_owned(),
            MirrorStep::Create(mut mirror) => {
                self.mirrors_made += 1;
                mirror.metadata.uid = Some(format!("m{}", self.mirrors_made));
                let name = mirror.metadata.name.clone().unwrap_or_default();
                self.mirror = Some(*mirror);
                format!("make mirror {name} (m{})\n", self.mirrors_made)
            }
            MirrorStep::Delete(uid) => {
                self.mirror = None;
                format!("delete mirror {uid}\n")
            }
        }
    }

    /// Somebody deletes the mirror, as any pod: it is marked.
    pub fn delete_mirror(&mut self, now: Timestamp) {
        if let Some(mirror) = &mut self.mirror {
            mirror.metadata.deletion_timestamp = Some(Time(now));
        }
    }
}
