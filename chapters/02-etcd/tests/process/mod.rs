//! The server as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Server {
    pub process: Child,
    /// Where it listens, in the order of its flags: `http://127.0.0.1:35123`.
    pub urls: Vec<String>,
}

impl Server {
    /// Starts a server that listens at as many URLs as `flags` name, for all of which the port
    /// may be 0.
    pub fn start(data_dir: &Path, flags: &[&str]) -> Self {
        Self::start_with(data_dir, flags, &[])
    }

    /// As [`Server::start`], with variables of the environment.
    pub fn start_with(data_dir: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_etcd"))
            .arg("serve")
            .args(flags)
            .env("ETCD_DATA_DIR", data_dir)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let count = flags
            .iter()
            .filter(|flag| flag.contains("://"))
            .map(|urls| urls.split(',').count())
            .sum::<usize>()
            .max(1);
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let urls = lines
            .by_ref()
            .map_while(Result::ok)
            .inspect(|line| eprintln!("{line}"))
            .filter_map(|line| Some(line.split_once("listening url=")?.1.to_owned()))
            .take(count)
            .collect::<Vec<_>>();
        assert_eq!(urls.len(), count, "it says where it listens");
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        Self { process, urls }
    }

    /// `127.0.0.1:35123`
    pub fn address(&self, index: usize) -> &str {
        self.urls[index].split_once("://").expect("a URL").1
    }

    /// Asks it to end, as a service manager does.
    #[allow(dead_code)]
    pub fn terminate(&self) {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}
