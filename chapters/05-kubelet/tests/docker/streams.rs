//! Commands in containers, and talk with them.

use super::*;

#[test]
fn commands_in_containers() {
    on_a_node(async || {
        let node = Node::start("exec").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("exec"))
            .await
            .unwrap();
        let id = node
            .run(&sandbox.id, shell("main", "exec sleep 1000"))
            .await;
        let run = |script, timeout| node.runtime.exec_sync(&id, sh(script), timeout);
        let output = run("echo out; echo err >&2; exit 4", SECONDS)
            .await
            .unwrap();
        assert_eq!(
            (
                output.exit_code,
                output.stdout.as_slice(),
                output.stderr.as_slice()
            ),
            (4, b"out\n".as_slice(), b"err\n".as_slice())
        );
        let error = run("sleep 1000", Duration::from_millis(300))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("timed out after 0.3s"),
            "{error}"
        );

        let request = ExecRequest {
            command: sh("read line; echo got $line; exit 5"),
            stdin: true,
            stdout: true,
            ..ExecRequest::default()
        };
        let mut streams = node.runtime.exec(&id, request).await.unwrap();
        streams
            .stdin
            .take()
            .unwrap()
            .write_all(b"this\n")
            .await
            .unwrap();
        let mut said = String::new();
        streams
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .await
            .unwrap();
        assert_eq!(
            (said.as_str(), streams.exit.await.unwrap().unwrap()),
            ("got this\n", 5)
        );
    });
}
