//! Several engines side by side: "`docker ps` on every node", which is `kubectl get pods -A`.

use bollard::models::ContainerSummary;

use crate::columns::Row;
use crate::engine::{self, Error, Node, Query};

/// The label by which a container says which node of a lab it belongs to.
pub const LABEL: &str = "workshop.node";

/// One table from many engines.
#[derive(Debug, Default)]
pub struct Merged {
    /// What the engines that answered have: node by node as asked for, the newest first in each.
    pub rows: Vec<Row>,
    /// The nodes that did not answer, and why.
    pub failed: Vec<(String, Error)>,
}

/// One engine's containers; `by_label`: each with the node that its label names.
pub fn of_one(containers: Vec<ContainerSummary>, by_label: bool) -> Merged {
    let row = |container: ContainerSummary| Row {
        node: match &container.labels {
            Some(labels) if by_label => labels.get(LABEL).cloned(),
            _ => None,
        },
        container,
    };
    Merged {
        rows: containers.into_iter().map(row).collect(),
        failed: Vec::new(),
    }
}

/// Asks all engines at once, so that the slowest decides how long it takes, not their number.
pub async fn list(nodes: &[Node], query: &Query) -> Merged {
    let asked: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (host, query) = (node.host.clone(), query.clone());
            tokio::spawn(async move { engine::list(&host, &query).await })
        })
        .collect();
    let mut answers = Vec::new();
    for (node, task) in nodes.iter().zip(asked) {
        let answer = task.await.expect("asking does not panic");
        answers.push((node.name.clone(), answer));
    }
    merge(answers)
}

/// Puts the engines' answers together. One that failed takes nothing away from the others.
pub fn merge(answers: Vec<(String, Result<Vec<ContainerSummary>, Error>)>) -> Merged {
    let mut merged = Merged::default();
    // ANCHOR: exercise-01.4
    for (node, answer) in answers {
        match answer {
            Ok(containers) => merged
                .rows
                .extend(containers.into_iter().map(|container| Row {
                    node: Some(node.clone()),
                    container,
                })),
            // Remembered, not returned: who asks three engines wants two answers, not none.
            Err(error) => merged.failed.push((node, error)),
        }
    }
    // ANCHOR_END: exercise-01.4
    merged
}
