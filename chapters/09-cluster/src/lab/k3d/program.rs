//! The program `k3d`: how it is called, what it answers, and what is said when it cannot help.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde::Deserialize;

use super::super::Error;

/// One of `k3d cluster list --output json`; what else is in there the lab has no use for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its containers: servers, agents, the load balancer before the servers.
    #[serde(default)]
    pub nodes: Vec<Node>,
}

/// A container of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// `k3d-NAME-server-0`
    pub name: String,
    /// `server`, `agent`, `loadbalancer` or `registry`
    #[serde(default)]
    pub role: String,
    /// What its container does.
    #[serde(default, rename = "State")]
    pub state: State,
}

/// The state of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// Whether it runs.
    #[serde(default)]
    pub running: bool,
    /// The engine's word for it: `running`, `exited`.
    #[serde(default)]
    pub status: String,
}

/// `k3d version --output json`
#[derive(Deserialize)]
struct Version {
    k3d: String,
}

/// Whether there is a k3d of version 5 and a Docker engine for it.
///
/// # Errors
/// What is missing, and how to get it.
pub fn check() -> Result<(), Error> {
    let version = output(&["version", "--output", "json"])?;
    let version: Version = parse(&version, "k3d version")?;
    if !version.k3d.trim_start_matches('v').starts_with("5.") {
        return Err(Error::Machine(format!(
            "this is k3d {}; the lab's config file (k3d.io/v1alpha5) needs version 5: see \
             https://k3d.io",
            version.k3d
        )));
    }
    engine(std::env::var("DOCKER_HOST").ok().as_deref())
}

/// An engine elsewhere is k3d's to reach; one on this machine is looked for.
fn engine(host: Option<&str>) -> Result<(), Error> {
    let host = host
        .filter(|host| !host.is_empty())
        .unwrap_or("unix:///var/run/docker.sock");
    let Some(socket) = host.strip_prefix("unix://") else {
        return Ok(());
    };
    UnixStream::connect(Path::new(socket))
        .map(drop)
        .map_err(|error| {
            Error::Machine(format!(
                "k3d makes nodes of Docker containers, and no Docker engine answers on {socket} \
             ({error}); start it (`sudo systemctl start docker`), install it \
             (https://docs.docker.com/engine/install/), join its group (`sudo usermod --append \
             --groups docker $USER`, then log in anew), or set DOCKER_HOST"
            ))
        })
}

/// The cluster `name`, if k3d knows it.
///
/// # Errors
/// When k3d fails.
pub fn cluster(name: &str) -> Result<Option<Cluster>, Error> {
    let text = output(&["cluster", "list", "--output", "json"])?;
    // k3d writes `null` for none.
    let all: Option<Vec<Cluster>> = parse(&text, "k3d cluster list")?;
    let mut all = all.unwrap_or_default().into_iter();
    Ok(all.find(|cluster| cluster.name == name))
}

/// Runs k3d; what it says goes to this program's standard error.
///
/// # Errors
/// When k3d fails: its own errors, and what to do about an image that is missing.
pub fn run(args: &[&str]) -> Result<(), Error> {
    let output = start(
        Command::new("k3d")
            .args(args)
            // k3d tells its progress there; this program's is for answers.
            .stdout(std::io::stderr())
            .stderr(Stdio::piped()),
    )?;
    check_status(args, &output)
}

/// Runs k3d and returns what it answers.
///
/// # Errors
/// When k3d fails.
pub fn output(args: &[&str]) -> Result<String, Error> {
    let output = start(Command::new("k3d").args(args))?;
    check_status(args, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn start(command: &mut Command) -> Result<Output, Error> {
    let child = command.stdin(Stdio::null()).output();
    child.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Machine(
            "there is no program k3d on the PATH; https://k3d.io tells how to install version 5 \
             (one file, from https://github.com/k3d-io/k3d/releases)"
                .into(),
        ),
        _ => Error::system("run k3d")(error),
    })
}

fn check_status(args: &[&str], output: &Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let call = args.join(" ");
    let advice = missing_image(said).map_or_else(String::new, |image| {
        format!(
            "\nThe engine has no image {image} and cannot pull it. With a network: `docker pull \
             {image}`. Without: `docker save {image} --output image.tar` where it is, `docker \
             load --input image.tar` here. `lab up --backend k3d --image NAME` takes another \
             one for the nodes."
        )
    });
    Err(Error::Refused(format!(
        "`k3d {call}` failed ({}): {said}{advice}",
        output.status
    )))
}

/// The image that could not be pulled, when that is what k3d complains of: it names it in quotes.
fn missing_image(said: &str) -> Option<&str> {
    let line = said.lines().find(|line| {
        let line = line.to_lowercase();
        line.contains("pull") && line.contains("image")
    })?;
    let image = line.split('\'').nth(1)?;
    (!image.is_empty() && !image.contains(' ')).then_some(image)
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| {
        Error::Machine(format!(
            "`{what} --output json` is not as of k3d 5: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_missing_is_named() {
        let said =
            "FATA[0001] docker failed to pull image 'docker.io/rancher/k3s:v1': no such host";
        assert_eq!(missing_image(said), Some("docker.io/rancher/k3s:v1"));
        assert_eq!(missing_image("FATA[0000] port 'x' is in use"), None);
    }

    #[test]
    fn an_engine_that_is_not_there_is_said() {
        let error = engine(Some("unix:///nowhere/docker.sock")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/docker.sock"), "{text}");
        engine(Some("tcp://elsewhere:2375")).expect("left to k3d");
    }
}
