//! `compare SCRIPT LEFT RIGHT`: plays a script on the clusters of two kubeconfigs. What
//! `cargo xtask diff` runs. Ends with 0 when both say the same, with 1 when they differ, with 2
//! when one cannot be asked.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use transcript::compare::{Nodes, Side, commands, compare};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [script, left, right] = paths.as_slice() else {
        eprintln!("usage: compare SCRIPT LEFT_KUBECONFIG RIGHT_KUBECONFIG");
        return ExitCode::from(2);
    };
    match run(script, [left, right]) {
        Ok(same) => ExitCode::from(u8::from(!same)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether both say the same.
fn run(script: &Path, kubeconfigs: [&PathBuf; 2]) -> Result<bool, String> {
    let text = std::fs::read_to_string(script);
    let text = text.map_err(|error| format!("{}: {error}", script.display()))?;
    if commands(&text) == 0 {
        return Err(format!("{} has no commands", script.display()));
    }
    // Files that commands name lie beside the script.
    let script = std::path::absolute(script).map_err(|error| error.to_string())?;
    let folder = script.parent().unwrap_or(Path::new("/"));
    let sides = [side(kubeconfigs[0])?, side(kubeconfigs[1])?];
    let different = compare(&text, sides, |at, command| {
        said(shell(command, folder, kubeconfigs[at]))
    });
    match different {
        Some(different) => {
            println!("--- {}", kubeconfigs[0].display());
            println!("+++ {}\n", kubeconfigs[1].display());
            print!("{different}");
            Ok(false)
        }
        None => {
            println!("Both say the same to {} commands.", commands(&text));
            Ok(true)
        }
    }
}

/// What is to be hidden of a cluster, which is asked for it.
fn side(kubeconfig: &Path) -> Result<Side, String> {
    let ask = |args: &[&str]| {
        let mut kubectl = Command::new("kubectl");
        let output = kubectl.args(args).env("KUBECONFIG", kubeconfig).output();
        let output = output.map_err(|error| format!("kubectl: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!(
                "{}: {}",
                kubeconfig.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    };
    let server = "jsonpath={.clusters[0].cluster.server}";
    let server = ask(&["config", "view", "--minify", "-o", server])?;
    // kubectl's own table knows what a role is.
    let nodes = ask(&["get", "nodes", "--no-headers", "-o", "wide"])?;
    Ok(Side::new(&server, Nodes::parse(&nodes)))
}

fn shell(command: &str, folder: &Path, kubeconfig: &Path) -> Command {
    let mut shell = Command::new("sh");
    // What is said on both ways stays in order.
    shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]);
    shell.env("KUBECONFIG", kubeconfig).current_dir(folder);
    shell
}

fn said(mut command: Command) -> String {
    match command.output() {
        Ok(output) => {
            let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
            if let Some(code @ 1..) = output.status.code() {
                said += &format!("[exit code {code}]\n");
            }
            said
        }
        Err(error) => format!("{error}\n"),
    }
}
