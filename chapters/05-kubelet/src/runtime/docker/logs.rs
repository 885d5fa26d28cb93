//! From the engine's log of a container to the file where the kubelet looks for it.
//!
//! The engine gives each entry with its time. A follower writes it down in CRI's format, and the
//! time with it: so the file itself says how far it is. Whoever goes on with it asks the engine for
//! what came since, and leaves out what is there already: nothing is lost, nothing is there twice.
//!
//! ```text
//!   engine   2026-11-22T22:01:34.123456789Z GET /healthz\n
//!   file     2026-11-22T22:01:34.123456789Z stdout F GET /healthz
//! ```

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::StreamExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Inner;
use super::engine::{Engine, status};
use crate::runtime::sandbox::shim_log::LogFile;

/// The wait before an engine is asked again that stopped answering.
const RETRY: Duration = Duration::from_millis(500);
/// How long the end of a container is kept back for its last words.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// How much of a file's end is read to find its last entries.
const TAIL_LEN: u64 = 256 << 10;

/// The logs that are being followed, by container.
#[derive(Default)]
pub struct Followers {
    running: Mutex<HashMap<String, Follower>>,
}

struct Follower {
    task: JoinHandle<()>,
    done: watch::Receiver<bool>,
}

impl Followers {
    /// Waits a moment for what a container said last.
    pub async fn drained(&self, id: &str) {
        let done = self.lock().get(id).map(|follower| follower.done.clone());
        if let Some(mut done) = done {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, done.wait_for(|done| *done)).await;
        }
    }

    /// Ends with a container that is removed.
    pub fn end(&self, id: &str) {
        if let Some(follower) = self.lock().remove(id) {
            follower.task.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Follower>> {
        self.running.lock().expect("no panics inside")
    }
}

impl Inner {
    /// Follows a container's log into its file, unless that is being done.
    pub(super) fn follow_log(&self, id: &str, path: &Path) {
        let mut running = self.logs.lock();
        if running.contains_key(id) || path.as_os_str().is_empty() {
            return;
        }
        let (told, done) = watch::channel(false);
        let (engine, id, path) = (self.engine.clone(), id.to_owned(), path.to_owned());
        let task = tokio::spawn({
            let id = id.clone();
            async move {
                if let Err(error) = copy(&engine, &id, path).await {
                    tracing::warn!(container = id, %error, "log not followed");
                }
                told.send_replace(true);
            }
        });
        running.insert(id, Follower { task, done });
    }
}

/// Copies a log until its container has ended and all of it is there.
async fn copy(engine: &Engine, id: &str, path: PathBuf) -> io::Result<()> {
    loop {
        let mut position = Position::of(&path)?;
        let mut file = LogFile::open(&path)?;
        let options = LogsOptions {
            follow: true,
            stdout: true,
            stderr: true,
            timestamps: true,
            // Whole seconds: what comes twice by that is left out below.
            since: i32::try_from(position.last.as_second()).unwrap_or(0),
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        let mut entries = Box::pin(engine.docker.logs(id, Some(options)));
        loop {
            match entries.next().await {
                Some(Ok(output)) => {
                    let Some(entry) = Entry::parse(&output) else {
                        continue;
                    };
                    if position.is_new(entry.time) {
                        file.append(&entry.line(), entry.time)?;
                    }
                }
                Some(Err(error)) if status(&error) == Some(404) => return Ok(()),
                Some(Err(_)) | None => break,
            }
        }
        if engine.has_ended(id).await {
            return Ok(());
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// How far a log file is: the time of its last entry, and how many have that time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Position {
    last: Timestamp,
    /// Entries of the time `last` that are in the file, and have not come again yet.
    count: usize,
}

impl Position {
    fn of(path: &Path) -> io::Result<Position> {
        let mut text = Vec::new();
        match std::fs::File::open(path) {
            Ok(mut file) => {
                let start = file.metadata()?.len().saturating_sub(TAIL_LEN);
                file.seek(SeekFrom::Start(start))?;
                file.read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Position::in_text(&text))
    }

    fn in_text(text: &[u8]) -> Position {
        let times = text.split(|byte| *byte == b'\n').rev().filter_map(|line| {
            let time = line.split(|byte| *byte == b' ').next()?;
            std::str::from_utf8(time).ok()?.parse::<Timestamp>().ok()
        });
        let mut times = times.peekable();
        let Some(last) = times.peek().copied() else {
            return Position::default();
        };
        let count = times.take_while(|time| *time == last).count();
        Position { last, count }
    }

    /// Whether an entry of that time is not in the file.
    fn is_new(&mut self, time: Timestamp) -> bool {
        if time == self.last && self.count > 0 {
            self.count -= 1;
            return false;
        }
        time >= self.last
    }
}

/// One entry of the engine's log.
struct Entry<'a> {
    time: Timestamp,
    stream: &'static str,
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(output: &'a LogOutput) -> Option<Entry<'a>> {
        let (stream, bytes) = match output {
            LogOutput::StdErr { message } => ("stderr", message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => ("stdout", message),
            LogOutput::StdIn { .. } => return None,
        };
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let time = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let text = &bytes[space + 1..];
        Some(Entry { time, stream, text })
    }

    /// The line of the file. One that the engine cut, or that has no end yet, is a part.
    fn line(&self) -> Vec<u8> {
        let (text, tag) = match self.text.strip_suffix(b"\n") {
            Some(text) => (text, "F"),
            None => (self.text, "P"),
        };
        let mut line = format!("{:.9} {} {tag} ", self.time, self.stream).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"2026-01-01T00:00:01.000000000Z stdout F one\n\
                          2026-01-01T00:00:02.000000000Z stdout P tw\n\
                          2026-01-01T00:00:02.000000000Z stdout F o\n";

    fn entry(text: &str) -> LogOutput {
        let message = text.as_bytes().to_vec().into();
        LogOutput::StdOut { message }
    }

    #[test]
    fn goes_on_where_the_file_ends() {
        let mut position = Position::in_text(FILE);
        assert_eq!((position.last.as_second() % 60, position.count), (2, 2));
        let times = ["01", "02", "02", "02", "03"];
        let new = times
            .map(|second| position.is_new(format!("2026-01-01T00:00:{second}Z").parse().unwrap()));
        assert_eq!(new, [false, false, false, true, true]);
        assert_eq!(Position::in_text(b""), Position::default());
        // A line that was cut short when the plug was pulled says nothing.
        let cut = [FILE, b"2026-01-01T00"].concat();
        assert_eq!(Position::in_text(&cut).count, 2);
    }

    #[test]
    fn entries_become_lines() {
        let line = |text: &str| {
            let output = entry(text);
            Entry::parse(&output).map(|entry| String::from_utf8(entry.line()).unwrap())
        };
        assert_eq!(
            line("2026-01-01T00:00:01.5Z GET /\n").unwrap(),
            "2026-01-01T00:00:01.500000000Z stdout F GET /\n"
        );
        assert_eq!(
            line("2026-01-01T00:00:01.5Z a part").unwrap(),
            "2026-01-01T00:00:01.500000000Z stdout P a part\n"
        );
        assert_eq!(line("no time"), None);
    }
}
