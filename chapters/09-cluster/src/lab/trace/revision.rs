//! How revisions are shown.

use apiserver::trace::Record;

/// The lab's own, or counted from the first write of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revisions {
    /// `r512`: as `kubectl get -o yaml` shows them in `resourceVersion`.
    Absolute,
    /// `r+0`, `r+1`: for a picture, since each lab has its own. What is missing between two of
    /// them was written by others.
    Since(i64),
}

impl Revisions {
    /// Counted from the first write of these records, or, where nothing is written, from what was
    /// the latest when they began.
    pub fn since(records: &[&Record]) -> Revisions {
        let written = records.iter().find_map(|record| match record {
            Record::Request(request) => Some(request.writes.first()?.revision),
            Record::Delivery(_) => None,
        });
        let seen = records.iter().map(|record| match record {
            Record::Request(request) => request.seen,
            Record::Delivery(delivery) => delivery.seen,
        });
        Revisions::Since(written.or(seen.min()).unwrap_or(0))
    }

    /// A revision, in letters.
    pub fn show(self, revision: i64) -> String {
        match self {
            Revisions::Absolute => format!("r{revision}"),
            Revisions::Since(first) => format!("r{:+}", revision.saturating_sub(first)),
        }
    }
}
