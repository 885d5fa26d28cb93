//! What is owned goes with its owner, in a whole cluster.

use std::time::Duration;

use workshop_tests::{Kind, Lab, free_port};

const SOON: Duration = Duration::from_secs(20);

/// Upstream: "should not be blocked by dependency circle" in
/// `test/e2e/apimachinery/garbage_collector.go`.
#[test]
fn a_circle_of_owners_goes_as_well() {
    let lab = Lab::new_on(Kind::Embedded, "garbage");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    for (name, owner) in [("one", "three"), ("two", "one"), ("three", "two")] {
        for name in [name, owner] {
            let _there_already = lab.try_kubectl(&format!("create configmap {name}"));
        }
        let uid = lab.kubectl(&format!(
            "get configmap {owner} -o jsonpath={{.metadata.uid}}"
        ));
        lab.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  ownerReferences:\n  \
             - {{apiVersion: v1, kind: ConfigMap, name: {owner}, uid: {uid}, \
             blockOwnerDeletion: true}}\n"
        ));
    }
    lab.kubectl("delete configmap one --cascade=foreground --timeout=30s");
    lab.eventually("all of them go", SOON, || {
        let left = lab.kubectl("get configmaps -o name");
        (left.trim() == "configmap/kube-root-ca.crt").then_some(())
    });
}
