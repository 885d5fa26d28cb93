//! RuntimeClasses: who may ask for which, and what runs the pods that do.

use std::time::Duration;

use workshop_tests::{Kind, Lab, on_each_lab};

const SOON: Duration = Duration::from_secs(60);

const CLASSES: &str = r#"
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: nobodys}
handler: no-such
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: costly}
handler: no-such
overhead: {podFixed: {cpu: 10m, memory: 1Mi}}
scheduling: {nodeSelector: {kubernetes.io/hostname: worker-2}}
"#;

fn pod(name: &str, class: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  runtimeClassName: {class}\n  \
         containers: [{{name: shell, image: workshop/shell, command: [sleep, infinity]}}]\n"
    )
}

on_each_lab!(a_class_says_what_runs_its_pods);

fn a_class_says_what_runs_its_pods(kind: Kind) {
    let lab = Lab::up_on(kind, "classes");
    lab.apply(CLASSES);
    let table = lab.kubectl("get runtimeclasses --no-headers");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("costly") && line.contains("no-such"))
    );

    lab.apply(&pod("unrunnable", "nobodys"));
    let why = lab.eventually("the kubelet says why it does not start", SOON, || {
        let events = lab.kubectl(
            "get events --field-selector=involvedObject.name=unrunnable,\
             reason=FailedCreatePodSandBox -o jsonpath={.items[*].message}",
        );
        (!events.is_empty()).then_some(events)
    });
    assert!(why.contains("Failed to create pod sandbox: "), "{why}");
    let expected = "no runtime for \"no-such\" is configured";
    assert!(why.contains(expected), "{why}");
    let phase = lab.kubectl("get pod unrunnable -o jsonpath={.status.phase}");
    assert_eq!(phase, "Pending");

    lab.apply(&pod("costly", "costly"));
    let placed = lab.eventually("it is placed where its class wants it", SOON, || {
        let placed = lab.kubectl(
            "get pod costly -o jsonpath={.spec.nodeName}/{.spec.overhead.cpu}/{.spec.overhead.memory}",
        );
        (!placed.starts_with('/')).then_some(placed)
    });
    assert_eq!(placed, "worker-2/10m/1Mi");

    lab.kubectl("delete runtimeclass costly");
    let manifest = lab.home().join("rejected.yaml");
    std::fs::write(&manifest, pod("rejected", "costly")).expect("the lab's folder");
    let path = manifest.display().to_string();
    let said = lab.try_kubectl_args(&["create", "-f", &path]).unwrap_err();
    let expected =
        "pods \"rejected\" is forbidden: pod rejected: RuntimeClass \"costly\" not found";
    assert!(said.contains(expected), "{said}");
}
