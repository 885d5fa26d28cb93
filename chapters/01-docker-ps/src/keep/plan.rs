//! From desired and actual to actions: a function of the two, and of nothing else.

use std::fmt;

use super::actual::{Actual, State};
use super::wanted::Wanted;

// ANCHOR: action
/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a container and start it.
    Create(Wanted),
    /// Start one that is there and does not run.
    Start(Actual),
    /// Remove one that is not what is wanted any more, then make it anew.
    Recreate(Actual, Wanted),
    /// Remove one of ours that nobody wants.
    Remove(Actual),
    /// Nothing can be done: the name belongs to a container that is not ours.
    Taken(Wanted),
}
// ANCHOR_END: action

/// What to do so that the containers of `owner` are those that are `wanted`.
///
/// It never removes, changes or starts what is not the owner's. What is removed comes first, so
/// that a port it held is free.
pub fn plan(owner: &str, wanted: &[Wanted], actual: &[Actual]) -> Vec<Action> {
    let mut actions = Vec::new();
    let is_ours = |container: &Actual| container.owner.as_deref() == Some(owner);
    // ANCHOR: exercise-01.5
    for container in actual.iter().filter(|container| is_ours(container)) {
        if !wanted.iter().any(|wanted| wanted.name == container.name) {
            actions.push(Action::Remove(container.clone()));
        }
    }
    for wanted in wanted {
        let found = actual
            .iter()
            .find(|container| container.name == wanted.name);
        let same = |container: &Actual| container.spec.as_ref() == Some(&wanted.hash());
        match found {
            None => actions.push(Action::Create(wanted.clone())),
            Some(container) if !is_ours(container) => actions.push(Action::Taken(wanted.clone())),
            Some(container) if !same(container) || container.state == State::Dead => {
                actions.push(Action::Recreate(container.clone(), wanted.clone()));
            }
            Some(container) if container.state == State::Stopped => {
                actions.push(Action::Start(container.clone()));
            }
            Some(_) => {}
        }
    }
    // ANCHOR_END: exercise-01.5
    actions
}

impl Action {
    /// The name of the container that it is about.
    pub fn name(&self) -> &str {
        match self {
            Action::Create(wanted) | Action::Recreate(_, wanted) | Action::Taken(wanted) => {
                &wanted.name
            }
            Action::Start(container) | Action::Remove(container) => &container.name,
        }
    }

    /// `would create web`
    pub fn would(&self) -> String {
        match self {
            Action::Taken(_) => self.to_string(),
            _ => format!("would {self}"),
        }
    }

    /// `cannot create web: …`
    pub fn failed(&self, why: &dyn fmt::Display) -> String {
        match self {
            Action::Taken(_) => format!("{self}: {why}"),
            _ => format!("cannot {self}: {why}"),
        }
    }

    /// `created web`
    pub fn done(&self) -> String {
        let verb = match self {
            Action::Create(_) => "created",
            Action::Start(_) => "started",
            Action::Recreate(..) => "recreated",
            Action::Remove(_) => "removed",
            Action::Taken(_) => return self.to_string(),
        };
        format!("{verb} {}", self.name())
    }
}

/// `create web`
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self {
            Action::Create(_) => "create",
            Action::Start(_) => "start",
            Action::Recreate(..) => "recreate",
            Action::Remove(_) => "remove",
            Action::Taken(wanted) => return write!(f, "the name {} is taken", wanted.name),
        };
        write!(f, "{verb} {}", self.name())
    }
}
