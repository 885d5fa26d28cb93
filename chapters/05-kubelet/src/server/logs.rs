//! A container's log: read from its end, filtered, followed.
//!
//! The runtime writes CRI's format, a line at a time: when, which stream, whole or part, what.
//!
//! ```text
//! 2026-11-22T22:01:34.123456789Z stdout F GET /healthz
//! 2026-11-22T22:01:35.000000001Z stderr P the first part of a very long
//! 2026-11-22T22:01:35.000000002Z stderr F  line
//! ```
//!
//! Upstream: `pkg/kubelet/kuberuntime/logs/logs.go`.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use super::{Body, Query, Refusal, bad_request, containers_of};
use crate::context::Context;
use crate::decide::spec;
use crate::runtime::{Container, ContainerState};

/// How much of a file is read at a time.
const CHUNK: usize = 32 << 10;
/// How soon what was added to a followed log is seen.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(30);

/// What of a log is asked for. Upstream: `v1.PodLogOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Options {
    follow: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    limit_bytes: Option<u64>,
    since: Option<Timestamp>,
    stream: Option<&'static str>,
}

impl Options {
    fn parse(query: &Query, now: Timestamp) -> Result<Options, Refusal> {
        let number = |name: &str| -> Result<Option<u64>, Refusal> {
            query
                .get(name)
                .map(|text| {
                    text.parse()
                        .map_err(|_| bad_request(format!("invalid {name}: {text}")))
                })
                .transpose()
        };
        let since = match (number("sinceSeconds")?, query.get("sinceTime")) {
            (Some(seconds), _) => {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX / 2);
                now.checked_sub(SignedDuration::from_secs(seconds)).ok()
            }
            (None, Some(time)) if !time.is_empty() => {
                let parsed = time.parse();
                Some(parsed.map_err(|_| bad_request(format!("invalid sinceTime: {time}")))?)
            }
            _ => None,
        };
        Ok(Options {
            follow: query.flag("follow"),
            timestamps: query.flag("timestamps"),
            tail_lines: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
            since,
            stream: match query.get("stream") {
                Some("Stdout") => Some("stdout"),
                Some("Stderr") => Some("stderr"),
                _ => None,
            },
        })
    }
}

/// Answers with a container's log.
pub(super) async fn serve(
    context: &Arc<Context>,
    pod: &Pod,
    name: &str,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    if spec::find_container(pod, name).is_none() {
        let message = format!("container {name} is not valid for pod {pod_name}");
        return Err(bad_request(message));
    }
    let options = Options::parse(query, Timestamp::now())?;
    let containers = containers_of(context, pod, name).await?;
    let previous = query.flag("previous");
    let wanted = if previous {
        containers.get(1)
    } else {
        containers.first()
    };
    let Some(container) = wanted.filter(|c| c.state != ContainerState::Created) else {
        return Err(bad_request(if previous {
            format!("previous terminated container \"{name}\" in pod \"{pod_name}\" not found")
        } else {
            let reason = waiting_reason(pod, name);
            format!("container \"{name}\" in pod \"{pod_name}\" is waiting to start: {reason}")
        }));
    };

    let (sender, receiver) = mpsc::channel(4);
    let source = Source {
        context: context.clone(),
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        container: container.clone(),
    };
    tokio::spawn(async move {
        if let Err(error) = source.send(options, &sender).await {
            tracing::debug!(%error, "log not read");
        }
    });
    let chunks = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let chunks = futures::StreamExt::map(chunks, |bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(chunks)));
    *response.status_mut() = StatusCode::OK;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    Ok(response)
}

/// As upstream words it: image troubles have their own sentences.
fn waiting_reason(pod: &Pod, name: &str) -> String {
    let status = pod.status.as_ref();
    let statuses = status.into_iter().flat_map(|s| {
        s.container_statuses
            .iter()
            .chain(&s.init_container_statuses)
            .flatten()
    });
    let mut statuses = statuses.filter(|status| status.name == name);
    let waiting = statuses
        .next()
        .and_then(|status| status.state.clone()?.waiting);
    match waiting.and_then(|waiting| waiting.reason).as_deref() {
        Some("ErrImagePull") => "image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => "trying and failing to pull image".to_owned(),
        Some(reason) => reason.to_owned(),
        None => "ContainerCreating".to_owned(),
    }
}

/// A log that is being sent.
struct Source {
    context: Arc<Context>,
    pod_uid: String,
    container: Container,
}

impl Source {
    async fn send(&self, options: Options, sender: &mpsc::Sender<Bytes>) -> io::Result<()> {
        let path = &self.container.log_path;
        let mut filter = Filter::new(&options);
        let mut events = self.context.runtime.events();
        let mut reader = match Reader::open(path, options.tail_lines) {
            Ok(reader) => reader,
            // Nothing has been written yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.follow => {
                Reader::waiting(path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut runs = self.runs().await;
        loop {
            let (chunk, at_end) = reader.read()?;
            let out = filter.apply(&chunk);
            if !out.is_empty() && sender.send(Bytes::from(out)).await.is_err() {
                return Ok(());
            }
            if filter.is_full() || (at_end && !(options.follow && runs)) {
                return Ok(());
            }
            if at_end {
                tokio::select! {
                    () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
                    _ = events.recv() => runs = self.runs().await,
                    // The client went away.
                    () = sender.closed() => return Ok(()),
                }
            }
        }
    }

    async fn runs(&self) -> bool {
        let containers = self
            .context
            .runtime
            .list_containers(Some(&self.pod_uid))
            .await;
        containers.unwrap_or_default().iter().any(|container| {
            container.id == self.container.id && container.state == ContainerState::Running
        })
    }
}

/// Reads a log file that may be rotated: renamed, with a new one in its place.
struct Reader {
    path: PathBuf,
    file: Option<File>,
}

impl Reader {
    fn open(path: &Path, tail_lines: Option<u64>) -> io::Result<Reader> {
        let mut file = File::open(path)?;
        if let Some(lines) = tail_lines {
            let start = start_of_tail(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Reader {
            path: path.to_owned(),
            file: Some(file),
        })
    }

    fn waiting(path: &Path) -> Reader {
        Reader {
            path: path.to_owned(),
            file: None,
        }
    }

    /// What comes next, and whether that was all for now.
    fn read(&mut self) -> io::Result<(Vec<u8>, bool)> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else {
            return Ok((Vec::new(), true));
        };
        let mut chunk = vec![0; CHUNK];
        let length = file.read(&mut chunk)?;
        chunk.truncate(length);
        if length == 0 && self.was_rotated() {
            self.file = None;
            return Ok((chunk, false));
        }
        Ok((chunk, length == 0))
    }

    fn was_rotated(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let inode = |meta: io::Result<std::fs::Metadata>| meta.ok().map(|m| (m.dev(), m.ino()));
        let open = self.file.as_ref().and_then(|file| inode(file.metadata()));
        let named = inode(std::fs::metadata(&self.path));
        named.is_some() && named != open
    }
}

/// Where the last `lines` lines of a file begin. Reads backwards.
fn start_of_tail(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(length);
    }
    let mut at = length;
    let mut seen = 0;
    while at > 0 {
        let size = at.min(CHUNK as u64);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        let mut block = vec![0; size as usize];
        file.read_exact(&mut block)?;
        for (index, byte) in block.iter().enumerate().rev() {
            let position = at + index as u64;
            // The newline that ends the last line starts no other.
            if *byte == b'\n' && position + 1 < length {
                seen += 1;
                if seen == lines {
                    return Ok(position + 1);
                }
            }
        }
    }
    Ok(0)
}

/// Turns lines of CRI's format into what the client asked for.
struct Filter {
    options: Options,
    rest: Vec<u8>,
    left: Option<u64>,
    /// The last line was a part, which the next one goes on.
    in_line: bool,
}

impl Filter {
    fn new(options: &Options) -> Filter {
        Filter {
            left: options.limit_bytes,
            options: options.clone(),
            rest: Vec::new(),
            in_line: false,
        }
    }

    fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    fn apply(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(chunk);
        let mut out = Vec::new();
        let mut done = 0;
        while let Some(length) = self.rest[done..].iter().position(|byte| *byte == b'\n') {
            let line = self.rest[done..done + length].to_vec();
            done += length + 1;
            self.line(&line, &mut out);
        }
        self.rest.drain(..done);
        if let Some(left) = &mut self.left {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
        }
        out
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(stream), Some(tag)) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let content = parts.next().unwrap_or_default();
        let time = std::str::from_utf8(time).unwrap_or_default();
        if let Some(since) = self.options.since
            && time.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return;
        }
        if self
            .options
            .stream
            .is_some_and(|wanted| wanted.as_bytes() != stream)
        {
            return;
        }
        if self.options.timestamps && !self.in_line {
            out.extend_from_slice(time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(content);
        self.in_line = tag.starts_with(b"P");
        if !self.in_line {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n\
                       2026-01-01T00:00:02Z stderr P tw\n\
                       2026-01-01T00:00:03Z stderr F o\n\
                       2026-01-01T00:00:04Z stdout F three\n";

    fn check(options: &Options, expected: &str) {
        for step in [1, 7, LOG.len()] {
            let mut filter = Filter::new(options);
            let out: Vec<u8> = LOG
                .as_bytes()
                .chunks(step)
                .flat_map(|chunk| filter.apply(chunk))
                .collect();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{options:?}");
        }
    }

    #[test]
    fn gives_what_was_asked_for() {
        let all = Options::default();
        check(&all, "one\ntwo\nthree\n");
        check(
            &Options {
                limit_bytes: Some(5),
                ..all.clone()
            },
            "one\nt",
        );
        check(
            &Options {
                stream: Some("stdout"),
                ..all.clone()
            },
            "one\nthree\n",
        );
        let since = Some("2026-01-01T00:00:03.5Z".parse().unwrap());
        check(
            &Options {
                since,
                ..all.clone()
            },
            "three\n",
        );
        check(
            &Options {
                timestamps: true,
                ..all
            },
            "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n2026-01-01T00:00:04Z three\n",
        );
    }

    #[test]
    fn finds_the_last_lines() {
        for (lines, expected) in [
            (0, ""),
            (1, "c\n"),
            (2, "b\nc\n"),
            (3, "a\nb\nc\n"),
            (9, "a\nb\nc\n"),
        ] {
            let mut file = io::Cursor::new(b"a\nb\nc\n");
            let start = start_of_tail(&mut file, lines).unwrap();
            assert_eq!(&"a\nb\nc\n"[start as usize..], expected, "{lines}");
        }
    }
}
