//! What a story's kubelet decides, and does in the table.

use super::*;

impl Story {
    /// Decides about what the spec wishes for; returns the pod as it may be.
    pub(super) fn allocate(&mut self, out: &mut String) -> Pod {
        let room = Room {
            node_name: "worker-1",
            labels: &BTreeMap::new(),
            allocatable: &[("cpu".to_owned(), "2".to_owned())].into(),
            others: &[&self.others],
        };
        let pending = match resize::decide(&self.pod, &self.allocation, &room) {
            Verdict::Unchanged => None,
            Verdict::Allocate => {
                out.push_str("allocate what is wished for\n");
                self.allocation.allocated = resize::wanted(&self.pod);
                None
            }
            Verdict::Pending(pending) => Some(pending),
        };
        self.runtime.notes.resize_pending = pending;
        self.runtime
            .notes
            .actuated
            .clone_from(&self.allocation.actuated);
        resize::allocated_pod(&self.pod, &self.allocation)
    }

    pub(super) fn sync(&mut self) -> String {
        if self.api.sees_deletion() && !static_pod::is_static(&self.pod) {
            return match self.runtime.is_stopped() {
                true => "nothing to do\n".to_owned(),
                false => self.end_pod(),
            };
        }
        if let Some(done) = self.follow_the_manifest() {
            return done;
        }
        let mut out = String::new();
        let (pod, now) = (self.allocate(&mut out), self.now);
        let actions = compute_actions(&pod, &self.runtime, &self.probes, &self.backoff, now);
        if actions.kill_pod {
            out.push_str("kill the pod\n");
            for wave in ending::waves(&pod, &self.runtime) {
                let names: Vec<&str> = wave.iter().map(|c| c.name.as_str()).collect();
                let _ = writeln!(out, "  stop {}", names.join(" "));
            }
            self.end(|_| true, 137, "Error");
            for sandbox in &mut self.runtime.sandboxes {
                sandbox.state = SandboxState::NotReady;
            }
        }
        for kill in &actions.kill {
            let _ = writeln!(out, "kill {}: {}", kill.name, kill.message);
            self.end(|container| container.id == kill.container_id, 137, "Error");
            if kill.restarts {
                self.runtime
                    .notes
                    .restarting
                    .insert(kill.container_id.clone());
            }
        }
        for resize in &actions.resize {
            let requests = resize.resources.requests.clone().unwrap_or_default();
            let _ = writeln!(out, "update {}: cpu {}", resize.name, requests["cpu"].0);
            let (name, resources) = (resize.name.clone(), resize.resources.clone());
            self.allocation.actuated.insert(name, resources);
        }
        if let Some(remaining) = actions.sandbox_held {
            let _ = writeln!(
                out,
                "the sandbox is left alone for {}s",
                remaining.as_secs()
            );
        }
        if let Some(attempt) = actions.create_sandbox {
            if let Some(reason) = self.failing.get("sandbox") {
                let _ = writeln!(out, "cannot make sandbox {attempt}: {reason}");
                hold_sandbox(&mut self.runtime.notes, now);
                return out;
            }
            let _ = writeln!(out, "make sandbox {attempt}");
            self.make_sandbox(attempt);
        }
        let guests: Vec<_> = actions
            .start_ephemeral
            .iter()
            .map(|i| spec::as_container(&spec::ephemeral_containers(&pod)[*i]))
            .collect();
        let init = actions
            .start_init
            .iter()
            .map(|i| &spec::init_containers(&pod)[*i]);
        let main = actions.start.iter().map(|i| &spec::of(&pod).containers[*i]);
        for container in guests.iter().chain(init).chain(main) {
            let held_up = self.waiting.get(&container.name);
            if let Some(waiting) = held_up.filter(|w| w.reason != "CrashLoopBackOff") {
                let _ = writeln!(out, "cannot start {}: {}", container.name, waiting.reason);
                continue;
            }
            if let Some(reason) = self.failing.get(&container.name) {
                let _ = writeln!(out, "cannot make {}: {reason}", container.name);
                hold(&mut self.runtime.notes, &pod, container, now);
                continue;
            }
            let latest = self.runtime.latest(&container.name);
            let attempt = latest.map_or(0, |latest| latest.attempt + 1);
            if let Some(failed_at) = latest.and_then(finished_at) {
                self.backoff
                    .next(&backoff_key(&pod, container), failed_at, now);
            }
            let _ = writeln!(out, "start {} ({attempt})", container.name);
            self.start(&container.name, attempt);
            if let Some(resources) = &container.resources {
                let (name, resources) = (container.name.clone(), resources.clone());
                self.allocation.actuated.insert(name, resources);
            }
        }
        for (name, remaining) in &actions.held {
            let _ = writeln!(out, "{name} is left alone for {}s", remaining.as_secs());
        }
        for (name, remaining) in &actions.backing_off {
            let _ = writeln!(out, "{name} waits {}s", remaining.as_secs());
            let reason = "CrashLoopBackOff".to_owned();
            self.waiting.insert(
                name.clone(),
                Waiting {
                    reason,
                    message: String::new(),
                },
            );
        }
        self.waiting.retain(|name, waiting| {
            waiting.reason != "CrashLoopBackOff"
                || actions
                    .backing_off
                    .iter()
                    .any(|(backing_off, _)| backing_off == name)
        });
        self.runtime
            .notes
            .actuated
            .clone_from(&self.allocation.actuated);
        if out.is_empty() {
            "nothing to do\n".to_owned()
        } else {
            out
        }
    }

    pub(super) fn make_sandbox(&mut self, attempt: u32) {
        self.made += 1;
        let sandbox = Sandbox {
            id: format!("s{}", self.made),
            metadata: PodMetadata {
                name: "p".into(),
                namespace: "ns".into(),
                uid: "u".into(),
                attempt,
            },
            state: SandboxState::Ready,
            ips: vec!["10.244.1.2".parse().expect("an address")],
            created_at: self.now,
            runtime_handler: String::new(),
        };
        self.runtime.sandboxes.insert(0, sandbox);
    }

    pub(super) fn start(&mut self, name: &str, attempt: u32) {
        self.made += 1;
        let container = Container {
            id: format!("c{}", self.made),
            sandbox_id: self.runtime.sandboxes[0].id.clone(),
            name: name.to_owned(),
            attempt,
            image: "i".into(),
            image_ref: "sha256:1".into(),
            state: ContainerState::Running,
            created_at: self.now,
            started_at: Some(self.now),
            log_path: "log".into(),
            labels: BTreeMap::new(),
            user: None,
        };
        self.runtime.containers.insert(0, container);
    }

    pub(super) fn end(&mut self, ends: impl Fn(&Container) -> bool, exit_code: i32, reason: &str) {
        for container in &mut self.runtime.containers {
            if container.state == ContainerState::Running && ends(container) {
                container.state = ContainerState::Exited {
                    exit_code,
                    finished_at: self.now,
                    reason: reason.to_owned(),
                    message: String::new(),
                };
            }
        }
    }
}
