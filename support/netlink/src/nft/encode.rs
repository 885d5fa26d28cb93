//! Operations as one netlink batch, the way the kernel wants them.
//!
//! A rule is a small program for the kernel's nf_tables machine: expressions that load a field
//! into a register, compare, look up, and end in a verdict. nft compiles the text of a rule to
//! these; here the same is done from [`Statement`]. `nft --debug=netlink -f FILE` shows nft's.

use super::attr::{Header, Writer};
use super::{
    ChainKind, Field, Hook, HookPoint, Key, Op, Protocol, Rule, Set, SetKind, Statement, Value,
    Verdict,
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

/// Registers, as the kernel numbers them: 0 takes a verdict, 1 to 4 hold 16 bytes each, and the
/// same room is numbered again from 8 in words of 4 bytes, for keys of several fields.
const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const REG32_FIRST: u32 = 8;

const SET_ANONYMOUS: u32 = 0x1;
const SET_CONSTANT: u32 = 0x2;
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
const DATA_VERDICT: u32 = 0xffff_ff00;
/// nft's number for the type "integer", in the key of an anonymous map.
const TYPE_INTEGER: u32 = 4;

const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

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
                    .for_each(|part| statement(&mut Program(w), part, &mut maps));
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
const ANONYMOUS_MAP: &str = "__map%d";

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

fn verdict(w: &mut Writer, verdict: &Verdict) {
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

/// Compiles one statement. `maps` are the ids of the rule's anonymous maps, in order.
fn statement(
    program: &mut Program<'_>,
    statement: &Statement,
    maps: &mut impl Iterator<Item = u32>,
) {
    match statement {
        Statement::Source { network, inside } => {
            program.load(Field::SourceAddress, REG_1);
            if network.prefix < 32 {
                program.mask(&network.mask().octets());
            }
            program.compare(
                if *inside { CMP_EQ } else { CMP_NEQ },
                &network.address.octets(),
            );
        }
        Statement::Destination(address) => {
            program.load(Field::DestinationAddress, REG_1);
            program.compare(CMP_EQ, &address.octets());
        }
        Statement::L4Protocol(protocol) => program.is_protocol(*protocol),
        Statement::NewConnection => {
            const CT_STATE_NEW: u32 = 1 << 3;
            program.conntrack_state();
            program.mask(&CT_STATE_NEW.to_ne_bytes());
            program.compare(CMP_NEQ, &[0; 4]);
        }
        Statement::SourceIsLocal => {
            const RTN_LOCAL: u32 = 2;
            program.source_address_type();
            program.compare(CMP_EQ, &RTN_LOCAL.to_ne_bytes());
        }
        Statement::Marked(bits) => {
            program.load_mark();
            program.mask(&bits.to_ne_bytes());
            program.compare(CMP_NEQ, &[0; 4]);
        }
        Statement::Mark(bits) => {
            program.load_mark();
            program.mask_and_xor(&(!bits).to_ne_bytes(), &bits.to_ne_bytes());
            program.store_mark();
        }
        Statement::InSet(field, set) => {
            program.load(*field, REG_1);
            program.lookup(set, 0, None);
        }
        Statement::Update(set) => {
            program.load(Field::SourceAddress, REG_1);
            program.update(set);
        }
        Statement::Vmap(fields, map) => {
            for (field, register) in fields.iter().zip(REG32_FIRST..) {
                program.load(*field, register);
            }
            program.lookup(map, 0, Some(REG_VERDICT));
        }
        Statement::Random(verdicts) => {
            program.random(u32::try_from(verdicts.len()).expect("fewer than 2^32 endpoints"));
            let id = maps
                .next()
                .expect("one map was made for each such statement");
            program.lookup(ANONYMOUS_MAP, id, Some(REG_VERDICT));
        }
        Statement::Dnat(address, port) => {
            program.immediate(REG_1, &address.octets());
            program.immediate(REG_2, &port.to_be_bytes());
            program.dnat();
        }
        Statement::Masquerade => program.masquerade(),
        Statement::Reject => program.reject(),
        Statement::Verdict(code) => program.verdict(code),
    }
}

/// The expressions of one rule.
struct Program<'w>(&'w mut Writer);

impl Program<'_> {
    fn expression(&mut self, name: &str, body: impl FnOnce(&mut Writer)) {
        self.0.nested(1, |w| {
            w.string(1, name);
            w.nested(2, body);
        });
    }

    fn load(&mut self, field: Field, register: u32) {
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        let (base, offset, length) = match field {
            Field::SourceAddress => (NETWORK_HEADER, 12, 4),
            Field::DestinationAddress => (NETWORK_HEADER, 16, 4),
            Field::DestinationPort => (TRANSPORT_HEADER, 2, 2),
            Field::Protocol => return self.load_meta(META_L4PROTO, register),
        };
        self.expression("payload", |w| {
            w.u32(1, register);
            w.u32(2, base);
            w.u32(3, offset);
            w.u32(4, length);
        });
    }

    fn load_meta(&mut self, key: u32, register: u32) {
        self.expression("meta", |w| {
            w.u32(1, register);
            w.u32(2, key);
        });
    }

    fn load_mark(&mut self) {
        self.load_meta(META_MARK, REG_1);
    }

    fn store_mark(&mut self) {
        self.expression("meta", |w| {
            w.u32(2, META_MARK);
            w.u32(3, REG_1);
        });
    }

    fn is_protocol(&mut self, protocol: Protocol) {
        self.load(Field::Protocol, REG_1);
        self.compare(CMP_EQ, &[protocol.number()]);
    }

    fn conntrack_state(&mut self) {
        const CT_STATE: u32 = 0;
        self.expression("ct", |w| {
            w.u32(1, REG_1);
            w.u32(2, CT_STATE);
        });
    }

    fn source_address_type(&mut self) {
        const RESULT_ADDRESS_TYPE: u32 = 3;
        const FLAG_SOURCE: u32 = 1;
        self.expression("fib", |w| {
            w.u32(1, REG_1);
            w.u32(2, RESULT_ADDRESS_TYPE);
            w.u32(3, FLAG_SOURCE);
        });
    }

    fn mask(&mut self, mask: &[u8; 4]) {
        self.mask_and_xor(mask, &[0; 4]);
    }

    fn mask_and_xor(&mut self, mask: &[u8; 4], xor: &[u8; 4]) {
        self.expression("bitwise", |w| {
            w.u32(1, REG_1);
            w.u32(2, REG_1);
            w.u32(3, 4);
            w.nested(4, |w| w.bytes(1, mask));
            w.nested(5, |w| w.bytes(1, xor));
        });
    }

    fn compare(&mut self, operator: u32, value: &[u8]) {
        self.expression("cmp", |w| {
            w.u32(1, REG_1);
            w.u32(2, operator);
            w.nested(3, |w| w.bytes(1, value));
        });
    }

    fn lookup(&mut self, set: &str, id: u32, into: Option<u32>) {
        self.expression("lookup", |w| {
            w.string(1, set);
            w.u32(2, REG_1);
            if let Some(into) = into {
                w.u32(3, into);
            }
            if id != 0 {
                w.u32(4, id);
            }
        });
    }

    fn update(&mut self, set: &str) {
        const OP_UPDATE: u32 = 1;
        self.expression("dynset", |w| {
            w.string(1, set);
            w.u32(3, OP_UPDATE);
            w.u32(4, REG_1);
        });
    }

    fn random(&mut self, below: u32) {
        const TYPE_RANDOM: u32 = 1;
        self.expression("numgen", |w| {
            w.u32(1, REG_1);
            w.u32(2, below);
            w.u32(3, TYPE_RANDOM);
            w.u32(4, 0);
        });
    }

    fn immediate(&mut self, register: u32, value: &[u8]) {
        self.expression("immediate", |w| {
            w.u32(1, register);
            w.nested(2, |w| w.bytes(1, value));
        });
    }

    fn verdict(&mut self, code: &Verdict) {
        self.expression("immediate", |w| {
            w.u32(1, REG_VERDICT);
            w.nested(2, |w| verdict(w, code));
        });
    }

    fn dnat(&mut self) {
        const TYPE_DNAT: u32 = 1;
        const FLAG_PORT_GIVEN: u32 = 2;
        self.expression("nat", |w| {
            w.u32(1, TYPE_DNAT);
            w.u32(2, u32::from(FAMILY_IPV4));
            w.u32(3, REG_1);
            w.u32(5, REG_2);
            w.u32(7, FLAG_PORT_GIVEN);
        });
    }

    fn masquerade(&mut self) {
        const FLAG_FULLY_RANDOM: u32 = 1 << 4;
        self.expression("masq", |w| w.u32(1, FLAG_FULLY_RANDOM));
    }

    fn reject(&mut self) {
        const TYPE_ICMP_UNREACHABLE: u32 = 0;
        const PORT_UNREACHABLE: u8 = 3;
        self.expression("reject", |w| {
            w.u32(1, TYPE_ICMP_UNREACHABLE);
            w.bytes(2, &[PORT_UNREACHABLE]);
        });
    }
}

const META_MARK: u32 = 3;
const META_L4PROTO: u32 = 16;
