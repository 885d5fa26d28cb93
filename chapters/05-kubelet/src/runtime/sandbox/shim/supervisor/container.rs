//! A container that runs: its process's streams, its log, how it ended.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::io::ioctl_fionbio;
use rustix::process::Pid;

use super::super::super::record::{ContainerRecord, ContainerStatus, STATUS_FILE, write_json};
use super::super::log::{LineCutter, LogFile, Stream};
use super::super::process::Spawned;

/// A container whose process runs, or is about to be forgotten.
pub struct Container {
    /// Its folder.
    pub dir: PathBuf,
    /// As it was made.
    pub record: ContainerRecord,
    /// Its first process, while it lives.
    pub pid: Option<Pid>,
    /// How far it got.
    pub status: ContainerStatus,
    /// Our end of its stdin, or of its terminal.
    pub stdin: Option<OwnedFd>,
    /// It has a terminal.
    pub terminal: bool,
    /// What is read of it.
    pub sources: Vec<Source>,
    /// Its log, while it lives.
    pub log: Option<LogFile>,
}

/// A stream of a container's that is read.
pub struct Source {
    /// Which.
    pub stream: Stream,
    /// Our end.
    pub fd: OwnedFd,
    /// What is left of the last line.
    pub lines: LineCutter,
}

impl Container {
    /// Takes over the streams of its process.
    pub fn take_streams(&mut self, spawned: Spawned) {
        let outputs = match spawned.outputs {
            Some((stdout, stderr)) => {
                vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)]
            }
            None => spawned
                .terminal
                .iter()
                .filter_map(|fd| Some((Stream::Stdout, fd.try_clone().ok()?)))
                .collect(),
        };
        for (stream, fd) in outputs {
            let _ = ioctl_fionbio(&fd, true);
            self.sources.push(Source {
                stream,
                fd,
                lines: LineCutter::default(),
            });
        }
        self.stdin = spawned.stdin.or(spawned.terminal);
    }

    /// Writes what a stream brought.
    pub fn write_log(&mut self, index: usize, bytes: &[u8]) {
        let now = Timestamp::now();
        let mut lines = Vec::with_capacity(bytes.len() + 64);
        let source = &mut self.sources[index];
        source.lines.push(source.stream, bytes, now, &mut lines);
        self.append(&lines, now);
    }

    /// Ends a stream: what is left of its last line is written.
    pub fn end_source(&mut self, index: usize) {
        let mut source = self.sources.remove(index);
        let now = Timestamp::now();
        let mut lines = Vec::new();
        source.lines.finish(source.stream, now, &mut lines);
        self.append(&lines, now);
    }

    /// A log that cannot be written (a full disk) does not stop the container.
    fn append(&mut self, lines: &[u8], now: Timestamp) {
        if let Some(log) = &mut self.log
            && !lines.is_empty()
        {
            let _ = log.append(lines, now);
        }
    }

    /// Writes how far it got for the kubelet to read.
    pub fn write_status(&self) {
        let path = self.dir.join(STATUS_FILE);
        if let Err(error) = write_json(&path, &self.status) {
            eprintln!("{}: {error}", path.display());
        }
    }
}
