//! Answers, as the scripts show them.

use std::fmt::Write;

use bytes::Bytes;
use etcd::api::*;

pub fn show(kv: &KeyValue) -> String {
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

pub fn show_range(response: &RangeResponse, out: &mut String) -> std::fmt::Result {
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

pub fn show_txn(response: &TxnResponse, out: &mut String) -> std::fmt::Result {
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
