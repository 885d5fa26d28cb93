//! What people ask of a running lab, and what they are told: `lab status`, `stop-node`, `load` …

use std::path::Path;
use std::process::{Command, Stdio};

use tokio::sync::oneshot;

use super::{Asker, Phase, Supervisor, open};
use crate::lab::control::{NodeStatus, Reply, Request, Status};
use crate::lab::record::{CONTROL_PLANE, Runtime};

impl Supervisor {
    /// Answers one request, at once or when the lab is so far.
    pub(super) fn asked(&mut self, request: Request, asker: Asker) {
        let answer = match request {
            Request::Wait => {
                for step in &self.steps {
                    let _ = asker.send(step.clone());
                }
                match &self.phase {
                    Phase::Starting => return self.waiting.push(asker),
                    // A hole that was met later: whoever starts the lab again has closed it.
                    Phase::Ready => open::message(&self.nodes).map_or(Ok(()), Err),
                    Phase::Failed(message) => Err(message.clone()),
                }
            }
            Request::Status => {
                let _ = asker.send(Reply::Status(self.status()));
                Ok(())
            }
            Request::StopNode { name } => self.stop_node(&name).map(|text| say(&asker, text)),
            Request::StartNode { name } => self.bring_back(&name).map(|text| say(&asker, text)),
            Request::StopMember { name } => self.stop_member(&name).map(|text| say(&asker, text)),
            Request::StartMember { name } => self.start_member(&name).map(|text| say(&asker, text)),
            Request::Load { path } => match self.load(&path, asker.clone()) {
                Ok(()) => return,
                Err(message) => Err(message),
            },
            Request::Down => Ok(()),
        };
        let _ = asker.send(match answer {
            Ok(()) => Reply::Done,
            Err(message) => Reply::Failed { message },
        });
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let known = || self.nodes.iter().map(|node| node.node.name.as_str());
        known().position(|known| known == name).ok_or_else(|| {
            format!(
                "no node is called {name:?}; there are: {}",
                known().collect::<Vec<_>>().join(", ")
            )
        })
    }

    fn stop_node(&mut self, name: &str) -> Result<String, String> {
        let number = self.find(name)?;
        if name == CONTROL_PLANE {
            return Err(format!(
                "{name} carries the API server: without it there is no cluster to watch; \
                 stop a worker, or end the lab with `lab down`"
            ));
        }
        if !self.nodes[number].is_up() {
            return Err(format!("{name} is stopped already"));
        }
        self.nodes[number].stop(&mut self.network);
        Ok(format!(
            "{name} is cut off; `lab start-node {name}` brings it back"
        ))
    }

    fn bring_back(&mut self, name: &str) -> Result<String, String> {
        let number = self.find(name)?;
        if self.nodes[number].is_up() {
            return Err(format!("{name} runs already"));
        }
        self.start_node(number).map_err(|error| error.to_string())?;
        Ok(format!(
            "{name} is started; `kubectl get nodes -w` shows it come back"
        ))
    }

    fn stop_member(&mut self, name: &str) -> Result<String, String> {
        self.check_member(name)?;
        if !self.nodes[0].hold(name) {
            return Err(format!("{name} is stopped already"));
        }
        Ok(format!(
            "{name} is killed; `lab start-member {name}` brings it back"
        ))
    }

    fn start_member(&mut self, name: &str) -> Result<String, String> {
        self.check_member(name)?;
        if !self.nodes[0].release(name) {
            return Err(format!("{name} is not stopped"));
        }
        Ok(format!("{name} is started"))
    }

    /// Only members may be stopped: nothing else of the control plane has another one of its kind.
    fn check_member(&self, name: &str) -> Result<(), String> {
        let members = self.record.members();
        let known = members.and_then(|members| members.address_of(name));
        known.map(drop).map_err(|error| error.to_string())
    }

    /// Brings the images of an archive into the store that the nodes share.
    fn load(&mut self, path: &Path, asker: Asker) -> Result<(), String> {
        let mut command = Command::new(self.layout.bin().join("cluster"));
        command.args(["image", "load"]);
        if self.record.runtime == Runtime::Containerd {
            for node in self.nodes.iter().filter(|node| node.is_up()) {
                let socket = self.layout.containerd(&node.node.name).socket();
                command.arg("--containerd").arg(socket);
            }
        } else {
            command.arg("--image-store").arg(self.layout.images());
        }
        command.arg(path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| error.to_string())?;
        let (ended, exit) = oneshot::channel();
        self.helpers.insert(child.id() as i32, ended);
        let (stdout, stderr) = (child.stdout, child.stderr);
        tokio::spawn(async move {
            let read = |pipe| tokio::task::spawn_blocking(move || read_all(pipe));
            let said = read(stdout.map(Into::into)).await.unwrap_or_default();
            let complaint = read(stderr.map(Into::into)).await.unwrap_or_default();
            said.lines().for_each(|line| say(&asker, line.to_owned()));
            let _ = asker.send(match exit.await {
                Ok(exit) if exit.success => Reply::Done,
                _ => Reply::Failed {
                    message: complaint.trim().trim_start_matches("error: ").to_owned(),
                },
            });
        });
        Ok(())
    }

    fn status(&self) -> Status {
        let nodes = self.nodes.iter().map(|node| NodeStatus {
            name: node.node.name.clone(),
            ip: node.node.ip().to_string(),
            state: match (node.is_up(), &node.state) {
                (false, _) => "Stopped".into(),
                (true, Some(state)) => state.clone(),
                (true, None) => "Unknown".into(),
            },
            components: node.components(),
        });
        Status {
            nodes: nodes.collect(),
            node_ports: self.ports.clone(),
        }
    }
}

fn say(asker: &Asker, text: String) {
    let _ = asker.send(Reply::Line { text });
}

fn read_all(pipe: Option<std::os::fd::OwnedFd>) -> String {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        let _ = std::io::Read::read_to_end(&mut std::fs::File::from(pipe), &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
