//! What is there without any Service: the hooks, the maps that Services are added to, and the
//! chains that all of them share.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use netlink::nft::{
    Chain, ChainKind, Field, Hook, HookPoint, Key, Rule, Set, SetKind, Statement, Table, Value,
    Verdict,
};

use super::TABLE;

/// The bit of a packet's mark that asks for masquerading; upstream's default too.
const MASQUERADE_MARK: u32 = 0x4000;

pub(super) const MARK_CHAIN: &str = "mark-for-masquerade";
pub(super) const REFUSE_CHAIN: &str = "refuse";
const SERVICES_CHAIN: &str = "services";
const UNSERVED_CHAIN: &str = "unserved";
pub(super) const SERVICE_MAP: &str = "service-addresses";
pub(super) const NODE_PORT_MAP: &str = "service-node-ports";
pub(super) const UNSERVED_MAP: &str = "unserved-addresses";
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
const NODE_ADDRESSES: &str = "node-addresses";

/// The table without any Service.
pub(super) fn skeleton(node_addresses: &[Ipv4Addr]) -> Table {
    let address_and_port = [
        Field::DestinationAddress,
        Field::Protocol,
        Field::DestinationPort,
    ];
    let node_port = [Field::Protocol, Field::DestinationPort];
    let mut addresses = empty_set(&[Field::DestinationAddress], SetKind::Plain);
    let keys = node_addresses
        .iter()
        .map(|address| Key(vec![Value::Address(*address)]));
    addresses.elements = keys.map(|key| (key, None)).collect();
    let sets = [
        (
            SERVICE_MAP,
            empty_set(&address_and_port, SetKind::VerdictMap),
        ),
        (NODE_PORT_MAP, empty_set(&node_port, SetKind::VerdictMap)),
        (
            UNSERVED_MAP,
            empty_set(&address_and_port, SetKind::VerdictMap),
        ),
        (
            CLUSTER_IPS,
            empty_set(&[Field::DestinationAddress], SetKind::Plain),
        ),
        (NODE_ADDRESSES, addresses),
    ];

    let to_node = Statement::InSet(Field::DestinationAddress, NODE_ADDRESSES.into());
    let services = vec![
        vec![Statement::Vmap(
            address_and_port.to_vec(),
            SERVICE_MAP.into(),
        )],
        vec![
            to_node,
            Statement::Vmap(node_port.to_vec(), NODE_PORT_MAP.into()),
        ],
    ];
    let to_cluster_ip = Statement::InSet(Field::DestinationAddress, CLUSTER_IPS.into());
    let refuse = Statement::Verdict(Verdict::Goto(REFUSE_CHAIN.into()));
    let unserved = vec![
        vec![to_cluster_ip, refuse],
        vec![Statement::Vmap(
            address_and_port.to_vec(),
            UNSERVED_MAP.into(),
        )],
    ];
    let translate = vec![vec![jump(SERVICES_CHAIN)]];
    let check = vec![vec![Statement::NewConnection, jump(UNSERVED_CHAIN)]];
    let masquerade = vec![vec![
        Statement::Marked(MASQUERADE_MARK),
        Statement::Masquerade,
    ]];
    let nat = ChainKind::Nat;
    let filter = ChainKind::Filter;
    let chains = [
        (
            "prerouting",
            base(nat, HookPoint::Prerouting, -100, translate.clone()),
        ),
        ("output", base(nat, HookPoint::Output, -100, translate)),
        (
            "postrouting",
            base(nat, HookPoint::Postrouting, 100, masquerade),
        ),
        // Both see a packet after its translation.
        (
            "filter-forward",
            base(filter, HookPoint::Forward, -90, check.clone()),
        ),
        ("filter-output", base(filter, HookPoint::Output, -90, check)),
        (SERVICES_CHAIN, chain(None, services)),
        (UNSERVED_CHAIN, chain(None, unserved)),
        (
            MARK_CHAIN,
            chain(None, vec![vec![Statement::Mark(MASQUERADE_MARK)]]),
        ),
        (REFUSE_CHAIN, chain(None, vec![vec![Statement::Reject]])),
    ];
    Table {
        name: TABLE.into(),
        sets: sets
            .into_iter()
            .map(|(name, set)| (name.into(), set))
            .collect(),
        chains: chains
            .into_iter()
            .map(|(name, chain)| (name.into(), chain))
            .collect(),
    }
}

/// A set or map of such keys, without elements.
pub(super) fn empty_set(key: &[Field], kind: SetKind) -> Set {
    Set {
        key: key.to_vec(),
        kind,
        elements: BTreeMap::new(),
    }
}

/// Through that chain, and back.
pub(super) fn jump(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Jump(chain.into()))
}

fn base(kind: ChainKind, point: HookPoint, priority: i32, rules: Vec<Vec<Statement>>) -> Chain {
    let hook = Hook {
        kind,
        point,
        priority,
    };
    chain(Some(hook), rules)
}

/// A chain of these rules.
pub(super) fn chain(hook: Option<Hook>, rules: Vec<Vec<Statement>>) -> Chain {
    Chain {
        hook,
        rules: rules.into_iter().map(Rule).collect(),
    }
}
