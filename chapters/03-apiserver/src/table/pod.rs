//! The cells of a pod. Its status, in one word, is the most telling of its phase, its reason and
//! the states of its containers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{list, none_if_empty, text};
use super::duration::since;

/// What the containers of a pod add up to.
#[derive(Default)]
struct Tally {
    ready: usize,
    restarts: i64,
    last_restart: Option<String>,
}

impl Tally {
    fn add_restarts(&mut self, status: &Value) {
        self.restarts += status["restartCount"].as_i64().unwrap_or_default();
        let finished = status["lastState"]["terminated"]["finishedAt"].as_str();
        if let Some(finished) = finished {
            // Times are stored in one form, which sorts as text.
            let finished = finished.to_owned();
            self.last_restart = self.last_restart.take().max(Some(finished));
        }
    }
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let sidecars = list(&pod["spec"]["initContainers"])
        .iter()
        .filter(|c| is_sidecar(c))
        .count();
    let total = list(&pod["spec"]["containers"]).len() + sidecars;
    let (status, tally) = status(pod);
    let restarts = match &tally.last_restart {
        Some(last) if tally.restarts != 0 => {
            format!(
                "{} ({} ago)",
                tally.restarts,
                since(&last.as_str().into(), now)
            )
        }
        _ => tally.restarts.to_string(),
    };
    vec![
        pod["metadata"]["name"].clone(),
        format!("{}/{total}", tally.ready).into(),
        status.into(),
        restarts.into(),
        since(&pod["metadata"]["creationTimestamp"], now).into(),
        none_if_empty(text(&pod["status"]["podIPs"][0]["ip"])).into(),
        none_if_empty(text(&pod["spec"]["nodeName"])).into(),
        none_if_empty(text(&pod["status"]["nominatedNodeName"])).into(),
        readiness_gates(pod).into(),
    ]
}

/// The condition of a row whose pod will not run any more.
pub(super) fn completed(pod: &Value) -> Option<Value> {
    let (reason, message) = match pod["status"]["phase"].as_str() {
        Some("Succeeded") => ("Succeeded", "The pod has completed successfully."),
        Some("Failed") => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!({"type": "Completed", "status": "True", "reason": reason, "message": message}))
}

fn status(pod: &Value) -> (String, Tally) {
    let status = &pod["status"];
    let mut reason = match text(&status["reason"]) {
        "" => text(&status["phase"]).to_owned(),
        reason => reason.to_owned(),
    };
    if condition(pod, "PodScheduled")["reason"] == "SchedulingGated" {
        reason = "SchedulingGated".into();
    }
    let (init_reason, mut tally, sidecars) = init_status(pod);
    let initialized = condition(pod, "Initialized")["status"] == "True";
    let initializing = init_reason.is_some();
    if let Some(init_reason) = init_reason {
        reason = init_reason;
    }
    if !initializing || initialized {
        tally.restarts = sidecars.restarts;
        tally.last_restart = sidecars.last_restart;
        reason = containers_status(pod, reason, &mut tally);
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if status["reason"] == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) {
            reason = "Terminating".into();
        }
    }
    (reason, tally)
}

/// `Init:1/2`, `Init:Error`, … while init containers run; the restarts of all of them, and those
/// of sidecars alone.
fn init_status(pod: &Value) -> (Option<String>, Tally, Tally) {
    let specs = list(&pod["spec"]["initContainers"]);
    let (mut all, mut sidecars) = (Tally::default(), Tally::default());
    for (i, status) in list(&pod["status"]["initContainerStatuses"])
        .iter()
        .enumerate()
    {
        let sidecar = specs
            .iter()
            .find(|c| c["name"] == status["name"])
            .is_some_and(is_sidecar);
        all.add_restarts(status);
        if sidecar {
            sidecars.add_restarts(status);
        }
        let (state, terminated) = (&status["state"], &status["state"]["terminated"]);
        let waiting = text(&state["waiting"]["reason"]);
        if !terminated.is_null() && terminated["exitCode"].as_i64().unwrap_or_default() == 0 {
            continue;
        }
        if sidecar && status["started"] == true {
            all.ready += usize::from(status["ready"] == true);
            continue;
        }
        let reason = if !terminated.is_null() {
            format!("Init:{}", exit_reason(terminated))
        } else if !matches!(waiting, "" | "PodInitializing") {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{}", specs.len())
        };
        return (Some(reason), all, sidecars);
    }
    (None, all, sidecars)
}

fn containers_status(pod: &Value, mut reason: String, tally: &mut Tally) -> String {
    let mut running = false;
    // From the last to the first, so that the first that has something to say has the word.
    for status in list(&pod["status"]["containerStatuses"]).iter().rev() {
        tally.add_restarts(status);
        let state = &status["state"];
        let waiting = text(&state["waiting"]["reason"]);
        if !waiting.is_empty() {
            reason = waiting.into();
        } else if !state["terminated"].is_null() {
            reason = exit_reason(&state["terminated"]);
        } else if status["ready"] == true && !state["running"].is_null() {
            running = true;
            tally.ready += 1;
        }
    }
    if reason == "Completed" && running {
        let ready = condition(pod, "Ready")["status"] == "True";
        reason = if ready { "Running" } else { "NotReady" }.into();
    }
    reason
}

/// `Error`, `OOMKilled`, `ExitCode:3`, `Signal:9`.
fn exit_reason(terminated: &Value) -> String {
    let number = |field: &str| terminated[field].as_i64().unwrap_or_default();
    match (text(&terminated["reason"]), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(&pod["spec"]["readinessGates"]);
    let is_true = |gate: &&Value| condition(pod, text(&gate["conditionType"]))["status"] == "True";
    match gates.len() {
        0 => "<none>".into(),
        total => format!("{}/{total}", gates.iter().filter(is_true).count()),
    }
}

fn condition<'a>(pod: &'a Value, name: &str) -> &'a Value {
    list(&pod["status"]["conditions"])
        .iter()
        .find(|condition| condition["type"] == name)
        .unwrap_or(&Value::Null)
}

/// An init container that keeps running beside the others.
fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}
