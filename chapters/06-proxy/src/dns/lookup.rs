//! Where a name belongs, and what is known of it.

use std::net::Ipv4Addr;

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use netlink::nft::Protocol;

use super::zone::{Named, Target, Zone};
use crate::model;

/// Seconds that a client may keep an answer; CoreDNS's.
const TTL_SECONDS: u32 = 5;

/// The version of the specification that `dns-version` speaks of.
const SPECIFICATION: &str = "1.1.0";

/// How a name was found to be.
pub(super) enum Found {
    /// There are such records (none: the name is there, without data of the type asked for).
    Records {
        /// What was asked for.
        answers: Vec<Record>,
        /// What will be asked for next.
        additionals: Vec<Record>,
    },
    /// The name is an alias.
    Alias(String),
    /// There is no such name.
    NoSuchName,
}

impl Found {
    fn answers(answers: Vec<Record>) -> Self {
        Found::Records {
            answers,
            additionals: Vec::new(),
        }
    }

    fn nothing() -> Self {
        Found::answers(Vec::new())
    }
}

/// Where a name belongs.
pub(super) enum Place {
    /// Under our domain: the labels before it, in lower case.
    Inside(Vec<String>),
    /// An address turned into a name.
    Reverse(Ipv4Addr),
    /// Not ours.
    Elsewhere,
}

pub(super) fn place(zone: &Zone, name: &Name) -> Place {
    let label = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let mut labels: Vec<String> = name.iter().map(label).collect();
    if labels.ends_with(&zone.domain) {
        labels.truncate(labels.len() - zone.domain.len());
        return Place::Inside(labels);
    }
    if let [d, c, b, a, arpa @ ..] = labels.as_slice()
        && arpa == ["in-addr", "arpa"]
        && let Ok(address) = format!("{a}.{b}.{c}.{d}").parse()
    {
        return Place::Reverse(address);
    }
    Place::Elsewhere
}

/// Looks up a name under the domain.
pub(super) fn look_up(zone: &Zone, labels: &[String], question: &Query) -> Found {
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let exists = |namespace: &str| match zone.namespaces.contains(namespace) {
        true => Found::nothing(),
        false => Found::NoSuchName,
    };
    match labels.as_slice() {
        [] => apex(zone, question),
        ["dns-version"] => match question.query_type() {
            RecordType::TXT => {
                let text = TXT::new(vec![SPECIFICATION.to_owned()]);
                Found::answers(vec![record(question.name().clone(), RData::TXT(text))])
            }
            _ => Found::nothing(),
        },
        // The server's own name, which the SOA and NS records speak of.
        ["ns", "dns"] | ["dns"] | ["svc"] | ["pod"] => Found::nothing(),
        [namespace, "svc"] | [namespace, "pod"] => exists(namespace),
        [dashed, namespace, "pod"] => match dashed.replace('-', ".").parse() {
            Ok(address) if zone.namespaces.contains(*namespace) => addresses(question, [address]),
            _ => Found::NoSuchName,
        },
        [below @ .., service, namespace, "svc"] => {
            let name = model::Name::new(*namespace, *service);
            match zone.services.get(&name) {
                Some(found) => service_name(zone, &name, found, below, question),
                None => Found::NoSuchName,
            }
        }
        _ => Found::NoSuchName,
    }
}

fn apex(zone: &Zone, question: &Query) -> Found {
    match question.query_type() {
        RecordType::SOA => Found::answers(vec![soa(zone)]),
        RecordType::NS => {
            let server = RData::NS(NS(under(zone, ["ns", "dns"])));
            Found::answers(vec![record(question.name().clone(), server)])
        }
        _ => Found::nothing(),
    }
}

/// A Service's own name, or one `below` it.
fn service_name(
    zone: &Zone,
    name: &model::Name,
    service: &Named,
    below: &[&str],
    question: &Query,
) -> Found {
    if let Some(target) = &service.external_name {
        return match below {
            [] => Found::Alias(target.clone()),
            _ => Found::NoSuchName,
        };
    }
    match below {
        [] => match (question.query_type(), service.cluster_ip) {
            (RecordType::SRV, _) => ports(zone, name, service, |_, _| true, question),
            (_, Some(address)) => addresses(question, [address]),
            (_, None) => addresses(
                question,
                service.endpoints.iter().map(|target| target.address),
            ),
        },
        // Only there for what is below them.
        ["_tcp" | "_udp" | "_sctp"] => Found::nothing(),
        [endpoint] => {
            let targets = service
                .endpoints
                .iter()
                .filter(|target| target.label == *endpoint);
            let mut targets = targets.map(|target| target.address).peekable();
            match targets.peek() {
                Some(_) => addresses(question, targets),
                None => Found::NoSuchName,
            }
        }
        [port, protocol] => {
            let wanted = |name: &str, kind: Protocol| {
                port.strip_prefix('_') == Some(name)
                    && protocol.strip_prefix('_') == Some(kind.to_string().as_str())
            };
            let known = (service.ports.iter()).any(|(name, protocol, _)| wanted(name, *protocol));
            match question.query_type() {
                _ if !known => Found::NoSuchName,
                RecordType::SRV => ports(zone, name, service, wanted, question),
                _ => Found::nothing(),
            }
        }
        _ => Found::NoSuchName,
    }
}

/// A records for who asks for addresses; for any other type the name is there without data.
fn addresses(question: &Query, addresses: impl IntoIterator<Item = Ipv4Addr>) -> Found {
    match question.query_type() {
        RecordType::A | RecordType::ANY => {
            let owner = question.name();
            let mut seen = std::collections::BTreeSet::new();
            let unique = addresses
                .into_iter()
                .filter(|address| seen.insert(*address));
            let records = unique.map(|address| record(owner.clone(), RData::A(A(address))));
            Found::answers(records.collect())
        }
        _ => Found::nothing(),
    }
}

/// SRV records for the ports that are `wanted`, with the addresses of the names they speak of.
fn ports(
    zone: &Zone,
    name: &model::Name,
    service: &Named,
    wanted: impl Fn(&str, Protocol) -> bool,
    question: &Query,
) -> Found {
    let own = [name.name.as_str(), name.namespace.as_str(), "svc"];
    let mut answers = Vec::new();
    let mut additionals = Vec::new();
    let mut add = |ports: &[(String, Protocol, u16)], target: Name, address: Ipv4Addr| {
        let numbers = ports
            .iter()
            .filter(|(name, protocol, _)| wanted(name, *protocol));
        let before = answers.len();
        answers.extend(numbers.map(|(_, _, number)| {
            let data = SRV::new(0, 100, *number, target.clone());
            record(question.name().clone(), RData::SRV(data))
        }));
        if answers.len() > before {
            additionals.push(record(target, RData::A(A(address))));
        }
    };
    match service.cluster_ip {
        Some(address) => add(&service.ports, under(zone, own), address),
        None => {
            for Target {
                label,
                address,
                ports,
            } in &service.endpoints
            {
                let [service, namespace, svc] = own;
                add(
                    ports,
                    under(zone, [label, service, namespace, svc]),
                    *address,
                );
            }
        }
    }
    Found::Records {
        answers,
        additionals,
    }
}

/// The names at an address; `None` if it is not the cluster's.
pub(super) fn reverse(zone: &Zone, address: Ipv4Addr, question: &Query) -> Option<Found> {
    let names = zone.reverse.get(&address)?;
    if question.query_type() != RecordType::PTR {
        return Some(Found::nothing());
    }
    let owner = question.name();
    let records = names.iter().map(|labels| {
        let name = under(zone, labels.iter().map(String::as_str));
        record(owner.clone(), RData::PTR(PTR(name)))
    });
    Some(Found::answers(records.collect()))
}

/// The start-of-authority record: with a negative answer it says how long to remember it.
pub(super) fn soa(zone: &Zone) -> Record {
    let server = under(zone, ["ns", "dns"]);
    let contact = under(zone, ["hostmaster"]);
    let seconds = i32::try_from(TTL_SECONDS).expect("small");
    let data = SOA::new(
        server,
        contact,
        1,
        7200,
        1800,
        86400,
        seconds.cast_unsigned(),
    );
    record(under(zone, []), RData::SOA(data))
}

/// A record of ours.
pub(super) fn record(owner: Name, data: RData) -> Record {
    Record::from_rdata(owner, TTL_SECONDS, data)
}

/// A name under the domain. Labels come from object names, which the API keeps to DNS's rules; a
/// name that breaks them all the same becomes the domain itself.
fn under<'a>(zone: &'a Zone, labels: impl IntoIterator<Item = &'a str>) -> Name {
    let domain = zone.domain.iter().map(String::as_str);
    let labels: Vec<&[u8]> = labels
        .into_iter()
        .chain(domain)
        .map(str::as_bytes)
        .collect();
    let mut name = Name::from_labels(labels).unwrap_or_default();
    name.set_fqdn(true);
    name
}
