//! The core: a query and the zone in, a reply out, or the word that others must be asked.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use netlink::nft::Protocol;

use super::zone::{Named, Target, Zone};
use crate::model;

/// Seconds that a client may keep an answer; CoreDNS's.
const TTL_SECONDS: u32 = 5;

/// The version of the specification that `dns-version` speaks of.
const SPECIFICATION: &str = "1.1.0";

/// The largest UDP reply that we send, whatever the client would take: it fits every link
/// unfragmented (DNS flag day 2020).
const UDP_PAYLOAD_MAX: u16 = 1232;

/// How often an alias leads to another alias before we stop believing it.
const ALIASES_MAX: usize = 8;

/// What to do about a query.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Send this.
    Reply(Message),
    /// The name is not ours: ask upstream, pass on what it says. Without an upstream, send this.
    Forward(Message),
    /// Send this, with the addresses of `target`, which is not ours, added if upstream knows them.
    Chase {
        /// The alias that was found.
        reply: Message,
        /// Where it leads.
        target: Name,
    },
    /// Nothing: it is not a query.
    Ignore,
}

/// The answer to a datagram that may be anything.
pub fn answer_bytes(zone: &Zone, packet: &[u8]) -> Answer {
    let is_response = packet.get(2).is_none_or(|flags| flags & 0x80 != 0);
    if packet.len() < 12 || is_response {
        return Answer::Ignore;
    }
    match Message::from_vec(packet) {
        Ok(query) => answer(zone, &query),
        Err(_) => {
            let id = u16::from_be_bytes([packet[0], packet[1]]);
            let code = ResponseCode::FormErr;
            Answer::Reply(Message::error_msg(id, OpCode::Query, code))
        }
    }
}

/// The answer to a query.
pub fn answer(zone: &Zone, query: &Message) -> Answer {
    if query.metadata.message_type != MessageType::Query {
        return Answer::Ignore;
    }
    let mut reply = reply_to(query);
    if query.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return Answer::Reply(reply);
    }
    let [question] = query.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return Answer::Reply(reply);
    };
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        reply.metadata.response_code = ResponseCode::BADVERS;
        return Answer::Reply(reply);
    }
    let refused = |mut reply: Message| {
        reply.metadata.response_code = ResponseCode::Refused;
        reply
    };
    if question.query_class() != DNSClass::IN || question.query_type() == RecordType::AXFR {
        return Answer::Reply(refused(reply));
    }
    let found = match place(zone, question.name()) {
        Place::Inside(labels) => look_up(zone, &labels, question),
        Place::Reverse(address) => match reverse(zone, address, question) {
            Some(found) => found,
            None => return Answer::Forward(refused(reply)),
        },
        Place::Elsewhere => return Answer::Forward(refused(reply)),
    };
    finish(zone, reply, found, query)
}

/// How a name was found to be.
enum Found {
    /// There are such records (none: the name is there, without data of the type asked for).
    Records {
        answers: Vec<Record>,
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

fn reply_to(query: &Message) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD_MAX);
        reply.set_edns(edns);
    }
    reply
}

fn finish(zone: &Zone, mut reply: Message, found: Found, query: &Message) -> Answer {
    reply.metadata.authoritative = true;
    match found {
        Found::Records {
            mut answers,
            additionals,
        } => {
            // Clients take the first address: each gets another one first. The id is random.
            if !answers.is_empty() {
                let turn = usize::from(query.metadata.id) % answers.len();
                answers.rotate_left(turn);
            }
            if answers.is_empty() {
                reply.add_authority(soa(zone));
            }
            reply.add_answers(answers);
            reply.additionals = additionals;
            Answer::Reply(reply)
        }
        Found::NoSuchName => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.add_authority(soa(zone));
            Answer::Reply(reply)
        }
        Found::Alias(target) => follow(zone, reply, target),
    }
}

/// Adds the alias and what it leads to, as far as that is ours.
fn follow(zone: &Zone, mut reply: Message, target: String) -> Answer {
    let question = reply.queries[0].clone();
    let mut owner = question.name().clone();
    let mut target = target;
    for _ in 0..ALIASES_MAX {
        let Ok(mut name) = Name::from_ascii(&target) else {
            // The API admits only DNS names here, so this is a Service of an older API.
            reply.metadata.response_code = ResponseCode::ServFail;
            return Answer::Reply(reply);
        };
        name.set_fqdn(true);
        reply.add_answer(record(owner, RData::CNAME(CNAME(name.clone()))));
        if question.query_type() == RecordType::CNAME {
            return Answer::Reply(reply);
        }
        let Place::Inside(labels) = place(zone, &name) else {
            let target = name;
            return Answer::Chase { reply, target };
        };
        let question = Query::query(name.clone(), question.query_type());
        match look_up(zone, &labels, &question) {
            Found::Alias(next) => (owner, target) = (name, next),
            Found::Records { answers, .. } => {
                reply.add_answers(answers);
                return Answer::Reply(reply);
            }
            Found::NoSuchName => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(soa(zone));
                return Answer::Reply(reply);
            }
        }
    }
    reply.answers.clear();
    reply.metadata.response_code = ResponseCode::ServFail;
    Answer::Reply(reply)
}

/// Where a name belongs.
enum Place {
    /// Under our domain: the labels before it, in lower case.
    Inside(Vec<String>),
    /// An address turned into a name.
    Reverse(Ipv4Addr),
    /// Not ours.
    Elsewhere,
}

fn place(zone: &Zone, name: &Name) -> Place {
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
fn look_up(zone: &Zone, labels: &[String], question: &Query) -> Found {
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
fn reverse(zone: &Zone, address: Ipv4Addr, question: &Query) -> Option<Found> {
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
fn soa(zone: &Zone) -> Record {
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

fn record(owner: Name, data: RData) -> Record {
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

/// How many bytes a reply over UDP may have: 512, or more if the client says so.
pub fn udp_limit(query: &Message) -> usize {
    let offered = query.edns.as_ref().map_or(512, Edns::max_payload);
    usize::from(offered.clamp(512, UDP_PAYLOAD_MAX))
}

/// A reply in at most `limit` bytes: what does not fit is left out and the client told to come
/// again over TCP. Additional records are a courtesy, nobody is told that they are missing.
pub fn encode(mut reply: Message, limit: usize) -> Vec<u8> {
    let whole = |reply: &Message| reply.to_vec().unwrap_or_default();
    let mut bytes = whole(&reply);
    if bytes.len() > limit {
        reply.additionals.clear();
        bytes = whole(&reply);
    }
    while bytes.len() > limit && !reply.answers.is_empty() {
        reply.metadata.truncation = true;
        let fitting = reply.answers.len() * limit / bytes.len();
        reply.answers.truncate(fitting.min(reply.answers.len() - 1));
        bytes = whole(&reply);
    }
    bytes
}
