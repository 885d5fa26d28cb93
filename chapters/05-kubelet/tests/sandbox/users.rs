//! Pods with users of their own: who they are inside, and who outside.

use std::os::unix::fs::MetadataExt;

use super::*;
use kubelet::runtime::UserRange;

/// The users of the tests' pods, as the node counts.
const USERS: UserRange = UserRange {
    host_id: 131_072,
    length: 65_536,
};

/// A node that can give pods users of their own; none where this machine cannot.
async fn able_node() -> Option<Node> {
    let node = Node::start().await;
    if !node.runtime.features().user_namespaces {
        eprintln!("skipped: pods cannot have users of their own here");
        return None;
    }
    Some(node)
}

fn pod(node: &Node) -> SandboxConfig {
    SandboxConfig {
        users: Some(USERS),
        ..node.pod("web")
    }
}

fn said(log: &str) -> Vec<&str> {
    let lines = log.lines();
    lines
        .map(|line| line.trim_start_matches("stdout F ").trim_end())
        .collect()
}

#[test]
fn root_in_the_pod_is_nobody_on_the_node() {
    on_a_node(|| async {
        let Some(node) = able_node().await else {
            return;
        };
        let sandbox = node.runtime.run_pod_sandbox(pod(&node)).await.unwrap();
        let volume = node.dir.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        std::fs::write(volume.join("old"), "").unwrap();
        let script = "read a b c < /proc/self/uid_map; echo $a $b $c; id -u; touch /made /v/new; \
                      stat -c %u / /etc /made /v/old /v/new /etc/hosts /dev /dev/shm; hostname; \
                      kill -0 1 && exec sleep 1000";
        let mut config = shell("main", script);
        let inner = node.dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let mount = |host_path: &Path, container_path: &str| Mount {
            host_path: host_path.to_owned(),
            container_path: container_path.into(),
            ..Mount::default()
        };
        config.mounts = vec![mount(&volume, "/v"), mount(&inner, "/v/inner")];
        let id = node.runtime.create_container(&sandbox.id, config).await;
        let id = id.unwrap();
        node.runtime.start_container(&id).await.unwrap();
        let limit = Duration::from_secs(20);
        let command = |text: &str| containers::sh(text);
        let wait = command("until [ -e /v/new ]; do sleep 0.01; done; cat /proc/1/uid_map; id -u");
        let heard = node.runtime.exec_sync(&id, wait, limit).await.unwrap();
        let heard = String::from_utf8(heard.stdout).unwrap();
        let heard: Vec<&str> = heard.split_whitespace().collect();
        assert_eq!(heard, ["0", "131072", "65536", "0"]);
        while said(&node.log("web", "main")).len() < 11 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = node.log("web", "main");
        let expected = [
            "0 131072 65536",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "web",
        ];
        assert_eq!(said(&log), expected);

        // A volume keeps the node's users, what the container writes beside it is the pod's.
        let owner = |path: PathBuf| std::fs::metadata(path).unwrap().uid();
        assert_eq!(owner(volume.join("new")), 0);
        assert_eq!(owner(volume.join("inner")), 0, "made to mount on");
        let sandbox_dir = node.dir.path().join("node/sandboxes").join(&sandbox.id);
        let made = sandbox_dir.join("c").join(&id).join("upper/made");
        assert_eq!(owner(made), USERS.host_id);
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn other_users_and_terminals_are_the_pod_s() {
    on_a_node(|| async {
        let Some(node) = able_node().await else {
            return;
        };
        let sandbox = node.runtime.run_pod_sandbox(pod(&node)).await.unwrap();
        let mut config = shell(
            "main",
            "id -u; id -g; stat -Lc %u /dev/stdin; echo x > /dev/stdout",
        );
        config.security.run_as_user = Some(1000);
        config.security.run_as_group = Some(3000);
        config.tty = true;
        let (code, log) = node.run(&sandbox.id, "web", config).await;
        assert_eq!((code, said(&log)), (0, vec!["1000", "3000", "1000", "x"]));

        let mut config = shell(
            "piped",
            "echo x > /dev/stdout; grep CapEff /proc/self/status",
        );
        config.security.run_as_user = Some(1000);
        let (_, log) = node.run(&sandbox.id, "web", config).await;
        assert_eq!(said(&log), ["x", "CapEff:\t0000000000000000"]);

        let mut config = shell("none", "true");
        config.security.run_as_user = Some(65_536);
        let error = node.runtime.create_container(&sandbox.id, config).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "user 65536 does not exist in this user namespace: a pod with hostUsers: false has \
             those below 65536"
        );
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn a_capability_counts_in_the_pod_alone() {
    on_a_node(|| async {
        let Some(node) = able_node().await else {
            return;
        };
        let sandbox = node.runtime.run_pod_sandbox(pod(&node)).await.unwrap();
        let script = "mkdir /m && mount -t tmpfs none /m && hostname other && hostname; \
                      echo 1 > /proc/sys/vm/drop_caches || echo refused; umount /proc/sys || echo locked";
        let mut config = shell("main", &format!("({script}) 2>/dev/null"));
        config.security.add_capabilities = vec!["ALL".to_owned()];
        let (_, log) = node.run(&sandbox.id, "web", config).await;
        assert_eq!(said(&log), ["other", "refused", "locked"]);
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

/// A container in the container mounts a `/proc` of its own, which the kernel lets it only where
/// nothing of the outer one is hidden.
#[test]
fn an_unmasked_proc_shows_all() {
    on_a_node(|| async {
        let Some(node) = able_node().await else {
            return;
        };
        let sandbox = node.runtime.run_pod_sandbox(pod(&node)).await.unwrap();
        let script = "grep -c ' /proc/' /proc/self/mountinfo; \
                      unshare -Urpf --mount-proc true 2>/dev/null && echo nested || echo refused";
        let (_, log) = node.run(&sandbox.id, "web", shell("masked", script)).await;
        let masked = said(&log);
        assert_ne!(masked[0], "0");
        assert_eq!(masked[1], "refused");
        let mut config = shell("unmasked", script);
        config.security.unmasked_proc = true;
        let (_, log) = node.run(&sandbox.id, "web", config).await;
        assert_eq!(said(&log), ["0", "nested"]);
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}
