//! `lab logs`: what the components said.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::layout::Layout;

/// How often a followed log is looked at again.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// `lab logs`
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// A component (apiserver, scheduler, controllers, kubelet, proxy, supervisor), a node, or
    /// both: worker-1.kubelet
    pub what: String,
    /// Go on showing what is said
    #[arg(short, long)]
    pub follow: bool,
}

/// Shows the logs that `options` names.
///
/// # Errors
/// When no log is called so: the text lists those that there are.
pub fn run(name: &str, layout: &Layout, options: &Logs) -> Result<(), Error> {
    let mut logs = matching(layout, &options.what)?;
    if logs.is_empty() {
        let known: Vec<String> = all(layout)?.into_iter().map(|(name, _)| name).collect();
        return Err(if known.is_empty() {
            Error::NotRunning(name.into())
        } else {
            let what = &options.what;
            Error::Usage(format!(
                "no log is called {what:?}; there are: {}",
                known.join(", ")
            ))
        });
    }
    let several = logs.len() > 1;
    let mut shown_last = None;
    loop {
        for (at, log) in logs.iter_mut().enumerate() {
            let text = log.news()?;
            if text.is_empty() {
                continue;
            }
            if several && shown_last != Some(at) {
                println!("==> {} <==", log.name);
            }
            shown_last = Some(at);
            // A reader that went away (`| head`) is the end, not an error.
            if std::io::stdout().write_all(&text).is_err() {
                return Ok(());
            }
        }
        if !options.follow {
            return Ok(());
        }
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// The last `lines` lines of the log at `path`; empty when there is none.
pub fn tail(path: &Path, lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A log that is read bit by bit.
struct Log {
    name: String,
    file: File,
    path: PathBuf,
}

impl Log {
    /// What was written since it was last asked.
    fn news(&mut self) -> Result<Vec<u8>, Error> {
        let read = |file: &mut File| {
            // A log that shrank was begun anew.
            if file.stream_position()? > file.metadata()?.len() {
                file.seek(SeekFrom::Start(0))?;
            }
            let mut text = Vec::new();
            file.read_to_end(&mut text).map(|_| text)
        };
        read(&mut self.file).map_err(|source| Error::File {
            path: self.path.clone(),
            source,
        })
    }
}

fn matching(layout: &Layout, what: &str) -> Result<Vec<Log>, Error> {
    let mut logs = Vec::new();
    for (name, path) in all(layout)? {
        let parts = name.split_once('.').unwrap_or((&name, &name));
        if what == name || what == parts.0 || what == parts.1 {
            let file = File::open(&path).map_err(|source| Error::File {
                path: path.clone(),
                source,
            })?;
            logs.push(Log { name, file, path });
        }
    }
    Ok(logs)
}

/// All logs, by name: `worker-1.kubelet`.
fn all(layout: &Layout) -> Result<Vec<(String, PathBuf)>, Error> {
    let Ok(entries) = std::fs::read_dir(layout.logs()) else {
        return Ok(Vec::new());
    };
    let mut logs: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_suffix(".log")?.to_owned(), entry.path()))
        })
        .collect();
    logs.sort();
    Ok(logs)
}
