//! Stories of nodes that run short, or go: whom they end, as golden scripts.
//!
//! | command | what happens |
//! | --- | --- |
//! | `pod a priority=5 memory=100Mi uses=200` | a pod that asked for so much, and uses so many MiB |
//! | `memory available=50 capacity=1000` | what the machine has left, in MiB |
//! | `disk available=50 capacity=1000` | likewise |
//! | `policy soft=memory.available<300Mi grace=… reclaim=… pods=10 keep=5m` | the flags |
//! | `at 60` | so many seconds have gone by |
//! | `evict` | decide who goes; that pod goes |
//! | `admit memory=100Mi` | would a new pod be taken? |
//! | `shutdown 30 critical=10` | the node goes: in which order do the pods end? |
//!
//! And of its images, in `tests/node_images`:
//!
//! | command | what happens |
//! | --- | --- |
//! | `image a size=100`, `remove a` | an image comes, or goes |
//! | `use a b` | containers stand on these, and no others |
//! | `at 60`, `look` | so many seconds have gone by; which images may go? |
//! | `disk available=1 capacity=10` | how much has to be freed? |

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;

use goldenscript::{Command, Context, Runner};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kubelet::decide::eviction::{
    self, Candidate, Monitor, Policy, Signals, Supply, Thresholds, Verdict,
};
use kubelet::decide::image_gc::{self, Records};
use kubelet::decide::shutdown;
use kubelet::runtime::Image;
use serde_json::json;

struct Story {
    pods: Vec<(Pod, Option<u64>)>,
    signals: Signals,
    policy: Policy,
    monitor: Monitor,
    seconds: i64,
}

impl Default for Story {
    fn default() -> Story {
        Story {
            pods: Vec::new(),
            signals: Signals::default(),
            policy: Policy {
                hard: Thresholds::hard_default(),
                ..Policy::default()
            },
            monitor: Monitor::default(),
            seconds: 0,
        }
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

impl Story {
    fn observe(&mut self) -> Result<Verdict, Box<dyn Error>> {
        let now = Timestamp::from_second(self.seconds)?;
        Ok(self.monitor.observe(&self.policy, &self.signals, now))
    }

    fn evict(&mut self) -> Result<String, Box<dyn Error>> {
        let verdict = self.observe()?;
        let conditions = match verdict.conditions[..] {
            [] => String::new(),
            _ => format!("[{}] ", verdict.conditions.join(" ")),
        };
        let Some(short) = verdict.shortage else {
            return Ok(format!("{conditions}nobody goes\n"));
        };
        let candidates = self.pods.iter().map(|(pod, usage)| Candidate {
            pod,
            usage: *usage,
            containers: usage
                .map(|usage| ("c".to_owned(), usage))
                .into_iter()
                .collect(),
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let Some(first) = eviction::first_to_go(&candidates, &short) else {
            return Ok(format!("{conditions}nobody may be evicted\n"));
        };
        let message = eviction::message(first, &short);
        let grace = eviction::grace_seconds(first.pod, &short);
        let first = name(first.pod).to_owned();
        self.pods.retain(|(pod, _)| name(pod) != first);
        Ok(format!("{conditions}{first} within {grace}s: {message}\n"))
    }
}

fn pod(command: &Command) -> Result<(Pod, Option<u64>), Box<dyn Error>> {
    let mut args = command.consume_args();
    let name = args.next_pos().unwrap_or("new").to_owned();
    let priority: i32 = args.take_key("priority").unwrap_or("0").parse()?;
    let grace: i64 = args.take_key("grace").unwrap_or("30").parse()?;
    let memory = args.take_key("memory");
    let uses = args.take_key("uses").map(str::parse::<u64>).transpose()?;
    let requests = memory.map_or(json!({}), |memory| json!({ "memory": memory }));
    let pod = serde_json::from_value(json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": {
            "priority": priority, "terminationGracePeriodSeconds": grace,
            "containers": [{ "name": "c", "resources": { "requests": requests } }],
        },
    }))?;
    Ok((pod, uses.map(|mebibytes| mebibytes << 20)))
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let mut mebibytes = |key: &str| -> Result<u64, Box<dyn Error>> {
            Ok(args.take_key(key).ok_or("how much?")?.parse::<u64>()? << 20)
        };
        match command.name.as_str() {
            "pod" => self.pods.push(pod(command)?),
            "memory" | "disk" => {
                let supply = Some(Supply {
                    available: mebibytes("available")?,
                    capacity: mebibytes("capacity")?,
                });
                if command.name == "memory" {
                    self.signals.memory = supply;
                } else {
                    self.signals.disk = supply;
                }
            }
            "policy" => {
                let policy = &mut self.policy;
                let mut flag = |key: &str| args.take_key(key).map(str::to_owned);
                policy.soft = flag("soft").unwrap_or_default().parse()?;
                policy.soft_grace = flag("grace").unwrap_or_default().parse()?;
                policy.minimum_reclaim = flag("reclaim").unwrap_or_default().parse()?;
                policy.max_pod_grace_seconds = flag("pods").unwrap_or("0".to_owned()).parse()?;
                policy.transition_period = flag("keep").unwrap_or("0s".to_owned()).parse()?;
                return Ok(policy
                    .validate()
                    .err()
                    .map_or(String::new(), |why| why + "\n"));
            }
            "at" => self.seconds = args.next_pos().ok_or("when?")?.parse()?,
            "evict" => return self.evict(),
            "admit" => {
                let conditions = self.observe()?.conditions;
                return Ok(match eviction::admit(&pod(command)?.0, &conditions) {
                    Ok(()) => "taken\n".to_owned(),
                    Err(why) => format!("{}: {}\n", why.reason, why.message),
                });
            }
            "shutdown" => {
                let seconds = args.next_pos().ok_or("how long?")?.parse()?;
                let critical = args.take_key("critical").unwrap_or("0").parse()?;
                let pods = self.pods.iter().map(|(pod, _)| pod);
                let mut out = String::new();
                for phase in shutdown::phases(pods, seconds, critical) {
                    let _ = writeln!(out, "within {}s:", phase.seconds);
                    for (pod, grace) in phase.pods {
                        let _ = writeln!(out, "  end {} with {grace}s of grace", name(pod));
                    }
                }
                return Ok(out);
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        Ok(String::new())
    }
}

/// The images of a node.
#[derive(Default)]
struct Images {
    images: Vec<Image>,
    used: BTreeSet<String>,
    records: Records,
    seconds: i64,
}

const POLICY: image_gc::Policy = image_gc::Policy {
    high_threshold_percent: 85,
    low_threshold_percent: 80,
    min_age: SignedDuration::from_secs(120),
};

impl Images {
    fn look(&mut self) -> Result<String, Box<dyn Error>> {
        let now = Timestamp::from_second(self.seconds)?;
        self.records.detect(&self.images, &self.used, now);
        let removable = self.records.removable(&POLICY, now);
        let shown = removable.iter().map(|(id, size)| format!("{id} {size}"));
        let shown: Vec<String> = shown.collect();
        Ok(format!("the first to go: {}\n", shown.join(", ")))
    }
}

impl Runner for Images {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "image" => {
                let size = args.take_key("size").ok_or("how large?")?;
                self.images.push(Image {
                    size_bytes: size.parse()?,
                    pinned: args.take_key("pinned").is_some(),
                    id: args.next_pos().ok_or("which one?")?.to_owned(),
                    repo_tags: Vec::new(),
                    repo_digests: Vec::new(),
                    user: String::new(),
                });
            }
            "remove" => {
                let id = args.next_pos().ok_or("which one?")?;
                self.images.retain(|image| image.id != id);
            }
            "use" => {
                self.used.clear();
                while let Some(id) = args.next_pos() {
                    self.used.insert(id.to_owned());
                }
            }
            "at" => self.seconds = args.next_pos().ok_or("when?")?.parse()?,
            "look" => return self.look(),
            "disk" => {
                let mut bytes = |key: &str| -> Result<u64, Box<dyn Error>> {
                    Ok(args.take_key(key).ok_or("how much?")?.parse()?)
                };
                let disk = Supply {
                    available: bytes("available")?,
                    capacity: bytes("capacity")?,
                };
                return Ok(match POLICY.bytes_to_free(&disk) {
                    Some(bytes) => format!("free {bytes}\n"),
                    None => "enough\n".to_owned(),
                });
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        Ok(String::new())
    }
}

#[test]
fn images() -> std::io::Result<()> {
    golden::run_folder("tests/node_images", Images::default)
}

#[test]
fn thresholds_that_make_no_sense_are_refused() {
    let check = |high, low| {
        let policy = image_gc::Policy {
            high_threshold_percent: high,
            low_threshold_percent: low,
            ..POLICY
        };
        policy.validate()
    };
    assert_eq!(check(85, 80), Ok(()));
    assert!(check(101, 80).unwrap_err().contains("[0-100]"));
    assert!(check(80, 80).unwrap_err().contains("low"));
}

#[test]
fn stories() -> std::io::Result<()> {
    golden::run_folder("tests/node", Story::default)
}
