//! A container's log in CRI's format: `{time} {stdout|stderr} {F|P} {line}`.
//!
//! Upstream: `pkg/kubelet/kuberuntime/logs/logs.go` reads it; containerd
//! `internal/cri/io/logger.go` writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A line longer than this is written in parts, all but the last marked `P`.
const LINE_LEN_MAX: usize = 16 << 10;
/// A log that reaches this length is put aside. Upstream: `containerLogMaxSize`.
pub const LOG_LEN_MAX: u64 = 10 << 20;
/// Files of one log, the current one among them. Upstream: `containerLogMaxFiles`.
const LOG_FILES_MAX: usize = 5;

/// Which of its outputs a process wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// stdout, or the terminal.
    Stdout,
    /// stderr.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Cuts the bytes of one stream into log lines.
#[derive(Debug, Default)]
pub struct LineCutter {
    rest: Vec<u8>,
}

impl LineCutter {
    /// Appends to `log` the lines that `bytes` complete.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], now: Timestamp, log: &mut Vec<u8>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.ends_with(b"\n") {
                self.rest.pop();
                self.write(stream, "F", self.rest.len(), now, log);
            }
            while self.rest.len() > LINE_LEN_MAX {
                self.write(stream, "P", LINE_LEN_MAX, now, log);
            }
        }
    }

    /// Appends what is left when the stream ends: a line that was never ended, so that readers
    /// do not end it either.
    pub fn finish(&mut self, stream: Stream, now: Timestamp, log: &mut Vec<u8>) {
        if !self.rest.is_empty() {
            self.write(stream, "P", self.rest.len(), now, log);
        }
    }

    /// Writes the first `len` bytes, in parts if they are too many for a line.
    fn write(&mut self, stream: Stream, tag: &str, len: usize, now: Timestamp, log: &mut Vec<u8>) {
        let line: Vec<u8> = self.rest.drain(..len).collect();
        let parts = line.chunks(LINE_LEN_MAX).count().max(1);
        let mut chunks = line.chunks(LINE_LEN_MAX);
        for part in 1..=parts {
            let tag = if part == parts { tag } else { "P" };
            // Writing to a vector cannot fail.
            let _ = write!(log, "{now:.9} {} {tag} ", stream.name());
            log.extend_from_slice(chunks.next().unwrap_or_default());
            log.push(b'\n');
        }
    }
}

/// A log file that is put aside when it is full.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl LogFile {
    /// Opens a log to append to it; makes its folder if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(LogFile {
            path: path.to_owned(),
            file,
            len,
        })
    }

    /// Appends whole lines.
    pub fn append(&mut self, lines: &[u8], now: Timestamp) -> io::Result<()> {
        if self.len >= LOG_LEN_MAX {
            self.rotate(now)?;
        }
        self.file.write_all(lines)?;
        self.len += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        put_aside(&self.path, now)?;
        *self = LogFile::open(&self.path)?;
        remove_surplus(&self.path)
    }
}

/// Puts a log aside as `{path}.{time}`, which it returns.
///
/// # Errors
/// As `rename(2)`.
pub fn put_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let mut aside = path.to_owned().into_os_string();
    aside.push(format!(".{}", now.strftime("%Y%m%d-%H%M%S%.6f")));
    std::fs::rename(path, &aside)?;
    Ok(aside.into())
}

/// Removes the oldest of the logs that were put aside, if they are too many.
///
/// # Errors
/// As `unlink(2)`.
pub fn remove_surplus(path: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut old: Vec<PathBuf> = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(&prefix))
        })
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(LOG_FILES_MAX - 1);
    old.iter().take(surplus).try_for_each(std::fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> String {
        let mut cutter = LineCutter::default();
        let mut log = Vec::new();
        let now: Timestamp = "2026-01-02T03:04:05.6Z".parse().unwrap();
        for piece in pieces {
            cutter.push(Stream::Stdout, piece, now, &mut log);
        }
        cutter.finish(Stream::Stdout, now, &mut log);
        String::from_utf8_lossy(&log).replace("2026-01-02T03:04:05.600000000Z stdout ", "")
    }

    #[test]
    fn lines_are_cut_where_they_end() {
        assert_eq!(cut(&[b"one\ntwo\n"]), "F one\nF two\n");
        // The last one was not ended.
        assert_eq!(cut(&[b"o", b"ne\nt", b"wo"]), "F one\nP two\n");
        assert_eq!(cut(&[b"\n\n"]), "F \nF \n");
        assert_eq!(cut(&[]), "");
    }

    #[test]
    fn long_lines_are_written_in_parts() {
        let long = vec![b'x'; LINE_LEN_MAX * 2 + 1];
        let text = cut(&[&long, b"y\nz\n"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("P x") && lines[1].starts_with("P x"));
        assert_eq!(lines[2..], ["F xy", "F z"]);
        assert_eq!(cut(&[&long, b"\n"]).matches("P ").count(), 2);
    }

    #[test]
    fn a_full_log_is_put_aside_and_the_oldest_go() {
        let dir = std::env::temp_dir().join(format!("log-{}", uuid::Uuid::new_v4()));
        let path = dir.join("web/0.log");
        let mut log = LogFile::open(&path).unwrap();
        for second in 0..8 {
            log.len = LOG_LEN_MAX;
            log.append(b"line\n", Timestamp::from_second(second).unwrap())
                .unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.join("web"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), LOG_FILES_MAX);
        assert_eq!(
            (names[0].as_str(), names[1].as_str()),
            ("0.log", "0.log.19700101-000004.000000")
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"line\n");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
