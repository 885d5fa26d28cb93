//! Building the checks of a package in a copy of the workspace, and running some of them, for a
//! while at most.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::scratch::{Scratch, package_folder};
use super::task::Task;

/// The memory that a check may use, in KiB: a loop that never ends often collects things.
const MEMORY_KIB_MAX: u64 = 8 << 20;
/// How often a running check is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// A build that takes longer than this is spoken of.
const QUIET: Duration = Duration::from_secs(3);

/// What became of a build.
#[derive(Debug)]
pub enum Built {
    /// The program with the checks.
    Program(PathBuf),
    /// What the compiler, or cargo, has against it.
    Broken(String),
}

/// The lines of cargo's `--message-format=json` that matter.
#[derive(Deserialize)]
struct Message {
    reason: String,
    message: Option<Diagnostic>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds the checks that `scratch` shows.
///
/// # Errors
/// When cargo cannot be run.
pub fn build(scratch: &Scratch, colour: bool) -> Result<Built> {
    let format = if colour {
        "--message-format=json-diagnostic-rendered-ansi"
    } else {
        "--message-format=json"
    };
    let output = scratch
        .cargo()
        .args(["test", "--quiet", "--no-run", "--workspace"])
        .args(["--test", "exercises", format])
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(read_build(&messages, &said, output.status.success()))
}

/// As [`build`], for somebody who waits: says so when it takes long.
pub fn build_with_patience(scratch: &Scratch, colour: bool) -> Result<Built> {
    std::thread::scope(|scope| {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            if wait.recv_timeout(QUIET) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("building; the first time takes a few minutes …");
            }
        });
        let built = build(scratch, colour);
        drop(done);
        built
    })
}

fn read_build(messages: &str, said: &str, success: bool) -> Built {
    let (mut errors, mut program) = (String::new(), None);
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            continue;
        };
        match (message.reason.as_str(), message.message, message.target) {
            ("compiler-message", Some(it), _) if it.level.starts_with("error") => {
                errors += &it.rendered.unwrap_or_default();
            }
            ("compiler-artifact", _, Some(target))
                if target.name == "exercises" && target.kind == ["test"] =>
            {
                program = message.executable;
            }
            _ => {}
        }
    }
    match program {
        Some(program) if success => Built::Program(program),
        _ if errors.trim().is_empty() => Built::Broken(said.to_owned()),
        _ => Built::Broken(errors),
    }
}

/// What became of the checks of a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// So many hold.
    Held(usize),
    /// Some do not; what they printed.
    Failed(String),
    /// They did not end in time.
    Hung(u64),
    /// They ended the whole program; what it printed last.
    Crashed(String),
    /// There are none of this name.
    None,
}

/// Runs the checks of `task` in `program`; all that they print goes to `log`.
///
/// # Errors
/// When the program cannot be run, or the log not be written.
pub fn run(program: &Path, task: &Task, scratch: &Scratch, log: &Path) -> Result<Ran> {
    let folder = package_folder(&scratch.root, &task.file);
    let list = command(program, &folder)
        .args(["--list", "--format", "terse"])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let names = names(&String::from_utf8_lossy(&list.stdout), &task.check_name());
    if names.is_empty() {
        return Ok(Ran::None);
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command(program, &folder)
        .args(&names)
        .args(["--exact", "--test-threads=1"])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("the log")?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let Some(status) = wait(&mut child, Duration::from_secs(task.seconds))? else {
        return Ok(Ran::Hung(task.seconds));
    };
    let output = std::fs::read(log).with_context(|| format!("{}", log.display()))?;
    let output = String::from_utf8_lossy(&output).into_owned();
    Ok(match status.code() {
        Some(0) => Ran::Held(names.len()),
        // What the test runner ends with when a test failed.
        Some(101) => Ran::Failed(output),
        _ => Ran::Crashed(output),
    })
}

/// A command that a check which collects without end cannot take the machine down with.
fn command(program: &Path, folder: &Path) -> Command {
    let limited = format!("ulimit -v {MEMORY_KIB_MAX} 2>/dev/null; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &limited])
        .arg(program)
        .current_dir(folder)
        // What cargo sets for tests.
        .env("CARGO_MANIFEST_DIR", folder);
    command
}

/// Waits for the end; ends it itself when it takes longer than `limit`.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the check")? {
            return Ok(Some(status));
        }
        if began.elapsed() >= limit {
            child.kill().context("cannot end the check")?;
            child.wait().context("cannot wait for the check")?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Of `module::exercise_04_1: test` lines, those that are checks called `name`, with a suffix or
/// without; `exercise_04_10` is another's, and so is `bug_04_2` where `bug_04` is meant.
fn names(list: &str, name: &str) -> Vec<String> {
    let tests = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let ours = tests.filter(|test| {
        let (_, last) = test.rsplit_once("::").unwrap_or(("", test));
        let Some(suffix) = last.strip_prefix(name) else {
            return false;
        };
        let word = suffix.strip_prefix('_');
        suffix.is_empty()
            || word.is_some_and(|word| !word.starts_with(|c: char| c.is_ascii_digit()))
    });
    ours.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_of_one_exercise_are_its_own() {
        let list = "exercise_04_1: test\nexercise_04_10: test\nexercise_04_1_ports: test\n\
                    deep::exercise_04_1_x: test\nbug_04: test\nbug_04_2: test\n\n\
                    6 tests, 0 benchmarks\n";
        let ours = [
            "exercise_04_1",
            "exercise_04_1_ports",
            "deep::exercise_04_1_x",
        ];
        assert_eq!(names(list, "exercise_04_1"), ours);
        assert_eq!(names(list, "bug_04"), ["bug_04"]);
        assert_eq!(names(list, "bug_04_2"), ["bug_04_2"]);
    }

    #[test]
    fn a_build_says_what_matters() {
        let messages = r#"{"reason":"compiler-message","message":{"level":"warning","rendered":"w"}}
{"reason":"compiler-artifact","target":{"name":"exercises","kind":["test"]},"executable":"/t/e-1"}
{"reason":"build-finished","success":true}"#;
        assert!(matches!(read_build(messages, "", true), Built::Program(it) if it == *"/t/e-1"));
        let broken =
            r#"{"reason":"compiler-message","message":{"level":"error","rendered":"no!"}}"#;
        assert!(matches!(read_build(broken, "x", false), Built::Broken(it) if it == "no!"));
        // cargo itself refuses: there is no such package.
        assert!(
            matches!(read_build("", "no package", false), Built::Broken(it) if it == "no package")
        );
    }

    #[test]
    fn what_never_ends_is_ended() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_millis(30)).unwrap(), None);
    }
}
