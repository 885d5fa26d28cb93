//! The core, as scripts: commands, and what they answer.

mod parse;
mod show;

use std::error::Error;
use std::fmt::Write;

use etcd::api::*;
use etcd::mvcc::{Command as Write_, Item, Mvcc, Restore};

use parse::{bytes, compare, range, step};
use show::{show, show_range, show_txn};

#[test]
fn scripts() -> std::io::Result<()> {
    golden::run_folder("tests/scripts", Runner::default)
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
