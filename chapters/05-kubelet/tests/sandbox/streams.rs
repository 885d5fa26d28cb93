//! Commands in containers, and their streams.

use super::*;

#[test]
fn exec_attach_and_terminals() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("exec"))
            .await
            .unwrap();
        let mut config = shell(
            "main",
            "while read line; do echo got $line; done; exec sleep 1000",
        );
        config.stdin = true;
        let id = node
            .runtime
            .create_container(&sandbox.id, config)
            .await
            .unwrap();
        node.runtime.start_container(&id).await.unwrap();

        let second = Duration::from_secs(10);
        let sh = |script: &str| vec!["sh".to_string(), "-c".into(), script.into()];
        let script = "echo out; echo err >&2; hostname; exit 7";
        let output = node
            .runtime
            .exec_sync(&id, sh(script), second)
            .await
            .unwrap();
        assert_eq!((output.exit_code, &output.stderr[..]), (7, &b"err\n"[..]));
        assert_eq!(output.stdout, b"out\nexec\n");
        let short = Duration::from_millis(50);
        let error = node
            .runtime
            .exec_sync(&id, sh("sleep 100"), short)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("timed out"), "{error}");
        let error = node
            .runtime
            .exec_sync(&id, vec!["nope".into()], second)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("executable file not found"),
            "{error}"
        );

        let all = ExecRequest {
            command: sh("cat; exit 4"),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let mut streams = node.runtime.exec(&id, all.clone()).await.unwrap();
        streams
            .stdin
            .take()
            .unwrap()
            .write_all(b"through")
            .await
            .unwrap();
        let mut text = String::new();
        streams
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert_eq!(
            (text.as_str(), streams.exit.await.unwrap().unwrap()),
            ("through", 4)
        );

        let command = sh("test -t 0 && tty; read x; stty size; exit 5");
        let terminal = ExecRequest {
            command,
            tty: true,
            ..all.clone()
        };
        let mut streams = node.runtime.exec(&id, terminal).await.unwrap();
        let size = TerminalSize {
            width: 91,
            height: 17,
        };
        streams.resize.as_ref().unwrap().send(size).await.unwrap();
        tokio::task::yield_now().await;
        streams
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"go\n")
            .await
            .unwrap();
        let mut text = String::new();
        streams
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert!(
            text.contains("/dev/pts/0") && text.contains("17 91"),
            "{text:?}"
        );
        assert_eq!(streams.exit.await.unwrap().unwrap(), 5);

        let mut attached = node.runtime.attach(&id, all).await.unwrap();
        attached
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"one\n")
            .await
            .unwrap();
        let mut line = [0; 8];
        attached
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .await
            .unwrap();
        assert_eq!(&line, b"got one\n");
        assert_eq!(node.log("exec", "main"), "stdout F got one");
        drop(attached);

        // A shell that waits for its input does not heed SIGTERM as a first process.
        node.runtime.stop_container(&id, 0).await.unwrap();
        assert_eq!(node.exit_code(&id).await, 137);
        assert!(
            node.runtime
                .exec_sync(&id, sh("true"), second)
                .await
                .is_err()
        );
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}
