//! A table in nft's own syntax, the way `nft list table` prints it.

use std::fmt::{self, Display, Formatter};

use super::{
    Chain, ChainKind, Field, Hook, HookPoint, Key, Network, Op, Protocol, Rule, Set, SetKind,
    Statement, Table, Value, Verdict,
};

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table ip {} {{", self.name)?;
        let mut first = true;
        let mut gap = |f: &mut Formatter<'_>| match std::mem::take(&mut first) {
            true => Ok(()),
            false => writeln!(f),
        };
        for (name, set) in &self.sets {
            gap(f)?;
            writeln!(f, "\t{} {name} {{\n{set}\t}}", set.kind.keyword())?;
        }
        for (name, chain) in &self.chains {
            gap(f)?;
            writeln!(f, "\tchain {name} {{\n{chain}\t}}")?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(hook) = &self.hook {
            writeln!(f, "\t\t{hook}")?;
        }
        self.rules
            .iter()
            .try_for_each(|rule| writeln!(f, "\t\t{rule}"))
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        let point = match self.point {
            HookPoint::Prerouting => "prerouting",
            HookPoint::Input => "input",
            HookPoint::Forward => "forward",
            HookPoint::Output => "output",
            HookPoint::Postrouting => "postrouting",
        };
        write!(f, "type {kind} hook {point} priority ")?;
        // nft's names for the usual priorities, where it knows them.
        match (self.kind, self.point, self.priority) {
            (_, HookPoint::Prerouting, -100) => write!(f, "dstnat")?,
            (_, HookPoint::Postrouting, 100) => write!(f, "srcnat")?,
            (ChainKind::Filter, _, 0) => write!(f, "filter")?,
            (_, _, priority) => write!(f, "{priority}")?,
        }
        write!(f, "; policy accept;")
    }
}

impl SetKind {
    fn keyword(self) -> &'static str {
        match self {
            SetKind::VerdictMap => "map",
            SetKind::Plain | SetKind::Dynamic { .. } => "set",
        }
    }
}

impl Display for Set {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let types = self.key.iter().map(|field| match field {
            Field::SourceAddress | Field::DestinationAddress => "ipv4_addr",
            Field::Protocol => "inet_proto",
            Field::DestinationPort => "inet_service",
        });
        write!(f, "\t\ttype {}", Joined(" . ", types))?;
        match self.kind {
            SetKind::Plain => writeln!(f)?,
            SetKind::VerdictMap => writeln!(f, " : verdict")?,
            SetKind::Dynamic {
                timeout_seconds,
                size,
            } => {
                writeln!(f, "\n\t\tsize {size}\n\t\tflags dynamic,timeout")?;
                writeln!(f, "\t\ttimeout {timeout_seconds}s")?;
            }
        }
        if self.elements.is_empty() {
            return Ok(());
        }
        let elements = self.elements.iter().map(Element);
        writeln!(
            f,
            "\t\telements = {{ {} }}",
            Joined(",\n\t\t\t     ", elements)
        )
    }
}

/// An element as it stands between the braces of a set.
struct Element<'a>((&'a Key, &'a Option<Verdict>));

impl Display for Element<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Element((key, verdict)) = self;
        write!(f, "{key}")?;
        verdict
            .as_ref()
            .map_or(Ok(()), |verdict| write!(f, " : {verdict}"))
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Joined(" . ", self.0.iter()))
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Address(address) => write!(f, "{address}"),
            Value::Protocol(protocol) => write!(f, "{protocol}"),
            Value::Port(port) => write!(f, "{port}"),
        }
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::SourceAddress => "ip saddr",
            Field::DestinationAddress => "ip daddr",
            Field::Protocol => "meta l4proto",
            Field::DestinationPort => "th dport",
        })
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.prefix {
            32 => write!(f, "{}", self.address),
            prefix => write!(f, "{}/{prefix}", self.address),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Drop => write!(f, "drop"),
            Verdict::Return => write!(f, "return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Joined(" ", self.0.iter()))
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Source {
                network,
                inside: true,
            } => write!(f, "ip saddr {network}"),
            Statement::Source {
                network,
                inside: false,
            } => write!(f, "ip saddr != {network}"),
            Statement::Destination(address) => write!(f, "ip daddr {address}"),
            Statement::DestinationIn(network) => write!(f, "ip daddr {network}"),
            Statement::DestinationIsLocal => write!(f, "fib daddr type local"),
            Statement::L4Protocol(protocol) => write!(f, "meta l4proto {protocol}"),
            Statement::NewConnection => write!(f, "ct state new"),
            Statement::SourceIsLocal => write!(f, "fib saddr type local"),
            Statement::Marked(bits) => write!(f, "meta mark & {bits:#010x} != 0x00000000"),
            Statement::Mark(bits) => write!(f, "meta mark set meta mark | {bits:#010x}"),
            Statement::InSet(field, set) => write!(f, "{field} @{set}"),
            Statement::Update(set) => write!(f, "update @{set} {{ ip saddr }}"),
            Statement::Vmap(fields, map) => {
                write!(f, "{} vmap @{map}", Joined(" . ", fields.iter()))
            }
            Statement::Random(verdicts) => {
                let cases = verdicts
                    .iter()
                    .enumerate()
                    .map(|(index, verdict)| Case(index, verdict));
                let cases = Joined(", ", cases);
                write!(f, "numgen random mod {} vmap {{ {cases} }}", verdicts.len())
            }
            Statement::Dnat(address, port) => write!(f, "dnat to {address}:{port}"),
            Statement::Masquerade => write!(f, "masquerade fully-random"),
            Statement::Reject => write!(f, "reject"),
            Statement::Verdict(verdict) => write!(f, "{verdict}"),
        }
    }
}

/// One case of an anonymous verdict map.
struct Case<'a>(usize, &'a Verdict);

impl Display for Case<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} : {}", self.0, self.1)
    }
}

impl Display for Op<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::AddTable(table) => write!(f, "add table ip {table}"),
            Op::DeleteTable(table) => write!(f, "delete table ip {table}"),
            Op::AddSet { table, name, set } => {
                writeln!(f, "add {} ip {table} {name} {{", set.kind.keyword())?;
                let bare = Set {
                    elements: Default::default(),
                    ..(*set).clone()
                };
                write!(f, "{bare}}}")
            }
            Op::DeleteSet { table, name } => write!(f, "delete set ip {table} {name}"),
            Op::AddElement {
                table,
                set,
                key,
                verdict,
                ..
            } => {
                write!(
                    f,
                    "add element ip {table} {set} {{ {} }}",
                    Element((key, verdict))
                )
            }
            Op::DeleteElement {
                table, set, key, ..
            } => {
                write!(f, "delete element ip {table} {set} {{ {key} }}")
            }
            Op::AddChain {
                table,
                name,
                hook: None,
            } => write!(f, "add chain ip {table} {name}"),
            Op::AddChain {
                table,
                name,
                hook: Some(hook),
            } => {
                write!(f, "add chain ip {table} {name} {{ {hook} }}")
            }
            Op::FlushChain { table, name } => write!(f, "flush chain ip {table} {name}"),
            Op::DeleteChain { table, name } => write!(f, "delete chain ip {table} {name}"),
            Op::AddRule { table, chain, rule } => {
                write!(f, "add rule ip {table} {chain} {rule}")
            }
        }
    }
}

/// Items with a separator between them.
struct Joined<I>(&'static str, I);

impl<I: Iterator<Item: Display> + Clone> Display for Joined<I> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, item) in self.1.clone().enumerate() {
            if index > 0 {
                f.write_str(self.0)?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
