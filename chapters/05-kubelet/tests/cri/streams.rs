//! Commands in containers, talk with them, and their ports.

use super::*;

#[test]
fn exec_attach_and_port_forward() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("exec")).await.unwrap();
        let script = "while read line; do echo got $line; done; exec sleep 1000";
        let mut config = shell("main", script);
        config.stdin = true;
        let id = node.start_container(&sandbox.id, config).await;

        let minute = Duration::from_secs(60);
        let script = "echo out; echo err >&2; hostname; exit 7";
        let output = runtime.exec_sync(&id, sh(script), minute).await.unwrap();
        assert_eq!(output.exit_code, 7);
        assert_eq!(output.stdout, b"out\nexec\n");
        assert_eq!(output.stderr, b"err\n");
        let second = Duration::from_secs(1);
        let late = runtime.exec_sync(&id, sh("sleep 60; true"), second).await;
        let late = late.unwrap_err().to_string();
        assert_eq!(
            late,
            "command \"/bin/sh -c sleep 60; true\" timed out after 1s"
        );

        let request = |script: &str| ExecRequest {
            command: sh(script),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let asked = request("cat; echo err >&2; exit 5");
        let mut process = runtime.exec(&id, asked).await.unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"in\n").await.unwrap();
        stdin.shutdown().await.unwrap();
        drop(stdin);
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (process.stdout.unwrap(), process.stderr.unwrap());
        stdout.read_to_string(&mut out).await.unwrap();
        stderr.read_to_string(&mut err).await.unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("in\n", "err\n"));
        assert_eq!(process.exit.await.unwrap().unwrap(), 5);

        let mut missing = request("");
        missing.command = vec!["no-such-program".to_owned()];
        let process = runtime.exec(&id, missing).await.unwrap();
        let why = process.exit.await.unwrap().unwrap_err().to_string();
        let expected = "unable to start container process: exec: \"no-such-program\": \
                        executable file not found in $PATH";
        assert!(why.starts_with("failed to exec in container: "), "{why}");
        assert!(why.contains(expected), "{why}");

        let mut asked = request("sleep 0.2; stty size; exit 4");
        asked.tty = true;
        let mut process = runtime.exec(&id, asked).await.unwrap();
        let size = TerminalSize {
            width: 77,
            height: 33,
        };
        let sizes = process.resize.take().unwrap();
        sizes.send(size).await.unwrap();
        let mut out = String::new();
        let stdout = process.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut out).await.unwrap();
        assert_eq!(out, "33 77\r\n");
        assert_eq!(process.exit.await.unwrap().unwrap(), 4);

        let asked = ExecRequest {
            command: Vec::new(),
            ..request("")
        };
        let mut attached = runtime.attach(&id, asked).await.unwrap();
        let stdin = attached.stdin.as_mut().unwrap();
        stdin.write_all(b"line\n").await.unwrap();
        let mut answer = [0; 9];
        let stdout = attached.stdout.as_mut().unwrap();
        stdout.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"got line\n");
        drop(attached);

        let listen = "python3 -c 'import socket; s=socket.create_server((\"127.0.0.1\", 80)); \
                      print(1, flush=True); c=s.accept()[0]; d=c.recv(99); c.sendall(d[::-1])'";
        let server = node.start_container(&sandbox.id, with_name(shell("s", listen), "server"));
        server.await;
        while !node.log("exec", "server").contains("stdout F 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut connection = runtime.port_forward(&sandbox.id, 80).await.unwrap();
        connection.write_all(b"abc").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "cba");
    });
}
