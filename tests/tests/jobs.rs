//! Jobs that run to their end in a cluster, as kubectl sees them.

use std::time::Duration;

use workshop_tests::{Kind, Lab, free_port};

const SOON: Duration = Duration::from_secs(30);

/// A Job whose container runs a script.
fn job(name: &str, spec: &str, script: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n  \
         template:\n    spec:\n      restartPolicy: Never\n      \
         terminationGracePeriodSeconds: 0\n      containers:\n      - name: main\n        image: \
         workshop/shell\n        command: [bash, -c, {script:?}]\n"
    )
}

#[test]
fn jobs_run_to_their_end() {
    let lab = Lab::new_on(Kind::Embedded, "jobs");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    indexed(&lab);
    failing(&lab);
    suspended(&lab);
    what_has_ended_goes(&lab);
    deleted(&lab);
}

/// Each pod knows its index, and the Job says when all are done.
fn indexed(lab: &Lab) {
    let spec = "completions: 3\n  parallelism: 2\n  completionMode: Indexed";
    lab.apply(&job("squares", spec, "echo $((JOB_COMPLETION_INDEX ** 2))"));
    lab.kubectl("wait --for=condition=Complete job/squares --timeout=60s");
    let said = lab.kubectl("logs -l job-name=squares --tail=1");
    let mut said: Vec<&str> = said.split_whitespace().collect();
    said.sort_unstable();
    assert_eq!(said, ["0", "1", "4"]);
    let status = "{.status.succeeded} {.status.completedIndexes} \
                  {.status.conditions[*].type} {.status.uncountedTerminatedPods}";
    let status = lab.try_kubectl_args(&["get", "job/squares", "-o", &format!("jsonpath={status}")]);
    assert_eq!(status.unwrap(), "3 0-2 SuccessCriteriaMet Complete {}");
    let finalizers = "get pods -l job-name=squares -o jsonpath={.items[*].metadata.finalizers}";
    assert_eq!(lab.kubectl(finalizers), "");
    let names = "get pods -l job-name=squares -o jsonpath={.items[*].spec.hostname}";
    let names = lab.kubectl(names);
    let mut names: Vec<&str> = names.split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(names, ["squares-0", "squares-1", "squares-2"]);
}

fn failing(lab: &Lab) {
    lab.apply(&job("broken", "backoffLimit: 0", "exit 3"));
    lab.kubectl("wait --for=condition=Failed job/broken --timeout=60s");
    let why = "get job broken -o jsonpath={.status.failed}/{.status.conditions[-1:].reason}";
    assert_eq!(lab.kubectl(why), "1/BackoffLimitExceeded");
    lab.eventually("an event says so", SOON, || {
        let events = lab.kubectl("get events --field-selector=involvedObject.name=broken");
        events
            .contains("Job has reached the specified backoff limit")
            .then_some(())
    });
}

/// Suspended it has no pods; resumed it goes on.
fn suspended(lab: &Lab) {
    lab.apply(&job("later", "suspend: true", "sleep infinity"));
    lab.kubectl("wait --for=condition=Suspended job/later --timeout=20s");
    assert_eq!(lab.kubectl("get pods -l job-name=later -o name"), "");
    let suspend = |value: &str| {
        let patch = format!(r#"--patch={{"spec":{{"suspend":{value}}}}}"#);
        let patched = lab.try_kubectl_args(&["patch", "job", "later", &patch]);
        patched.expect("that may be changed");
    };
    suspend("false");
    lab.kubectl("wait --for=jsonpath={.status.ready}=1 job/later --timeout=30s");
    suspend("true");
    lab.eventually("its pod is gone", SOON, || {
        let pods = lab.kubectl("get pods -l job-name=later -o name");
        pods.is_empty().then_some(())
    });
}

fn what_has_ended_goes(lab: &Lab) {
    lab.apply(&job("brief", "ttlSecondsAfterFinished: 0", "true"));
    lab.kubectl("wait --for=delete job/brief --timeout=60s");
    lab.eventually("so are its pods", SOON, || {
        let pods = lab.kubectl("get pods -l job-name=brief -o name");
        pods.is_empty().then_some(())
    });
}

/// With a Job that still runs go its pods, though they have a finalizer.
fn deleted(lab: &Lab) {
    lab.apply(&job("endless", "completions: 1", "sleep infinity"));
    lab.kubectl("wait --for=jsonpath={.status.active}=1 job/endless --timeout=30s");
    lab.kubectl("delete job endless --timeout=30s");
    lab.eventually("its pods are gone", SOON, || {
        let pods = lab.kubectl("get pods -l job-name=endless -o name");
        pods.is_empty().then_some(())
    });
}
