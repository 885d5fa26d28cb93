//! What a story's status says, in a few lines.

use super::*;

impl Story {
    pub(super) fn compute_status(&self, stopped: bool) -> PodStatus {
        let input = StatusInput {
            runtime: &self.runtime,
            probes: &self.probes,
            waiting: &self.waiting,
            ended: None,
            stopped,
            scheme: "fake",
            node_ips: &["172.30.0.3".parse().expect("an address")],
            features: Features::default(),
            now: self.now,
        };
        let pod = resize::allocated_pod(&self.pod, &self.allocation);
        pod_status(&pod, &input)
    }

    pub(super) fn status(&mut self, stopped: bool) -> String {
        let status = self.compute_status(stopped);
        let mut out = status.phase.clone().unwrap_or_default();
        if let Some(ip) = &status.pod_ip {
            let _ = write!(out, " {ip}");
        }
        for condition in status.conditions.iter().flatten() {
            if condition.type_ == "PodScheduled" {
                continue;
            }
            let _ = write!(out, "\n  {}={}", condition.type_, condition.status);
            for text in [&condition.reason, &condition.message]
                .into_iter()
                .flatten()
            {
                let _ = write!(out, " {text}");
            }
        }
        let statuses = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .chain(&status.ephemeral_container_statuses);
        for status in statuses.flatten() {
            let _ = write!(out, "\n  {}", describe(status));
        }
        self.pod.status = Some(status);
        out + "\n"
    }
}

fn describe(status: &ContainerStatus) -> String {
    let state = |state: &Option<ApiState>| -> String {
        let Some(state) = state
            .as_ref()
            .filter(|state| **state != ApiState::default())
        else {
            return "-".to_owned();
        };
        if state.running.is_some() {
            return "running".to_owned();
        }
        if let Some(ended) = &state.terminated {
            return format!(
                "{}({})",
                ended.reason.clone().unwrap_or_default(),
                ended.exit_code
            );
        }
        let reason = state
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.reason.clone());
        format!("waiting: {}", reason.unwrap_or_default())
    };
    format!(
        "{}: {} ready={} started={} restarts={} last={}",
        status.name,
        state(&status.state),
        status.ready,
        status.started.unwrap_or_default(),
        status.restart_count,
        state(&status.last_state)
    )
}
