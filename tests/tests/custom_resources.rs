//! Kinds that clients define, in a whole cluster: its controllers take care of them as of any other.

use std::time::Duration;

use workshop_tests::{Kind, Lab, free_port};

const SOON: Duration = Duration::from_secs(20);

const DEFINITION: &str = include_str!("../../book/manifests/backups.yaml");

/// An object that this one owns.
fn owned(
    kind: &str,
    name: &str,
    (api, owner, owner_name, uid): (&str, &str, &str, &str),
) -> String {
    let (own_api, spec) = match kind {
        "Backup" => ("example.com/v1", "spec: {volume: photos}"),
        _ => ("v1", "data: {}"),
    };
    format!(
        "apiVersion: {own_api}\nkind: {kind}\n{spec}\nmetadata:\n  name: {name}\n  \
         ownerReferences:\n  - {{apiVersion: {api}, kind: {owner}, name: {owner_name}, uid: {uid}, \
         blockOwnerDeletion: true}}\n"
    )
}

#[test]
fn what_is_owned_goes_with_its_owner_and_its_namespace() {
    let lab = Lab::new_on(Kind::Embedded, "custom");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    let gone = |object: &str| {
        lab.eventually(&format!("{object} goes"), SOON, || {
            let found = lab.kubectl(&format!("get {object} --ignore-not-found -o name"));
            found.trim().is_empty().then_some(())
        });
    };
    let uid = |object: &str| lab.kubectl(&format!("get {object} -o jsonpath={{.metadata.uid}}"));

    // The collector began before there was such a kind.
    lab.apply(DEFINITION);
    lab.kubectl("wait --for=condition=Established crd/backups.example.com --timeout=20s");
    let backup = "apiVersion: example.com/v1\nkind: Backup\nspec: {volume: photos}\n\
                  metadata: {name: first}\n";
    lab.apply(backup);
    let first = uid("backup/first");
    let owner = ("example.com/v1", "Backup", "first", first.as_str());
    lab.apply(&owned("ConfigMap", "log", owner));
    lab.kubectl("delete backup first --cascade=background --timeout=20s");
    gone("configmap/log");

    // It waits for its dependents, and is let go when they have gone.
    lab.apply(backup);
    let again = uid("backup/first");
    let owner = ("example.com/v1", "Backup", "first", again.as_str());
    lab.apply(&owned("ConfigMap", "log", owner));
    lab.kubectl("delete backup first --cascade=foreground --timeout=20s");
    gone("configmap/log");

    // And the other way about.
    lab.kubectl("create configmap plan");
    let plan = uid("configmap/plan");
    lab.apply(&owned(
        "Backup",
        "planned",
        ("v1", "ConfigMap", "plan", &plan),
    ));
    lab.kubectl("delete configmap plan");
    gone("backup/planned");

    lab.kubectl("create namespace archive");
    lab.apply(&backup.replace("name: first", "name: first, namespace: archive"));
    lab.kubectl("delete namespace archive --timeout=30s");
    assert_eq!(lab.kubectl("get backups -A --ignore-not-found").trim(), "");

    // A kind that has gone holds nobody up.
    lab.kubectl("delete crd backups.example.com --timeout=20s");
    lab.kubectl("create configmap owner");
    let owner = uid("configmap/owner");
    lab.apply(&owned(
        "ConfigMap",
        "late",
        ("v1", "ConfigMap", "owner", &owner),
    ));
    lab.kubectl("delete configmap owner --cascade=foreground --timeout=20s");
    gone("configmap/late");
}
