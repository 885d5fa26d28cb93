//! The checks of the chapter's exercises, and of its planted bug.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, PortSummary, PortSummaryTypeEnum};
use docker_ps::engine::Error;
use docker_ps::keep::actual::{Actual, State};
use docker_ps::keep::plan::plan;
use docker_ps::keep::wanted::Wanted;
use docker_ps::keep::{OWNER_LABEL, SPEC_LABEL};
use docker_ps::{duration, filter, nodes, ports};
use exercise::Check;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[test]
fn exercise_01_1() {
    let check = |seconds: i64, expected: &str, rule: &str| {
        Check::new(format!("human({seconds})"))
            .because(rule)
            .expect_text(&duration::human(seconds), expected);
    };
    check(
        0,
        "Less than a second",
        "what is not yet a second is less than one",
    );
    check(1, "1 second", "one second is one second");
    check(59, "59 seconds", "seconds are counted up to a minute");
    let minute = "one minute is said in words, until two have passed";
    check(MINUTE, "About a minute", minute);
    check(2 * MINUTE - 1, "About a minute", minute);
    check(2 * MINUTE, "2 minutes", "minutes are counted from two on");
    check(HOUR - 1, "59 minutes", "minutes are cut off, not rounded");
    let hour = "one hour is said in words";
    check(HOUR, "About an hour", hour);
    let rounded = "hours are rounded: from one and a half on there are two";
    check(HOUR + HOUR / 2, "2 hours", rounded);
    check(HOUR + HOUR / 2 - 1, "About an hour", rounded);
    let hours = "hours are counted up to two days";
    check(47 * HOUR, "47 hours", hours);
    check(2 * DAY, "2 days", "from 48 hours on, days are counted");
    check(13 * DAY, "13 days", "days are counted up to two weeks");
    check(14 * DAY, "2 weeks", "from two weeks on, weeks are counted");
    check(
        60 * DAY,
        "2 months",
        "a month has 30 days, and from two on they are counted",
    );
    check(729 * DAY, "24 months", "months are counted up to two years");
    check(
        730 * DAY,
        "2 years",
        "a year has 365 days, and from two on they are counted",
    );
}

/// `80`, `80/udp`, `0.0.0.0:8080->80`
fn port(text: &str) -> PortSummary {
    let (text, typ) = match text.strip_suffix("/udp") {
        Some(text) => (text, PortSummaryTypeEnum::UDP),
        None => (text, PortSummaryTypeEnum::TCP),
    };
    let number = |text: &str| text.parse().expect("a port");
    let (ip, public, private) = match text.split_once("->") {
        None => (None, None, number(text)),
        Some((outside, private)) => {
            let (ip, public) = outside.rsplit_once(':').expect("an address and a port");
            (Some(ip.to_owned()), Some(number(public)), number(private))
        }
    };
    PortSummary {
        ip,
        public_port: public,
        private_port: private,
        typ: Some(typ),
    }
}

#[test]
fn exercise_01_2() {
    let check = |open: &[&str], expected: &str, rule: &str| {
        let ports: Vec<PortSummary> = open.iter().map(|text| port(text)).collect();
        Check::new(format!("a container with the ports {}", open.join(", ")))
            .because(rule)
            .expect_text(&ports::displayable(&ports), expected);
    };
    check(&["80"], "80/tcp", "a port alone is no range");
    check(
        &["80", "443"],
        "80/tcp, 443/tcp",
        "ports that are not in a row are shown one by one",
    );
    let range = "ports in a row are one range";
    check(&["80", "81", "82"], "80-82/tcp", range);
    check(&["80", "81", "443"], "80-81/tcp, 443/tcp", range);
    let protocol = "a range is of one protocol: others begin one of their own";
    check(&["53", "53/udp"], "53/tcp, 53/udp", protocol);
    check(
        &["53", "53/udp", "54", "54/udp"],
        "53-54/tcp, 53-54/udp",
        protocol,
    );
    let address = "a range is of one address: others begin one of their own";
    check(
        &[
            "0.0.0.0:80->80",
            "0.0.0.0:81->81",
            "::1:80->80",
            "::1:81->81",
        ],
        "0.0.0.0:80-81->80-81/tcp, [::1]:80-81->80-81/tcp",
        address,
    );
    let mapped = "a port that has another number outside is shown by itself, after the ranges";
    check(&["0.0.0.0:8080->80"], "0.0.0.0:8080->80/tcp", mapped);
    check(
        &["0.0.0.0:8080->80", "0.0.0.0:8081->81", "90", "91"],
        "90-91/tcp, 0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp",
        mapped,
    );
}

#[test]
fn exercise_01_3() {
    let parse = |pairs: &[&str]| {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        filter::parse(&pairs)
    };
    let check = |pairs: &[&str], expected: &[(&str, &[&str])], rule: &str| {
        let filters = parse(pairs).map(|filters| {
            let mut filters: Vec<_> = filters.into_iter().collect();
            filters.sort();
            filters
        });
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let expected = expected
            .iter()
            .map(|(name, values)| ((*name).to_owned(), texts(values)));
        Check::new(format!("docker-ps --filter {}", pairs.join(" --filter ")))
            .because(rule)
            .expect(
                filters,
                Ok(expected.collect::<Vec<(String, Vec<String>)>>()),
            );
    };
    check(
        &["status=running"],
        &[("status", &["running"])],
        "a name, and its value",
    );
    check(
        &["status=running", "status=exited"],
        &[("status", &["running", "exited"])],
        "a name that is given twice has both values: either may hold",
    );
    check(
        &["label=tier=web"],
        &[("label", &["tier=web"])],
        "the name ends at the first =, what follows is all value",
    );
    check(&["name="], &[("name", &[""])], "an empty value is one");
    check(
        &["Status = running "],
        &[("status", &["running"])],
        "names are lower case, and spaces around name and value are not theirs",
    );
    let refused =
        parse(&["status=running", "web"]).map_err(|said| said.contains("bad format of filter"));
    Check::new("docker-ps --filter status=running --filter web")
        .because("without = it is no filter, and says: bad format of filter (expected name=value)")
        .expect(refused, Err(true));
}

#[test]
fn exercise_01_4() {
    let containers = |ids: &[&str]| {
        let of = |id: &&str| ContainerSummary {
            id: Some((*id).to_owned()),
            ..ContainerSummary::default()
        };
        ids.iter().map(of).collect::<Vec<_>>()
    };
    let lost = || Error::Unreachable {
        host: "tcp://10.0.0.2:2375".into(),
        reason: "Connection refused".into(),
    };
    let merged = nodes::merge(vec![
        ("one".into(), Ok(containers(&["a", "b"]))),
        ("two".into(), Err(lost())),
        ("three".into(), Ok(containers(&["c"]))),
        ("four".into(), Ok(Vec::new())),
        ("five".into(), Err(lost())),
    ]);
    let tried =
        "five nodes: one has a and b, two is lost, three has c, four has none, five is lost";
    let rows = merged.rows.iter().map(|row| {
        let node = row.node.as_deref().unwrap_or("(no node)");
        format!(
            "{node}: {}",
            row.container.id.as_deref().unwrap_or_default()
        )
    });
    Check::new(tried)
        .because("each container is listed with its node, whoever else is lost")
        .expect(
            rows.collect::<Vec<_>>(),
            ["one: a", "one: b", "three: c"].map(str::to_owned).into(),
        );
    let failed = merged.failed.iter().map(|(node, _)| node.clone());
    Check::new(tried)
        .because("a node that does not answer is named, so that nobody takes its silence for peace")
        .expect(
            failed.collect::<Vec<_>>(),
            ["two", "five"].map(str::to_owned).into(),
        );
}

fn wanted(name: &str, image: &str) -> Wanted {
    Wanted {
        name: name.into(),
        image: image.into(),
        ..Wanted::default()
    }
}

fn actual(name: &str, image: &str, owner: Option<&str>, state: State) -> Actual {
    Actual {
        id: format!("id-of-{name}"),
        name: name.into(),
        owner: owner.map(str::to_owned),
        spec: owner.map(|_| wanted(name, image).hash()),
        state,
    }
}

#[test]
fn exercise_01_5() {
    let check = |tried: &str, wants: &[Wanted], has: &[Actual], expected: &[&str], rule: &str| {
        let actions: Vec<String> = plan("keep", wants, has)
            .iter()
            .map(|action| action.to_string())
            .collect();
        Check::new(tried).because(rule).expect(
            actions,
            expected.iter().map(|action| (*action).to_owned()).collect(),
        );
    };
    let ours = Some("keep");
    let web = &[wanted("web", "echo")];
    check(
        "web is wanted, the engine has nothing",
        web,
        &[],
        &["create web"],
        "what is wanted and not there is created",
    );
    check(
        "web is wanted and runs",
        web,
        &[actual("web", "echo", ours, State::Running)],
        &[],
        "what is as it should be is left alone",
    );
    check(
        "web is wanted, and has ended",
        web,
        &[actual("web", "echo", ours, State::Stopped)],
        &["start web"],
        "what is there and does not run is started",
    );
    let changed = "another hash means that it was made from something else: it is made anew";
    check(
        "web is wanted with the image echo:2, and runs with echo",
        &[wanted("web", "echo:2")],
        &[actual("web", "echo", ours, State::Running)],
        &["recreate web"],
        changed,
    );
    check(
        "web is wanted with the image echo:2, and has ended with echo",
        &[wanted("web", "echo:2")],
        &[actual("web", "echo", ours, State::Stopped)],
        &["recreate web"],
        changed,
    );
    check(
        "web is wanted and dead",
        web,
        &[actual("web", "echo", ours, State::Dead)],
        &["recreate web"],
        "what is dead cannot be started any more: it is made anew",
    );
    check(
        "nothing is wanted, and ours are web (running) and db (ended)",
        &[],
        &[
            actual("web", "echo", ours, State::Running),
            actual("db", "echo", ours, State::Stopped),
        ],
        &["remove web", "remove db"],
        "what is ours and not wanted is removed",
    );
    let others = "what is not ours is never touched";
    check(
        "nothing is wanted; somebody's web, and db of the owner `other`, run",
        &[],
        &[
            actual("web", "echo", None, State::Running),
            actual("db", "echo", Some("other"), State::Running),
        ],
        &[],
        others,
    );
    check(
        "web is wanted; somebody else's web has ended",
        web,
        &[actual("web", "echo", None, State::Stopped)],
        &["the name web is taken"],
        "a name that is taken by another is not ours to take: the action is Taken",
    );
    check(
        "web is wanted, ours is db",
        web,
        &[actual("db", "echo", ours, State::Running)],
        &["remove db", "create web"],
        "who goes goes first: web may need a port that db holds",
    );
}

#[test]
fn bug_01() {
    let web = wanted("web", "echo");
    let labels = [(OWNER_LABEL, "keep".to_owned()), (SPEC_LABEL, web.hash())];
    let summary = ContainerSummary {
        id: Some("0123456789ab".into()),
        names: Some(vec!["/web".into()]),
        labels: Some(HashMap::from(
            labels.map(|(name, value)| (name.to_owned(), value)),
        )),
        ..ContainerSummary::default()
    };
    let actions = plan("keep", &[web], &[Actual::from(&summary)]);
    let actions: Vec<String> = actions.iter().map(|action| action.to_string()).collect();
    Check::new("web is wanted, and runs; the engine says that its names are [\"/web\"]")
        .because("what was made is found again, under the name that the file has for it")
        .expect(actions, Vec::new());
}
