//! `cargo xtask diff`: one script on two labs.

use std::process::Command;

use workshop_tests::{Lab, stage};

/// What `cargo xtask diff` says, and its exit code.
fn diff(script: &str, left: &Lab, right: &Lab) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    std::fs::write(&file, script).unwrap();
    let mut diff = Command::new(stage::xtask());
    let output = diff
        .arg("diff")
        .arg(&file)
        .arg("--left")
        .arg(left.kubeconfig())
        .arg("--right")
        .arg(right.kubeconfig())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said + &String::from_utf8(output.stderr).unwrap();
    (said, output.status.code())
}

#[test]
fn tells_what_two_labs_say_otherwise() {
    let (left, right) = (Lab::new("left"), Lab::new("right"));
    left.start(&["--nodes", "2"]);
    right.start(&["--nodes", "1"]);

    let same = "\
# What any cluster says: names, ages, addresses and hashes aside.
kubectl create deployment web --image=workshop/echo
kubectl rollout status deployment/web | tail -n 1
kubectl expose deployment web --port=80
kubectl get service,deployment
kubectl get pod nobody
kubectl delete deployment,service web
";
    let (said, code) = diff(same, &left, &right);
    assert_eq!(said, "Both say the same to 6 commands.\n");
    assert_eq!(code, Some(0));

    let (said, code) = diff("kubectl get nodes\nkubectl auth whoami\n", &left, &right);
    let (_, difference) = said.split_once("\n\n").unwrap();
    insta::assert_snapshot!(difference, @r"
    $ kubectl get nodes
      NAME     STATUS   ROLES           AGE   VERSION
      node-1   Ready    control-plane   5s    v1.36.2
      node-2   Ready    <none>          5s    v1.36.2
    - node-3   Ready    <none>          5s    v1.36.2
    ");
    assert_eq!(code, Some(1));

    let (said, code) = diff("# nothing\n", &left, &right);
    assert!(said.contains("has no commands"), "{said}");
    assert_eq!(code, Some(2));
}
