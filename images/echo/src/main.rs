//! The workshop/echo image: a web server that says who and where it is.
//!
//! ```text
//! GET /            hostname, pod, node, client, request
//! GET /healthz     ok
//! GET /exit?code=N ends the process with that code, to see it restarted
//! ```
//!
//! With $FORWARD_TO=HOST:PORT it answers nothing itself, and hands each connection on to there.
//! The standard library and nothing else: the program is all that its image holds.

mod forward;
mod http;
mod signals;

use std::fmt::Write as _;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use http::{Request, RequestError, Response};

const USAGE: &str = "\
usage: echo [--help]

A web server that says who and where it is. It listens on port $PORT (8080),
and tells what the downward API put into $POD_NAME, $POD_NAMESPACE, $POD_IP
and $NODE_NAME.

  GET /             hostname, pod, node, client, request
  GET /healthz      ok
  GET /exit?code=N  ends the process with that code

With $FORWARD_TO=HOST:PORT it hands each connection on to there instead.";

/// How long a connection may be silent, between requests too.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("echo: unknown argument {other:?}\n{USAGE}");
            return ExitCode::from(2);
        }
    }
    signals::end_on_termination();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("echo: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".into());
    let port: u16 = port
        .parse()
        .map_err(|_| format!("PORT={port:?} is no port"))?;
    // Both families where there are both.
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    if let Ok(target) = std::env::var("FORWARD_TO") {
        say(&format!("port {port} is {target}"));
        forward::serve(&listener, &target, say);
        return Ok(());
    }
    say(&format!("listening on port {port}"));
    let hostname = hostname();
    for stream in listener.incoming() {
        let hostname = hostname.clone();
        // A client that is gone again, or a machine out of threads, is no reason to end.
        let Ok(stream) = stream else { continue };
        let spawned = std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || drop(converse(&stream, &hostname)));
        if let Err(error) = spawned {
            say(&format!("no thread for a connection: {error}"));
        }
    }
    Ok(())
}

/// Answers a client's requests until it has no more.
fn converse(stream: &TcpStream, hostname: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let client = unmapped(stream.peer_addr()?);
    let mut reader = BufReader::new(stream);
    loop {
        let request = match Request::read(&mut reader) {
            Ok(request) => request,
            Err(RequestError::Closed) => return Ok(()),
            Err(RequestError::Bad(why)) => {
                say(&format!("{client} 400 {why}"));
                let response = Response {
                    status: 400,
                    text: format!("{why}\n"),
                };
                return response.write(stream, false, false);
            }
        };
        let response = answer(&request, hostname, &client);
        say(&format!(
            "{client} {} {} {}",
            request.method, request.target, response.status
        ));
        response.write(stream, request.method == "HEAD", request.keep_alive)?;
        if let Some(code) = exit_code(&request) {
            std::process::exit(code);
        }
        if !request.keep_alive {
            return Ok(());
        }
    }
}

fn answer(request: &Request, hostname: &str, client: &str) -> Response {
    let path = request.path();
    if path == "/healthz" {
        return Response {
            status: 200,
            text: "ok\n".into(),
        };
    }
    if path == "/exit" {
        return match exit_code(request) {
            Some(code) => Response {
                status: 200,
                text: format!("exiting with {code}\n"),
            },
            None => Response {
                status: 400,
                text: "code is to be a number from 0 to 255\n".into(),
            },
        };
    }
    let mut text = format!("hostname: {hostname}\n");
    for (name, variable) in [
        ("pod", "POD_NAME"),
        ("namespace", "POD_NAMESPACE"),
        ("ip", "POD_IP"),
        ("node", "NODE_NAME"),
    ] {
        if let Ok(value) = std::env::var(variable) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    let _ = writeln!(
        text,
        "client: {client}\nmethod: {}\npath: {path}",
        request.method
    );
    Response { status: 200, text }
}

/// The code that `/exit` asks for.
fn exit_code(request: &Request) -> Option<i32> {
    if request.path() != "/exit" {
        return None;
    }
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let code = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("code="))
        .unwrap_or("0");
    code.parse::<u8>().ok().map(i32::from)
}

/// What the kernel calls this machine, which in a pod is the pod's name.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    name.trim().to_string()
}

/// `10.244.1.2:3456` for what an IPv6 socket calls `[::ffff:10.244.1.2]:3456`.
fn unmapped(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

/// A line on stdout. A log that nobody takes does not stop the server.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
