//! What we tell the kernel, read back by `nft` itself, in a network namespace of the test's own.

use std::net::Ipv4Addr;
use std::process::Command;

use netlink::nft::{
    Chain, ChainKind, Field, Hook, HookPoint, Key, Network, NftSocket, Protocol, Rule, Set,
    SetKind, Statement, Table, Value, Verdict, delta, replace,
};

/// Runs the ignored test `name` of this file in namespaces of its own; an ordinary user is root
/// there. Says so and passes where the machine lacks what it takes, unless `CI` is set.
fn in_namespaces(name: &str) {
    let able = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !able("unshare", &["-rn", "true"]) || !able("nft", &["--version"]) {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs user namespaces, unshare and nft"
        );
        eprintln!("skipped: needs user namespaces, unshare and nft");
        return;
    }
    let output = Command::new("unshare")
        .arg("-rn")
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .output()
        .expect("unshare starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

#[test]
fn kernel_holds_what_display_says() {
    in_namespaces("inside_kernel_holds_what_display_says");
}

#[test]
fn delta_leads_to_the_same_as_replace() {
    in_namespaces("inside_delta_leads_to_the_same_as_replace");
}

#[test]
fn refusal_names_the_operation() {
    in_namespaces("inside_refusal_names_the_operation");
}

#[test]
#[ignore = "run by kernel_holds_what_display_says"]
fn inside_kernel_holds_what_display_says() {
    let table = everything();
    NftSocket::open()
        .expect("socket")
        .apply(&replace(&table))
        .expect("applied");
    let ours = listing();
    load(&format!("delete table ip everything\n{table}"));
    assert_eq!(ours, listing());
}

#[test]
#[ignore = "run by delta_leads_to_the_same_as_replace"]
fn inside_delta_leads_to_the_same_as_replace() {
    let socket = NftSocket::open().expect("socket");
    let before = everything();
    let mut after = everything();
    after.chains.get_mut("pick").expect("it is there").rules = vec![jump("web-2")];
    after.chains.remove("web-1");
    after
        .chains
        .insert("web-3".into(), chain([vec![Statement::Reject]]));
    after.sets.remove("seen");
    after
        .chains
        .get_mut("web-2")
        .expect("it is there")
        .rules
        .truncate(1);
    let services = &mut after
        .sets
        .get_mut("services")
        .expect("it is there")
        .elements;
    services.insert(service(80), Some(Verdict::Goto("web-2".into())));
    services.insert(service(81), Some(Verdict::Drop));
    services.remove(&service(443));

    socket.apply(&replace(&before)).expect("before");
    socket.apply(&delta(&before, &after)).expect("delta");
    let by_delta = listing();
    socket.apply(&replace(&after)).expect("after");
    assert_eq!(by_delta, listing());
    assert_eq!(delta(&after, &after), []);
    socket.apply(&delta(&after, &before)).expect("and back");
    let back = listing();
    socket.apply(&replace(&before)).expect("before");
    assert_eq!(back, listing());
}

#[test]
#[ignore = "run by refusal_names_the_operation"]
fn inside_refusal_names_the_operation() {
    let mut table = everything();
    let nowhere = Some(Verdict::Goto("nowhere".into()));
    table
        .sets
        .get_mut("services")
        .expect("it is there")
        .elements
        .insert(service(1), nowhere);
    let socket = NftSocket::open().expect("socket");
    let error = socket
        .apply(&replace(&table))
        .expect_err("no such chain")
        .to_string();
    assert!(
        error.contains("{ 10.96.0.1 . tcp . 1 : goto nowhere }"),
        "{error}"
    );
    assert_eq!(listing(), "", "all or nothing");
}

/// The kernel's tables as `nft` lists them, line by line in order of the text: the kernel lists
/// chains by age, which is no part of what they do.
fn listing() -> String {
    let output = Command::new("nft")
        .args(["-s", "list", "ruleset"])
        .output()
        .expect("nft");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut blocks: Vec<&str> = text
        .split("\n\n")
        .map(|block| block.trim_end_matches("\n}\n"))
        .collect();
    blocks.sort_by_key(|block| block.trim_start_matches("table ip everything {\n"));
    blocks.join("\n").replace("table ip everything {\n", "")
}

fn load(text: &str) {
    use std::io::Write;
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("nft starts");
    nft.stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("written");
    assert!(
        nft.wait().expect("nft ends").success(),
        "nft refuses:\n{text}"
    );
}

/// A table with each kind of set, chain and statement.
fn everything() -> Table {
    use Statement as S;
    let network: Network = "10.244.0.0/16".parse().expect("a network");
    let odd: Network = "10.128.0.0/9".parse().expect("a network");
    let host = Network {
        address: Ipv4Addr::new(10, 244, 1, 5),
        prefix: 32,
    };
    let endpoint = |number| {
        chain([
            vec![
                S::Source {
                    network: host,
                    inside: true,
                },
                S::Verdict(Verdict::Jump("mark-it".into())),
            ],
            vec![S::Update("seen".into())],
            vec![
                S::L4Protocol(Protocol::Tcp),
                S::Dnat(Ipv4Addr::new(10, 244, 1, number), 8080),
            ],
        ])
    };
    let random = vec![Verdict::Goto("web-1".into()), Verdict::Goto("web-2".into())];
    let key = vec![
        Field::DestinationAddress,
        Field::Protocol,
        Field::DestinationPort,
    ];
    let base = |kind, point, priority, rules: Vec<Vec<Statement>>| Chain {
        hook: Some(Hook {
            kind,
            point,
            priority,
        }),
        rules: rules.into_iter().map(Rule).collect(),
    };
    let look_up = vec![S::Vmap(key.clone(), "services".into())];
    let reject = vec![S::NewConnection, S::L4Protocol(Protocol::Udp), S::Reject];
    Table {
        name: "everything".into(),
        sets: [
            (
                "services".into(),
                Set {
                    key,
                    kind: SetKind::VerdictMap,
                    elements: [
                        (service(80), Some(Verdict::Goto("pick".into()))),
                        (service(443), Some(Verdict::Goto("web-1".into()))),
                    ]
                    .into(),
                },
            ),
            (
                "addresses".into(),
                Set {
                    key: vec![Field::DestinationAddress],
                    kind: SetKind::Plain,
                    elements: [(
                        Key(vec![Value::Address(Ipv4Addr::new(172, 30, 0, 2))]),
                        None,
                    )]
                    .into(),
                },
            ),
            (
                "seen".into(),
                Set {
                    key: vec![Field::SourceAddress],
                    kind: SetKind::Dynamic {
                        timeout_seconds: 10800,
                        size: 65535,
                    },
                    elements: [].into(),
                },
            ),
        ]
        .into(),
        chains: [
            ("mark-it".into(), chain([vec![S::Mark(0x4000)]])),
            ("web-1".into(), endpoint(5)),
            ("web-2".into(), endpoint(6)),
            (
                "pick".into(),
                chain([
                    vec![
                        S::Destination(Ipv4Addr::new(10, 96, 0, 1)),
                        S::Source {
                            network,
                            inside: false,
                        },
                        S::Verdict(Verdict::Jump("mark-it".into())),
                    ],
                    vec![
                        S::Source {
                            network: odd,
                            inside: true,
                        },
                        S::Verdict(Verdict::Return),
                    ],
                    vec![S::SourceIsLocal, S::Verdict(Verdict::Goto("web-1".into()))],
                    vec![
                        S::DestinationIsLocal,
                        S::Verdict(Verdict::Goto("web-1".into())),
                    ],
                    vec![S::DestinationIn(odd), S::Verdict(Verdict::Drop)],
                    vec![
                        S::InSet(Field::SourceAddress, "seen".into()),
                        S::Verdict(Verdict::Goto("web-1".into())),
                    ],
                    vec![S::Random(random)],
                ]),
            ),
            (
                "in".into(),
                base(
                    ChainKind::Nat,
                    HookPoint::Prerouting,
                    -100,
                    vec![
                        vec![
                            S::InSet(Field::DestinationAddress, "addresses".into()),
                            S::Verdict(Verdict::Goto("pick".into())),
                        ],
                        look_up.clone(),
                    ],
                ),
            ),
            (
                "here".into(),
                base(ChainKind::Nat, HookPoint::Output, -100, vec![look_up]),
            ),
            (
                "out".into(),
                base(
                    ChainKind::Nat,
                    HookPoint::Postrouting,
                    100,
                    vec![vec![S::Marked(0x4000), S::Masquerade]],
                ),
            ),
            (
                "forward".into(),
                base(ChainKind::Filter, HookPoint::Forward, -110, vec![reject]),
            ),
        ]
        .into(),
    }
}

fn chain<const N: usize>(rules: [Vec<Statement>; N]) -> Chain {
    Chain {
        hook: None,
        rules: rules.into_iter().map(Rule).collect(),
    }
}

fn jump(chain: &str) -> Rule {
    Rule(vec![Statement::Verdict(Verdict::Jump(chain.into()))])
}

fn service(port: u16) -> Key {
    let address = Value::Address(Ipv4Addr::new(10, 96, 0, 1));
    Key(vec![
        address,
        Value::Protocol(Protocol::Tcp),
        Value::Port(port),
    ])
}
