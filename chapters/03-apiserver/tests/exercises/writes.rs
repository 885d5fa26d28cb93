//! Exercises about what is written for a client, and what it costs.

use apiserver::admission::Operation;
use apiserver::admission::pods::tolerate;
use apiserver::admission::quota::{Write, charge};
use apiserver::alloc::range::Range;
use apiserver::resources::by_kind;
use exercise::Check;
use jiff::Timestamp;
use serde_json::{Value, json};

#[test]
fn exercise_03_7() {
    const TAINT: &str = "node.kubernetes.io/unreachable";
    let patience = json!({"key": TAINT, "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 300});
    let check = |given: Value, expected: Value, rule: &str| {
        let mut pod = json!({"spec": {}});
        if !given.is_null() {
            pod["spec"]["tolerations"] = given.clone();
        }
        tolerate(&mut pod, TAINT, 300);
        Check::new(format!("a new pod with the tolerations {given}"))
            .because(rule)
            .expect_text(
                &pod["spec"]["tolerations"].to_string(),
                &expected.to_string(),
            );
    };
    let rule = "who says nothing stays for five minutes";
    check(Value::Null, json!([patience]), rule);
    let rule = "what the pod says of other taints stays, and this is added";
    let other = json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"});
    check(json!([other]), json!([other, patience]), rule);
    let rule = "who says it for this taint is left alone";
    let short = json!({"key": TAINT, "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 10});
    check(json!([other, short]), json!([other, short]), rule);
    let rule = "a toleration for another effect says nothing of who has to leave";
    let stays_out = json!({"key": TAINT, "operator": "Exists", "effect": "NoSchedule"});
    check(json!([stays_out]), json!([stays_out, patience]), rule);
    let rule = "without a key it is for every taint, without an effect for every effect";
    let every_effect = json!({"key": TAINT, "operator": "Exists"});
    check(json!([every_effect]), json!([every_effect]), rule);
    let everything = json!({"operator": "Exists"});
    check(json!([everything]), json!([everything]), rule);
}

#[test]
fn exercise_03_8() {
    let service = |kind: &str, ports: usize| {
        let ports = vec![json!({"port": 80}); ports];
        json!({"spec": {"type": kind, "ports": ports}})
    };
    let check = |hard: Value, old: Option<&Value>, new: Value, expected: &str, rule: &str| {
        let used = json!({"services": "1", "services.nodeports": "2",
            "services.loadbalancers": "0"});
        let named = |(name, _): (&String, &Value)| (name.clone(), used[name].clone());
        let used: serde_json::Map<String, Value> =
            hard.as_object().into_iter().flatten().map(named).collect();
        let quota = json!({"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}});
        let resource = by_kind("", "v1", "Service").expect("are served");
        let operation = match old {
            None => Operation::Create,
            Some(_) => Operation::Update,
        };
        let write = Write {
            resource,
            subresource: "",
            operation,
            new: &new,
            old,
            now: Timestamp::UNIX_EPOCH,
        };
        let saw = match charge(&quota, &write) {
            Ok(Some(used)) => format!("used: {used}"),
            Ok(None) => "nothing to pay".to_owned(),
            Err(why) => why,
        };
        let told = |service: &Value| {
            let ports = service["spec"]["ports"].as_array().map_or(0, Vec::len);
            format!("{} with ports: {ports}", service["spec"]["type"])
        };
        let tried = match old {
            None => format!("a new Service, {}", told(&new)),
            Some(old) => format!("a Service, {}, becomes {}", told(old), told(&new)),
        };
        Check::new(format!(
            "{tried}; the quota {hard}, of which are used {used:?}"
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let hard =
        || json!({"services": "5", "services.nodeports": "3", "services.loadbalancers": "1"});
    let rule = "a new object pays for all that it uses";
    check(
        hard(),
        None,
        service("NodePort", 1),
        "used: {\"services\":\"2\",\"services.loadbalancers\":\"0\",\"services.nodeports\":\"3\"}",
        rule,
    );
    check(
        hard(),
        None,
        service("NodePort", 2),
        "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=2, limited: \
         services.nodeports=3",
        rule,
    );
    let rule = "a changed object pays for what it uses more than before";
    check(
        hard(),
        Some(&service("NodePort", 2)),
        service("NodePort", 3),
        "used: {\"services\":\"1\",\"services.loadbalancers\":\"0\",\"services.nodeports\":\"3\"}",
        rule,
    );
    check(
        hard(),
        Some(&service("NodePort", 2)),
        service("NodePort", 2),
        "nothing to pay",
        rule,
    );
    let rule = "what it uses less is given back by the controller, when it has counted";
    check(
        hard(),
        Some(&service("NodePort", 2)),
        service("ClusterIP", 2),
        "nothing to pay",
        rule,
    );
    let rule = "what the quota does not name costs nothing in it";
    check(
        json!({"services": "5"}),
        None,
        service("NodePort", 9),
        "used: {\"services\":\"2\"}",
        rule,
    );
    check(
        json!({"services.loadbalancers": "1"}),
        None,
        service("NodePort", 9),
        "nothing to pay",
        rule,
    );
}

#[test]
fn exercise_03_9() {
    let check = |tried: &str, saw: String, expected: &str, rule: &str| {
        Check::new(format!(
            "of the numbers 100 to 104, of which 100 and 101 are reserved: {tried}"
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let mut range = Range::new(100, 5, 2);
    let mut any = |random: u128| format!("{:?}", range.claim_any(random));
    let rule = "the random number says where in the upper band to begin";
    check("any one, random 1", any(1), "Ok(103)", rule);
    let rule = "a number that is given is taken: the next one is the first free after it";
    check("103 is taken; any one, random 1", any(1), "Ok(104)", rule);
    let rule = "the search goes round: what stands before the place is tried last";
    check(
        "103 and 104 are taken; any one, random 4",
        any(4),
        "Ok(102)",
        rule,
    );
    let rule = "the reserved ones are given when there is no other";
    check(
        "102, 103, 104 are taken; any one, random 1",
        any(1),
        "Ok(101)",
        rule,
    );
    check(
        "only 100 is left; any one, random 1",
        any(1),
        "Ok(100)",
        rule,
    );
    let rule = "when all are taken, none can be had";
    check("all are taken; any one", any(7), "Err(Full)", rule);
    range.release(103);
    let saw = format!("{:?}", range.claim_any(0));
    let rule = "what was given back can be had again";
    check("all but 103 are taken; any one", saw, "Ok(103)", rule);
    let mut range = Range::new(100, 1, 1);
    let saw = format!("{:?}", range.claim_any(5));
    Check::new("of the number 100, which is reserved: any one")
        .because("a band may be empty")
        .expect_text(&saw, "Ok(100)");
}
