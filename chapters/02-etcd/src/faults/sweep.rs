//! The script, once for every step and every fault.

use super::content::Random;
use super::disk::{End, Fault, SimulatedDisk};
use super::script::{Run, commands, run};

const FAULTS: [Fault; 5] = [
    Fault::PowerCut,
    Fault::Kill,
    Fault::Broken,
    Fault::Full,
    Fault::Short,
];

/// Every step, every fault: the same steps each time, as a checkpoint is waited for.
#[test]
fn every_step_fails_once() {
    for fault in FAULTS {
        let mut steps = 0;
        for step in 1.. {
            let happened = run(2, step, true, &[(step, fault)]);
            let Some(happened) = happened.first() else {
                break;
            };
            steps += 1;
            // Which names a crash leaves is a matter of chance, and there are many chances.
            if ["rename", "remove", "directory"]
                .iter()
                .any(|it| happened.contains(it))
            {
                for chance in 0..8 {
                    run(2, chance, true, &[(step, fault)]);
                }
            }
        }
        // If this shrinks, something is not done through the disk any more.
        assert!(steps > 150, "{steps} steps only");
    }
}

/// Two faults, one soon after the other: what is left half done meets the next one.
#[test]
fn one_fault_comes_soon_after_another() {
    assert!(pairs(0..200, true) > 200, "too few faults came");
}

/// Many writes at a time, and checkpoints beside them: the steps come in any order.
#[test]
fn faults_come_while_others_write() {
    assert!(pairs(0..100, false) > 70, "too few faults came");
}

/// As above, for as many minutes as `SOAK_MINUTES` says: `cargo xtask soak store`.
#[test]
#[ignore = "runs for minutes"]
fn soak() {
    let end = std::time::Instant::now() + soak_time();
    for seed in (0..).step_by(100) {
        if std::time::Instant::now() > end {
            break;
        }
        println!("seeds from {seed} on");
        pairs(seed..seed + 100, true);
        pairs(seed..seed + 100, false);
    }
}

/// How long a soak runs.
pub fn soak_time() -> std::time::Duration {
    let minutes = std::env::var("SOAK_MINUTES").map_or(1, |minutes| {
        minutes.parse().expect("SOAK_MINUTES is a number")
    });
    std::time::Duration::from_secs(60 * minutes)
}

fn pairs(seeds: std::ops::Range<u64>, is_patient: bool) -> usize {
    let pair = |seed| {
        let mut random = Random(seed);
        let first = random.below(300) as u64 + 1;
        let second = first + random.below(20) as u64 + 1;
        let mut fault = || FAULTS[random.below(FAULTS.len() - 1)];
        run(
            seed,
            seed,
            is_patient,
            &[(first, fault()), (second, fault())],
        )
        .len()
    };
    seeds.map(pair).sum()
}

/// A bit that flips on a disk at rest is reported when the store is opened.
#[test]
fn every_flipped_byte_is_reported() {
    let mut random = Random(7);
    let mut run = Run::new(SimulatedDisk::new(7, true), 300);
    run.open().expect("a new store");
    run.write(&commands(&mut random, 20), 1);
    run.end(End::Killed, true);
    let files = run.disk.files();
    assert!(files.len() > 1 && files.keys().any(|name| name.starts_with("checkpoint-")));
    for (name, bytes) in files {
        for at in 0..bytes.len() {
            let bits = 1 << random.below(7);
            run.disk.flip(&name, at, bits);
            let error = run
                .open()
                .expect_err(&format!("{name} is damaged at byte {at}"));
            let error = error.to_string();
            assert!(
                error.contains("is damaged at byte") && error.contains(&name),
                "{error}"
            );
            run.disk.flip(&name, at, bits);
        }
    }
    run.open().expect("as it was");
}
