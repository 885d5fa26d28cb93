//! Stories of pods: what the kubelet decides, step by step, as golden scripts.
//!
//! | command | what happens |
//! | --- | --- |
//! | `pod restart=Never init=a sidecar=b containers=c,d probes=c` | this pod is wanted |
//! | `pod … again-after=42` | its containers have a rule of their own: again after code 42, else never |
//! | `debug x target=c` | an ephemeral container is added to the pod |
//! | `resize c 500m` | the spec wishes for so much of a processor (`pod … cpu=100m` had another wish) |
//! | `others 1500m` | so much of the node's two processors is given to other pods |
//! | `sync` | decide, print what is to be done, and do it in the table |
//! | `exit c 1` | a container's process ends |
//! | `probe c readiness success` | a probe's verdict |
//! | `fail c CreateContainerError` | why a container cannot be made, until `mend c` |
//! | `fail sandbox` | the sandbox cannot be made, until `mend sandbox` |
//! | `wait c ErrImagePull` | why a container is not started, instead of starting it |
//! | `lose` | the node was restarted |
//! | `restart` | the kubelet is ended, and another one begins |
//! | `tell` | print what of the status the API does not know yet, and tell it |
//! | `cut`, `heal` | the node and the API do not hear each other; they do again |
//! | `delete` | the API has marked the pod for deletion |
//! | `static containers=c image=a` | a manifest in the node's folder says this now |
//! | `unlink` | the manifest is removed |
//! | `mirror` | decide about the mirror of the static pod, print it, and do it |
//! | `unmirror` | somebody deletes the mirror |
//! | `tick 10` | seconds pass |
//! | `status` | print what the status says |
//! | `over` | the same, once all is stopped for good |

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::Write;

use goldenscript::{Command, Context, Runner};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState as ApiState, ContainerStatus, Pod, PodStatus};
use kubelet::decide::actions::{backoff_key, compute_actions, finished_at, hold, hold_sandbox};
use kubelet::decide::admission::Room;
use kubelet::decide::backoff::Backoff;
use kubelet::decide::ending;
use kubelet::decide::probe::found_before;
use kubelet::decide::resize::{self, Allocation, Verdict};
use kubelet::decide::status::{StatusInput, Waiting, pod_status};
use kubelet::decide::{Outcome, ProbeResults, RuntimePod, spec, static_pod};
use kubelet::runtime::{Container, ContainerState, Features, PodMetadata, Sandbox, SandboxState};
use serde_json::json;

#[path = "support/story_api.rs"]
mod story_api;
#[path = "support/story_pod.rs"]
mod story_pod;
#[path = "support/story_status.rs"]
mod story_status;
#[path = "support/story_sync.rs"]
mod story_sync;
use story_api::StoryApi;
use story_pod::pod_of;

struct Story {
    pod: Pod,
    api: StoryApi,
    /// What the node's folder wants now, if the story is of a static pod.
    manifest: Option<Pod>,
    runtime: RuntimePod,
    probes: ProbeResults,
    backoff: Backoff,
    waiting: HashMap<String, Waiting>,
    failing: HashMap<String, String>,
    allocation: Allocation,
    others: Pod,
    now: Timestamp,
    made: u32,
}

impl Story {
    fn new() -> Story {
        Story {
            pod: Pod::default(),
            api: StoryApi::default(),
            manifest: None,
            runtime: RuntimePod::default(),
            probes: ProbeResults::default(),
            backoff: Backoff::new(),
            waiting: HashMap::new(),
            failing: HashMap::new(),
            allocation: Allocation::default(),
            others: Pod::default(),
            now: Timestamp::UNIX_EPOCH,
            made: 0,
        }
    }

    fn want(&mut self, command: &Command) -> Result<(), Box<dyn Error>> {
        let pod = pod_of(command)?;
        *self = Story::new();
        self.take(pod);
        Ok(())
    }

    /// A pod that this kubelet has not had before.
    fn take(&mut self, pod: Pod) {
        self.pod = pod;
        self.runtime = RuntimePod::default();
        self.probes = ProbeResults::default();
        self.waiting.clear();
        self.allocation = Allocation::default();
        self.allocation.allocated = resize::wanted(&self.pod);
    }

    /// The folder says something else: the pod that it wanted ends before another one begins.
    fn follow_the_manifest(&mut self) -> Option<String> {
        let of_now = self.manifest.as_ref().map(|pod| &pod.metadata.uid);
        if !static_pod::is_static(&self.pod) || of_now == Some(&self.pod.metadata.uid) {
            return None;
        }
        if !self.runtime.is_stopped() {
            return Some(self.end_pod());
        }
        match self.manifest.clone() {
            Some(pod) => {
                self.take(pod);
                None
            }
            None => Some("nothing to do\n".to_owned()),
        }
    }

    /// Stops all of the pod, in the order in which it ends.
    fn end_pod(&mut self) -> String {
        let mut out = "end the pod\n".to_owned();
        for wave in ending::waves(&self.pod, &self.runtime) {
            let names: Vec<&str> = wave.iter().map(|c| c.name.as_str()).collect();
            let _ = writeln!(out, "  stop {}", names.join(" "));
        }
        self.end(|_| true, 0, "Completed");
        for sandbox in &mut self.runtime.sandboxes {
            sandbox.state = SandboxState::NotReady;
        }
        out
    }

    /// Another kubelet: it has the API, the runtime and the node's disk, and no memory.
    fn restart(&mut self) {
        self.probes = found_before(&self.pod);
        self.backoff = Backoff::new();
        self.waiting.clear();
        self.runtime.notes.restarting.clear();
    }
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "pod" => self.want(command)?,
            "debug" => {
                let name = args.next_pos().ok_or("which container?")?;
                let guest = json!({
                    "name": name, "image": "i", "targetContainerName": args.take_key("target"),
                });
                let spec = self.pod.spec.as_mut().ok_or("no pod")?;
                let guests = spec.ephemeral_containers.get_or_insert_default();
                guests.push(serde_json::from_value(guest)?);
            }
            "resize" => {
                let name = args.next_pos().ok_or("which container?")?;
                let cpu = args.next_pos().ok_or("to what?")?;
                let spec = self.pod.spec.as_mut().ok_or("no pod")?;
                let mut containers = spec.containers.iter_mut();
                let container = containers.find(|c| c.name == name).ok_or("no container")?;
                let resources = json!({ "requests": { "cpu": cpu } });
                container.resources = Some(serde_json::from_value(resources)?);
            }
            "others" => {
                let cpu = args.next_pos().ok_or("how much?")?;
                let resources = json!({ "requests": { "cpu": cpu } });
                let spec = json!({ "containers": [{ "name": "o", "resources": resources }] });
                self.others = serde_json::from_value(json!({ "spec": spec }))?;
            }
            "fail" => {
                let name = args.next_pos().ok_or("which container?")?;
                let reason = match name {
                    "sandbox" => "FailedCreatePodSandBox",
                    _ => args.next_pos().ok_or("why?")?,
                };
                self.failing.insert(name.to_owned(), reason.to_owned());
            }
            "mend" => {
                let name = args.next_pos().ok_or("which container?")?;
                self.failing.remove(name);
            }
            "sync" => return Ok(self.sync()),
            "status" => return Ok(self.status(false)),
            // All is stopped, and nothing starts again.
            "over" => return Ok(self.status(true)),
            "exit" => {
                let name = args.next_pos().ok_or("which container?")?;
                let code = args.next_pos().ok_or("with which code?")?.parse()?;
                let reason = if code == 0 { "Completed" } else { "Error" };
                self.end(|container| container.name == name, code, reason);
            }
            "probe" => {
                let name = args.next_pos().ok_or("which container?")?;
                let kind = args.next_pos().ok_or("which probe?")?;
                let outcome = match args.next_pos() {
                    Some("success") => Outcome::Success,
                    _ => Outcome::Failure,
                };
                let id = self
                    .runtime
                    .latest(name)
                    .ok_or("no such container")?
                    .id
                    .clone();
                let results = match kind {
                    "startup" => &mut self.probes.startup,
                    "readiness" => &mut self.probes.readiness,
                    _ => &mut self.probes.liveness,
                };
                results.insert(id, outcome);
            }
            "wait" => {
                let name = args.next_pos().ok_or("which container?")?.to_owned();
                let reason = args.next_pos().ok_or("for what?")?.to_owned();
                self.waiting.insert(
                    name,
                    Waiting {
                        reason,
                        message: String::new(),
                    },
                );
            }
            "unwait" => {
                self.waiting
                    .remove(args.next_pos().ok_or("which container?")?);
            }
            "lose" => {
                self.end(|_| true, 137, "ContainerStatusUnknown");
                for sandbox in &mut self.runtime.sandboxes {
                    sandbox.state = SandboxState::NotReady;
                }
            }
            "restart" => self.restart(),
            "tell" => {
                let status = self.compute_status(self.runtime.is_stopped());
                self.pod.status = Some(status.clone());
                return Ok(self.api.tell(&self.pod, &status));
            }
            "cut" => self.api.cut = true,
            "heal" => self.api.cut = false,
            "delete" => self.api.deleted = true,
            "static" => {
                let path = "/etc/manifests/p.yaml";
                let mut pod = pod_of(command)?;
                pod.metadata.uid = None;
                let pod = static_pod::from_manifest(pod, path, "worker-1", "now")?;
                if self.manifest.is_none() {
                    self.take(pod.clone());
                }
                self.manifest = Some(pod);
            }
            "unlink" => self.manifest = None,
            "mirror" => return Ok(self.api.mirror(self.manifest.as_ref())),
            "unmirror" => self.api.delete_mirror(self.now),
            "tick" => {
                let seconds: i64 = args.next_pos().ok_or("how long?")?.parse()?;
                self.now += SignedDuration::from_secs(seconds);
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        Ok(String::new())
    }
}

#[test]
fn stories() -> std::io::Result<()> {
    golden::run_folder("tests/sync", Story::new)
}
