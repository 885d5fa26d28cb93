//! Exercises about what is written for a client.

use apiserver::admission::pods::tolerate;
use apiserver::alloc::range::Range;
use exercise::Check;
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
