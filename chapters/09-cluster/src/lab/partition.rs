//! `lab partition-member` and `lab heal-member`: a member that the others do not hear.
//!
//! Rules in the member's own network drop what comes from the others and what goes to them, as a
//! broken switch between them would: nobody is told, connections just fall silent. Clients still
//! reach it, so it can be seen what such a member answers.

use std::net::Ipv4Addr;

use netlink::nft::{
    Chain, ChainKind, Hook, HookPoint, Network, NftSocket, Op, Rule, Statement, Table, Verdict,
    replace,
};

use super::layout::Layout;
use super::record::Record;
use super::{Error, etcdctl, status};

const TABLE: &str = "partition";

/// Cuts a member off from the others.
///
/// # Errors
/// When the lab does not run, or has no other members, or the member does not run.
pub fn cut(lab: &str, layout: &Layout, member: &str) -> Result<(), Error> {
    let others = enter(lab, layout, member)?;
    if others.is_empty() {
        return Err(Error::Usage(format!(
            "{member} has no others to be cut off from: `lab up --store etcd --etcd-members 3` makes three"
        )));
    }
    apply(&replace(&table(&others)))?;
    println!(
        "{member} is cut off from the other members; `lab heal-member {member}` lets it back in"
    );
    Ok(())
}

/// Lets a member hear and be heard again.
///
/// # Errors
/// When the lab does not run, or has no such member, or it does not run.
pub fn heal(lab: &str, layout: &Layout, member: &str) -> Result<(), Error> {
    enter(lab, layout, member)?;
    // Added first, since a table that is not there cannot be deleted.
    apply(&[Op::AddTable(TABLE), Op::DeleteTable(TABLE)])?;
    println!("{member} hears the others again");
    Ok(())
}

fn apply(ops: &[Op<'_>]) -> Result<(), Error> {
    let done = NftSocket::open().and_then(|socket| socket.apply(ops));
    done.map_err(|error| Error::Machine(format!("nftables: {error}")))
}

/// Moves this process into the network of a member; the addresses of the others.
fn enter(lab: &str, layout: &Layout, member: &str) -> Result<Vec<Ipv4Addr>, Error> {
    let record = Record::load(layout).ok_or_else(|| Error::NotRunning(lab.into()))?;
    let members = record.members()?;
    let own = members.address_of(member)?;
    let rows = status::rows(lab, layout)?;
    let row = rows.iter().find(|row| row.component == member);
    let pid = row.and_then(|row| row.pid).ok_or_else(|| {
        Error::Usage(format!(
            "{member} does not run; `lab start-member {member}` starts it"
        ))
    })?;
    etcdctl::enter(pid).map_err(Error::system(format!("enter the network of {member}")))?;
    Ok(members.addresses().filter(|it| *it != own).collect())
}

/// What comes from the others, and what goes to them, is dropped.
fn table(others: &[Ipv4Addr]) -> Table {
    let drop = |statement| Rule(vec![statement, Statement::Verdict(Verdict::Drop)]);
    let chain = |point, rules| Chain {
        hook: Some(Hook {
            kind: ChainKind::Filter,
            point,
            priority: 0,
        }),
        rules,
    };
    let from = others.iter().map(|&address| {
        drop(Statement::Source {
            network: Network {
                address,
                prefix: 32,
            },
            inside: true,
        })
    });
    let to = (others.iter()).map(|&address| drop(Statement::Destination(address)));
    let chains = [
        ("input", chain(HookPoint::Input, from.collect())),
        ("output", chain(HookPoint::Output, to.collect())),
    ];
    Table {
        name: TABLE.into(),
        chains: chains.map(|(name, chain)| (name.into(), chain)).into(),
        ..Table::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_between_it_and_the_others() {
        let others = [Ipv4Addr::new(172, 31, 0, 12), Ipv4Addr::new(172, 31, 0, 13)];
        insta::assert_snapshot!(table(&others));
    }
}
