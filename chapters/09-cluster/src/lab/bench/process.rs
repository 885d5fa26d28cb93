//! What a process has used: its time and memory, from `/proc`.

use std::time::Duration;

use crate::lab::docker::engine::Engine;
use crate::lab::record::{Record, Runtime};
use crate::lab::{docker, processes};

use super::Failure;

/// The kubelet of a node, as the host sees it.
#[derive(Debug, Clone, Copy)]
pub struct Kubelet {
    /// Its number on the host.
    pub pid: i32,
}

impl Kubelet {
    /// Finds the one of `node`.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn find(record: &Record, node: &str) -> Result<Self, Failure> {
        let root = match record.runtime {
            Runtime::Docker => init_of_container(&record.name, node).await?,
            Runtime::Embedded | Runtime::Containerd => {
                let supervisor = record.supervisor.as_ref().map(|it| it.pid);
                supervisor.ok_or("the lab does not run")?
            }
        };
        let name = format!("--node-name={node}");
        let is_it = |command: &[String]| {
            command.get(1).is_some_and(|role| role == "kubelet") && command.contains(&name)
        };
        let found = processes::below(root).into_iter();
        let found = found.filter(|it| is_it(&it.command)).map(|it| it.pid);
        let pid = found.max().ok_or("the kubelet does not run")?;
        Ok(Self { pid })
    }

    /// The processor time that it has used.
    pub fn cpu(self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        ticks(&stat.unwrap_or_default()).map_or(Duration::ZERO, |ticks| {
            Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32
        })
    }

    /// Its memory in KiB: what is its own and its share of what is shared, and all that it maps.
    pub fn memory_kib(self) -> (u64, u64) {
        processes::memory_kib(self.pid)
    }

    /// Halts it, until what is returned is dropped.
    ///
    /// # Errors
    /// As `kill(2)`.
    pub fn halt(self) -> Result<Halted, Failure> {
        self.signal(rustix::process::Signal::STOP)?;
        Ok(Halted(self))
    }

    fn signal(self, signal: rustix::process::Signal) -> Result<(), Failure> {
        let pid = rustix::process::Pid::from_raw(self.pid).ok_or("no process")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

/// A kubelet that does nothing for now.
#[derive(Debug)]
pub struct Halted(Kubelet);

impl Drop for Halted {
    fn drop(&mut self) {
        let _gone = self.0.signal(rustix::process::Signal::CONT);
    }
}

async fn init_of_container(lab: &str, node: &str) -> Result<i32, Failure> {
    let engine = Engine::connect().await?;
    let container = docker::container(lab, node);
    let container = engine.docker.inspect_container(&container, None).await?;
    let pid = container.state.and_then(|state| state.pid);
    Ok(pid.filter(|pid| *pid > 0).ok_or("the node does not run")? as i32)
}

/// Clock ticks in user and kernel mode, of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<u64> {
    // The program's name may hold anything, so fields are counted after its last `)`.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn time_is_that_of_both_modes() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 0 0 17 25 0 0 20 0 9 0 100 1 2";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("42"), None);
    }
}
