//! Who the container's process is: capabilities, groups, user, and what it may ask of the kernel.
//! The last step before `exec`.
//!
//! Upstream: runc `libcontainer/init_linux.go` (`finalizeNamespace`).

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid,
};

use super::super::spec::ContainerSpec;
use super::super::sys;
use super::rootfs::{SetupResult, doing};
use super::users::Users;

/// Takes from this process what the container may not have, and makes it the container's user: of
/// the pod's own users, if it has some.
pub fn assume(spec: &ContainerSpec, users: Option<Users<'_>>, is_first: bool) -> SetupResult<()> {
    if let Some(users) = users {
        users.enter()?;
        if is_first {
            // The mounts that the node's root made, copied for the pod's to rule over.
            sys::unshare(UnshareFlags::NEWNS).map_err(doing("copying the container's mounts"))?;
        }
    }
    let allowed = CapabilitySet::from_bits_truncate(spec.capabilities);
    for capability in CapabilitySet::all().difference(allowed) {
        // An older kernel does not know the newest ones.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let groups: Vec<Gid> = spec.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match set_thread_groups(&groups) {
        Ok(()) => {}
        // A user namespace that an ordinary user made for itself alone (`setgroups: deny`). The
        // groups that it has from outside show as `nobody`'s and cannot be put down.
        Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(doing("setting groups")(error)),
    }
    // Without `no_new_privs` only an administrator may load a filter, which ours is no longer once
    // it is the container's user: the filter then sees the steps from here on, too.
    if !spec.no_new_privileges {
        load_filter(spec)?;
    }
    set_thread_gid(Gid::from_raw(spec.gid)).map_err(doing(format!("setgid {}", spec.gid)))?;
    set_thread_uid(Uid::from_raw(spec.uid)).map_err(doing(format!("setuid {}", spec.uid)))?;
    if spec.uid == 0 {
        let sets = CapabilitySets {
            effective: allowed,
            permitted: allowed,
            inheritable: CapabilitySet::empty(),
        };
        // What the kernel or the namespace above does not give cannot be asked for.
        let held = rustix::thread::capabilities(None).map_err(doing("reading capabilities"))?;
        let sets = CapabilitySets {
            effective: sets.effective & held.permitted,
            permitted: sets.permitted & held.permitted,
            ..sets
        };
        set_capabilities(None, sets).map_err(doing("setting capabilities"))?;
    }
    if spec.no_new_privileges {
        set_no_new_privs(true).map_err(doing("setting no_new_privs"))?;
        load_filter(spec)?;
    }
    Ok(())
}

fn load_filter(spec: &ContainerSpec) -> SetupResult<()> {
    match &spec.seccomp {
        Some(program) => sys::set_filter(program).map_err(doing("loading the seccomp filter")),
        None => Ok(()),
    }
}
