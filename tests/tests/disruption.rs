//! Evictions that a budget allows or not, and the elders of ReplicaSets.

use std::time::Duration;

use workshop_tests::{Kind, Lab, free_port};

const SOON: Duration = Duration::from_secs(30);

const WEB: &str = r#"
apiVersion: v1
kind: ReplicationController
metadata: {name: web}
spec:
  replicas: 2
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: echo, image: workshop/echo}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: web}}
"#;

#[test]
fn a_budget_allows_one_at_a_time() {
    let lab = Lab::new_on(Kind::Embedded, "disruption");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    lab.apply(WEB);
    let status = |expect: &str| {
        let path = "{.status.currentHealthy}/{.status.expectedPods} healthy, \
                    {.status.disruptionsAllowed} may go, {.status.conditions[0].reason}";
        lab.eventually(expect, SOON, || {
            let path = format!("jsonpath={path}");
            let told = lab.try_kubectl_args(&["get", "pdb", "web", "-o", &path]);
            (told.ok()? == expect).then_some(())
        });
    };
    status("2/2 healthy, 1 may go, SufficientPods");

    // Its replacement cannot come: a budget of one is spent until it does.
    lab.kubectl("create quota none --hard=pods=2");
    lab.kubectl("wait --for=jsonpath={.status.used.pods}=2 quota/none --timeout=20s");
    lab.kubectl("patch quota none --type=merge -p {\"spec\":{\"hard\":{\"pods\":\"0\"}}}");
    lab.kubectl("wait --for=jsonpath={.status.hard.pods}=0 quota/none --timeout=20s");
    let pods = lab.kubectl("get pods -l app=web -o jsonpath={.items[*].metadata.name}");
    let pods: Vec<&str> = pods.split_whitespace().collect();
    evict(&lab, pods[0]).expect("one may go");
    status("1/2 healthy, 0 may go, InsufficientPods");
    let refused = evict(&lab, pods[1]).unwrap_err();
    assert!(
        refused.contains("Cannot evict pod as it would violate the pod's disruption budget."),
        "{refused}"
    );
    lab.eventually("the ReplicationController says why", SOON, || {
        let path = "jsonpath={.status.conditions[0].type}/{.status.conditions[0].reason}";
        let told = lab.kubectl(&format!("get rc web -o {path}"));
        (told == "ReplicaFailure/FailedCreate").then_some(())
    });

    lab.kubectl("delete quota none");
    status("2/2 healthy, 1 may go, SufficientPods");
    lab.kubectl("scale rc web --replicas=3");
    status("3/3 healthy, 1 may go, SufficientPods");
    lab.kubectl("delete rc web --cascade=foreground --timeout=30s");
    status("0/0 healthy, 0 may go, InsufficientPods");
}

/// Asks for an eviction, as `kubectl drain` does for each pod of a node.
fn evict(lab: &Lab, pod: &str) -> Result<String, String> {
    let eviction = lab.home().join("eviction.json");
    let body = format!(
        r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}","namespace":"default"}}}}"#
    );
    std::fs::write(&eviction, body).expect("a file for it");
    let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
    lab.try_kubectl(&format!("create --raw {path} -f {}", eviction.display()))
}
