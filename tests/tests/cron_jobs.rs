//! A CronJob whose time has come.

use workshop_tests::{Kind, Lab, free_port};

const EVERY_MINUTE: &str = r#"
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "* * * * *"
  suspend: true
  jobTemplate:
    metadata: {labels: {of: tick}}
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: main, image: workshop/shell, command: [echo, tock]}]
"#;

#[test]
fn a_time_that_was_missed_is_made_up_for() {
    let lab = Lab::new_on(Kind::Embedded, "cron");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    lab.apply(EVERY_MINUTE);
    // As if nobody had looked for hours, so that nobody has to wait for the clock here.
    let past = r#"--patch={"status":{"lastScheduleTime":"2026-01-01T00:00:00Z"}}"#;
    let patch = ["patch", "cronjob", "tick", "--type=merge"];
    let told = lab.try_kubectl_args(&[&patch[..], &["--subresource=status", past]].concat());
    told.expect("the status may be patched");
    assert_eq!(lab.kubectl("get jobs -o name"), "", "it is suspended");
    let resume = r#"--patch={"spec":{"suspend":false}}"#;
    let told = lab.try_kubectl_args(&[&patch[..], &[resume]].concat());
    told.expect("it may go on");

    lab.kubectl("wait --for=create job -l of=tick --timeout=30s");
    lab.kubectl("wait --for=condition=Complete job -l of=tick --timeout=60s");
    let said = lab.kubectl("logs -l batch.kubernetes.io/job-name --tail=1");
    assert!(said.contains("tock"), "{said}");
    let owner = "get jobs -l of=tick -o jsonpath={.items[0].metadata.ownerReferences[0].kind}";
    assert_eq!(lab.kubectl(owner), "CronJob");
    let status = "get cronjob tick -o jsonpath={.status.lastSuccessfulTime}";
    lab.eventually(
        "its success is known",
        std::time::Duration::from_secs(20),
        || (!lab.kubectl(status).is_empty()).then_some(()),
    );

    // One by hand is no business of the schedule's, and what a CronJob owns goes with it.
    lab.kubectl("create job by-hand --from=cronjob/tick");
    lab.kubectl("wait --for=condition=Complete job/by-hand --timeout=60s");
    lab.kubectl("delete cronjob tick --cascade=foreground --timeout=30s");
    assert_eq!(lab.kubectl("get jobs -o name"), "");
}
