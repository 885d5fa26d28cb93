//! Checkpoints, that are read bit by bit while the store goes on.

use etcd::mvcc::{Command, Mvcc, Restore};
use proptest::prelude::*;

use crate::any::command;

/// Applies a command, and returns what was applied: compactions are to few revisions ago, now and
/// then to one that is still to come.
fn apply(mvcc: &mut Mvcc, command: &Command) -> Command {
    let command = match command {
        Command::Compact(any) => Command::Compact(mvcc.revision() + 1 - any % 9),
        command => command.clone(),
    };
    let _taken_or_refused = mvcc.apply(&command);
    command
}

proptest! {
    /// A checkpoint is read in slices while commands are applied and what they compact is swept;
    /// with these commands applied to it again it is the store.
    #[test]
    fn a_snapshot_in_slices_and_the_commands_since_are_the_store(
        before in prop::collection::vec(command(), 0..60),
        meanwhile in prop::collection::vec((command(), 0..30usize, 0..2usize), 0..40),
        after in prop::collection::vec(command(), 0..10),
    ) {
        let mut mvcc = Mvcc::default();
        for command in &before {
            apply(&mut mvcc, command);
            mvcc.sweep(1);
        }
        let mut snapshot = mvcc.snapshot();
        let mut restore = Restore::default();
        let mut replayed = Vec::new();
        for (command, swept, keys) in &meanwhile {
            replayed.push(apply(&mut mvcc, command));
            mvcc.sweep(*swept);
            let slice = (*keys > 0).then(|| snapshot.next_slice(&mvcc, *keys)).flatten();
            slice.into_iter().flatten().for_each(|item| restore.push(item));
        }
        while let Some(slice) = snapshot.next_slice(&mvcc, 1) {
            slice.into_iter().for_each(|item| restore.push(item));
        }
        drop(snapshot);
        mvcc.sweep(usize::MAX);
        let mut restored = restore.finish().expect("whole");
        for command in &replayed {
            let _as_then = restored.apply(command);
        }
        prop_assert_eq!(&restored, &mvcc);
        // In what cannot be seen of them they are alike, too.
        for command in &after {
            prop_assert_eq!(restored.apply(command), mvcc.apply(command));
        }
        prop_assert_eq!(restored, mvcc);
    }
}
