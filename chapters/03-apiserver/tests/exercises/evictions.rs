//! The exercise about evictions.

use apiserver::http::eviction::{Way, way};
use exercise::Check;
use serde_json::{Value, json};

#[test]
fn exercise_03_14() {
    let budget = |healthy: i64, desired: i64, policy: Value| {
        json!({"metadata": {"name": "b"}, "spec": {"unhealthyPodEvictionPolicy": policy},
            "status": {"currentHealthy": healthy, "desiredHealthy": desired}})
    };
    let pod = |phase: &str, ready: &str| {
        json!({"metadata": {"name": "p"}, "status": {"phase": phase,
            "conditions": [{"type": "Ready", "status": ready}]}})
    };
    let check = |pod: &Value, budgets: &[Value], expected: &str, rule: &str| {
        let saw = match way(pod, budgets) {
            Ok(Way::Free) => "goes".to_owned(),
            Ok(Way::FreeWhileUnchanged) => "goes if it is still as it was".to_owned(),
            Ok(Way::Budget(name)) => format!("asks {name}"),
            Err(error) => format!("refused with {}", error.code),
        };
        let told = |budget: &Value| {
            let status = &budget["status"];
            let policy = budget["spec"]["unhealthyPodEvictionPolicy"].as_str();
            format!(
                "{} of {} healthy{}",
                status["currentHealthy"],
                status["desiredHealthy"],
                policy.map_or(String::new(), |policy| format!(", {policy}"))
            )
        };
        let budgets: Vec<String> = budgets.iter().map(told).collect();
        Check::new(format!("evict the pod {pod}; its budgets: {budgets:?}"))
            .because(rule)
            .expect_text(&saw, expected);
    };
    let none = Value::Null;
    let enough = [budget(2, 2, none.clone())];
    let short = [budget(1, 2, none.clone())];
    let rule = "a pod without a budget goes";
    check(&pod("Running", "True"), &[], "goes", rule);
    let rule = "a pod that serves goes if its budget has one to spare";
    check(&pod("Running", "True"), &enough, "asks b", rule);
    let rule = "a pod that has ended, or is ending, disrupts nothing by going";
    check(&pod("Succeeded", "False"), &short, "goes", rule);
    check(&pod("Failed", "False"), &short, "goes", rule);
    let mut ending = pod("Running", "True");
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    check(&ending, &short, "goes", rule);
    let unchanged = "goes if it is still as it was";
    let rule = "a pending pod may run a moment later: it goes if it is the same then";
    check(&pod("Pending", "False"), &short, unchanged, rule);
    let rule = "a pod that is not ready is not missed, where enough others are";
    check(&pod("Running", "False"), &enough, unchanged, rule);
    let rule = "where too few are healthy, one that is about to be ready may be missed";
    check(&pod("Running", "False"), &short, "asks b", rule);
    let rule = "AlwaysAllow lets what is not ready go, however few there are";
    let always = [budget(1, 2, "AlwaysAllow".into())];
    check(&pod("Running", "False"), &always, unchanged, rule);
    check(&pod("Running", "True"), &always, "asks b", rule);
    let rule = "where nothing is desired, nobody has counted yet";
    let new = [budget(0, 0, none)];
    check(&pod("Running", "False"), &new, "asks b", rule);
    let rule = "of two budgets nobody knows which to ask";
    let two = [enough[0].clone(), short[0].clone()];
    check(&pod("Running", "True"), &two, "refused with 500", rule);
}
