//! A trace as a drawing: who takes part, and what is drawn between them. Pure.
//!
//! Everybody speaks to the API server and to nobody else, so every step has it at one end. A step
//! of the drawing may stand for several records: news that went to several watchers, the requests
//! by which a client finds out what the server can do, the same asked again.

use std::collections::BTreeSet;

use apiserver::trace::{Client, Delivery, Object, Record, Request};

use super::causality::Own;

/// Somebody who takes part; each has a line of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// `kubectl`, `apiserver`, `kubelet worker-1`, …
    pub name: String,
    /// How many there are of them, such as the proxies of three nodes.
    pub count: usize,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// Who takes part; the API server is among them.
    pub lanes: Vec<Lane>,
    /// What happens, one below the other.
    pub steps: Vec<Step>,
}

/// A step of a drawing. Who is a number of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Between whom.
    pub arrow: Arrow,
    /// `create`, `ADDED`, `GET`
    pub verb: String,
    /// `deployments/web`
    pub what: String,
    /// How often.
    pub times: usize,
    /// Code of the answer, where there is one.
    pub code: Option<u16>,
    /// The revision that the store gave to a write, or that news is of.
    pub revision: Option<i64>,
}

/// Between whom something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrow {
    /// Somebody asks the API server.
    Request {
        /// Who.
        from: usize,
    },
    /// The API server writes to its store, further to what a request's own arrow shows.
    Write,
    /// The API server tells watchers.
    Delivery {
        /// Whom: lanes, and how many of each.
        to: Vec<(usize, usize)>,
    },
    /// The API server asks a kubelet.
    Call {
        /// Which.
        to: usize,
    },
}

/// The API server's lane in every drawing.
pub const APISERVER: usize = 1;

/// Draws records, which are in order.
pub fn draw(records: &[&Record], own: &Own) -> Drawing {
    let mut drawing = Draft {
        own,
        commands: BTreeSet::new(),
        names: Vec::new(),
        steps: Vec::new(),
    };
    for record in records {
        match record {
            Record::Request(request) => drawing.request(request),
            Record::Delivery(delivery) => drawing.delivery(delivery),
        }
    }
    drawing.finish()
}

/// A drawing whose lanes are names still.
struct Draft<'a> {
    own: &'a Own,
    /// Names of the command's lanes.
    commands: BTreeSet<String>,
    /// Lane and address of everyone who has taken part.
    names: Vec<(String, String)>,
    steps: Vec<Drafted>,
}

struct Drafted {
    step: Step,
    /// Lane and address of those at the other end.
    others: Vec<(String, String)>,
}

impl Draft<'_> {
    fn request(&mut self, request: &Request) {
        let (verb, what) = match &request.object {
            Some(object) => (request.verb.clone(), self.what(object, request)),
            None if is_discovery(&request.path) => ("discovery".into(), String::new()),
            None => (request.verb.clone(), request.path.clone()),
        };
        let own = request.writes.iter().position(|write| {
            let object = request.object.as_ref();
            object.is_some_and(|object| object.resource == write.object.resource)
        });
        let step = |arrow, verb: &str, what: String, code| Step {
            arrow,
            verb: verb.into(),
            what,
            times: 1,
            code,
            revision: None,
        };
        let mut asked = step(Arrow::Request { from: 0 }, &verb, what, Some(request.code));
        asked.revision = own.map(|at| request.writes[at].revision);
        let from = self.lane(&request.client);
        self.push(asked, vec![from]);
        for (at, write) in request.writes.iter().enumerate() {
            if Some(at) != own {
                let verb = if write.deleted { "delete" } else { "put" };
                let mut written = step(Arrow::Write, verb, name(&write.object), None);
                written.revision = Some(write.revision);
                self.push(written, Vec::new());
            }
        }
        for call in &request.calls {
            let (verb, path) = call.request.split_once(' ').unwrap_or(("", &call.request));
            let called = step(Arrow::Call { to: 0 }, verb, path.into(), Some(call.code));
            self.push(
                called,
                vec![(format!("kubelet {}", call.node), String::new())],
            );
        }
    }

    /// What a request is about, in words: its object, by the name that the server may have made
    /// up, and what that is a part of, where nobody would know it by its name.
    fn what(&self, object: &Object, request: &Request) -> String {
        let written = request
            .writes
            .iter()
            .find(|write| write.object.resource == object.resource && object.name.is_empty());
        let mut object = written.map_or(object, |write| &write.object).clone();
        let is_event = object.resource == "events";
        if is_event {
            // Made of the object's name and a number that nobody needs.
            object.name.clear();
        }
        let mut what = name(&object);
        if !request.subresource.is_empty() {
            what = format!("{what} {}", request.subresource);
        }
        let about = match written {
            Some(write) if is_event => &write.about,
            _ => &request.about,
        };
        if let Some(about) = about.first() {
            let about = name(about);
            what += &format!(" {} {about}", if is_event { "about" } else { "for" });
        }
        what
    }

    fn delivery(&mut self, delivery: &Delivery) {
        let object = match delivery.initial {
            // What there was is told object by object, and drawn in one.
            true => Object {
                name: String::new(),
                namespace: String::new(),
                ..delivery.object.clone()
            },
            false => delivery.object.clone(),
        };
        let mut what = name(&object);
        if delivery.initial {
            what += " that there are";
        }
        let step = Step {
            arrow: Arrow::Delivery { to: Vec::new() },
            verb: delivery.kind.clone(),
            what,
            times: 1,
            code: None,
            revision: (!delivery.initial).then_some(delivery.revision),
        };
        let to = self.lane(&delivery.client);
        self.push(step, vec![to]);
    }

    /// Adds a step, or makes one that is there stand for it too.
    fn push(&mut self, step: Step, others: Vec<(String, String)>) {
        for other in &others {
            if !self.names.contains(other) {
                self.names.push(other.clone());
            }
        }
        let same = |old: &Drafted| {
            let (a, b) = (&old.step, &step);
            (&a.verb, &a.what, a.code) == (&b.verb, &b.what, b.code)
                && std::mem::discriminant(&a.arrow) == std::mem::discriminant(&b.arrow)
        };
        let lanes = |others: &[(String, String)]| -> Vec<String> {
            others.iter().map(|(lane, _)| lane.clone()).collect()
        };
        let is_news = matches!(step.arrow, Arrow::Delivery { .. });
        // Discovery and Events say little and come often: one arrow for all, wherever they are.
        let anywhere = step.verb == "discovery" || step.what.starts_with("events ");
        let old = self.steps.iter_mut().rev().enumerate().find(|(back, old)| {
            let near = match is_news {
                true => old.step.revision == step.revision,
                false => {
                    (*back == 0 && step.revision.is_none() || anywhere)
                        && lanes(&old.others) == lanes(&others)
                }
            };
            near && same(old)
        });
        match old {
            Some((_, old)) if is_news && step.revision.is_some() => {
                for other in others {
                    // One client may watch the same things twice.
                    if !old.others.contains(&other) {
                        old.others.push(other);
                    }
                }
            }
            Some((_, old)) => old.step.times += 1,
            None => self.steps.push(Drafted { step, others }),
        }
    }

    fn lane(&mut self, client: &Client) -> (String, String) {
        let ip = client.address.rsplit_once(':').map_or("", |(ip, _)| ip);
        if self.own.contains(&client.address) {
            let program = match client.program.as_str() {
                "" => "command",
                program => program,
            };
            self.commands.insert(program.into());
            return (program.into(), String::new());
        }
        (component(client), ip.into())
    }

    /// Numbers the lanes: the command's, the API server, the control plane, nodes, others.
    fn finish(self) -> Drawing {
        let commands = self.commands;
        let rank = |lane: &str| match lane {
            lane if commands.contains(lane) => 0,
            "controllers" => 2,
            "scheduler" => 3,
            lane if lane.starts_with("kubelet ") => 4,
            "proxy" => 5,
            _ => 6,
        };
        let mut names: Vec<String> = self.names.iter().map(|(lane, _)| lane.clone()).collect();
        names.sort_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
        names.dedup();
        // Somebody asks, always: an empty drawing has a command, too.
        if names.first().is_none_or(|first| rank(first) > 0) {
            names.insert(0, "kubectl".into());
        }
        names.insert(APISERVER, "apiserver".into());
        let number = |lane: &str| {
            let at = names.iter().position(|name| name == lane);
            at.expect("every lane was named when its step was added")
        };
        let count = |others: &[(String, String)], lane: &str| {
            let ips: BTreeSet<&String> = others
                .iter()
                .filter(|(name, _)| name == lane)
                .map(|(_, ip)| ip)
                .collect();
            ips.len().max(1)
        };
        let steps = self.steps.into_iter().map(|Drafted { mut step, others }| {
            match &mut step.arrow {
                Arrow::Request { from } => *from = number(&others[0].0),
                Arrow::Call { to } => *to = number(&others[0].0),
                Arrow::Write => {}
                Arrow::Delivery { to } => {
                    let lanes: BTreeSet<usize> =
                        others.iter().map(|(lane, _)| number(lane)).collect();
                    *to = lanes
                        .into_iter()
                        .map(|lane| (lane, count(&others, &names[lane])))
                        .collect();
                }
            }
            step
        });
        let steps = steps.collect();
        let lanes = names.iter().map(|name| Lane {
            count: match name.starts_with("kubelet ") {
                true => 1,
                false => count(&self.names, name),
            },
            name: name.clone(),
        });
        Drawing {
            lanes: lanes.collect(),
            steps,
        }
    }
}

/// What a component is called, by the user that it is.
fn component(client: &Client) -> String {
    let account = client.user.strip_prefix("system:serviceaccount:");
    match client.user.as_str() {
        "system:kube-scheduler" => "scheduler".into(),
        "system:kube-controller-manager" => "controllers".into(),
        "system:kube-proxy" => "proxy".into(),
        user => match (user.strip_prefix("system:node:"), account) {
            (Some(node), _) => format!("kubelet {node}"),
            (_, Some(account)) => account.rsplit(':').next().unwrap_or(account).into(),
            _ => user.into(),
        },
    }
}

/// `deployments/web`; with its namespace, where that is not the usual one.
fn name(object: &Object) -> String {
    let mut name = object.resource.clone();
    if !object.name.is_empty() {
        name = format!("{name}/{}", object.name);
    }
    if !matches!(object.namespace.as_str(), "" | "default") {
        name = format!("{name} in {}", object.namespace);
    }
    name
}

/// Whether a client asks this only to know what it may ask.
fn is_discovery(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    matches!(first, Some("api" | "apis" | "openapi" | "version"))
}
