//! The checks of the chapter's exercises, and of its planted bugs.

#[path = "exercises/durable.rs"]
mod durable;
#[path = "exercises/memory.rs"]
mod memory;
#[path = "exercises/pure.rs"]
mod pure;
#[path = "exercises/watch.rs"]
mod watch;

use bytes::Bytes;
use etcd::api::*;
use etcd::mvcc::{Applied, Command, Mvcc};
use exercise::Check;

/// `/a` is created at revision 2 and written again at 3: version 2, value `new`. `/b` is not there.
fn store() -> Mvcc {
    let mut mvcc = Mvcc::default();
    for value in ["old", "new"] {
        let put = RequestOp::Put(put("/a", value)).into();
        mvcc.apply(&Command::Txn(put)).expect("a put is taken");
    }
    mvcc
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

/// Sends a transaction with one guard, and says whether that held.
fn check(key: &'static str, op: CompareOp, target: CompareTarget, expected: bool, rule: &str) {
    let sign = match op {
        CompareOp::Equal => "==",
        CompareOp::NotEqual => "!=",
        CompareOp::Greater => ">",
        CompareOp::Less => "<",
    };
    let guard = format!("{target:?}")
        .replace('(', &format!(" {sign} "))
        .replace(')', "")
        .replace("b\"", "\"");
    let about = match key {
        "/a" => "/a was created at revision 2 and changed at 3, to \"new\"",
        _ => "/b is not there",
    };
    let compare = Compare {
        range: KeyRange::One(Bytes::from(key)),
        op,
        target,
    };
    let txn = TxnRequest {
        compare: vec![compare],
        success: Vec::new(),
        failure: Vec::new(),
    };
    let answer = store().apply(&Command::Txn(txn));
    let held = matches!(answer, Ok(Applied::Txn(answer)) if answer.succeeded);
    let words = |held| {
        if held {
            "the guard holds"
        } else {
            "the guard does not hold"
        }
    };
    Check::new(format!("{about}; the guard {guard}"))
        .because(rule)
        .expect_text(words(held), words(expected));
}

#[test]
fn exercise_02_1() {
    use CompareOp::{Equal, Greater, Less, NotEqual};
    use CompareTarget::{Create, Lease, Mod, Value, Version};
    let rule = "the mod revision is the one of the last write";
    check("/a", Equal, Mod(3), true, rule);
    check("/a", Equal, Mod(2), false, rule);
    let rule = "the create revision stays, the mod revision moves with each write";
    check("/a", Equal, Create(2), true, rule);
    check("/a", NotEqual, Create(2), false, rule);
    let rule = "the version counts the writes since the key was created";
    check("/a", Equal, Version(2), true, rule);
    let rule = "a key that hangs on no lease has lease 0";
    check("/a", Equal, Lease(0), true, rule);
    check("/a", NotEqual, Lease(7), true, rule);
    let rule = "the value is compared byte by byte";
    check("/a", Equal, Value("new".into()), true, rule);
    check("/a", Equal, Value("old".into()), false, rule);
    let rule = "what the key has stands on the left of the operator";
    check("/a", Greater, Version(1), true, rule);
    check("/a", Less, Version(1), false, rule);
    check("/a", Less, Mod(4), true, rule);
    check("/a", Greater, Value("abc".into()), true, rule);
}

#[test]
fn exercise_02_1_missing() {
    use CompareOp::{Equal, Greater, Less, NotEqual};
    use CompareTarget::{Create, Mod, Value, Version};
    let rule = "a key that is not there has create revision 0: this is how it is created, once";
    check("/b", Equal, Create(0), true, rule);
    check("/b", Greater, Create(0), false, rule);
    check(
        "/b",
        Equal,
        Mod(0),
        true,
        "a key that is not there has mod revision 0",
    );
    check(
        "/b",
        Less,
        Version(1),
        true,
        "a key that is not there has version 0",
    );
    let rule = "a missing key has no value, which is not an empty one: no comparison holds";
    check("/b", Equal, Value("".into()), false, rule);
    check("/b", NotEqual, Value("new".into()), false, rule);
    check("/b", Less, Value("new".into()), false, rule);
}
