//! Tells when a file changes.

use std::ffi::{CStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::Notify;

/// A file that is watched, by way of its folder: editors put a new file in the place of the old.
pub(super) struct Watch {
    changed: Arc<Notify>,
}

impl Watch {
    /// Watches from now on.
    pub(super) fn new(file: &Path) -> io::Result<Watch> {
        let name = file.file_name().unwrap_or_default().to_owned();
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let inotify = inotify::init(CreateFlags::CLOEXEC)?;
        // Not at the first byte: when somebody has finished writing.
        inotify::add_watch(
            &inotify,
            folder,
            WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO,
        )?;
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        // A thread that waits in the kernel, and ends with the process.
        std::thread::Builder::new()
            .name("file-watch".into())
            .spawn(move || wait(&inotify, &name, &notify))?;
        Ok(Watch { changed })
    }

    /// Waits until the file is written or replaced. Several changes may be told as one.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn wait(inotify: &OwnedFd, name: &OsString, changed: &Notify) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    loop {
        match reader.next() {
            Ok(event) if event.file_name().map(CStr::to_bytes) == Some(name.as_bytes()) => {
                changed.notify_one();
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                eprintln!("the file is not watched any more: {error}");
                return;
            }
        }
    }
}
