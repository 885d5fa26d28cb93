//! The core against a plain model.
//!
//! Any commands, each with every option that it has. The answers have to be the same, those to
//! reads of any revision as well, and what a watcher would hear from any revision on.

mod any;
mod plain;
mod slices;

use std::collections::BTreeMap;

use any::{command, range};
use bytes::Bytes;
use etcd::mvcc::{Mvcc, Restore};
use plain::Model;
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_core_is_the_model(
        commands in prop::collection::vec((command(), 0..5usize), 1..40),
        ranges in prop::collection::vec(range(), 20),
    ) {
        let mut mvcc = Mvcc::default();
        let mut model = Model::new();
        for (command, swept) in commands {
            prop_assert_eq!(mvcc.apply(&command), model.apply(&command), "{:?}", command);
            prop_assert_eq!(mvcc.revision(), model.revision);
            // Nobody can see how much of what was compacted is freed already.
            mvcc.sweep(swept);
        }
        // Nor whether it was closed and opened again.
        let mut restore = Restore::default();
        mvcc.items().for_each(|item| restore.push(item));
        for mvcc in [mvcc, restore.finish().expect("whole")] {
            for range in &ranges {
                let expect = model.check_revision(range.revision).map(|()| model.range(range));
                prop_assert_eq!(mvcc.range(range), expect, "{:?}", range);
            }
            for from in model.compacted.max(1)..=model.revision + 1 {
                let heard: Vec<_> = mvcc.changes(from).map(|change| mvcc.event(change, true)).collect();
                prop_assert_eq!(heard, model.events(from), "from {}", from);
            }
            let leases: BTreeMap<_, _> = mvcc.leases().collect();
            prop_assert_eq!(&leases, &model.leases);
            for id in model.leases.keys() {
                let (_, keys) = mvcc.lease(*id).expect("is there");
                let mut keys: Vec<_> = keys.map(Bytes::copy_from_slice).collect();
                keys.sort();
                let expect: Vec<_> = model.of_lease(*id).into_iter().map(|kv| kv.key).collect();
                prop_assert_eq!(keys, expect);
            }
        }
    }
}
