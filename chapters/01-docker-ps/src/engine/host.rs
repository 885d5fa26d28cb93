//! Where engines are: `unix:///path`, `tcp://address:port`, and several of them with names.

use std::path::Path;
use std::str::FromStr;

use super::Error;

/// Where an engine listens unless `DOCKER_HOST` says otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The name of the engine that is asked when none is named.
const DEFAULT_NAME: &str = "default";

/// The engine that is asked when none is named.
pub fn default_host() -> String {
    let named = std::env::var("DOCKER_HOST").ok();
    named
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| DEFAULT_HOST.into())
}

/// One of the engines that are asked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What the NODE column shows.
    pub name: String,
    /// Where it listens.
    pub host: String,
}

impl FromStr for Node {
    type Err = Error;

    /// `NAME=HOST`, a `HOST` that is its own name, or `default`.
    fn from_str(text: &str) -> Result<Node, Error> {
        let (name, host) = match text.split_once('=') {
            Some((name, host)) if !name.contains("://") => (name, host),
            _ => (text, text),
        };
        let host = if host == DEFAULT_NAME {
            default_host()
        } else {
            host.to_owned()
        };
        check(&host)?;
        Ok(Node {
            name: name.to_owned(),
            host,
        })
    }
}

/// The nodes that a file names: a line each, `NAME HOST`; `#` begins a comment.
///
/// # Errors
/// If the file cannot be read, or a line names no host.
pub fn read_nodes(path: &Path) -> Result<Vec<Node>, Error> {
    let wrong = |reason: String| Error::Host {
        host: path.display().to_string(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => None,
            [name, host] => Some(format!("{name}={host}").parse()),
            _ => Some(Err(wrong(format!("line {} is not NAME HOST", number + 1)))),
        }
    });
    lines.collect()
}

/// Refuses a host that cannot be one. A missing socket shows at the first request.
pub(super) fn check(host: &str) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(Error::Host {
            host: host.to_owned(),
            reason: reason.to_owned(),
        })
    };
    match host.split_once("://") {
        Some(("unix" | "tcp" | "http", "")) => refuse("nothing follows the ://"),
        Some(("tcp" | "http", _)) if std::env::var_os("DOCKER_TLS_VERIFY").is_some() => {
            refuse("TLS is left out here, and DOCKER_TLS_VERIFY asks for it")
        }
        Some(("unix" | "tcp" | "http", _)) => Ok(()),
        Some(("https", _)) => refuse("TLS is left out here"),
        Some(("ssh", _)) => refuse("SSH is left out here; `ssh -L` carries a socket too"),
        _ => refuse("it starts with unix:// or tcp://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_or_is_its_own() {
        let node = |text: &str| text.parse::<Node>().map(|node| (node.name, node.host));
        let pair = |name: &str, host: &str| (name.to_owned(), host.to_owned());
        assert_eq!(
            node("one=tcp://10.0.0.1:2375").unwrap(),
            pair("one", "tcp://10.0.0.1:2375")
        );
        assert_eq!(
            node("unix:///run/a=b.sock").unwrap(),
            pair("unix:///run/a=b.sock", "unix:///run/a=b.sock")
        );
        let error = node("one=ftp://x").unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid host \"ftp://x\": it starts with unix:// or tcp://"
        );
    }

    #[test]
    fn a_file_of_nodes_has_comments_and_line_numbers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            &file,
            "# all of them\none unix:///a\n\ntwo tcp://b:1 # far\n",
        )
        .unwrap();
        let names: Vec<_> = read_nodes(file.path())
            .unwrap()
            .into_iter()
            .map(|node| node.name)
            .collect();
        assert_eq!(names, ["one", "two"]);
        std::fs::write(&file, "one unix:///a\ntwo\n").unwrap();
        let error = read_nodes(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("line 2 is not NAME HOST"), "{error}");
    }
}
