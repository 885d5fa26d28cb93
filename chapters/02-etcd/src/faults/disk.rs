//! A disk in memory, that can fail or lose its power at any step.
//!
//! It keeps apart what a program has written and what would still be there without power. Of what
//! was not synced, a power cut leaves any part: sectors that were written and sectors that were
//! not, a length in between, names that changed and names that did not, in no order. A disk is
//! unlikely to be as bad as that, but each of these has been seen.
//!
//! Every call is a step. The test says at which one something happens: see [`Fault`].

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};

use super::content::{Content, Random, Renamed};
use crate::disk::{Disk, DiskFile, Work};

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power goes while it is done; nothing can be done after it.
    PowerCut,
    /// The process is killed while it is done; what was written is still in the kernel.
    Kill,
    /// It fails, having been done in part.
    Broken,
    /// There is no room for it; of a write, a part was done.
    Full,
    /// Only a part is written or read, and said to be; other calls are not affected.
    Short,
}

/// What ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `kill -9`: the kernel still has what was written.
    Killed,
    /// The machine goes with it.
    PowerCut,
}

/// The disk, as one process sees it.
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    /// Whose process. After its end nothing can be done with the disk through this.
    life: u64,
    /// Checkpoints are finished before anything else goes on: then every run is the same.
    is_patient: bool,
}

struct State {
    random: Random,
    life: u64,
    steps: u64,
    faults: BTreeMap<u64, Fault>,
    /// What was being done when they came.
    happened: Vec<String>,
    has_power: bool,
    is_locked: bool,
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of the names since they were synced.
    renamed: Vec<Renamed>,
}

impl SimulatedDisk {
    /// An empty disk whose chances depend on `seed` alone.
    pub fn new(seed: u64, is_patient: bool) -> Self {
        let state = State {
            random: Random(seed),
            life: 0,
            steps: 0,
            faults: BTreeMap::new(),
            happened: Vec::new(),
            has_power: true,
            is_locked: false,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renamed: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            life: 0,
            is_patient,
        }
    }

    /// Has something happen at a step, counted from the disk's first.
    pub fn plan(&self, step: u64, fault: Fault) {
        self.state().faults.insert(step, fault);
    }

    /// What was being done when the faults came that have come.
    pub fn happened(&self) -> Vec<String> {
        self.state().happened.clone()
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Ends the process: the disk as the next one sees it.
    pub fn restart(&self, end: End) -> Self {
        let mut state = self.state();
        state.life += 1;
        state.is_locked = false;
        if end == End::PowerCut || !state.has_power {
            state.lose_power();
        }
        Self {
            state: self.state.clone(),
            life: state.life,
            is_patient: self.is_patient,
        }
    }

    /// All files and what is in them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let file =
            |(name, file): (&String, &usize)| (name.clone(), state.files[*file].written.clone());
        state.names.iter().map(file).collect()
    }

    /// Flips bits of a file's byte, behind everyone's back.
    pub fn flip(&self, name: &str, at: usize, bits: u8) {
        let mut state = self.state();
        let file = state.names[name];
        state.files[file].written[at] ^= bits;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no step panics")
    }

    fn step(&self, what: &str, name: &str) -> io::Result<(MutexGuard<'_, State>, Outcome)> {
        step(&self.state, self.life, what, name)
    }
}

/// How far a step gets.
#[derive(Clone, Copy)]
enum Outcome {
    Done,
    Short,
    /// Perhaps done, perhaps in part; then this is answered.
    Doubtful(io::ErrorKind),
    /// Not done, or of a write a part.
    Refused,
}

impl Outcome {
    /// Whether a step that has no parts is done.
    fn is_done(self, random: &mut Random) -> bool {
        match self {
            Self::Done | Self::Short => true,
            Self::Doubtful(_) => random.coin(),
            Self::Refused => false,
        }
    }

    /// How much of `len` bytes is done.
    fn part(self, len: usize, random: &mut Random) -> usize {
        match self {
            Self::Done => len,
            Self::Short => len.div_ceil(2),
            Self::Doubtful(_) | Self::Refused => random.below(len),
        }
    }

    fn answer<T>(self, value: T) -> io::Result<T> {
        match self {
            Self::Done | Self::Short => Ok(value),
            Self::Doubtful(kind) => Err(kind.into()),
            Self::Refused => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

fn step<'a>(
    state: &'a Mutex<State>,
    life: u64,
    what: &str,
    name: &str,
) -> io::Result<(MutexGuard<'a, State>, Outcome)> {
    let mut state = state.lock().expect("no step panics");
    if !state.has_power || state.life != life {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    state.steps += 1;
    let steps = state.steps;
    let Some(fault) = state.faults.remove(&steps) else {
        return Ok((state, Outcome::Done));
    };
    state.happened.push(format!("{fault:?} at {what} {name}"));
    let outcome = match fault {
        Fault::PowerCut => {
            state.has_power = false;
            Outcome::Doubtful(io::ErrorKind::BrokenPipe)
        }
        Fault::Kill => {
            state.life += 1;
            Outcome::Doubtful(io::ErrorKind::BrokenPipe)
        }
        Fault::Broken => Outcome::Doubtful(io::ErrorKind::Other),
        Fault::Full => Outcome::Refused,
        Fault::Short => Outcome::Short,
    };
    Ok((state, outcome))
}

impl Disk for SimulatedDisk {
    fn path(&self) -> &Path {
        Path::new("/simulated")
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send>>> {
        let (mut state, outcome) = self.step("lock", "")?;
        outcome.answer(())?;
        if std::mem::replace(&mut state.is_locked, true) {
            return Ok(None);
        }
        let (state, life) = (self.state.clone(), self.life);
        Ok(Some(Box::new(Lock { state, life })))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let (state, outcome) = self.step("list", "")?;
        outcome.answer(state.names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let (state, outcome) = self.step("read", name)?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        outcome.answer(Box::new(self.file(name, file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let (state, outcome) = self.step("open", name)?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        outcome.answer(Box::new(self.file(name, file)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let (mut state, outcome) = self.step("create", name)?;
        let file = state.files.len();
        if outcome.is_done(&mut state.random) {
            state.files.push(Content::default());
            state.names.insert(name.to_owned(), file);
            let name = name.to_owned();
            state.renamed.push(Renamed::Added { name, file });
        }
        outcome.answer(Box::new(self.file(name, file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut state, outcome) = self.step("rename", from)?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if outcome.is_done(&mut state.random) {
            let (from, to) = (from.to_owned(), to.to_owned());
            let moved = Renamed::Moved { from, to, file };
            moved.apply(&mut state.names);
            state.renamed.push(moved);
        }
        outcome.answer(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut state, outcome) = self.step("remove", name)?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if outcome.is_done(&mut state.random) {
            let removed = Renamed::Removed(name.to_owned());
            removed.apply(&mut state.names);
            state.renamed.push(removed);
        }
        outcome.answer(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, outcome) = self.step("sync", "the directory")?;
        // One that fails leaves them to the next one: names are kept in the file system's journal,
        // which goes in order, unlike what is in a file.
        if matches!(outcome, Outcome::Done | Outcome::Short) {
            state.durable_names = state.names.clone();
            state.renamed.clear();
        }
        outcome.answer(())
    }

    fn beside(&self, work: Work) -> io::Result<Receiver<Option<u64>>> {
        let (done, is_done) = mpsc::channel();
        let work = move || done.send(work()).unwrap_or(());
        match self.is_patient {
            true => work(),
            false => drop(std::thread::spawn(work)),
        }
        Ok(is_done)
    }
}

impl SimulatedDisk {
    fn file(&self, name: &str, file: usize) -> SimulatedFile {
        SimulatedFile {
            state: self.state.clone(),
            life: self.life,
            name: name.to_owned(),
            file,
            at: 0,
        }
    }
}

struct Lock {
    state: Arc<Mutex<State>>,
    life: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.state.lock().expect("no step panics");
        if state.life == self.life {
            state.is_locked = false;
        }
    }
}

struct SimulatedFile {
    state: Arc<Mutex<State>>,
    life: u64,
    name: String,
    file: usize,
    /// Where it is read.
    at: usize,
}

impl SimulatedFile {
    fn step(&self, what: &str) -> io::Result<(MutexGuard<'_, State>, Outcome)> {
        step(&self.state, self.life, what, &self.name)
    }
}

impl Read for SimulatedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (state, outcome) = step(&self.state, self.life, "read from", &self.name)?;
        let rest = &state.files[self.file].written[self.at..];
        let wanted = bytes.len().min(rest.len());
        let len = match outcome {
            Outcome::Short => wanted.div_ceil(2),
            _ => wanted,
        };
        bytes[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        outcome.answer(len)
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let (mut state, outcome) = self.step("write to")?;
        let part = outcome.part(bytes.len(), &mut state.random);
        let file = &mut state.files[self.file];
        let len = match file.cut(at as usize, part) {
            _ if part == bytes.len() => part,
            // To write nothing of it would be no part.
            0 if matches!(outcome, Outcome::Short) => bytes.len(),
            len => len,
        };
        file.write_at(&bytes[..len], at as usize);
        outcome.answer(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut state, outcome) = self.step("sync")?;
        let state = &mut *state;
        let file = &mut state.files[self.file];
        match outcome {
            Outcome::Done | Outcome::Short => file.sync(),
            // Its bytes stay in doubt, as they were.
            Outcome::Doubtful(io::ErrorKind::BrokenPipe) => {}
            _ => file.fail_sync(&mut state.random),
        }
        outcome.answer(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let (mut state, outcome) = self.step("truncate")?;
        let state = &mut *state;
        if outcome.is_done(&mut state.random) {
            state.files[self.file].truncate(len as usize, &mut state.random);
        }
        outcome.answer(())
    }
}

impl State {
    fn lose_power(&mut self) {
        self.has_power = true;
        for renamed in std::mem::take(&mut self.renamed) {
            if self.random.coin() {
                renamed.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for file in &mut self.files {
            file.lose_power(&mut self.random);
        }
    }
}
