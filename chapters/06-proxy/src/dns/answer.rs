//! The core: a query and the zone in, a reply out, or the word that others must be asked.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::lookup::{Found, Place, look_up, place, record, reverse, soa};
use super::zone::Zone;

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
