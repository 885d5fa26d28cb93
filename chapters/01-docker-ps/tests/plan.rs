//! Plans, as scripts: a file wants this, an engine has that, what is to be done?

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use docker_ps::keep::actual::Actual;
use docker_ps::keep::plan::{Action, plan};
use docker_ps::keep::wanted::Wanted;
use docker_ps::keep::{OWNER_LABEL, SPEC_LABEL};

#[test]
fn scripts() -> std::io::Result<()> {
    golden::run_folder("tests/scripts", World::default)
}

#[derive(goldenscript::Command)]
enum Command {
    /// A file wants a container: `want web image=echo network=none PORT=80`. A second time, the
    /// wish has changed.
    Want {
        name: String,
        #[arg(key, optional, many)]
        fields: Vec<(String, String)>,
    },
    /// The file wants it no more.
    Unwant { name: String },
    /// Somebody else makes a container by hand.
    Run { name: String },
    /// A container ends, or cannot even be started again: `ends web state=dead`.
    Ends {
        name: String,
        #[arg(key, optional)]
        state: Option<String>,
    },
    /// What would be done: `plan`, or `plan owner=other` for another loop with the same file.
    Plan {
        #[arg(key, optional)]
        owner: Option<String>,
    },
    /// Plans, and does it.
    Sync {
        #[arg(key, optional)]
        owner: Option<String>,
    },
    /// What the engine has.
    Ps,
}

/// A file, and an engine that does what it is told.
#[derive(Default)]
struct World {
    wanted: Vec<Wanted>,
    engine: BTreeMap<String, ContainerSummary>,
    made: usize,
}

impl goldenscript::Runner for World {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        match command {
            Command::Want { name, fields } => {
                self.wanted.retain(|wanted| wanted.name != *name);
                self.wanted.push(wanted(name, fields));
            }
            Command::Unwant { name } => self.wanted.retain(|wanted| wanted.name != *name),
            Command::Run { name } => self.make(name, HashMap::new()),
            Command::Ends { name, state } => {
                let container = self
                    .engine
                    .get_mut(name)
                    .ok_or("there is no such container")?;
                let dead = state.as_deref() == Some("dead");
                container.state = Some(if dead { State::DEAD } else { State::EXITED });
            }
            Command::Plan { owner } => return Ok(said(&self.plan(owner.as_deref()))),
            Command::Sync { owner } => {
                let actions = self.plan(owner.as_deref());
                for action in &actions {
                    self.carry_out(owner.as_deref().unwrap_or("keep"), action);
                }
                return Ok(said(&actions));
            }
            Command::Ps => return Ok(self.ps()),
        }
        Ok(String::new())
    }
}

impl World {
    fn plan(&self, owner: Option<&str>) -> Vec<Action> {
        let actual: Vec<Actual> = self.engine.values().map(Actual::from).collect();
        plan(owner.unwrap_or("keep"), &self.wanted, &actual)
    }

    fn carry_out(&mut self, owner: &str, action: &Action) {
        match action {
            Action::Create(wanted) | Action::Recreate(_, wanted) => {
                let labels = [(OWNER_LABEL, owner), (SPEC_LABEL, &wanted.hash())];
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                self.make(&wanted.name, HashMap::from(labels));
            }
            Action::Start(actual) => {
                self.engine
                    .get_mut(&actual.name)
                    .expect("it is there")
                    .state = Some(State::RUNNING);
            }
            Action::Remove(actual) => {
                self.engine.remove(&actual.name);
            }
            Action::Taken(_) => {}
        }
    }

    fn make(&mut self, name: &str, labels: HashMap<String, String>) {
        self.made += 1;
        let summary = ContainerSummary {
            id: Some(format!("c{}", self.made)),
            // As the engine says it.
            names: Some(vec![format!("/{name}")]),
            labels: Some(labels),
            state: Some(State::RUNNING),
            ..ContainerSummary::default()
        };
        self.engine.insert(name.to_owned(), summary);
    }

    fn ps(&self) -> String {
        let line = |container: &ContainerSummary| {
            let actual = Actual::from(container);
            let owner = actual.owner.as_deref().unwrap_or("nobody of ours");
            format!(
                "{} {} {:?}, made by {owner}\n",
                actual.id, actual.name, actual.state
            )
        };
        self.engine.values().map(line).collect()
    }
}

fn wanted(name: &str, fields: &[(String, String)]) -> Wanted {
    let mut wanted = Wanted {
        name: name.to_owned(),
        ..Wanted::default()
    };
    for (key, value) in fields {
        match key.as_str() {
            "image" => wanted.image = value.clone(),
            "network" => wanted.network = Some(value.clone()),
            "command" => wanted.command = value.split(' ').map(str::to_owned).collect(),
            _ => drop(wanted.env.insert(key.clone(), value.clone())),
        }
    }
    wanted
}

fn said(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "nothing to do".into();
    }
    actions.iter().map(|action| format!("{action}\n")).collect()
}
