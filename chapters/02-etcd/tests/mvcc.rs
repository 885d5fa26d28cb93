//! The core, as scripts, and against a plain model.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use bytes::Bytes;
use etcd::api::*;
use etcd::mvcc::{Command as Write_, Item, Mvcc, Restore};
use proptest::prelude::*;

#[test]
fn scripts() -> std::io::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir("tests/scripts")?
        .flatten()
        .map(|e| e.path())
        .collect();
    paths.sort();
    for path in paths {
        goldenscript::run(&mut Runner::default(), &path)
            .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

#[derive(goldenscript::Command)]
enum Command {
    /// `put KEY VALUE [lease=ID] [ignore=value|lease]`
    Put {
        key: String,
        value: Option<String>,
        #[arg(key, optional)]
        lease: i64,
        #[arg(key)]
        ignore: Option<String>,
    },
    /// `delete KEY [to=END]`
    Delete {
        key: String,
        #[arg(key)]
        to: Option<String>,
    },
    /// `get KEY [to=END] [rev=N] [limit=N] [sort=TARGET] [descend=true] ...`
    Get {
        key: String,
        #[arg(key)]
        to: Option<String>,
        #[arg(key, optional)]
        rev: i64,
        #[arg(key, optional)]
        limit: i64,
        #[arg(key)]
        sort: Option<String>,
        #[arg(key, optional)]
        descend: bool,
        #[arg(key, optional)]
        keys_only: bool,
        #[arg(key, optional)]
        count_only: bool,
        #[arg(key, optional)]
        min_mod: i64,
        #[arg(key, optional)]
        max_create: i64,
    },
    /// `txn [if=GUARD] OP...`: steps after `else` are those of the failure branch.
    Txn {
        ops: Vec<String>,
        #[arg(key = "if")]
        guard: Option<String>,
    },
    Compact(i64),
    Grant(i64),
    Revoke(i64),
    /// `alarm nospace|corrupt [off=true]`
    Alarm {
        alarm: String,
        #[arg(key, optional)]
        off: bool,
    },
    /// All changes from a revision on.
    Changes(i64),
    /// The whole store, through a snapshot and back.
    Dump,
}

#[derive(Default)]
struct Runner {
    mvcc: Mvcc,
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        let mut out = String::new();
        match command {
            Command::Put {
                key,
                value,
                lease,
                ignore,
            } => {
                let put = PutRequest {
                    key: bytes(key),
                    value: bytes(value.as_deref().unwrap_or_default()),
                    lease: *lease,
                    prev_kv: true,
                    ignore_value: ignore.as_deref() == Some("value"),
                    ignore_lease: ignore.as_deref() == Some("lease"),
                };
                self.apply(Write_::Txn(RequestOp::Put(put).into()), &mut out)?;
            }
            Command::Delete { key, to } => {
                let delete = DeleteRangeRequest {
                    range: range(key, to),
                    prev_kv: true,
                };
                self.apply(Write_::Txn(RequestOp::DeleteRange(delete).into()), &mut out)?;
            }
            Command::Get {
                key,
                to,
                rev,
                limit,
                sort,
                descend,
                keys_only,
                count_only,
                min_mod,
                max_create,
            } => {
                let request = RangeRequest {
                    limit: *limit,
                    revision: *rev,
                    sort_order: if *descend {
                        SortOrder::Descend
                    } else {
                        SortOrder::None
                    },
                    sort_target: match sort.as_deref() {
                        Some("version") => SortTarget::Version,
                        Some("create") => SortTarget::Create,
                        Some("mod") => SortTarget::Mod,
                        Some("value") => SortTarget::Value,
                        _ => SortTarget::Key,
                    },
                    keys_only: *keys_only,
                    count_only: *count_only,
                    min_mod_revision: *min_mod,
                    max_create_revision: *max_create,
                    ..RangeRequest::new(range(key, to))
                };
                show_range(&self.mvcc.range(&request)?, &mut out)?;
            }
            Command::Txn { ops, guard } => {
                let mut txn = TxnRequest {
                    compare: guard.iter().map(|guard| compare(guard)).collect(),
                    ..TxnRequest::default()
                };
                let mut branches = ops.split(|op| op == "else");
                txn.success = branches
                    .next()
                    .unwrap_or_default()
                    .iter()
                    .map(|op| step(op))
                    .collect();
                txn.failure = branches
                    .next()
                    .unwrap_or_default()
                    .iter()
                    .map(|op| step(op))
                    .collect();
                self.apply(Write_::Txn(txn), &mut out)?;
            }
            Command::Compact(revision) => self.apply(Write_::Compact(*revision), &mut out)?,
            Command::Grant(id) => {
                self.apply(
                    Write_::LeaseGrant {
                        id: *id,
                        ttl_seconds: 60,
                    },
                    &mut out,
                )?;
            }
            Command::Revoke(id) => self.apply(Write_::LeaseRevoke(*id), &mut out)?,
            Command::Alarm { alarm, off } => {
                let alarm = match alarm.as_str() {
                    "nospace" => Alarm::NoSpace,
                    _ => Alarm::Corrupt,
                };
                let is_raised = !off;
                self.apply(Write_::Alarm { alarm, is_raised }, &mut out)?;
            }
            Command::Changes(from) => {
                for change in self.mvcc.changes(*from) {
                    let event = self.mvcc.event(change, true);
                    let before = event.prev_kv.map(|kv| format!(" was {}", show(&kv)));
                    let before = before.unwrap_or_default();
                    writeln!(
                        out,
                        "{}: {:?} {}{before}",
                        change.mod_revision,
                        event.kind,
                        show(&event.kv)
                    )?;
                }
            }
            Command::Dump => {
                for item in by_revision(self.mvcc.items(), self.mvcc.compact_revision()) {
                    match item {
                        Item::Version(version) => writeln!(out, "{version:?}")?,
                        item => writeln!(out, "{item:?}")?,
                    }
                }
                let mut restore = Restore::default();
                self.mvcc.items().for_each(|item| restore.push(item));
                assert_eq!(restore.finish().expect("whole"), self.mvcc);
            }
        }
        Ok(out)
    }
}

impl Runner {
    fn apply(&mut self, command: Write_, out: &mut String) -> Result<(), Box<dyn Error>> {
        let before = self.mvcc.clone();
        match self.mvcc.apply(&command) {
            Ok(etcd::mvcc::Applied::Txn(response)) => show_txn(&response, out)?,
            Ok(etcd::mvcc::Applied::Done) => writeln!(out, "done at {}", self.mvcc.revision())?,
            Err(error) => {
                assert_eq!(self.mvcc, before, "what is refused changes nothing");
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// A snapshot's items for a reader: after the compaction's revision, as they happened.
fn by_revision(items: impl Iterator<Item = Item>, compacted: Revision) -> Vec<Item> {
    let mut items: Vec<_> = items.collect();
    items.sort_by_key(|item| match item {
        Item::Start { .. } | Item::Lease { .. } | Item::Alarm(_) => (0, 0),
        Item::Version(version) if version.mod_revision < compacted => (1, 0),
        Item::Version(version) => (version.mod_revision, version.sub),
        Item::End => (Revision::MAX, 0),
    });
    items
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn range(key: &str, to: &Option<String>) -> KeyRange {
    match to.as_deref() {
        None => KeyRange::One(bytes(key)),
        Some("") => KeyRange::From(bytes(key)),
        Some("prefix") => KeyRange::prefix(bytes(key)),
        Some(end) => KeyRange::Span(bytes(key), bytes(end)),
    }
}

/// `mod:a=3`, `value:a=x`, `create:a>0`
fn compare(text: &str) -> Compare {
    let at = text.find(['=', '<', '>', '!']).expect("a comparison");
    let (left, right) = (&text[..at], &text[at + 1..]);
    let (target, key) = left.split_once(':').expect("target:key");
    let number = || right.parse().expect("a number");
    Compare {
        range: if let Some(prefix) = key.strip_suffix('*') {
            KeyRange::prefix(bytes(prefix))
        } else {
            KeyRange::One(bytes(key))
        },
        op: match &text[at..=at] {
            "=" => CompareOp::Equal,
            "<" => CompareOp::Less,
            ">" => CompareOp::Greater,
            _ => CompareOp::NotEqual,
        },
        target: match target {
            "version" => CompareTarget::Version(number()),
            "create" => CompareTarget::Create(number()),
            "mod" => CompareTarget::Mod(number()),
            "lease" => CompareTarget::Lease(number()),
            _ => CompareTarget::Value(bytes(right)),
        },
    }
}

/// `put:a=x`, `del:a`, `get:a`, `get:a@3`, or a transaction `(value:a=x?put:b=y)`
fn step(text: &str) -> RequestOp {
    if let Some(inner) = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
    {
        let (guard, then) = inner.split_once('?').expect("guard?step");
        return RequestOp::Txn(TxnRequest {
            compare: vec![compare(guard)],
            success: vec![step(then)],
            failure: Vec::new(),
        });
    }
    let (verb, rest) = text.split_once(':').expect("verb:key");
    match verb {
        "put" => {
            let (key, value) = rest.split_once('=').expect("key=value");
            RequestOp::Put(PutRequest {
                key: bytes(key),
                value: bytes(value),
                ..Default::default()
            })
        }
        "del" => RequestOp::DeleteRange(DeleteRangeRequest {
            range: KeyRange::prefix(bytes(rest)),
            prev_kv: false,
        }),
        _ => {
            let (key, revision) = rest.split_once('@').unwrap_or((rest, "0"));
            RequestOp::Range(RangeRequest {
                revision: revision.parse().expect("a number"),
                ..RangeRequest::new(KeyRange::One(bytes(key)))
            })
        }
    }
}

fn show(kv: &KeyValue) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let lease = if kv.lease == 0 {
        String::new()
    } else {
        format!(" lease {}", kv.lease)
    };
    format!(
        "{}={} create {} mod {} version {}{lease}",
        text(&kv.key),
        text(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    )
}

fn show_range(response: &RangeResponse, out: &mut String) -> std::fmt::Result {
    for kv in &response.kvs {
        writeln!(out, "{}", show(kv))?;
    }
    let more = if response.more { ", and more" } else { "" };
    writeln!(
        out,
        "{} of {} at {}{more}",
        response.kvs.len(),
        response.count,
        response.revision
    )
}

fn show_txn(response: &TxnResponse, out: &mut String) -> std::fmt::Result {
    let branch = if response.succeeded { "then" } else { "else" };
    writeln!(out, "{branch}, at {}", response.revision)?;
    for response in &response.responses {
        match response {
            ResponseOp::Range(range) => show_range(range, out)?,
            ResponseOp::Put(put) => {
                let before = put
                    .prev_kv
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), show);
                writeln!(out, "put at {}, was {before}", put.revision)?;
            }
            ResponseOp::DeleteRange(delete) => {
                writeln!(out, "deleted {} at {}", delete.deleted, delete.revision)?;
                delete
                    .prev_kvs
                    .iter()
                    .try_for_each(|kv| writeln!(out, "  {}", show(kv)))?;
            }
            ResponseOp::Txn(txn) => show_txn(txn, out)?,
        }
    }
    Ok(())
}

/// The model: the whole store as it was at every revision.
type Model = BTreeMap<Revision, BTreeMap<Bytes, Bytes>>;

#[derive(Debug, Clone)]
enum Op {
    Put(Bytes, Bytes),
    Delete(KeyRange),
    /// Put if the key is not there.
    Create(Bytes, Bytes),
    Compact(prop::sample::Index),
}

fn keys() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(97..100u8, 1..3).prop_map(Bytes::from)
}

fn ops() -> impl Strategy<Value = Op> {
    let range = prop_oneof![
        keys().prop_map(KeyRange::One),
        keys().prop_map(KeyRange::prefix),
        keys().prop_map(KeyRange::From),
        (keys(), keys()).prop_map(|(start, end)| KeyRange::Span(start, end)),
    ];
    prop_oneof![
        4 => (keys(), keys()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => range.prop_map(Op::Delete),
        2 => (keys(), keys()).prop_map(|(key, value)| Op::Create(key, value)),
        1 => any::<prop::sample::Index>().prop_map(Op::Compact),
    ]
}

fn run(mvcc: &mut Mvcc, model: &mut Model, op: Op) {
    let now = mvcc.revision();
    let mut state = model[&now].clone();
    let command = match op {
        Op::Put(key, value) => {
            state.insert(key.clone(), value.clone());
            Write_::Txn(
                RequestOp::Put(PutRequest {
                    key,
                    value,
                    ..Default::default()
                })
                .into(),
            )
        }
        Op::Delete(range) => {
            state.retain(|key, _| !range.contains(key));
            let delete = DeleteRangeRequest {
                range,
                prev_kv: false,
            };
            Write_::Txn(RequestOp::DeleteRange(delete).into())
        }
        Op::Create(key, value) => {
            state.entry(key.clone()).or_insert_with(|| value.clone());
            Write_::Txn(TxnRequest {
                compare: vec![Compare {
                    range: KeyRange::One(key.clone()),
                    op: CompareOp::Equal,
                    target: CompareTarget::Mod(0),
                }],
                success: vec![RequestOp::Put(PutRequest {
                    key,
                    value,
                    ..Default::default()
                })],
                failure: Vec::new(),
            })
        }
        Op::Compact(index) => Write_::Compact(index.index(now as usize) as Revision + 1),
    };
    let compacted = mvcc.compact_revision();
    let applied = mvcc.apply(&command);
    // Not always to the end, and never to be seen.
    mvcc.sweep(2);
    match command {
        Write_::Compact(revision) => {
            assert_eq!(applied.is_ok(), revision > compacted);
            model.retain(|at, _| *at >= mvcc.compact_revision());
        }
        _ => {
            applied.expect("well-formed");
            // A put of the same value is a change too.
            assert!(mvcc.revision() == now || mvcc.revision() == now + 1);
            assert!(mvcc.revision() == now + 1 || state == model[&now]);
            model.insert(mvcc.revision(), state);
        }
    }
}

proptest! {
    #[test]
    fn is_what_the_model_is(list in prop::collection::vec(ops(), 1..60), range in keys()) {
        let mut mvcc = Mvcc::default();
        let mut model = Model::from([(1, BTreeMap::new())]);
        for op in list {
            run(&mut mvcc, &mut model, op);
        }
        let range = KeyRange::prefix(range);
        for (revision, state) in &model {
            let request = RangeRequest { revision: *revision, ..RangeRequest::new(range.clone()) };
            let response = mvcc.range(&request).expect("is kept");
            let expect: Vec<_> = state.iter().filter(|(key, _)| range.contains(key)).collect();
            let found: Vec<_> = response.kvs.iter().map(|kv| (&kv.key, &kv.value)).collect();
            prop_assert_eq!(found, expect);
        }
        // The changes after a revision, done to the store as it was then, give the store as it is.
        let mut replayed = model.first_key_value().expect("one is kept").1.clone();
        let oldest = *model.first_key_value().expect("one is kept").0;
        for change in mvcc.changes(oldest + 1) {
            let event = mvcc.event(change, false);
            match event.kind {
                EventKind::Put => replayed.insert(event.kv.key, event.kv.value),
                EventKind::Delete => replayed.remove(&event.kv.key),
            };
        }
        prop_assert_eq!(&replayed, model.last_key_value().expect("one is kept").1);
        // And a snapshot is the store.
        let mut restore = Restore::default();
        mvcc.items().for_each(|item| restore.push(item));
        prop_assert_eq!(restore.finish(), Some(mvcc));
    }
}

/// Any command, also one that is refused. Compactions are to so many revisions ago.
fn commands() -> impl Strategy<Value = Write_> {
    let range = prop_oneof![
        keys().prop_map(KeyRange::One),
        keys().prop_map(KeyRange::prefix)
    ];
    let delete = range.prop_map(|range| {
        RequestOp::DeleteRange(DeleteRangeRequest {
            range,
            prev_kv: false,
        })
    });
    let put = (keys(), keys(), 0..3i64, any::<[bool; 2]>()).prop_map(
        |(key, value, lease, [ignore_value, ignore_lease])| {
            RequestOp::Put(PutRequest {
                key,
                value: if ignore_value { Bytes::new() } else { value },
                lease: if ignore_lease { 0 } else { lease },
                prev_kv: false,
                ignore_value,
                ignore_lease,
            })
        },
    );
    let txn = (
        keys(),
        prop::collection::vec(prop_oneof![2 => put, 1 => delete], 1..4),
        any::<bool>(),
    );
    let txn = txn.prop_map(|(key, success, guarded)| {
        let guard = Compare {
            range: KeyRange::One(key),
            op: CompareOp::Greater,
            target: CompareTarget::Version(1),
        };
        Write_::Txn(TxnRequest {
            compare: guarded.then_some(guard).into_iter().collect(),
            success,
            failure: Vec::new(),
        })
    });
    prop_oneof![
        12 => txn,
        2 => (-1..8i64).prop_map(Write_::Compact),
        1 => (1..3i64).prop_map(|id| Write_::LeaseGrant { id, ttl_seconds: 9 }),
        1 => (1..3i64).prop_map(Write_::LeaseRevoke),
    ]
}

/// Applies a command, and returns what was applied.
fn apply(mvcc: &mut Mvcc, command: &Write_) -> Write_ {
    let command = match command {
        Write_::Compact(ago) => Write_::Compact(mvcc.revision() - ago),
        command => command.clone(),
    };
    let _taken_or_refused = mvcc.apply(&command);
    command
}

proptest! {
    /// A checkpoint is read in slices while commands are applied and what they compact is swept;
    /// with these commands applied to it again it is the store.
    #[test]
    fn a_snapshot_in_slices_and_the_commands_since_are_the_store(
        before in prop::collection::vec(commands(), 0..60),
        meanwhile in prop::collection::vec((commands(), 0..30usize, 0..2usize), 0..40),
        after in prop::collection::vec(commands(), 0..10),
    ) {
        let mut mvcc = Mvcc::default();
        for command in &before {
            apply(&mut mvcc, command);
            mvcc.sweep(1);
        }
        let mut snapshot = mvcc.snapshot();
        let mut restore = Restore::default();
        let mut replayed = Vec::new();
        for (command, swept, keys) in &meanwhile {
            replayed.push(apply(&mut mvcc, command));
            mvcc.sweep(*swept);
            let slice = (*keys > 0).then(|| snapshot.next_slice(&mvcc, *keys)).flatten();
            slice.into_iter().flatten().for_each(|item| restore.push(item));
        }
        while let Some(slice) = snapshot.next_slice(&mvcc, 1) {
            slice.into_iter().for_each(|item| restore.push(item));
        }
        drop(snapshot);
        mvcc.sweep(usize::MAX);
        let mut restored = restore.finish().expect("whole");
        for command in &replayed {
            let _as_then = restored.apply(command);
        }
        prop_assert_eq!(&restored, &mvcc);
        // In what cannot be seen of them they are alike, too.
        for command in &after {
            prop_assert_eq!(restored.apply(command), mvcc.apply(command));
        }
        prop_assert_eq!(restored, mvcc);
    }
}
