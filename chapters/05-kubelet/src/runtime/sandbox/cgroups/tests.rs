//! Against a folder that stands for `/sys/fs/cgroup`.

use super::*;

/// A group whose kernel files are there.
fn group(path: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(path).unwrap();
    for (file, text) in files {
        fs::write(path.join(file), text).unwrap();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

const LIMITS: Limits = Limits {
    memory_bytes: Some(1 << 20),
    cpu_millis: Some(500),
    cpu_request_millis: Some(100),
};

#[test]
fn v1_has_a_group_for_each_controller() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().canonicalize().unwrap();
    for controller in ["cpu", "memory"] {
        group(&mount.join(controller), &[("cgroup.procs", "")]);
    }
    let cgroups = Cgroups::open_in(&mount, "4:memory:/x\n1:cpu:/\n", Path::new("/n")).unwrap();
    assert_eq!(cgroups.version, Version::V1);
    let pod = pod_group("Burstable", "u");
    let parents: Vec<PathBuf> = cgroups.roots.iter().map(|root| root.join(&pod)).collect();
    group(
        &parents[0].join("c"),
        &[("cpu.shares", "1024"), ("cpu.cfs_quota_us", "-1")],
    );
    group(
        &parents[1].join("c"),
        &[
            ("memory.limit_in_bytes", "-1"),
            ("memory.usage_in_bytes", "4096\n"),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            ),
            ("cgroup.procs", ""),
        ],
    );
    let (folders, is_new) = cgroups.make_container(&pod, "c").unwrap();
    assert!(!is_new, "its folder stood for the kernel's");
    cgroups.limit_new(&pod, "c", &LIMITS).unwrap();
    assert_eq!(folders, [parents[0].join("c"), parents[1].join("c")]);
    assert_eq!(read(&folders[0].join("cpu.shares")), "102");
    assert_eq!(read(&folders[0].join("cpu.cfs_quota_us")), "50000");
    assert_eq!(read(&folders[1].join("memory.limit_in_bytes")), "1048576");
    assert_eq!(oom_kills(&folders), 2);

    let less = Limits {
        memory_bytes: Some(1024),
        ..LIMITS
    };
    let error = cgroups.limit(&pod, "c", &less, &[less]).unwrap_err();
    assert!(error.to_string().contains("below current usage"), "{error}");
}

#[test]
fn v2_hands_on_the_controllers_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().canonicalize().unwrap();
    let files = [
        ("cgroup.controllers", "cpuset cpu memory\n"),
        ("cgroup.procs", ""),
    ];
    group(&mount, &files);
    let own = "0::/user.slice/me\n";
    group(&mount.join("user.slice/me"), &files);
    // A real group has its files from the kernel.
    let root = mount.join(node_group(Path::new("/n")));
    for below in [
        "",
        "kubepods",
        "kubepods/burstable",
        "kubepods/besteffort",
        "kubepods/podu",
    ] {
        group(&root.join(below), &files);
    }
    let cgroups = Cgroups::open_in(&mount, own, Path::new("/n")).unwrap();
    assert_eq!((cgroups.version, &cgroups.roots[0]), (Version::V2, &root));
    group(
        &root.join("kubepods/podu/c"),
        &[("cpu.max", ""), ("memory.max", "")],
    );
    let pod = pod_group("Guaranteed", "u");
    let (container, _) = cgroups.make_container(&pod, "c").unwrap();
    cgroups.limit(&pod, "c", &LIMITS, &[LIMITS]).unwrap();
    assert_eq!(
        read(&root.join("kubepods/cgroup.subtree_control")),
        "+cpu +memory"
    );
    assert_eq!(read(&container[0].join("cpu.max")), "50000 100000");
    assert_eq!(read(&container[0].join("memory.max")), "1048576");
}

#[test]
fn all_pods_together_have_what_is_not_reserved() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().canonicalize().unwrap();
    for (controller, file) in [("memory", "memory.limit_in_bytes"), ("pids", "pids.max")] {
        let folder = mount.join(controller);
        group(&folder, &[("cgroup.procs", "")]);
        let pods = folder.join(node_group(Path::new("/n"))).join("kubepods");
        group(&pods, &[(file, "")]);
    }
    let cgroups = Cgroups::open_in(&mount, "", Path::new("/n")).unwrap();
    let mut limits = PodsLimits {
        memory_bytes: 1 << 30,
        cpu_millis: 1500,
        processes: Some(1000),
    };
    cgroups.limit_pods(&limits).unwrap();
    let pods: Vec<PathBuf> = cgroups.roots.iter().map(|it| it.join("kubepods")).collect();
    assert_eq!(read(&pods[0].join("memory.limit_in_bytes")), "1073741824");
    assert_eq!(read(&pods[1].join("pids.max")), "1000");
    limits.processes = None;
    cgroups.limit_pods(&limits).unwrap();
    assert_eq!(read(&pods[1].join("pids.max")), "max");
}

#[test]
fn own_groups_by_controller() {
    let own = "8:pids:/\n4:cpu,cpuacct:/a/b\n0::/c\n";
    assert_eq!(own_group(own, "cpuacct"), "/a/b");
    assert_eq!(own_group(own, ""), "/c");
    assert_eq!(own_group(own, "memory"), "/");
}
