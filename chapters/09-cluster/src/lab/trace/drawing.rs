//! A trace as a drawing: who takes part, and what is drawn between them. Pure.
//!
//! Everybody speaks to the API server and to nobody else, so every step has it at one end. A step
//! of the drawing may stand for several records:
//!
//! * news of one write, as it went to several watchers;
//! * all requests by which a client finds out what the server can do;
//! * the same question asked again at once;
//! * bookkeeping: the same write again, of which nobody has news but who wrote it. Events, say, or
//!   a Deployment's count of its pods: how often it is brought up to date is a matter of timing.

use std::collections::BTreeSet;

use apiserver::trace::{Client, Delivery, Object, Record, Request};

use super::causality::Own;
use super::names;

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
    /// Who takes part: the command, the API server, then everybody else.
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
    /// The API server writes more to its store than the object that a request is about.
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

/// The API server's lane in every drawing; the command's is before it.
pub const APISERVER: usize = 1;

/// Draws records, which are in order.
pub fn draw(records: &[&Record], own: &Own) -> Drawing {
    let mut draft = Draft::default();
    for record in records {
        match record {
            Record::Request(request) => draft.request(request, own),
            Record::Delivery(delivery) => draft.delivery(delivery, own),
        }
    }
    draft.fold_bookkeeping();
    draft.join_listeners();
    draft.finish()
}

/// A drawing whose lanes are names still.
#[derive(Default)]
pub(super) struct Draft {
    /// Names of the command's lanes.
    commands: BTreeSet<String>,
    pub(super) steps: Vec<Drafted>,
}

pub(super) struct Drafted {
    pub(super) step: Step,
    /// Those at the other end.
    pub(super) others: BTreeSet<Party>,
}

/// One of those who share a lane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Party {
    pub(super) lane: String,
    /// Tells them apart.
    ip: String,
}

impl Drafted {
    pub(super) fn is_news(&self) -> bool {
        matches!(self.step.arrow, Arrow::Delivery { .. })
    }

    pub(super) fn lanes(&self) -> BTreeSet<&str> {
        self.others.iter().map(|p| p.lane.as_str()).collect()
    }

    /// Whether the two say the same of the same.
    pub(super) fn is_like(&self, other: &Drafted) -> bool {
        let words = |step: &Step| (step.verb.clone(), step.what.clone(), step.code);
        let kind = |step: &Step| std::mem::discriminant(&step.arrow);
        words(&self.step) == words(&other.step) && kind(&self.step) == kind(&other.step)
    }
}

impl Draft {
    fn request(&mut self, request: &Request, own: &Own) {
        let (verb, what) = match &request.object {
            Some(object) => (request.verb.as_str(), names::request(request, object)),
            None if names::is_discovery(&request.path) => ("discovery", String::new()),
            None => (request.verb.as_str(), request.path.clone()),
        };
        // What the request is about. More than that is a collection's, or an eviction's pod.
        let is_main = |written: &Object| {
            request.object.as_ref().is_some_and(|object| {
                let named = object.name == written.name || request.verb == "create";
                named && object.resource == written.resource
            })
        };
        let main = request.writes.iter().position(|w| is_main(&w.object));
        let revision = main.map(|at| request.writes[at].revision);
        let party = self.party(&request.client, own);
        let arrow = Arrow::Request { from: 0 };
        self.push(arrow, verb, what, Some(request.code), revision, Some(party));
        for (at, write) in request.writes.iter().enumerate() {
            if Some(at) != main {
                let verb = if write.deleted { "delete" } else { "put" };
                let what = names::object(&write.object);
                self.push(Arrow::Write, verb, what, None, Some(write.revision), None);
            }
        }
        for call in &request.calls {
            let (verb, path) = call.request.split_once(' ').unwrap_or(("", &call.request));
            let kubelet = Party {
                lane: names::kubelet(&call.node),
                ip: String::new(),
            };
            let arrow = Arrow::Call { to: 0 };
            self.push(
                arrow,
                verb,
                path.into(),
                Some(call.code),
                None,
                Some(kubelet),
            );
        }
    }

    fn delivery(&mut self, delivery: &Delivery, own: &Own) {
        let party = self.party(&delivery.client, own);
        let arrow = Arrow::Delivery { to: Vec::new() };
        let (what, revision) = if delivery.initial {
            // Told object by object, and drawn in one.
            let resource = &delivery.object.resource;
            (format!("{resource} that there are"), None)
        } else {
            let what = names::object(&delivery.object);
            (what, Some(delivery.revision))
        };
        self.push(arrow, &delivery.kind, what, None, revision, Some(party));
    }

    fn party(&mut self, client: &Client, own: &Own) -> Party {
        if own.contains(&client.address) {
            let lane = names::command(client);
            self.commands.insert(lane.clone());
            return Party {
                lane,
                ip: String::new(),
            };
        }
        let ip = client.address.rsplit_once(':').map_or("", |(ip, _)| ip);
        Party {
            lane: names::component(client),
            ip: ip.into(),
        }
    }

    /// Adds a step, or makes one that is there stand for it too.
    fn push(
        &mut self,
        arrow: Arrow,
        verb: &str,
        what: String,
        code: Option<u16>,
        revision: Option<i64>,
        other: Option<Party>,
    ) {
        let new = Drafted {
            step: Step {
                arrow,
                verb: verb.into(),
                what,
                times: 1,
                code,
                revision,
            },
            others: other.into_iter().collect(),
        };
        let last = self.steps.len().saturating_sub(1);
        let same = self.steps.iter_mut().enumerate().find(|(at, old)| {
            let same_lanes = old.lanes() == new.lanes();
            let near = match revision {
                Some(_) => new.is_news() && old.step.revision == revision,
                None => same_lanes && (*at == last || verb == "discovery"),
            };
            near && old.is_like(&new)
        });
        match same {
            Some((_, old)) if revision.is_some() => old.others.extend(new.others),
            Some((_, old)) => old.step.times += 1,
            None => self.steps.push(new),
        }
    }

    /// Numbers the lanes.
    fn finish(self) -> Drawing {
        let parties: BTreeSet<&Party> = self.steps.iter().flat_map(|step| &step.others).collect();
        let lanes: BTreeSet<(u8, &str)> = parties
            .iter()
            .map(|party| (self.rank(&party.lane), party.lane.as_str()))
            .collect();
        let mut lanes: Vec<&str> = lanes.into_iter().map(|(_, lane)| lane).collect();
        if self.commands.is_empty() {
            // Nobody asked for what is shown; the picture keeps its form.
            lanes.insert(0, "command");
        }
        lanes.insert(APISERVER, "apiserver");
        let number = |lane: &str| {
            let at = lanes.iter().position(|name| *name == lane);
            at.expect("every party's lane is among the lanes")
        };
        let steps = self.steps.iter().map(|Drafted { step, others }| {
            let mut step = step.clone();
            let numbers: Vec<usize> = others.iter().map(|party| number(&party.lane)).collect();
            match &mut step.arrow {
                Arrow::Request { from: end } | Arrow::Call { to: end } => *end = numbers[0],
                Arrow::Write => {}
                Arrow::Delivery { to } => {
                    let counted = |lane| (lane, numbers.iter().filter(|n| **n == lane).count());
                    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
                    *to = distinct.into_iter().map(counted).collect();
                }
            }
            step
        });
        let steps = steps.collect();
        let lanes = lanes.iter().map(|lane| Lane {
            name: (*lane).into(),
            count: match lane.starts_with("kubelet ") {
                // Known by its address, or, where it is called, by its name alone.
                true => 1,
                false => parties.iter().filter(|p| p.lane == *lane).count().max(1),
            },
        });
        Drawing {
            lanes: lanes.collect(),
            steps,
        }
    }

    /// From left to right: the command, the control plane, the nodes, all others.
    fn rank(&self, lane: &str) -> u8 {
        match lane {
            lane if self.commands.contains(lane) => 0,
            "controllers" => 2,
            "scheduler" => 3,
            lane if lane.starts_with("kubelet ") => 4,
            lane if lane.ends_with("kubelets") => 5,
            "proxy" => 6,
            _ => 7,
        }
    }
}
