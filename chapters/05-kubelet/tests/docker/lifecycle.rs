//! A container from its start to its end, and over restarts of the kubelet.

use super::*;

#[test]
fn a_pod_from_its_start_to_its_end() {
    on_a_node(async || {
        let node = Node::start("whole").await;
        containers::check_whole_life(&node).await;
        assert_eq!(node.names().await, Vec::<String>::new());
    });
}

#[test]
fn what_the_engine_shows_of_it() {
    on_a_node(async || {
        let node = Node::start("shown").await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        node.run(&sandbox.id, shell("main", "exec sleep 1000"))
            .await;
        let uid = &sandbox.metadata.uid;
        let names: BTreeSet<String> = node.names().await.into_iter().collect();
        let expected = ["POD", "main"].map(|name| format!("k8s_{name}_web_default_{uid}_0"));
        assert_eq!(names, BTreeSet::from(expected));
    });
}

#[test]
fn which_system_calls_it_may_make() {
    on_a_node(async || {
        let node = Node::start("seccomp").await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let under = async |name, profile| {
            let script =
                "while read a b; do case $a in Seccomp:) echo $b;; esac; done < /proc/self/status";
            let mut config = shell(name, script);
            config.security.seccomp = profile;
            let id = node.run(&sandbox.id, config).await;
            assert_eq!(node.end(&id).await.0, 0);
            node.log("web", name)
        };
        let path = node.dir.path().join("all.json");
        std::fs::write(&path, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        let path = path.display().to_string();
        assert_eq!(
            under("free", SecurityProfile::Unconfined).await,
            ["stdout F 0"]
        );
        assert_eq!(
            under("default", SecurityProfile::RuntimeDefault).await,
            ["stdout F 2"]
        );
        assert_eq!(
            under("own", SecurityProfile::Localhost(path)).await,
            ["stdout F 2"]
        );
    });
}

/// An engine says `die` before its list shows it.
#[test]
fn no_end_is_missed() {
    on_a_node(async || {
        let node = Node::start("ends").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("ends"))
            .await
            .unwrap();
        for attempt in 0..10 {
            let mut config = shell("main", "sleep 0.2; exit 3");
            config.attempt = attempt;
            let id = node.run(&sandbox.id, config).await;
            assert_eq!(node.end(&id).await, (3, "Error".to_owned()));
        }
    });
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(async || {
        let node = Node::start("bad").await;
        containers::check_what_cannot_start(&node, (127, "ContainerCannotRun")).await;
    });
}

#[test]
fn a_name_is_given_once() {
    on_a_node(async || {
        let node = Node::start("once").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("once"))
            .await
            .unwrap();
        let create = || {
            let config = shell("main", "exec sleep 1000");
            node.runtime.create_container(&sandbox.id, config)
        };
        // The answer about the first was lost, as far as the kubelet knows.
        create().await.unwrap();
        let id = create().await.unwrap();
        node.runtime.start_container(&id).await.unwrap();
        let error = create().await.unwrap_err();
        assert!(error.to_string().ends_with("runs already"), "{error}");
        assert!(
            node.runtime
                .run_pod_sandbox(node.pod("once"))
                .await
                .is_err()
        );
        assert_eq!(node.names().await.len(), 2, "pause and main");
    });
}

#[test]
fn a_restarted_kubelet_goes_on_with_pods_addresses_and_logs() {
    on_a_machine(|| {
        let (mut node, sandbox, id) = life(async || {
            let node = Node::start("again").await;
            let sandbox = node.runtime.run_pod_sandbox(node.pod("long")).await;
            let sandbox = sandbox.unwrap();
            let script = "i=0; while read -r _; do i=$((i+1)); echo line $i; done";
            let mut config = shell("main", script);
            config.stdin = true;
            let id = node.run(&sandbox.id, config).await;
            say(&node, &id, "a\nb\n", "line 1\nline 2\n").await;
            (node, sandbox, id)
        });
        life(async || {
            node.restart_kubelet().await;
            let sandboxes = node.runtime.list_pod_sandboxes(None).await.unwrap();
            assert_eq!(sandboxes[0].id, sandbox.id);
            assert_eq!(sandboxes[0].state, SandboxState::Ready);
            let other = node.runtime.run_pod_sandbox(node.pod("other")).await;
            assert_ne!(other.unwrap().ips, sandbox.ips);
            say(&node, &id, "c\n", "line 3\n").await;
            node.runtime.stop_container(&id, 0).await.unwrap();
            assert_eq!(node.end(&id).await.0, 137);
            let expected = [1, 2, 3].map(|n| format!("stdout F line {n}"));
            assert_eq!(node.log("long", "main"), expected);
        });
    });
}

/// Takes time, memory and a mebibyte of disk, says so, and stays: two processes.
#[test]
fn what_a_container_uses() {
    on_a_node(async || {
        let node = Node::start("uses").await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("use")).await.unwrap();
        let id = node.run(&sandbox.id, shell("main", BUSY)).await;
        containers::check_usage(runtime, &sandbox.id, &id, Some(2)).await;
    });
}

#[test]
fn a_container_may_end_in_its_own_way() {
    on_a_node(async || {
        let node = Node::start("grace").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("grace"))
            .await
            .unwrap();
        let script =
            "trap 'echo bye; exit 7' TERM; echo ready; echo > /ready; while :; do sleep 0.1; done";
        let id = node.run(&sandbox.id, shell("main", script)).await;
        let ready = "until [ -e /ready ]; do sleep 0.1; done";
        node.runtime
            .exec_sync(&id, sh(ready), SECONDS)
            .await
            .unwrap();
        for _ in 0..2 {
            node.runtime.stop_container(&id, 20).await.unwrap();
        }
        assert_eq!(node.end(&id).await, (7, "Error".to_owned()));
        let log = node.log("grace", "main");
        assert_eq!(log, ["stdout F ready", "stdout F bye"]);
    });
}
