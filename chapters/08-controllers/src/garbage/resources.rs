//! What the collector watches: it changes whenever clients define kinds of their own.

use std::collections::BTreeMap;

use kube::api::ApiResource;
use tokio_util::sync::CancellationToken;

use crate::discovery::Deletable;

/// The resources that are watched, by the numbers that the graph knows them by. No number is given
/// twice: what is told late of a resource that has gone is not taken for another one's.
#[derive(Debug, Default)]
pub struct Resources {
    watched: BTreeMap<usize, Watched>,
    next: usize,
}

#[derive(Debug)]
struct Watched {
    deletable: Deletable,
    stop: CancellationToken,
}

impl Resources {
    /// The resource of that number, while it is served.
    pub fn get(&self, number: usize) -> Option<&Deletable> {
        let watched = self.watched.get(&number)?;
        Some(&watched.deletable)
    }

    /// Takes over what is served: the numbers of what has gone, and what is to be watched from now
    /// on, until `shutdown` or until it goes.
    pub fn replace(
        &mut self,
        mut served: Vec<Deletable>,
        shutdown: &CancellationToken,
    ) -> (Vec<usize>, Vec<(usize, ApiResource, CancellationToken)>) {
        let mut gone = Vec::new();
        self.watched.retain(|number, watched| {
            let same = |it: &Deletable| it.resource == watched.deletable.resource;
            let Some(place) = served.iter().position(same) else {
                watched.stop.cancel();
                gone.push(*number);
                return false;
            };
            served.swap_remove(place);
            true
        });
        let new = served.into_iter().map(|deletable| {
            let (number, stop) = (self.next, shutdown.child_token());
            let new = (number, deletable.resource.clone(), stop.clone());
            self.next += 1;
            self.watched.insert(number, Watched { deletable, stop });
            new
        });
        let new = new.collect();
        (gone, new)
    }

    /// The resource of a kind, in whichever version it is watched: an object has one uid in all.
    pub fn of_kind(&self, group: &str, kind: &str) -> Option<usize> {
        let is_it = |watched: &Watched| {
            let resource = &watched.deletable.resource;
            resource.group == group && resource.kind == kind
        };
        let found = self.watched.iter().find(|(_, watched)| is_it(watched));
        found.map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::GroupVersionKind;

    use super::*;

    fn served(kinds: &[&str]) -> Vec<Deletable> {
        let deletable = |kind: &&str| Deletable {
            resource: ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", kind)),
            namespaced: true,
        };
        kinds.iter().map(deletable).collect()
    }

    #[test]
    fn kinds_come_and_go_and_have_numbers_of_their_own() {
        let (mut resources, shutdown) = (Resources::default(), CancellationToken::new());
        let (gone, new) = resources.replace(served(&["Backup", "Tape"]), &shutdown);
        assert!(gone.is_empty());
        let numbers: Vec<usize> = new.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, [0, 1]);
        assert_eq!(resources.of_kind("example.com", "Tape"), Some(1));

        let (gone, again) = resources.replace(served(&["Backup"]), &shutdown);
        assert_eq!((gone, again.len()), (vec![1], 0));
        assert!(new[1].2.is_cancelled() && !new[0].2.is_cancelled());
        assert_eq!(resources.of_kind("example.com", "Tape"), None);

        let (gone, new) = resources.replace(served(&["Tape", "Backup"]), &shutdown);
        assert_eq!((gone, new[0].0), (Vec::new(), 2));
        assert_eq!(resources.of_kind("other.example.com", "Tape"), None);
    }
}
