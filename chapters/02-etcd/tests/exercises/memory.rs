//! A disk in memory, for exercises: it can be watched while it syncs, changed, and lose its power.
//! Nothing that was not synced is left then; a real disk may keep some of it.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use etcd::disk::{Disk, DiskFile};

/// What is done at each sync of a file, before it is done; an error is that of the sync.
type OnSync = Box<dyn FnMut() -> io::Result<()> + Send>;

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    on_sync: Arc<Mutex<Option<OnSync>>>,
}

#[derive(Clone, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
}

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

impl Memory {
    /// Has something done at each sync of a file from now on.
    pub fn on_sync(&self, on_sync: impl FnMut() -> io::Result<()> + Send + 'static) {
        *self.on_sync.lock().expect("no sync panics") = Some(Box::new(on_sync));
    }

    /// Has nothing done any more, and forgets what was.
    pub fn sync_quietly(&self) {
        *self.on_sync.lock().expect("no sync panics") = None;
    }

    /// What would be found if the power went now.
    pub fn after_power_cut(&self) -> Self {
        let mut state = self.state().clone();
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            file.bytes = file.durable.clone();
        }
        let state = Arc::new(Mutex::new(state));
        Self {
            state,
            ..Self::default()
        }
    }

    /// A disk with the same files, but other bytes in one of them.
    pub fn with(&self, name: &str, bytes: &[u8]) -> Self {
        let mut state = self.state().clone();
        let file = state.names[name];
        state.files[file].bytes = bytes.to_vec();
        let state = Arc::new(Mutex::new(state));
        Self {
            state,
            ..Self::default()
        }
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].bytes.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no step panics")
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let found = self.state().names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn opened(&self, file: usize) -> Box<dyn DiskFile> {
        let disk = self.clone();
        Box::new(Opened { disk, file })
    }
}

impl Disk for Memory {
    fn path(&self) -> &Path {
        Path::new("/memory")
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send>>> {
        Ok(Some(Box::new(())))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let file = self.find(name)?;
        Ok(Box::new(Cursor::new(
            self.state().files[file].bytes.clone(),
        )))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.opened(self.find(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), file);
        drop(state);
        Ok(self.opened(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.find(from)?;
        let mut state = self.state();
        state.names.remove(from);
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.state().names.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct Opened {
    disk: Memory,
    file: usize,
}

impl DiskFile for Opened {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let file = &mut self.disk.state().files[self.file].bytes;
        let (at, end) = (at as usize, at as usize + bytes.len());
        file.resize(file.len().max(end), 0);
        file[at..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut on_sync = self.disk.on_sync.lock().expect("no sync panics");
        on_sync.as_mut().map_or(Ok(()), |on_sync| on_sync())?;
        let file = &mut self.disk.state().files[self.file];
        file.durable = file.bytes.clone();
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let file = &mut self.disk.state().files[self.file].bytes;
        file.resize(len as usize, 0);
        Ok(())
    }
}
