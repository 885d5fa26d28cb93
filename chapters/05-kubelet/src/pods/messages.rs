//! What containers left behind when they ended: their termination messages.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::launch::TERMINATION_LABEL;
use crate::decide::{RuntimePod, spec};
use crate::runtime::{Container, ContainerState};

/// Most of a message that the API takes.
const MESSAGE_LIMIT: u64 = 4096;
/// Most of a log that stands in for a message.
const LOG_LIMIT: u64 = 2048;
const LOG_LINES: usize = 80;

/// The messages of containers that ended, by container id.
///
/// Upstream: `kuberuntime_container.go: getTerminationMessage`.
pub fn read(pod: &Pod, runtime: &RuntimePod) -> BTreeMap<String, String> {
    let mut messages = BTreeMap::new();
    for container in &runtime.containers {
        let ContainerState::Exited { exit_code, .. } = container.state else {
            continue;
        };
        let policy = spec::find_container(pod, &container.name)
            .and_then(|container| container.into_owned().termination_message_policy);
        let falls_back = policy.as_deref() == Some("FallbackToLogsOnError") && exit_code != 0;
        let message = left_message(container).or_else(|| {
            falls_back
                .then(|| end_of_log(&container.log_path))
                .flatten()
        });
        if let Some(message) = message {
            messages.insert(container.id.clone(), message);
        }
    }
    messages
}

fn left_message(container: &Container) -> Option<String> {
    let path = container.labels.get(TERMINATION_LABEL)?;
    let mut bytes = Vec::new();
    // The container can put anything there but a link: it is a mount of a file we made.
    std::fs::File::open(path)
        .ok()?
        .take(MESSAGE_LIMIT)
        .read_to_end(&mut bytes)
        .ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn end_of_log(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    // A line of the log is longer than what it says, by its time and stream.
    file.seek(SeekFrom::Start(
        length.saturating_sub(LOG_LIMIT * 2 + 80 * 50),
    ))
    .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(last_words(&String::from_utf8_lossy(&bytes)))
}

/// The end of what a log in CRI's format says. A part of a line (`P`) does not end it.
fn last_words(log: &str) -> String {
    let said = |line: &str| {
        let mut fields = line.splitn(4, ' ').skip(2);
        let is_part = fields.next()?.starts_with('P');
        let text = fields.next()?.to_owned();
        Some(if is_part { text } else { text + "\n" })
    };
    let lines: Vec<String> = log.lines().filter_map(said).collect();
    let tail = lines[lines.len().saturating_sub(LOG_LINES)..].concat();
    let mut start = tail.len().saturating_sub(LOG_LIMIT as usize);
    while !tail.is_char_boundary(start) {
        start += 1;
    }
    tail[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_ends_as_the_container_ended_it() {
        let log = "t stdout F one\nt stderr P tw\nt stderr F o\nt stdout P DONE\n";
        assert_eq!(last_words(log), "one\ntwo\nDONE");
        assert_eq!(last_words("t stdout F DONE\n"), "DONE\n");
        assert_eq!(last_words("t stdout F \n"), "\n");
    }

    #[test]
    fn only_the_end_is_kept() {
        let long: String = (0..100).map(|n| format!("t stdout F {n}\n")).collect();
        assert!(last_words(&long).starts_with("20\n"));
        let wide = format!("t stdout F {}\n", "é".repeat(2000));
        let kept = last_words(&wide);
        assert!(kept.len() <= LOG_LIMIT as usize && kept.ends_with("é\n"));
    }
}
