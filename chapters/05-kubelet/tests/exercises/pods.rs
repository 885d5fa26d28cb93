//! Exercises about a pod as a whole: its class, its conditions, its mirror, what it asks for.

use std::collections::HashMap;

use exercise::Check;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kubelet::decide::qos::qos_class;
use kubelet::decide::requests::{pod_requests, shown};
use kubelet::decide::static_pod::{MirrorStep, from_manifest, mirror_step};
use kubelet::decide::status::{StatusInput, pod_status};
use kubelet::decide::{Outcome, ProbeResults, RuntimePod};
use kubelet::runtime::{ContainerState, Features, SandboxState};
use serde_json::{Value, json};

use super::made::{at, container, sandbox, with_spec};

#[test]
fn exercise_05_4() {
    let check = |containers: &[Value], expected, rule: &str| {
        let list = containers.iter().map(Value::to_string);
        let list: Vec<String> = list.collect();
        let with_names = containers.iter().enumerate();
        let containers: Vec<Value> = with_names
            .map(
                |(number, resources)| json!({ "name": number.to_string(), "resources": resources }),
            )
            .collect();
        Check::new(format!(
            "a pod whose containers have the resources {}",
            list.join(" and ")
        ))
        .because(rule)
        .expect_text(
            qos_class(&with_spec(&json!({ "containers": containers }))),
            expected,
        );
    };
    let both = json!({ "cpu": "500m", "memory": "64Mi" });
    let full = json!({ "limits": both, "requests": both });
    let rule = "who asks for nothing and is limited by nothing is BestEffort";
    check(&[json!({}), json!({})], "BestEffort", rule);
    let rule = "a request alone makes a pod Burstable";
    check(
        &[json!({ "requests": { "cpu": "100m" } })],
        "Burstable",
        rule,
    );
    let rule = "Guaranteed is a pod whose every container has a limit for both cpu and memory";
    check(&[full.clone(), full.clone()], "Guaranteed", rule);
    check(&[full.clone(), json!({})], "Burstable", rule);
    check(&[json!({ "limits": { "cpu": "1" } })], "Burstable", rule);
    check(
        &[json!({ "limits": { "memory": "1Gi" } })],
        "Burstable",
        rule,
    );
    let rule = "a limit without a request is a request for as much";
    check(&[json!({ "limits": both })], "Guaranteed", rule);
    let rule = "who asks for less than the limit counts on luck: Burstable";
    let less = json!({ "limits": both, "requests": { "cpu": "100m", "memory": "64Mi" } });
    check(&[less], "Burstable", rule);
    let rule = "500m and 0.5 are the same amount";
    let other_words = json!({ "limits": both, "requests": { "cpu": "0.5", "memory": "64Mi" } });
    check(&[other_words], "Guaranteed", rule);
}

/// When the conditions of a pod with two probed containers say that they last changed.
struct Watched {
    pod: Pod,
    runtime: RuntimePod,
    probes: ProbeResults,
}

impl Watched {
    fn new() -> Watched {
        let probe = json!({ "tcpSocket": { "port": 80 } });
        let containers = json!([
            { "name": "web", "readinessProbe": probe }, { "name": "db", "readinessProbe": probe },
        ]);
        let runs = |name| container(name, "s", ContainerState::Running);
        let mut pod = with_spec(&json!({ "containers": containers }));
        // Its class is known, so that another exercise's hole is not met on the way.
        pod.status = Some(PodStatus {
            qos_class: Some("BestEffort".to_owned()),
            ..PodStatus::default()
        });
        Watched {
            pod,
            runtime: RuntimePod {
                sandboxes: vec![sandbox("s", 0, SandboxState::Ready)],
                containers: vec![runs("web"), runs("db")],
                ..RuntimePod::default()
            },
            probes: ProbeResults::default(),
        }
    }

    fn says(&mut self, name: &str, verdict: Outcome) {
        self.probes.readiness.insert(format!("s-{name}"), verdict);
    }

    /// `Ready=False since 3: containers with unready status: [db]`
    fn look(&mut self, seconds: i64) -> String {
        let status = pod_status(
            &self.pod,
            &StatusInput {
                runtime: &self.runtime,
                probes: &self.probes,
                waiting: &HashMap::new(),
                ended: None,
                stopped: false,
                scheme: "fake",
                node_ips: &[],
                features: Features::default(),
                now: at(seconds),
            },
        );
        let conditions = status.conditions.clone().unwrap_or_default();
        self.pod.status = Some(status);
        let ready = conditions.iter().find(|it| it.type_ == "Ready");
        let ready = ready.expect("every pod has this condition");
        let since = ready.last_transition_time.as_ref();
        format!(
            "Ready={} since {}: {}",
            ready.status,
            since.map_or("never".to_owned(), |time| time.0.as_second().to_string()),
            ready.message.as_deref().unwrap_or("-")
        )
    }
}

#[test]
fn exercise_05_8() {
    let mut pod = Watched::new();
    Check::new("a pod with the containers web and db, seen for the first time, at 10 s")
        .because("a condition that was not there before is as old as this look")
        .expect_text(
            &pod.look(10),
            "Ready=False since 10: containers with unready status: [web db]",
        );
    Check::new("the same pod at 20 s, nothing has changed")
        .because("while the status stays, so does the time: it says since when, not when asked")
        .expect_text(
            &pod.look(20),
            "Ready=False since 10: containers with unready status: [web db]",
        );
    pod.says("web", Outcome::Success);
    Check::new("at 30 s web is ready and db is not")
        .because("another message with the same status is no transition")
        .expect_text(
            &pod.look(30),
            "Ready=False since 10: containers with unready status: [db]",
        );
    pod.says("db", Outcome::Success);
    Check::new("at 40 s both are ready")
        .because("when the status changes, the time is now")
        .expect_text(&pod.look(40), "Ready=True since 40: -");
    pod.says("db", Outcome::Failure);
    pod.look(50);
    Check::new("not ready since 50 s, looked at again at 60 s")
        .because("while the status stays, so does the time: it says since when, not when asked")
        .expect_text(
            &pod.look(60),
            "Ready=False since 50: containers with unready status: [db]",
        );
}

#[test]
fn exercise_05_10() {
    let manifest = |image: &str| {
        let containers = json!([{ "name": "c", "image": image }]);
        let pod = with_spec(&json!({ "containers": containers }));
        from_manifest(pod, "/etc/manifests/p.yaml", "worker-1", "now").expect("a static pod")
    };
    let wanted = manifest("a");
    let said = |step: MirrorStep| match step {
        MirrorStep::Nothing => "nothing".to_owned(),
        MirrorStep::Create(mirror) => {
            format!("create {}", mirror.metadata.name.as_deref().unwrap_or("?"))
        }
        MirrorStep::Delete(uid) => format!("delete {uid}"),
    };
    Check::new("no manifest, and no mirror")
        .because("there is nothing to show")
        .expect_text(&said(mirror_step(None, None)), "nothing");
    let step = mirror_step(Some(&wanted), None);
    let mirror = match &step {
        MirrorStep::Create(mirror) => Some((**mirror).clone()),
        _ => None,
    };
    Check::new("a manifest that the API does not show yet")
        .because("a static pod without a mirror gets one")
        .expect_text(&said(step), "create p-worker-1");
    let mut mirror = mirror.expect("it was checked");
    mirror.metadata.uid = Some("m".to_owned());
    Check::new("a manifest, and the mirror that was made of it")
        .because("a mirror that shows the manifest as it is stays")
        .expect_text(&said(mirror_step(Some(&wanted), Some(&mirror))), "nothing");
    Check::new("the manifest was removed, its mirror is there")
        .because("a mirror without a static pod is deleted")
        .expect_text(&said(mirror_step(None, Some(&mirror))), "delete m");
    let changed = manifest("b");
    Check::new("the manifest has another image now, the mirror shows the old one")
        .because(
            "a mirror of another manifest is deleted, by its uid; the next look makes the new one",
        )
        .expect_text(
            &said(mirror_step(Some(&changed), Some(&mirror))),
            "delete m",
        );
    mirror.metadata.deletion_timestamp = Some(Time(at(0)));
    Check::new("somebody deletes the mirror: it has a deletionTimestamp")
        .because(
            "nobody else ends a mirror that is being deleted: the kubelet does, and makes it anew",
        )
        .expect_text(&said(mirror_step(Some(&wanted), Some(&mirror))), "delete m");
}

#[test]
fn exercise_05_11() {
    let asks = |cpu: &str| json!({ "requests": { "cpu": cpu } });
    let check =
        |init: &[(&str, bool)], containers: &[&str], expected: i128, rule: &str| {
            let told = |(cpu, sidecar): &(&str, bool)| {
                format!("{cpu}{}", if *sidecar { " (a sidecar)" } else { "" })
            };
            let told: Vec<String> = init.iter().map(told).collect();
            let mut tried = format!("containers that ask for {}", containers.join(" and "));
            if !told.is_empty() {
                tried += &format!("; before them, in this order, {}", told.join(", "));
            }
            let init = init.iter().enumerate().map(|(number, (cpu, sidecar))| {
            let policy = if *sidecar { json!("Always") } else { Value::Null };
            json!({ "name": format!("i{number}"), "resources": asks(cpu), "restartPolicy": policy })
        });
            let main = containers.iter().enumerate();
            let main = main.map(
                |(number, cpu)| json!({ "name": format!("c{number}"), "resources": asks(cpu) }),
            );
            let pod = with_spec(&json!({
                "initContainers": init.collect::<Vec<_>>(), "containers": main.collect::<Vec<_>>(),
            }));
            let requests = pod_requests(&pod);
            let cpu = shown("cpu", requests.get("cpu").copied().unwrap_or(0));
            Check::new(tried)
                .because(rule)
                .expect_text(&format!("{cpu}m"), &format!("{expected}m"));
        };
    let rule = "containers run side by side: what they ask for adds up";
    check(&[], &["200m", "100m"], 300, rule);
    let rule = "init containers run one at a time, before the others: the largest counts";
    check(&[("500m", false), ("400m", false)], &["200m"], 500, rule);
    let rule = "an init container that asks for less than the pod itself adds nothing";
    check(&[("100m", false)], &["200m", "100m"], 300, rule);
    let rule = "a sidecar runs as long as the pod: it counts beside the containers";
    check(&[("100m", true)], &["200m"], 300, rule);
    let rule = "an init container runs beside the sidecars that were started before it";
    check(&[("100m", true), ("500m", false)], &["200m"], 600, rule);
    let rule = "a sidecar that is started after an init container does not run beside it";
    check(&[("500m", false), ("100m", true)], &["200m"], 500, rule);
    check(&[("300m", false), ("100m", true)], &["300m"], 400, rule);
}
