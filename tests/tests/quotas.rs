//! Quotas that hold: what is used is counted, held against, and given back.

use std::time::Duration;

use workshop_tests::{Kind, Lab, free_port};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_quota_holds_and_is_given_back_what_goes() {
    let lab = Lab::new_on(Kind::Embedded, "quotas");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    lab.kubectl("create namespace shop");
    let used = |expect: &str| {
        lab.eventually(&format!("used: {expect}"), SOON, || {
            let used = lab.kubectl("get quota q -n shop -o jsonpath={.status.used}");
            (used == expect).then_some(())
        });
    };
    lab.kubectl("wait --for=create configmap/kube-root-ca.crt -n shop --timeout=20s");
    lab.kubectl("create quota q -n shop --hard=pods=2,configmaps=2,count/deployments.apps=1");
    // The authority's certificate is a ConfigMap that each namespace has.
    used(r#"{"configmaps":"1","count/deployments.apps":"0","pods":"0"}"#);

    // Pods that do not fit are not made, and somebody says so.
    lab.kubectl("create deployment web -n shop --image=workshop/echo --replicas=3");
    used(r#"{"configmaps":"1","count/deployments.apps":"1","pods":"2"}"#);
    lab.eventually("the ReplicaSet says why", SOON, || {
        let events = lab.kubectl("get events -n shop --field-selector=reason=FailedCreate");
        let why =
            "is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
        events.contains(why).then_some(())
    });
    let second = lab
        .try_kubectl("create deployment other -n shop --image=workshop/echo")
        .unwrap_err();
    assert!(
        second.contains(
            "exceeded quota: q, requested: count/deployments.apps=1, used: \
             count/deployments.apps=1, limited: count/deployments.apps=1"
        ),
        "{second}"
    );

    // More room is room at once.
    let patched = lab.try_kubectl_args(&[
        "patch",
        "quota",
        "q",
        "-n",
        "shop",
        "--type=merge",
        r#"--patch={"spec":{"hard":{"pods":"3"}}}"#,
    ]);
    patched.expect("it is a limit");
    lab.kubectl("rollout status deployment/web -n shop --timeout=60s");
    used(r#"{"configmaps":"1","count/deployments.apps":"1","pods":"3"}"#);

    // What goes is given back: of a kind whose objects are looked at, and of one whose are counted.
    lab.kubectl("create configmap one -n shop");
    let two = lab.try_kubectl("create configmap two -n shop").unwrap_err();
    assert!(
        two.contains("exceeded quota: q, requested: configmaps=1"),
        "{two}"
    );
    lab.kubectl("delete configmap one -n shop");
    lab.kubectl("delete deployment web -n shop");
    used(r#"{"configmaps":"1","count/deployments.apps":"0","pods":"0"}"#);
    lab.kubectl("create configmap two -n shop");
}
