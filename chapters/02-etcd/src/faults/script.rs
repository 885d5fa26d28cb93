//! What is asked of the store, and what it must then be, whatever happened.
//!
//! The promise is one sentence: what was acknowledged is there, what was refused is not, and what
//! was neither is there as a whole or not at all. The store's core is a function of the commands,
//! so the store that must be found is a core that was given the acknowledged ones.

use std::sync::Arc;

use super::content::Random;
use super::disk::{End, Fault, SimulatedDisk};
use crate::api::{
    Compare, CompareOp, CompareTarget, DeleteRangeRequest, Error, KeyRange, PutRequest, RequestOp,
    TxnRequest,
};
use crate::mvcc::{Applied, Command, Mvcc};
use crate::{Options, Store};

/// `count` commands of all kinds, the same for the same seed.
pub fn commands(random: &mut Random, count: usize) -> Vec<Command> {
    let mut leases = 0;
    (0..count)
        .map(|n| command(random, n, &mut leases))
        .collect()
}

fn command(random: &mut Random, n: usize, leases: &mut i64) -> Command {
    let key = |random: &mut Random| format!("/key/{}", random.below(5));
    match random.below(11) {
        0 | 1 => {
            *leases += 1;
            let (id, ttl_seconds) = (*leases, 3600);
            Command::LeaseGrant { id, ttl_seconds }
        }
        2 => Command::LeaseRevoke(random.below(*leases as usize) as i64),
        // Sometimes too old, sometimes too new.
        3 => Command::Compact(random.below(n) as i64 + 1),
        4 => {
            let range = KeyRange::prefix(key(random));
            let prev_kv = random.coin();
            Command::Txn(RequestOp::DeleteRange(DeleteRangeRequest { range, prev_kv }).into())
        }
        5 => {
            let guarded = key(random);
            let put = |key: &str| {
                RequestOp::Put(PutRequest {
                    key: key.to_owned().into(),
                    value: format!("of transaction {n}").into(),
                    ..PutRequest::default()
                })
            };
            Command::Txn(TxnRequest {
                compare: vec![Compare {
                    range: KeyRange::One(guarded.clone().into()),
                    op: CompareOp::Greater,
                    target: CompareTarget::Mod(random.below(n) as i64),
                }],
                success: vec![put(&guarded), put("/both")],
                failure: vec![put("/else"), put("/both")],
            })
        }
        _ => {
            // Some longer than a sector, and some of zeros: what a crash leaves, too.
            let value = match random.below(4) {
                0 => vec![b'.'; 700],
                1 => vec![0; random.below(30)],
                _ => n.to_string().into_bytes(),
            };
            let lease = match random.below(3) {
                0 => random.below(*leases as usize) as i64,
                _ => 0,
            };
            let key = key(random).into();
            let put = PutRequest {
                key,
                value: value.into(),
                lease,
                ..PutRequest::default()
            };
            Command::Txn(RequestOp::Put(put).into())
        }
    }
}

/// A run of the store on a disk, and what it must be.
pub struct Run {
    pub disk: Arc<SimulatedDisk>,
    options: Options,
    runtime: tokio::runtime::Runtime,
    store: Option<Store>,
    /// The store of what was acknowledged.
    acknowledged: Mvcc,
    /// Commands that were neither acknowledged nor refused, in order: any number of the first of
    /// them may have been stored.
    doubtful: Vec<Command>,
}

impl Run {
    pub fn new(disk: SimulatedDisk, checkpoint_bytes: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            disk: Arc::new(disk),
            options: Options {
                checkpoint_bytes,
                ..Options::default()
            },
            runtime: runtime.expect("a runtime"),
            store: None,
            acknowledged: Mvcc::default(),
            doubtful: Vec::new(),
        }
    }

    /// Opens the store and looks whether it is what it must be.
    ///
    /// # Errors
    ///
    /// If it does not open.
    pub fn open(&mut self) -> Result<(), Error> {
        let store = Store::open_on(self.disk.clone(), self.options.clone())?;
        let found = store.snapshot();
        self.store = Some(store);
        let mut stored = self.doubtful.drain(..);
        while found != self.acknowledged {
            let command = stored.next();
            let command = command.unwrap_or_else(|| {
                panic!("found {found:#?}\nacknowledged {:#?}", self.acknowledged)
            });
            let _refused_or_not = self.acknowledged.apply(&command);
        }
        Ok(())
    }

    /// Writes commands, `at_once` of them at a time, and returns how many were done with. Fewer
    /// than all means that the store has failed, and has to be opened again.
    pub fn write(&mut self, commands: &[Command], at_once: usize) -> usize {
        let mut done = 0;
        for group in commands.chunks(at_once) {
            let store = self.store.clone().expect("it is open");
            let writes = group.iter().map(|command| store.submit(command.clone()));
            let answers = self.runtime.block_on(futures::future::join_all(writes));
            for (command, answer) in group.iter().zip(answers) {
                match answer {
                    Err(Error::Storage(_)) => self.doubtful.push(command.clone()),
                    Err(Error::NoSpace) => {
                        assert!(self.doubtful.is_empty(), "refused after a failure");
                    }
                    answer => self.acknowledge(command, answer),
                }
            }
            done += group.len();
            if !self.doubtful.is_empty() {
                let again = self.runtime.block_on(store.submit(group[0].clone()));
                assert!(
                    matches!(again, Err(Error::Storage(_))),
                    "a store that has failed says {again:?}"
                );
                break;
            }
        }
        done
    }

    fn acknowledge(&mut self, command: &Command, answer: Result<Applied, Error>) {
        assert!(self.doubtful.is_empty(), "acknowledged after a failure");
        let before = self.acknowledged.clone();
        let expect = self.acknowledged.apply(command);
        assert_eq!(answer, expect, "{command:?} of {before:#?}");
    }

    /// Ends the process, or closes the store in peace first.
    pub fn end(&mut self, end: End, in_peace: bool) {
        if in_peace {
            self.store = None;
        }
        let disk = self.disk.restart(end);
        self.disk = Arc::new(disk);
        self.store = None;
    }

    /// Opens the store; it may fail only for the fault.
    fn open_or_recover(&mut self, end: End) {
        match self.open() {
            Ok(()) => {}
            Err(Error::Storage(_)) if !self.disk.happened().is_empty() => self.recover(end),
            Err(error) => panic!("does not open: {error}"),
        }
    }

    /// After a failure: everything that was promised is there, and what is found stays.
    fn recover(&mut self, end: End) {
        self.end(end, false);
        self.open_again();
        // The power may go before anything else is done. What was in doubt was found to be there
        // or not to be there, somebody may have read it, and so it is not in doubt any more.
        self.end(End::PowerCut, false);
        self.open_again();
    }

    /// Opens the store. If a further fault comes meanwhile it may fail, but only then.
    fn open_again(&mut self) {
        loop {
            let happened = self.disk.happened();
            let Err(error) = self.open() else { return };
            assert!(
                self.disk.happened() > happened,
                "{error}, after {happened:?}"
            );
            self.end(End::PowerCut, false);
        }
    }
}

/// Runs the script of a seed with faults at some steps, and of what comes by chance what `chance`
/// brings. Returns which faults came.
pub fn run(seed: u64, chance: u64, is_patient: bool, faults: &[(u64, Fault)]) -> Vec<String> {
    let mut random = Random(seed);
    let script = commands(&mut random, 48);
    let checkpoint_bytes = [300, 1500][random.below(1)];
    let mut random = Random(chance);
    let mut run = Run::new(
        SimulatedDisk::new(random.next(), is_patient),
        checkpoint_bytes,
    );
    for (step, fault) in faults {
        run.disk.plan(*step, *fault);
    }
    let mut rest = &script[..];
    while !rest.is_empty() {
        let after = match random.coin() {
            true => End::Killed,
            false => End::PowerCut,
        };
        run.open_or_recover(after);
        let (mut part, others) = rest.split_at(rest.len().min(random.below(11) + 1));
        rest = others;
        while !part.is_empty() {
            let done = run.write(part, if is_patient { 1 } else { 5 });
            part = &part[done..];
            if !run.doubtful.is_empty() {
                assert!(!run.disk.happened().is_empty(), "failed for no reason");
                run.recover(after);
            }
        }
        let in_peace = random.coin();
        run.end(after, in_peace);
    }
    run.open_or_recover(End::Killed);
    // A process that ended in the midst of a checkpoint leaves one more piece of the log. They go
    // with the next checkpoint that is finished; the first write after a start begins one.
    let happened = run.disk.happened();
    run.write(&commands(&mut random, 3), 1);
    run.end(End::Killed, true);
    if run.disk.happened() != happened {
        return run.disk.happened();
    }
    let files = run.disk.files();
    assert!(
        files.len() <= 6,
        "what is needless goes: {:?}",
        files.keys()
    );
    run.disk.happened()
}
