//! Operations as one netlink batch, the way the kernel wants them.
//!
//! A batch is a message for each operation between one that begins it and one that ends it. What
//! a rule does is a program within its message: see [`super::program`].

use super::attr::{Header, Writer};
use super::program;
use super::{
    ChainKind, Field, Hook, HookPoint, Key, Op, Rule, Set, SetKind, Statement, Value, Verdict,
};
use crate::message::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST};

const SUBSYSTEM_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const DELRULE: u16 = 8;
const NEWSET: u16 = 9;
const DELSET: u16 = 11;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;

const FAMILY_UNSPEC: u8 = 0;
pub(super) const FAMILY_IPV4: u8 = 2;

const SET_ANONYMOUS: u32 = 0x1;
const SET_CONSTANT: u32 = 0x2;
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
const DATA_VERDICT: u32 = 0xffff_ff00;
/// nft's number for the type "integer", in the key of an anonymous map.
const TYPE_INTEGER: u32 = 4;

/// The batch for `ops`. Message `n`'s sequence number is `n`, so that an error can name its
/// operation; `owners[n]` is the index of that operation.
pub fn encode(ops: &[Op<'_>]) -> (Vec<u8>, Vec<usize>) {
    let mut batch = Batch::default();
    batch.edge(BATCH_BEGIN);
    for (index, op) in ops.iter().enumerate() {
        batch.current = index;
        batch.op(op);
    }
    batch.edge(BATCH_END);
    (batch.writer.finish(), batch.owners)
}

#[derive(Default)]
struct Batch {
    writer: Writer,
    owners: Vec<usize>,
    current: usize,
    anonymous_sets: u32,
}

impl Batch {
    /// The message that begins or ends the batch.
    fn edge(&mut self, kind: u16) {
        let sequence = self.sequence();
        let flags = NLM_F_REQUEST;
        let (family, resource) = (FAMILY_UNSPEC, SUBSYSTEM_NFTABLES);
        self.writer.message(
            Header {
                kind,
                flags,
                sequence,
                family,
                resource,
            },
            |_| {},
        );
    }

    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) {
        let sequence = self.sequence();
        let kind = SUBSYSTEM_NFTABLES << 8 | kind;
        let flags = NLM_F_REQUEST | flags;
        let header = Header {
            kind,
            flags,
            sequence,
            family: FAMILY_IPV4,
            resource: 0,
        };
        self.writer.message(header, body);
    }

    fn sequence(&mut self) -> u32 {
        self.owners.push(self.current);
        u32::try_from(self.owners.len() - 1).expect("a batch has fewer than 2^32 messages")
    }

    fn op(&mut self, op: &Op<'_>) {
        match *op {
            Op::AddTable(table) => self.message(NEWTABLE, NLM_F_CREATE, |w| w.string(1, table)),
            Op::DeleteTable(table) => self.message(DELTABLE, 0, |w| w.string(1, table)),
            Op::AddSet { table, name, set } => self.message(NEWSET, NLM_F_CREATE, |w| {
                w.string(1, table);
                w.string(2, name);
                named_set(w, set);
            }),
            Op::DeleteSet { table, name } => self.message(DELSET, 0, |w| {
                w.string(1, table);
                w.string(2, name);
            }),
            Op::AddElement {
                table,
                set,
                key,
                verdict,
            } => {
                self.message(NEWSETELEM, NLM_F_CREATE, |w| {
                    element(w, table, set, key, verdict)
                });
            }
            Op::DeleteElement { table, set, key } => {
                self.message(DELSETELEM, 0, |w| element(w, table, set, key, &None));
            }
            Op::AddChain { table, name, hook } => self.message(NEWCHAIN, NLM_F_CREATE, |w| {
                w.string(1, table);
                w.string(3, name);
                if let Some(hook) = hook {
                    base_chain(w, hook);
                }
            }),
            Op::FlushChain { table, name } => self.message(DELRULE, 0, |w| {
                w.string(1, table);
                w.string(2, name);
            }),
            Op::DeleteChain { table, name } => self.message(DELCHAIN, 0, |w| {
                w.string(1, table);
                w.string(3, name);
            }),
            Op::AddRule { table, chain, rule } => self.rule(table, chain, rule),
        }
    }

    fn rule(&mut self, table: &str, chain: &str, rule: &Rule) {
        // Maps without a name are messages of their own, ahead of the rule that looks into them.
        let mut maps = Vec::new();
        for statement in &rule.0 {
            if let Statement::Random(verdicts) = statement {
                maps.push(self.anonymous_map(table, verdicts));
            }
        }
        let mut maps = maps.into_iter();
        self.message(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |w| {
            w.string(1, table);
            w.string(2, chain);
            w.nested(4, |w| {
                rule.0
                    .iter()
                    .for_each(|part| program::compile(w, part, &mut maps));
            });
        });
    }

    /// A map from 0, 1, … to `verdicts`, for one rule. Answers the id that the rule knows it by
    /// within this batch.
    fn anonymous_map(&mut self, table: &str, verdicts: &[Verdict]) -> u32 {
        self.anonymous_sets += 1;
        let id = self.anonymous_sets;
        let count = u32::try_from(verdicts.len()).expect("a Service has fewer than 2^32 endpoints");
        self.message(NEWSET, NLM_F_CREATE, |w| {
            w.string(1, table);
            w.string(2, ANONYMOUS_MAP);
            w.u32(3, SET_ANONYMOUS | SET_CONSTANT | SET_MAP);
            w.u32(4, TYPE_INTEGER);
            w.u32(5, 4);
            w.u32(6, DATA_VERDICT);
            w.u32(7, 0);
            w.nested(9, |w| w.u32(1, count));
            w.u32(10, id);
            // For nft's listing: the key is in host byte order (type 0, length 4, value 1).
            let mut host_order = vec![0, 4];
            host_order.extend(1u32.to_ne_bytes());
            w.bytes(13, &host_order);
        });
        // An attribute holds less than 64 KiB, so a Service of very many endpoints takes several.
        for (chunk_index, chunk) in verdicts.chunks(ELEMENTS_PER_MESSAGE).enumerate() {
            let first = chunk_index * ELEMENTS_PER_MESSAGE;
            self.message(NEWSETELEM, NLM_F_CREATE, |w| {
                w.string(1, table);
                w.string(2, ANONYMOUS_MAP);
                w.u32(4, id);
                w.nested(3, |w| {
                    for (index, case) in chunk.iter().enumerate() {
                        let index = u32::try_from(first + index).expect("bounded by count");
                        w.nested(1, |w| {
                            w.nested(1, |w| w.bytes(1, &index.to_ne_bytes()));
                            w.nested(2, |w| verdict(w, case));
                        });
                    }
                });
            });
        }
        id
    }
}

/// The kernel puts a number for `%d`.
pub(super) const ANONYMOUS_MAP: &str = "__map%d";

/// With names of up to 256 bytes this stays well below an attribute's 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 128;

fn base_chain(w: &mut Writer, hook: Hook) {
    let point = match hook.point {
        HookPoint::Prerouting => 0,
        HookPoint::Input => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    };
    w.nested(4, |w| {
        w.u32(1, point);
        w.u32(2, hook.priority.cast_unsigned());
    });
    w.u32(5, 1); // policy accept
    w.string(
        7,
        match hook.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        },
    );
}

fn named_set(w: &mut Writer, set: &Set) {
    w.u32(
        3,
        match set.kind {
            SetKind::Plain => 0,
            SetKind::VerdictMap => SET_MAP,
            SetKind::Dynamic { .. } => SET_TIMEOUT | SET_EVAL,
        },
    );
    // nft's numbers of the types, six bits each: they only matter to who lists the set.
    let key_type = set
        .key
        .iter()
        .fold(0, |types, field| types << 6 | nft_type(*field));
    w.u32(4, key_type);
    w.u32(
        5,
        4 * u32::try_from(set.key.len()).expect("a key has a few fields"),
    );
    if set.kind == SetKind::VerdictMap {
        w.u32(6, DATA_VERDICT);
        w.u32(7, 0);
    }
    // Within this batch nothing refers to a named set by its id, but the kernel wants one.
    w.u32(10, 0);
    if let SetKind::Dynamic {
        timeout_seconds,
        size,
    } = set.kind
    {
        w.nested(9, |w| w.u32(1, size));
        w.bytes(11, &(u64::from(timeout_seconds) * 1000).to_be_bytes());
    }
}

fn nft_type(field: Field) -> u32 {
    match field {
        Field::SourceAddress | Field::DestinationAddress => 7,
        Field::Protocol => 12,
        Field::DestinationPort => 13,
    }
}

fn element(w: &mut Writer, table: &str, set: &str, key: &Key, data: &Option<Verdict>) {
    w.string(1, table);
    w.string(2, set);
    w.nested(3, |w| {
        w.nested(1, |w| {
            w.nested(1, |w| w.bytes(1, &key_bytes(key)));
            if let Some(data) = data {
                w.nested(2, |w| verdict(w, data));
            }
        });
    });
}

/// A key as it lies in registers: each field in network order, padded to a word.
fn key_bytes(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * key.0.len());
    for value in &key.0 {
        match value {
            Value::Address(address) => bytes.extend(address.octets()),
            Value::Protocol(protocol) => bytes.push(protocol.number()),
            Value::Port(port) => bytes.extend(port.to_be_bytes()),
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

pub(super) fn verdict(w: &mut Writer, verdict: &Verdict) {
    let code: i32 = match verdict {
        Verdict::Drop => 0,
        Verdict::Jump(_) => -3,
        Verdict::Goto(_) => -4,
        Verdict::Return => -5,
    };
    w.nested(2, |w| {
        w.u32(1, code.cast_unsigned());
        if let Some(chain) = verdict.chain() {
            w.string(2, chain);
        }
    });
}
