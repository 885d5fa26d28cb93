//! What makes a drawing shorter without making it say less: pure.

use std::collections::BTreeSet;

use super::drawing::{Arrow, Draft, Drafted, Party};

impl Draft {
    /// Draws bookkeeping once.
    pub(super) fn fold_bookkeeping(&mut self) {
        let bookkeeping: Vec<bool> = self.steps.iter().map(|s| self.is_bookkeeping(s)).collect();
        let mut kept: Vec<Drafted> = Vec::new();
        // Revisions whose news is left out.
        let mut folded = BTreeSet::new();
        // What was kept of bookkeeping.
        let mut before: Vec<usize> = Vec::new();
        for (step, is_bookkeeping) in self.steps.drain(..).zip(bookkeeping) {
            if step.is_news() && folded.contains(&step.step.revision) {
                continue;
            }
            if is_bookkeeping {
                let same = before.iter().find(|at| {
                    let old = &kept[**at];
                    old.lanes() == step.lanes() && old.is_like(&step)
                });
                if let Some(at) = same {
                    kept[*at].step.times += 1;
                    folded.insert(step.step.revision);
                    continue;
                }
                before.push(kept.len());
            }
            kept.push(step);
        }
        self.steps = kept;
    }

    /// Whether a step writes what nobody has news of but who wrote it.
    fn is_bookkeeping(&self, step: &Drafted) -> bool {
        let revision = step.step.revision;
        let news = self
            .steps
            .iter()
            .filter(|other| other.is_news() && other.step.revision == revision);
        let audience: BTreeSet<&str> = news.flat_map(Drafted::lanes).collect();
        let is_write = matches!(step.step.arrow, Arrow::Request { .. }) && revision.is_some();
        is_write && audience.is_subset(&step.lanes())
    }

    /// Lets the kubelets that only listen share a lane.
    pub(super) fn join_listeners(&mut self) {
        const KUBELET: &str = "kubelet ";
        let active: BTreeSet<String> = self
            .steps
            .iter()
            .filter(|step| !step.is_news())
            .flat_map(|step| step.others.iter().map(|party| party.lane.clone()))
            .collect();
        let any = active.iter().any(|lane| lane.starts_with(KUBELET));
        let joined = if any { "other kubelets" } else { "kubelets" };
        for step in &mut self.steps {
            let others = std::mem::take(&mut step.others);
            let rename = |mut party: Party| {
                if party.lane.starts_with(KUBELET) && !active.contains(&party.lane) {
                    party.lane = joined.into();
                }
                party
            };
            step.others = others.into_iter().map(rename).collect();
        }
    }
}
