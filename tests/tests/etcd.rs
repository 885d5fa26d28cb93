//! `lab --store etcd`: the cluster on real etcd members, and what becomes of it when they die.
//!
//! Needs an etcd: `WORKSHOP_ETCD`, or the one in the path. CI has one.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use workshop_tests::{Kind, Lab, free_port, has_etcd, is_root};

const LIMIT: Duration = Duration::from_secs(60);

/// A lab on so many members; none where there is no etcd.
fn lab(kind: Kind, members: &str) -> Option<Lab> {
    if !has_etcd() {
        return None;
    }
    let lab = Lab::new_on(kind, "members");
    let port = free_port();
    let args = ["--store", "etcd", "--etcd-members", members];
    lab.start(&[&args[..], &["--nodes", "1", "--port", &port]].concat());
    Some(lab)
}

/// Without root, which the other tests of labs on etcd have where they can.
fn unprivileged() -> Kind {
    if is_root() {
        Kind::Rootless
    } else {
        Kind::Embedded
    }
}

#[test]
fn a_cluster_on_one_member() {
    if let Some(lab) = lab(unprivileged(), "1") {
        works(&lab);
        let alone = lab.lab(&["partition-member", "etcd-1"]);
        assert!(alone.expect_err("it is alone").contains("no others"));
    }
}

#[test]
fn a_cluster_on_three_members() {
    let Some(lab) = lab(Kind::Embedded, "3") else {
        return;
    };
    works(&lab);
    let status = lab.lab(&["etcdctl", "--", "endpoint", "status", "--cluster"]);
    let status = status.expect("all members answer");
    assert_eq!(status.lines().count(), 3, "{status}");
    // What was there before a restart is there after it.
    lab.kubectl("create configmap kept --from-literal=a=b");
    let other = lab.lab(&["up", "--store", "embedded"]);
    assert!(other.expect_err("it has a store").contains("another store"));
    lab.lab(&["stop-member", "etcd-2"]).expect("it is killed");
    lab.kubectl("create configmap while-one-is-dead");
    lab.lab(&["start-member", "etcd-2"]).expect("it is started");
    lab.eventually("etcd-2 has caught up", LIMIT, || {
        let args = ["etcdctl", "--", "endpoint", "health", "--cluster"];
        lab.lab(&args).ok()
    });
    lab.lab(&["stop-member", "worker-1"])
        .expect_err("it is no member");
    lab.kubectl("get configmap kept while-one-is-dead");
}

/// Pods run, and a Service leads to them.
fn works(lab: &Lab) {
    lab.kubectl("create deployment web --image=workshop/echo --replicas=2");
    lab.kubectl("rollout status deployment web --timeout=60s");
    lab.kubectl("expose deployment web --port=80 --target-port=8080");
    lab.kubectl("wait --for=jsonpath={.spec.clusterIP} service/web --timeout=10s");
    let status = lab.lab(&["status"]).expect("the lab runs");
    assert!(status.contains("etcd-1"), "{status}");
    // It is the members that have it.
    let keys = [
        "etcdctl",
        "--",
        "get",
        "--prefix",
        "--keys-only",
        "/registry/",
    ];
    let keys = lab.lab(&keys).expect("etcdctl is let in");
    assert!(keys.contains("/registry/deployments/default/web"), "{keys}");
    let own = std::fs::read_dir(lab.dir().join("control-plane/store"));
    assert_eq!(own.map(Iterator::count).unwrap_or(0), 0, "and nobody else");
}

/// While the leader is killed a writer and a watch go on.
#[test]
fn the_leader_is_killed() {
    const WRITES: usize = 60;
    let Some(lab) = lab(Kind::Embedded, "3") else {
        return;
    };
    let seen = lab.home().join("seen");
    let _watch = watch(&lab, &seen);
    let (leader, term) = lab.leader();

    let mut acknowledged = BTreeSet::new();
    let mut in_doubt = Vec::new();
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 0..WRITES {
        if number == WRITES / 3 {
            kill(pid(&lab, &leader));
        }
        let name = format!("c-{number:03}");
        match lab.try_kubectl(&format!("create configmap {name}")) {
            Ok(_) => {
                longest = longest.max(last.elapsed());
                last = Instant::now();
                acknowledged.insert(name);
            }
            Err(why) => in_doubt.push((name, why)),
        }
    }
    eprintln!("in doubt: {in_doubt:?}; the longest stall, kubectl's start included: {longest:?}");
    // One is under way at a time.
    assert!(in_doubt.len() <= 1, "{in_doubt:?}");
    assert!(longest < Duration::from_secs(6), "{longest:?}");

    let there = lab.kubectl("get configmaps -o name");
    let there: Vec<&str> = (there.lines())
        .filter_map(|line| line.strip_prefix("configmap/"))
        .filter(|name| name.starts_with("c-"))
        .collect();
    let once: BTreeSet<String> = there.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(once.len(), there.len(), "none is there twice");
    let lost: Vec<_> = acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // The watch has told each, once.
    let told = lab.eventually("the watch has told all", LIMIT, || {
        let told = std::fs::read_to_string(&seen).ok()?;
        let told: Vec<String> = (told.lines())
            .filter_map(|line| line.strip_prefix("configmap/"))
            .filter(|name| name.starts_with("c-"))
            .map(str::to_owned)
            .collect();
        (told.len() >= once.len()).then_some(told)
    });
    assert_eq!(told, once.into_iter().collect::<Vec<_>>());
    // The supervisor has started it again; another one leads, in a later term.
    let (_, term_now) = lab.leader();
    assert!(term_now > term, "{term} {term_now}");
    lab.eventually("the member is back", LIMIT, || {
        let args = ["etcdctl", "--", "endpoint", "health", "--cluster"];
        lab.lab(&args).ok()
    });
}

/// Two of three are gone: what the cache has is read, nothing is written. One comes back.
#[test]
fn the_majority_is_lost_and_comes_back() {
    let Some(lab) = lab(Kind::Embedded, "3") else {
        return;
    };
    lab.kubectl("create configmap before");
    lab.lab(&["stop-member", "etcd-1"]).expect("it is killed");
    lab.lab(&["stop-member", "etcd-2"]).expect("it is killed");
    let refused = lab.try_kubectl("create configmap meanwhile");
    let refused = refused.expect_err("nothing is written");
    // Which it is depends on who gives up first: the member, or the API server.
    let reasons = ["etcdserver: ", "context deadline exceeded"];
    let is_said = reasons.iter().any(|reason| refused.contains(reason));
    assert!(is_said, "{refused}");
    let cached = "get --raw /api/v1/namespaces/default/configmaps/before?resourceVersion=0";
    assert!(lab.kubectl(cached).contains("\"before\""));
    lab.lab(&["start-member", "etcd-1"]).expect("it is started");
    lab.eventually("writes go on", LIMIT, || {
        lab.try_kubectl("create configmap after").ok()
    });
    lab.kubectl("get configmap before after");
}

/// The leader is cut off from the other two: they elect another one and go on. The one that was
/// cut off is of no use until it is let back in, and forgets what it took in meanwhile.
#[test]
fn the_leader_is_cut_off_and_comes_back() {
    let Some(lab) = lab(unprivileged(), "3") else {
        return;
    };
    let (cut, term) = lab.leader();
    let at = |words: &str| {
        let asked = ["etcdctl", "--member", &cut, "--", "--command-timeout=1s"];
        lab.lab(&[&asked[..], &words.split(' ').collect::<Vec<_>>()].concat())
    };
    at("put key before").expect("it leads");
    lab.lab(&["partition-member", &cut]).expect("it is cut off");
    // It does not know yet that it leads nobody, and puts this in its log.
    at("put lost value").expect_err("it asks the others in vain");

    let (leader, term_now) = lab.eventually("the others have a leader", LIMIT, || {
        let (leader, term_now) = lab.leader();
        (leader != cut).then_some((leader, term_now))
    });
    assert!(term_now > term, "{term} {term_now}");
    let put = ["etcdctl", "--member", &leader, "--", "put", "key", "after"];
    lab.lab(&put).expect("two of three are enough");
    // The API server finds out with the first call that is not answered.
    lab.eventually("the API server goes on", LIMIT, || {
        lab.try_kubectl("create configmap while-one-is-cut-off")
            .ok()
    });

    let read = at("get key").expect_err("it cannot know whether that is the latest");
    // Which it is depends on who gives up first: the client, or the member.
    let reasons = ["context deadline exceeded", "etcdserver: request timed out"];
    let is_said = reasons.iter().any(|reason| read.contains(reason));
    assert!(is_said, "{read}");
    at("put key meanwhile").expect_err("it has no leader");
    let stale = at("get key --print-value-only --consistency=s");
    assert_eq!(stale.expect("who says so may have any").trim(), "before");
    let status = at("endpoint status").expect("it answers for itself");
    assert!(status.contains("etcdserver: no leader"), "{status}");
    // Its network outlives it.
    lab.lab(&["stop-member", &cut]).expect("it runs");
    let stopped = lab.lab(&["heal-member", &cut]);
    assert!(stopped.expect_err("no process").contains("does not run"));
    lab.lab(&["start-member", &cut]).expect("it was stopped");
    at("get key").expect_err("it finds nobody");

    lab.eventually("it is let back in", LIMIT, || {
        lab.lab(&["heal-member", &cut]).ok()
    });
    let key = lab.eventually("it has caught up", LIMIT, || {
        at("get key --print-value-only").ok()
    });
    assert_eq!(key.trim(), "after");
    assert_eq!(
        at("get lost").expect("it answers"),
        "",
        "nobody else had it"
    );
    let healed = lab.leader();
    assert_eq!(healed, (leader, term_now), "nobody was unseated");
    lab.kubectl("get configmap while-one-is-cut-off");
}

/// Writes what a watch of ConfigMaps tells to a file.
fn watch(lab: &Lab, seen: &std::path::Path) -> Ended {
    let out = std::fs::File::create(seen).expect("a file");
    let watch = Command::new("kubectl")
        .args(["get", "configmaps", "--watch", "--output=name"])
        .env("KUBECONFIG", lab.kubeconfig())
        .stdout(Stdio::from(out))
        .spawn()
        .expect("kubectl is installed");
    lab.eventually("the watch has begun", LIMIT, || {
        let told = std::fs::read_to_string(seen).ok()?;
        told.contains("kube-root-ca.crt").then_some(())
    });
    Ended(watch)
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

/// The number of a component's process.
fn pid(lab: &Lab, component: &str) -> i32 {
    let status = lab.lab(&["status", "--json"]).expect("the lab runs");
    let status: Value = serde_json::from_str(&status).expect("is JSON");
    let rows = status["processes"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["component"] == component);
    let pid = row.and_then(|row| row["pid"].as_i64());
    pid.expect("it runs") as i32
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}
