//! `serve`: the book on the loopback, built again whenever something that it is made of changes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::bind;
use crate::files::Disk;

/// How often the files are looked at. There are a few hundred of them.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Where the pages ask how often the book was built, so as to load anew.
const BUILDS: &str = "/-/builds";

/// Serves the workspace in `root`, in which the book links to sources, until it is ended.
///
/// # Errors
/// When the port is taken, or the book cannot be built at first.
pub fn run(root: &Path, port: u16, started: impl FnOnce(&str)) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))
        .with_context(|| format!("cannot listen on port {port} of 127.0.0.1"))?;
    let files = Disk::new(root);
    bind::build(&files, root)?;
    let builds = Arc::new(AtomicU64::new(1));
    started(&format!(
        "http://{}/book/book/index.html",
        listener.local_addr()?
    ));
    let (root, counted) = (root.to_owned(), builds.clone());
    let served = root.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (root, builds) = (served.clone(), builds.clone());
            std::thread::spawn(move || {
                // A browser that went away has no wish to be told so.
                let _gone = answer(stream, &root, &builds);
            });
        }
    });
    let mut seen = newest(&files);
    loop {
        std::thread::sleep(LOOK_EVERY);
        let now = newest(&files);
        if now == seen {
            continue;
        }
        seen = now;
        match bind::build(&files, &root) {
            Ok(_) => {
                counted.fetch_add(1, Ordering::Relaxed);
                eprintln!("built again");
            }
            Err(error) => eprintln!("{error:#}"),
        }
    }
}

/// When the newest of the book's files was written, and how many there are.
fn newest(files: &Disk) -> (usize, Option<SystemTime>) {
    let times: Vec<SystemTime> = files
        .asked()
        .iter()
        .filter_map(|path| path.metadata().ok()?.modified().ok())
        .collect();
    (times.len(), times.into_iter().max())
}

fn answer(stream: TcpStream, root: &Path, builds: &AtomicU64) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut request)?;
    // The rest of the request says nothing that matters here.
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let (status, kind, body) = reply(&request, root, builds.load(Ordering::Relaxed));
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// Status, content type and body for a request's first line.
fn reply(request: &str, root: &Path, builds: u64) -> (&'static str, &'static str, Vec<u8>) {
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let path = path.split(['?', '#']).next().unwrap_or(path);
    if path == BUILDS {
        return ("200 OK", "text/plain", builds.to_string().into_bytes());
    }
    let file = served(path).map(|path| root.join(path));
    match file.and_then(|file| Some((std::fs::read(&file).ok()?, file))) {
        Some((body, file)) => {
            let kind = kind(&file);
            let reload = kind.starts_with("text/html").then(|| reload(builds));
            let body = body.into_iter().chain(reload.into_iter().flatten());
            ("200 OK", kind, body.collect())
        }
        None => (
            "404 Not Found",
            "text/plain",
            b"there is no such page\n".to_vec(),
        ),
    }
}

/// What is served: the workspace's sources and the book, no hidden file and no build.
fn served(path: &str) -> Option<PathBuf> {
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() {
        "book/book/index.html"
    } else {
        path
    };
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    (path.split('/').all(plain) && !path.starts_with("target/")).then(|| path.into())
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|it| it.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

/// Asks once a second whether there is a newer build.
fn reload(builds: u64) -> Vec<u8> {
    let script = format!(
        "<script>setInterval(async () => {{\
           const builds = await fetch('{BUILDS}').then(it => it.text(), () => '{builds}');\
           if (builds !== '{builds}') location.reload();\
         }}, 1000);</script>\n"
    );
    script.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_the_book_and_the_sources() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("book/book/index.html", "<p>book</p>");
        write("chapters/a.rs", "fn a() {}");
        write(".git/config", "secret");
        write("target/a", "built");
        let get = |path: &str| reply(&format!("GET {path} HTTP/1.1"), root.path(), 7);
        let (status, kind, body) = get("/");
        assert_eq!((status, kind), ("200 OK", "text/html; charset=utf-8"));
        let body = String::from_utf8(body).unwrap();
        assert!(body.starts_with("<p>book</p><script>"), "{body}");
        assert_eq!(get("/chapters/a.rs?x").2, b"fn a() {}");
        assert_eq!(get(BUILDS).2, b"7");
        for path in [
            "/.git/config",
            "/target/a",
            "/book/../.git/config",
            "/no",
            "/book/",
        ] {
            assert_eq!(get(path).0, "404 Not Found", "{path}");
        }
    }
}
