//! A rule's program for the kernel's nf_tables machine.
//!
//! It is made of expressions that load a field into a register, compare, look up, and end in a
//! verdict. nft compiles the text of a rule to these; here the same is done from [`Statement`].
//! `nft --debug=netlink -f FILE` shows what nft makes of a text.

use super::attr::Writer;
use super::encode::{ANONYMOUS_MAP, FAMILY_IPV4, verdict};
use super::{Field, Network, Protocol, Statement, Verdict};

/// Registers, as the kernel numbers them: 0 takes a verdict, 1 to 4 hold 16 bytes each, and the
/// same room is numbered again from 8 in words of 4 bytes, for keys of several fields.
const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const REG32_FIRST: u32 = 8;

const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

const FIB_SOURCE: u32 = 1;
const FIB_DESTINATION: u32 = 2;

const META_MARK: u32 = 3;
const META_L4PROTO: u32 = 16;

/// Compiles one statement. `maps` are the ids of the rule's anonymous maps, in order.
pub(super) fn compile(
    writer: &mut Writer,
    statement: &Statement,
    maps: &mut impl Iterator<Item = u32>,
) {
    let program = &mut Program(writer);
    match statement {
        Statement::Source { network, inside } => {
            let operator = if *inside { CMP_EQ } else { CMP_NEQ };
            program.in_network(Field::SourceAddress, *network, operator);
        }
        Statement::Destination(address) => {
            program.load(Field::DestinationAddress, REG_1);
            program.compare(CMP_EQ, &address.octets());
        }
        Statement::DestinationIn(network) => {
            program.in_network(Field::DestinationAddress, *network, CMP_EQ);
        }
        Statement::L4Protocol(protocol) => program.is_protocol(*protocol),
        Statement::NewConnection => {
            const CT_STATE_NEW: u32 = 1 << 3;
            program.conntrack_state();
            program.mask(&CT_STATE_NEW.to_ne_bytes());
            program.compare(CMP_NEQ, &[0; 4]);
        }
        Statement::SourceIsLocal => program.is_local(FIB_SOURCE),
        Statement::DestinationIsLocal => program.is_local(FIB_DESTINATION),
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

    /// Asks the routing table whether an address of the packet is of this namespace.
    fn is_local(&mut self, which: u32) {
        const RESULT_ADDRESS_TYPE: u32 = 3;
        const RTN_LOCAL: u32 = 2;
        self.expression("fib", |w| {
            w.u32(1, REG_1);
            w.u32(2, RESULT_ADDRESS_TYPE);
            w.u32(3, which);
        });
        self.compare(CMP_EQ, &RTN_LOCAL.to_ne_bytes());
    }

    fn in_network(&mut self, field: Field, network: Network, operator: u32) {
        self.load(field, REG_1);
        if network.prefix < 32 {
            self.mask(&network.mask().octets());
        }
        self.compare(operator, &network.address.octets());
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
