//! `lab down`: nothing of the lab stays, whatever state it is in.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::control::{Conversation, Request};
use super::layout::{Layout, has_lab};
use super::record::{Process, Record};
use super::{Error, components, enter};

/// Ends the lab and removes its folder.
///
/// # Errors
/// When a file cannot be removed.
pub fn run(name: &str, layout: &Layout) -> Result<(), Error> {
    if !has_lab(&layout.dir) {
        println!("There is no lab {name:?}.");
        return Ok(());
    }
    let supervisor = Record::load(layout).and_then(|record| record.supervisor);
    if let Some(conversation) = Conversation::start(layout, &Request::Down)? {
        // It may end before its answer is through, which is an answer too.
        let _ = conversation.finish(|_| {});
    }
    if let Some(supervisor) = supervisor {
        kill(supervisor)?;
    }
    for folder in std::fs::read_dir(layout.dir.join("nodes"))
        .into_iter()
        .flatten()
        .flatten()
    {
        // Control groups are none of the folders below: they would outlive the lab.
        kubelet::runtime::sandbox::remove_cgroups(&folder.path());
    }
    if rustix::process::getuid().is_root() {
        remove_cgroups(&components::cgroup(name));
        remove(&layout.dir)?;
    } else {
        // Files of other users of the lab belong to sub-uids, to which only a user namespace
        // gives access. Where none can be had, none was, and everything is this user's own.
        match enter::remove(layout) {
            Err(Error::Machine(_)) => remove(&layout.dir)?,
            other => other?,
        }
    }
    println!("The lab {name:?} is gone.");
    Ok(())
}

/// Removes the cgroups that containerd made for the lab's pods: of the one hierarchy (v2), or of
/// each controller's (v1). What was in them ended with the lab.
fn remove_cgroups(cgroup: &str) {
    fn remove(dir: &Path) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        let _not_there = std::fs::remove_dir(dir);
    }
    let base = Path::new("/sys/fs/cgroup");
    let cgroup = cgroup.trim_start_matches('/');
    remove(&base.join(cgroup));
    for hierarchy in std::fs::read_dir(base).into_iter().flatten().flatten() {
        remove(&hierarchy.path().join(cgroup));
    }
}

/// Ends the supervisor, and with it everything in the lab, and waits for it.
///
/// # Errors
/// When the process belongs to somebody else.
pub fn kill(supervisor: Process) -> Result<(), Error> {
    if !supervisor.is_alive() {
        return Ok(());
    }
    let Some(pid) = Pid::from_raw(supervisor.pid) else {
        return Ok(());
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    // Looked at again now that the number cannot be given to another process any more.
    if !supervisor.is_alive() {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(errno) => {
            return Err(Error::system(format!("end process {}", supervisor.pid))(
                errno,
            ));
        }
    }
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ended, None).map_err(Error::system("wait for the supervisor"))?;
    Ok(())
}

/// Removes a folder with all that is in it.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            // A container (or overlayfs, for its own work) may leave folders without a permission.
            unlock(dir);
            match std::fs::remove_dir_all(dir) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::File {
                    path: dir.into(),
                    source: error,
                }),
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::File {
            path: dir.into(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Gives its owner every permission on each folder below `dir`.
fn unlock(dir: &Path) {
    let _ = std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_folders_without_permissions() {
        let dir = std::env::temp_dir().join(format!("workshop-remove-{}", std::process::id()));
        let locked = dir.join("work/work");
        std::fs::create_dir_all(&locked).unwrap();
        std::fs::write(locked.join("file"), "").unwrap();
        for dir in [&locked, &dir.join("work")] {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }
}
