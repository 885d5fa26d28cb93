//! What the sweep takes for granted of its disk.

use std::io;

use super::disk::{End, SimulatedDisk};
use crate::disk::{Directory, Disk};

/// The two disks do the same, as far as can be told without failing.
#[test]
fn is_like_a_real_one() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let real = Directory::create(&dir.path().join("a/b"))?;
    let simulated = SimulatedDisk::new(1, true);
    let both: [&dyn Disk; 2] = [&real, &simulated];
    let mut seen = Vec::new();
    for disk in both {
        let lock = disk.lock()?;
        assert!(disk.lock()?.is_none());
        drop(lock);
        assert!(disk.lock()?.is_some());
        let mut file = disk.create("x")?;
        file.write_all_at(b"hello world", 0)?;
        file.truncate(5)?;
        file.write_all_at(b"!", 7)?;
        file.sync()?;
        disk.create("y")?;
        disk.rename("x", "y")?;
        disk.create("z")?;
        disk.remove("z")?;
        disk.sync()?;
        let mut names = disk.names()?;
        names.retain(|name| name != "lock");
        let mut bytes = Vec::new();
        disk.read("y")?.read_to_end(&mut bytes)?;
        let missing = |result: io::Result<()>| result.expect_err("is not there").kind();
        let errors = [
            missing(disk.remove("x")),
            missing(disk.rename("x", "z")),
            missing(disk.open("x").map(drop)),
            missing(disk.read("x").map(drop)),
        ];
        seen.push((names, bytes, errors));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].1, b"hello\0\0!");
    Ok(())
}

/// What was synced stays, what was not may go.
#[test]
fn a_power_cut_takes_only_what_was_not_synced() -> io::Result<()> {
    let mut kept = [0; 3];
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed, true);
        let mut file = disk.create("durable")?;
        file.write_all_at(b"synced", 0)?;
        file.sync()?;
        disk.sync()?;
        file.write_all_at(&[b'.'; 2000], 6)?;
        disk.create("new")?;
        let mut files = disk.restart(End::PowerCut).files();
        let durable = files.remove("durable").expect("its name was synced");
        assert_eq!(&durable[..6], b"synced");
        kept[0] += usize::from(durable.len() == 2006 && durable.ends_with(b"."));
        kept[1] += usize::from(durable[6..].contains(&0));
        kept[2] += usize::from(files.contains_key("new"));
    }
    assert!(kept.iter().all(|kept| (1..100).contains(kept)), "{kept:?}");
    Ok(())
}
