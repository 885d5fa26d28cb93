//! A probe's thresholds: when its results count.

use k8s_openapi::api::core::v1::{Container, Pod, Probe};

use super::{Outcome, ProbeResults};

/// Which question a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Has it started? Until it has, the others wait.
    Startup,
    /// Should it get traffic?
    Readiness,
    /// Should it be killed?
    Liveness,
}

impl Kind {
    /// As events write it: `Readiness probe failed: …`.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }
}

/// Whether a probe is asked yet: the startup probe from the beginning, the others when it has
/// succeeded, where there is one. Upstream: `prober/worker.go: doProbe`.
pub fn is_asked(kind: Kind, container: &Container, startup: Option<Outcome>) -> bool {
    match kind {
        Kind::Startup => true,
        Kind::Readiness | Kind::Liveness => {
            container.startup_probe.is_none() || startup == Some(Outcome::Success)
        }
    }
}

/// What the probes had found out before this kubelet came, as the pod's status has it: a kubelet
/// that restarts is no reason to think otherwise of a container. Upstream since v1.35: KEP-4781.
pub fn found_before(pod: &Pod) -> ProbeResults {
    let mut found = ProbeResults::default();
    let status = pod.status.iter();
    let statuses = status.flat_map(|status| {
        let init = status.init_container_statuses.iter();
        init.chain(&status.container_statuses).flatten()
    });
    for status in statuses {
        let id = status.container_id.as_deref().unwrap_or_default();
        let Some((_, id)) = id.split_once("://") else {
            continue;
        };
        if status.started == Some(true) {
            found.startup.insert(id.to_owned(), Outcome::Success);
        }
        if status.ready {
            found.readiness.insert(id.to_owned(), Outcome::Success);
        }
    }
    found
}

/// Results of one probe of one container, counted. Upstream: `prober/worker.go: doProbe`.
#[derive(Debug, Default)]
pub struct ProbeState {
    /// The last result.
    last: Option<Outcome>,
    /// How many in a row were like it.
    run: i32,
    /// The last verdict.
    decided: Option<Outcome>,
}

impl ProbeState {
    /// Counts a result. Returns the new verdict if this result changed it.
    pub fn record(&mut self, probe: &Probe, result: Outcome) -> Option<Outcome> {
        // ANCHOR: exercise-05.5
        self.run = if self.last == Some(result) {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = Some(result);
        let threshold = match result {
            Outcome::Success => probe.success_threshold.unwrap_or(1),
            Outcome::Failure => probe.failure_threshold.unwrap_or(3),
        };
        if self.run < threshold || self.decided == Some(result) {
            return None;
        }
        self.decided = Some(result);
        Some(result)
        // ANCHOR_END: exercise-05.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_before_is_read_from_the_status() {
        let status = serde_json::json!({ "containerStatuses": [
            { "name": "a", "image": "i", "imageID": "", "restartCount": 0,
              "containerID": "sandbox://1", "started": true, "ready": true },
            { "name": "b", "image": "i", "imageID": "", "restartCount": 0,
              "containerID": "sandbox://2", "started": true, "ready": false },
            { "name": "c", "image": "i", "imageID": "", "restartCount": 0,
              "started": false, "ready": false },
        ]});
        let pod = serde_json::json!({ "status": status });
        let found = found_before(&serde_json::from_value(pod).unwrap());
        let ids = |results: &std::collections::HashMap<String, Outcome>| {
            let mut ids: Vec<String> = results.keys().cloned().collect();
            ids.sort();
            ids.join(" ")
        };
        assert_eq!(ids(&found.startup), "1 2");
        assert_eq!(ids(&found.readiness), "1");
        assert_eq!(ids(&found.liveness), "");
    }

    #[test]
    fn a_verdict_takes_as_many_results_in_a_row_as_its_threshold() {
        let probe = Probe {
            success_threshold: Some(2),
            failure_threshold: Some(3),
            ..Probe::default()
        };
        let mut state = ProbeState::default();
        let verdicts: String = "ssffsfffss"
            .chars()
            .map(|result| {
                let result = if result == 's' {
                    Outcome::Success
                } else {
                    Outcome::Failure
                };
                match state.record(&probe, result) {
                    Some(Outcome::Success) => 'S',
                    Some(Outcome::Failure) => 'F',
                    None => '.',
                }
            })
            .collect();
        assert_eq!(verdicts, ".S.....F.S");
    }
}
