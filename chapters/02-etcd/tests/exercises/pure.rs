//! Exercises about the store's core: versions, revisions, compaction, the ends of leases, ranges.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd::api::*;
use etcd::deadlines::Deadlines;
use etcd::mvcc::{Command, Item, Mvcc, Restore, Version};
use exercise::Check;

use super::put;

/// A store to which these writes were given, from revision 2 on: `/a=one` is a put, `/a` a
/// deletion.
fn written(writes: &str) -> Mvcc {
    let mut mvcc = Mvcc::default();
    for write in writes.split(' ') {
        let op = match write.split_once('=') {
            Some((key, value)) => RequestOp::Put(PutRequest {
                key: key.to_owned().into(),
                value: value.to_owned().into(),
                ..PutRequest::default()
            }),
            None => RequestOp::DeleteRange(Bytes::from(write.to_owned()).into()),
        };
        apply(&mut mvcc, Command::Txn(op.into()));
    }
    mvcc
}

/// A store at `revision` in which `/a` has these versions: a value each, or none for a deletion.
/// It is made as a checkpoint is read, without a write.
fn with_versions(revision: Revision, versions: &[(Revision, Option<&str>)]) -> Mvcc {
    let mut restore = Restore::default();
    restore.push(Item::Start {
        revision,
        compact_revision: 0,
    });
    for &(mod_revision, value) in versions {
        let put = |value: &str| {
            let kv = KeyValueRef {
                key: b"/a",
                value: value.as_bytes(),
                create_revision: mod_revision,
                mod_revision,
                version: 1,
                lease: 0,
            };
            Version::put(kv, 0)
        };
        let deletion = || Version::deletion(b"/a", mod_revision, 0);
        restore.push(Item::Version(value.map_or_else(deletion, put)));
    }
    restore.push(Item::End);
    restore.finish().expect("it is whole")
}

fn apply(mvcc: &mut Mvcc, command: Command) {
    mvcc.apply(&command)
        .expect("what an exercise does is taken");
}

fn get(mvcc: &Mvcc, key: &'static str, revision: Revision) -> Option<KeyValue> {
    let request = RangeRequest {
        revision,
        ..RangeRequest::new(KeyRange::One(key.into()))
    };
    let found = mvcc.range(&request).expect("the revision is kept");
    found.kvs.into_iter().next()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exercise_02_2() {
    let puts = [(3, "one"), (5, "two"), (6, "three")].map(|(at, value)| (at, Some(value)));
    let mvcc = with_versions(10, &[&puts[..], &[(7, None), (9, Some("new"))]].concat());
    let history = "/a was put at 3 (one), 5 (two), 6 (three), deleted at 7, put at 9 (new)";
    let check = |revision, expected: &str, rule: &str| {
        let saw = get(&mvcc, "/a", revision);
        Check::new(format!("{history}; a read of /a as of revision {revision}"))
            .because(rule)
            .expect_text(&saw.map_or("no key".into(), |kv| text(&kv.value)), expected);
    };
    let rule = "the newest version is seen from its revision on";
    check(9, "new", rule);
    let rule = "a key stays as it is while others are written";
    check(10, "new", rule);
    let rule = "what was written after a revision is not seen at it";
    check(5, "two", rule);
    check(6, "three", rule);
    check(4, "one", rule);
    check(3, "one", rule);
    check(2, "no key", "before its first put a key is not there");
    let rule = "a deletion hides what was there before it, until the next put";
    check(7, "no key", rule);
    check(8, "no key", rule);
}

#[test]
fn exercise_02_3() {
    let check = |history: &str, mvcc: &Mvcc, expected: &str, rule: &str| {
        let kv = get(mvcc, "/a", 0).expect("/a is there");
        let saw = format!(
            "value {}, create revision {}, mod revision {}, version {}, lease {}",
            text(&kv.value),
            kv.create_revision,
            kv.mod_revision,
            kv.version,
            kv.lease
        );
        Check::new(format!("{history}; a read of /a"))
            .because(rule)
            .expect_text(&saw, expected);
    };
    let history = "in a new store /a=one is put";
    let rule = "a key's first put makes it: version 1, and both revisions are that of the put";
    let expected = "value one, create revision 2, mod revision 2, version 1, lease 0";
    check(history, &written("/a=one"), expected, rule);

    let history = "/a is put at revision 2, /b at 3, 4 and 5, /a again at 6";
    let mvcc = written("/a=one /b=x /b=y /b=z /a=two");
    let rule = "the create revision stays until the key is deleted; the version counts this key's \
                puts, the revision those of the whole store";
    let expected = "value two, create revision 2, mod revision 6, version 2, lease 0";
    check(history, &mvcc, expected, rule);

    let history = "/a is put at 2 and at 3, deleted at 4, put at 5";
    let mvcc = written("/a=one /a=two /a /a=three");
    let rule = "after a deletion a key begins anew";
    let expected = "value three, create revision 5, mod revision 5, version 1, lease 0";
    check(history, &mvcc, expected, rule);
}

#[test]
fn exercise_02_3_kept() {
    let check = |second: PutRequest, history: &str, expected: &str, rule: &str| {
        let mut mvcc = Mvcc::default();
        for id in [7, 8] {
            let ttl_seconds = 60;
            apply(&mut mvcc, Command::LeaseGrant { id, ttl_seconds });
        }
        let first = PutRequest {
            lease: 7,
            ..put("/a", "one")
        };
        for put in [first, second] {
            apply(&mut mvcc, Command::Txn(RequestOp::Put(put).into()));
        }
        let kv = get(&mvcc, "/a", 0).expect("/a is there");
        Check::new(format!("/a=one is put with lease 7, then {history}"))
            .because(rule)
            .expect_text(
                &format!("{}, lease {}", text(&kv.value), kv.lease),
                expected,
            );
    };
    let again = put("/a", "two");
    let rule = "a put without a lease takes the key off the one it had";
    let history = "/a=two without a lease";
    check(again.clone(), history, "two, lease 0", rule);

    let rule = "a put hangs the key on the lease that it names";
    let other = PutRequest {
        lease: 8,
        ..again.clone()
    };
    check(other, "/a=two with lease 8", "two, lease 8", rule);

    let kept = PutRequest {
        ignore_lease: true,
        ..again
    };
    let rule = "ignore_lease keeps the lease, and the value is the new one";
    check(kept, "/a=two with ignore_lease", "two, lease 7", rule);

    let kept = PutRequest {
        ignore_value: true,
        lease: 8,
        ..put("/a", "")
    };
    let rule = "ignore_value keeps the value, and the lease is the new one";
    let history = "/a with ignore_value and lease 8";
    check(kept, history, "one, lease 8", rule);
}

#[test]
fn exercise_02_5() {
    let check = |versions: &[_], history: &str, at, expected: &str, rule: &str| {
        let mut mvcc = with_versions(7, versions);
        apply(&mut mvcc, Command::Compact(at));
        let versions = mvcc.items().filter_map(|item| match item {
            Item::Version(version) if version.key() == b"/a" => Some(match version.value() {
                Some(value) => format!("{} ({})", version.mod_revision, text(value)),
                None => format!("{} (deleted)", version.mod_revision),
            }),
            _ => None,
        });
        let versions = versions.collect::<Vec<_>>().join(", ");
        let saw = match versions.as_str() {
            "" => "no version",
            versions => versions,
        };
        Check::new(format!(
            "{history}; a compaction to {at}, and what is left of /a"
        ))
        .because(rule)
        .expect_text(saw, expected);
    };
    let puts = &[(2, Some("one")), (4, Some("two")), (6, Some("three"))];
    let history = "/a was put at 2 (one), 4 (two), 6 (three)";
    let rule = "a read as of the revision of the compaction still finds its key, and no older one \
                is kept";
    check(puts, history, 5, "4 (two), 6 (three)", rule);
    check(puts, history, 4, "4 (two), 6 (three)", rule);
    check(puts, history, 6, "6 (three)", rule);
    let rule = "what was written after the compaction's revision stays";
    let all = "2 (one), 4 (two), 6 (three)";
    check(puts, history, 3, all, rule);
    check(puts, history, 1, all, rule);

    let deleted = &[(2, Some("one")), (3, None)];
    let history = "/a was put at 2 (one) and deleted at 3";
    let rule = "a key that was deleted before leaves nothing behind";
    check(deleted, history, 4, "no version", rule);
    let rule = "a watch may begin at the revision of the compaction, and be told of a deletion \
                there";
    check(deleted, history, 3, "3 (deleted)", rule);

    let again = &[(2, Some("one")), (3, None), (5, Some("new"))];
    let history = "/a was put at 2 (one), deleted at 3, put again at 5 (new)";
    let rule = "a key that was deleted before leaves nothing behind but what came later";
    check(again, history, 4, "5 (new)", rule);
    check(again, history, 6, "5 (new)", rule);
}

#[test]
fn exercise_02_6() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let check = |tried: &str, deadlines: &mut Deadlines, now, expected: &str, rule: &str| {
        let ended = deadlines.ended(at(now), 100);
        let ended: Vec<_> = ended.iter().map(|id| format!("lease {id}")).collect();
        let saw = match ended.join(", ").as_str() {
            "" => "none has ended".to_owned(),
            ended => format!("ended: {ended}"),
        };
        Check::new(format!("{tried}; {now} seconds after the start"))
            .because(rule)
            .expect_text(&saw, expected);
    };
    let mut deadlines = Deadlines::default();
    let tried = "leases 1 and 2 of 10 seconds";
    deadlines.start(1, 10, start);
    deadlines.start(2, 10, at(1));
    let rule = "a lease ends after its time, and not before";
    check(tried, &mut deadlines, 9, "none has ended", rule);
    check(tried, &mut deadlines, 10, "ended: lease 1", rule);
    let rule = "a lease is told of once";
    check(tried, &mut deadlines, 10, "none has ended", rule);

    let mut deadlines = Deadlines::default();
    let tried = "lease 1 of 10 seconds, kept alive after 6";
    deadlines.start(1, 10, start);
    assert!(deadlines.renew(1, 10, at(6)), "it has not ended yet");
    let rule = "a lease ends when it was last kept alive for, not when it was first granted for";
    check(tried, &mut deadlines, 10, "none has ended", rule);
    let rule = "a lease that was kept alive once still ends";
    check(tried, &mut deadlines, 16, "ended: lease 1", rule);

    let mut deadlines = Deadlines::default();
    let tried = "leases 1 and 2 of 10 seconds, of which 1 was revoked";
    deadlines.start(1, 10, start);
    deadlines.start(2, 10, start);
    deadlines.stop(1);
    let rule = "a lease that was revoked is not ended once more";
    check(tried, &mut deadlines, 10, "ended: lease 2", rule);
}

#[test]
fn exercise_02_9() {
    let check = |prefix: &[u8], key: &[u8], expected: bool, rule: &str| {
        let range = KeyRange::prefix(prefix.to_vec());
        let shown = |key: &[u8]| format!("{:?}", Bytes::copy_from_slice(key))[1..].to_owned();
        let words = |is_in| if is_in { "in range" } else { "not in range" };
        Check::new(format!(
            "the prefix {}; the key {}",
            shown(prefix),
            shown(key)
        ))
        .because(rule)
        .expect_text(words(range.contains(key)), words(expected));
    };
    let rule = "a key that begins with the prefix is in range, and so is the prefix itself";
    check(b"/pods/", b"/pods/", true, rule);
    check(b"/pods/", b"/pods/a", true, rule);
    check(b"/pods/", b"/pods/zzz/zzz", true, rule);
    let rule = "a key may go on with byte 255 as well, and with more after it";
    check(b"/pods/", b"/pods/\xff", true, rule);
    check(b"/pods/", b"/pods/\xff\xff", true, rule);
    let rule = "what comes after the prefix is not in range";
    check(b"/pods/", b"/pods0", false, rule);
    check(b"/pods/", b"/services/a", false, rule);
    let rule = "what comes before the prefix is not in range";
    check(b"/pods/", b"/pods", false, rule);
    let rule = "a byte of 255 cannot be raised: the one before it is";
    check(b"k\xff", b"k\xff", true, rule);
    check(b"k\xff", b"k\xff\xff", true, rule);
    check(b"k\xff", b"l", false, rule);
    let rule = "after bytes that are all 255 comes nothing that could be the end, and so it is with \
                no bytes at all";
    check(b"\xff\xff", b"\xff\xff\x01", true, rule);
    check(b"\xff\xff", b"\xff", false, rule);
    check(b"", b"/pods/a", true, rule);
}
