//! Workloads and limits that won't do.

use serde_json::{Value, json};

use super::create;

pub(super) fn good(kind: &str) -> Value {
    let labels = json!({"app": "web"});
    let selector = json!({"matchLabels": labels});
    let template = |restart: &str| {
        json!({"metadata": {"labels": labels}, "spec": {"restartPolicy": restart,
            "containers": [{"name": "c", "image": "nginx"}]}})
    };
    match kind {
        "PodTemplate" => json!({"template": template("Always")}),
        "ReplicationController" => json!({"spec": {"template": template("Always")}}),
        "Job" => json!({"spec": {"template": template("Never"), "selector": selector,
            "manualSelector": true}}),
        "CronJob" => json!({"spec": {"schedule": "@daily",
            "jobTemplate": {"spec": {"template": template("Never")}}}}),
        _ => json!({"spec": {"template": template("Always"), "selector": selector}}),
    }
}

#[test]
fn wrong_workloads() {
    let check = |got: Vec<String>, expected: &[&str]| assert_eq!(got, expected);
    let surge = json!({"maxUnavailable": "0%", "maxSurge": "101%"});
    check(
        create(
            "DaemonSet",
            &[("/spec/updateStrategy/rollingUpdate", surge)],
        ),
        &[
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"101%\": must not be \
             greater than 100%",
        ],
    );
    check(
        create("DaemonSet", &[("/spec/selector", json!({}))]),
        &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
    );
    check(
        create("StatefulSet", &[("/spec/podManagementPolicy", json!("x"))]),
        &[
            "spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or \
             'Parallel'",
        ],
    );
    let never = ("/spec/template/spec/restartPolicy", json!("Never"));
    check(
        create("StatefulSet", std::slice::from_ref(&never)),
        &[
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \
             \"Always\"",
        ],
    );
    check(
        create(
            "Job",
            &[
                ("/spec/completionMode", json!("Indexed")),
                ("/spec/parallelism", json!(100_001)),
            ],
        ),
        &[
            "spec.completions: Required value: when completion mode is Indexed",
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when \
             completion mode is Indexed",
        ],
    );
    let rules = json!([
        {"action": "Ignore"},
        {"action": "FailIndex", "onPodConditions": [{"type": "x"}]},
        {"onExitCodes": {"operator": "In", "containerName": "x", "values": [2, 0, 2]}},
    ]);
    check(
        create("Job", &[("/spec/podFailurePolicy/rules", rules)]),
        &[
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and \
             OnPodConditions is required",
            "spec.podFailurePolicy.rules[1].action: Invalid value: \"FailIndex\": requires the \
             backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[2].action: Required value: valid values: [\"Count\" \
             \"FailIndex\" \"FailJob\" \"Ignore\"]",
            "spec.podFailurePolicy.rules[2].onExitCodes.containerName: Invalid value: \"x\": must \
             be one of the container or initContainer names in the pod template",
            "spec.podFailurePolicy.rules[2].onExitCodes.values[1]: Invalid value: 0: must not be 0 \
             for the In operator",
            "spec.podFailurePolicy.rules[2].onExitCodes.values[2]: Duplicate value: 2",
            "spec.podFailurePolicy.rules[2].onExitCodes.values: Invalid value: [2,0,2]: must be \
             ordered",
        ],
    );
    let policy = json!({"rules": [{}, {"succeededIndexes": "0-1", "succeededCount": 4}]});
    check(
        create(
            "Job",
            &[
                ("/spec/completionMode", json!("Indexed")),
                ("/spec/completions", json!(3)),
                ("/spec/successPolicy", policy),
            ],
        ),
        &[
            "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or \
             succeededIndexes must be specified",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 4: must be less than or \
             equal to 3 (the number of specified completions)",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 4: must be less than or \
             equal to 2 (the number of indexes in the specified succeededIndexes field)",
        ],
    );
    let both = json!([{"type": "Container", "default": {"hugepages-2Mi": "2Mi"},
        "defaultRequest": {"hugepages-2Mi": "1Mi"}, "maxLimitRequestRatio": {"cpu": "500m"}},
        {"type": "mouse"}]);
    check(
        create("LimitRange", &[("/spec/limits", both)]),
        &[
            "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is \
             less than 1",
            "spec.limits[0].defaultRequest[hugepages-2Mi]: Invalid value: \"1Mi\": default value \
             2Mi must equal to defaultRequest value 1Mi in hugepages-2Mi",
            "spec.limits[1].type: Invalid value: \"mouse\": must be a standard limit type or \
             fully qualified",
        ],
    );
    let scoped = json!([{"scopeName": "PriorityClass", "operator": "In"},
        {"scopeName": "BestEffort", "operator": "DoesNotExist"}]);
    check(
        create(
            "ResourceQuota",
            &[
                ("/spec/scopeSelector/matchExpressions", scoped),
                ("/spec/hard", json!({"pods": "1"})),
            ],
        ),
        &[
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one \
             value when `operator` is 'In' or 'NotIn' for scope selector",
            "spec.scopeSelector.matchExpressions.operator: Invalid value: \"DoesNotExist\": must \
             be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
             ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
             ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ],
    );
}
