//! What is answered to which question: golden scripts over one cluster, and packets of any kind.

mod support;

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use proptest::prelude::*;
use proxy::dns::answer::{Answer, answer, answer_bytes, encode, udp_limit};
use proxy::dns::zone::Zone;
use support::Cluster;

#[test]
fn questions_and_answers() {
    for script in ["specification", "refusals"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/dns")
            .join(script);
        goldenscript::run(&mut Client, path).expect("as recorded");
    }
}

static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let cluster = Cluster::parse(include_str!("dns/cluster.yaml"));
    let Cluster {
        services,
        slices,
        namespaces,
        ..
    } = &cluster;
    Zone::build("cluster.local", services, slices, namespaces)
});

/// `NAME [TYPE]... [class=CH] [edns=SIZE] [bytes=true]`: a question for each type.
struct Questions {
    name: Name,
    kinds: Vec<RecordType>,
    class: DNSClass,
    edns: Option<u16>,
    /// Show the reply as it comes over UDP.
    bytes: bool,
}

impl TryFrom<&goldenscript::Command> for Questions {
    type Error = Box<dyn Error>;

    fn try_from(command: &goldenscript::Command) -> Result<Self, Box<dyn Error>> {
        let mut arguments = command.consume_args();
        let class = arguments.take_key("class").map(|_| DNSClass::CH);
        let edns = arguments.take_key("edns").map(str::parse).transpose()?;
        let bytes = arguments.take_key("bytes").is_some();
        let mut kinds = Vec::new();
        while let Some(kind) = arguments.next_pos() {
            kinds.push(kind.parse()?);
        }
        arguments.reject_next()?;
        Ok(Questions {
            name: Name::from_ascii(&command.name)?,
            kinds,
            class: class.unwrap_or(DNSClass::IN),
            edns,
            bytes,
        })
    }
}

/// Asks, and shows the answers as dig would.
struct Client;

impl goldenscript::Runner for Client {
    type Command = Questions;

    fn run(
        &mut self,
        questions: &Questions,
        _: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        let mut output = String::new();
        for kind in &questions.kinds {
            let mut question = Query::query(questions.name.clone(), *kind);
            question.set_query_class(questions.class);
            let mut query = Message::query();
            query.metadata.id = 0;
            query.add_query(question);
            if let Some(size) = questions.edns {
                query.set_edns(Edns::new().set_max_payload(size).clone());
            }
            let limit = questions.bytes.then(|| udp_limit(&query));
            writeln!(output, "{kind}:")?;
            show(&mut output, answer(&ZONE, &query), limit)?;
        }
        Ok(output)
    }
}

fn show(output: &mut String, answer: Answer, limit: Option<usize>) -> std::fmt::Result {
    let reply = match answer {
        Answer::Ignore => return writeln!(output, "no answer"),
        Answer::Forward(reply) => {
            let code = reply.metadata.response_code;
            return writeln!(output, "asked of upstream; without one: {code}");
        }
        Answer::Chase { reply, target } => {
            writeln!(output, "with what upstream says of {target}:")?;
            reply
        }
        Answer::Reply(reply) => reply,
    };
    let reply = match limit {
        None => reply,
        Some(limit) => {
            let bytes = encode(reply, limit);
            writeln!(output, "{} bytes of {limit}", bytes.len())?;
            Message::from_vec(&bytes).expect("what we send can be read")
        }
    };
    let metadata = reply.metadata;
    let flag = |set, name| if set { name } else { "" };
    let flags = [
        flag(metadata.authoritative, " aa"),
        flag(metadata.truncation, " tc"),
    ]
    .concat();
    writeln!(output, "{}{flags}", metadata.response_code)?;
    if limit.is_some() {
        return writeln!(output, "  {} answers", reply.answers.len());
    }
    let sections = [("", reply.answers), ("  authority: ", reply.authorities)];
    for (title, records) in sections
        .into_iter()
        .chain([("  additional: ", reply.additionals)])
    {
        for Record {
            name, ttl, data, ..
        } in &records
        {
            writeln!(
                output,
                "{title}  {name} {ttl} {} {data}",
                data.record_type()
            )?;
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_packet_is_survived(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Answer::Reply(reply) = answer_bytes(&ZONE, &packet) {
            prop_assert!(encode(reply, 512).len() <= 512);
        }
    }

    #[test]
    fn any_damage_to_a_query_is_survived(
        at in 0usize..64, value in any::<u8>(), cut in 0usize..64,
    ) {
        let mut query = Message::query();
        let name = Name::from_ascii("_http._tcp.web.default.svc.cluster.local.").expect("a name");
        query.add_query(Query::query(name, RecordType::SRV));
        let mut packet = query.to_vec().expect("encoded");
        let length = packet.len();
        packet[at % length] = value;
        packet.truncate(length - cut % length);
        if let Answer::Reply(reply) = answer_bytes(&ZONE, &packet) {
            prop_assert!(encode(reply, 512).len() <= 512);
        }
    }
}

#[test]
fn clients_take_turns() {
    let first = |id| {
        let mut query = Message::query();
        query.metadata.id = id;
        let name = Name::from_ascii("db.default.svc.cluster.local.").expect("a name");
        query.add_query(Query::query(name, RecordType::A));
        match answer(&ZONE, &query) {
            Answer::Reply(reply) => reply.answers[0].data.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_ne!(first(0), first(1));
    assert_eq!(first(0), first(2));
}

#[test]
fn manifests_are_what_the_api_server_takes() {
    let kinds: Vec<_> = proxy::dns::manifests()
        .iter()
        .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]).replace('"', ""))
        .collect();
    insta::assert_snapshot!(kinds.join("\n"), @r"
    ServiceAccount kube-dns
    ClusterRole workshop:kube-dns
    ClusterRoleBinding workshop:kube-dns
    Service kube-dns
    Deployment kube-dns
    ");
}
