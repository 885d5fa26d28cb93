//! What the engine has, as far as a plan needs to know.

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};

use super::{OWNER_LABEL, SPEC_LABEL};

/// A container that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actual {
    /// Its id.
    pub id: String,
    /// Its name, as `docker ps` shows it.
    pub name: String,
    /// Who made it, if one of us did.
    pub owner: Option<String>,
    /// The hash of what it was made from.
    pub spec: Option<String>,
    /// What it does.
    pub state: State,
}

/// What a container does, in three words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It runs (or somebody has paused it, which is theirs to end).
    #[default]
    Running,
    /// It can be started: it never was, or it has ended.
    Stopped,
    /// It cannot be started any more.
    Dead,
}

// ANCHOR: actual
impl From<&ContainerSummary> for Actual {
    fn from(summary: &ContainerSummary) -> Actual {
        let label = |name| summary.labels.as_ref()?.get(name).cloned();
        // The engine's names begin with a slash; one with another in it is a link of old.
        let mut names = summary.names.iter().flatten();
        let name = names.find(|name| name.matches('/').count() == 1);
        Actual {
            id: summary.id.clone().unwrap_or_default(),
            name: name
                .map_or("", |name| name.trim_start_matches('/'))
                .to_owned(),
            owner: label(OWNER_LABEL),
            spec: label(SPEC_LABEL),
            state: summary.state.map(State::from).unwrap_or_default(),
        }
    }
}
// ANCHOR_END: actual

impl From<ContainerSummaryStateEnum> for State {
    fn from(state: ContainerSummaryStateEnum) -> State {
        use ContainerSummaryStateEnum as Engine;
        match state {
            Engine::CREATED | Engine::EXITED => State::Stopped,
            Engine::DEAD => State::Dead,
            _ => State::Running,
        }
    }
}
